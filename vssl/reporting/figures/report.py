"""The report's figures: SVG and PNG of each, with title, caption and alt text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from vssl.core.errors import UsageError
from vssl.records.localization import AUDIO_VISUAL
from vssl.reporting.collection import Group
from vssl.reporting.figures.data import FigureData, parts_of
from vssl.reporting.figures.style import HOUSE_STYLE, Drawing, Figure, write


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report, as `conf/figure/<name>.yaml` describes it.

    In its texts, `{policy}` is the report's threshold policy, and other braces are filled with the
    `words` of the drawing. Behind the caption stand N and seed, behind the details what else the
    runs rest on.
    """

    name: str  # in the files `<group>_<name>.svg` and `.png`
    draw: Callable[[FigureData], Any]  # gives a matplotlib figure, a `Drawing`, or several of these
    title: str  # shown above the figure
    caption: str  # says what is drawn
    alt: str  # says what is to be seen, for those who do not see it
    details: str = ""  # says how to read lines and marks

    def drawings(self, data: FigureData) -> Iterator[Drawing]:
        """Draw, and give each drawing its texts.

        Raises:
            UsageError: for a text with braces that nothing fills.
        """
        try:
            drawn = self.draw(data)
        except Exception as error:
            error.add_note(f"raised by the figure {self.name} (conf/figure/{self.name}.yaml)")
            raise
        for each in [drawn] if isinstance(drawn, (Canvas, Drawing)) else drawn:
            drawing = Drawing(each) if isinstance(each, Canvas) else each
            words = {"policy": data.policy, **drawing.words}
            title, caption, alt, details = (
                self._filled(key, words) for key in ("title", "caption", "alt", "details")
            )
            yield drawing._replace(
                name=drawing.name or self.name,
                title=title,
                caption=f"{caption} {data.size}",
                alt=alt,
                details=data.details(
                    details,
                    *drawing.notes,
                    policies=drawing.policies,
                    # a grid says itself which of its maps hold NaN
                    gaps=[*drawing.gaps, *(() if drawing.photographs else data.undefined())],
                ),
            )

    def _filled(self, key: str, words: Mapping[str, str]) -> str:
        try:
            return str(getattr(self, key)).format(**words)
        except (LookupError, ValueError) as error:
            raise UsageError(
                f"figure {self.name}: {key}: nothing fills the braces ({error}). Known are"
                f" {', '.join(words)}; a brace that is shown is written twice."
            ) from error


def draw_figures(
    group: Group,
    output: Path,
    figures: Sequence[ReportFigure],
    *,
    policy: str = "universal_q3",
    samples: Sequence[str] = (),
    baselines: bool = False,
) -> list[Figure]:
    """Draw a group's figures, `<group>_<figure>.svg` and `.png`; those of OGL maps apart.

    Without `baselines` these are drawn only where a group has nothing else. Panel and details say
    what a run lacks. `policy` is that of the curves and of the new rendering. `samples` are ids for
    the qualitative grid; none takes three by the object's size.

    Raises:
        RecordsError: when records cannot be read, or lack a sample that was asked for.
    """
    written = []
    with mpl.rc_context(HOUSE_STYLE):
        for part in parts_of(group, policy=policy, samples=samples, baselines=baselines):
            guided = part.variant != AUDIO_VISUAL
            suffix = f"_{part.variant}" if guided else ""
            behind = ", object-guided maps (OGL)" if guided else ""
            for drawing in (drawing for each in figures for drawing in each.drawings(part)):
                name = f"{group.name}_{drawing.name}{suffix}"
                title = f"{drawing.title}{behind}: {group.dataset}"
                written.append(write(drawing, output, name=name, title=title))
    return written
