"""How the report's figures look, and how they are written: the same file for the same data."""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from vssl.core.files import whole_file
from vssl.core.negatives import ALL_NEGATIVES
from vssl.types import POSITIVE

PAGE = 7.0
"""Width of a page in inches; four panels fit side by side, two in a column of 3.4."""

_PNG_DPI = 200
_JPEG_QUALITY = 90
_EMBEDDED = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")

GREY = "#555555"


class Look(NamedTuple):
    """How one kind of line or area is drawn; no two differ in colour alone.

    Colours are of Okabe and Ito's palette, or Tol's, which the colour-blind can tell apart.
    """

    colour: str
    dashes: str | tuple[int, tuple[float, ...]]
    hatch: str


class Drawing(NamedTuple):
    """A figure that is not written yet.

    The function that draws gives the canvas and what texts need of the runs; `ReportFigure` gives
    title, caption and alt text, whose braces are filled with `words`, and `{policy}`.
    """

    canvas: Canvas
    name: str = ""  # in the file's name, where a function draws several; else the figure's
    words: Mapping[str, str] = MappingProxyType({})
    notes: Sequence[str] = ()  # sentences of the details
    policies: Sequence[str] = ()  # threshold policies whose values the details list
    gaps: Sequence[tuple[str, str]] = ()  # labels of runs, and what each lacks
    photographs: bool = False  # whether images inside the SVG become JPEG
    title: str = ""
    caption: str = ""
    alt: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A figure of the report; `alt` says what is to be seen, for those who do not see it.

    `caption` says in short what it is, `details` one sentence each how to read it and what it
    rests on.
    """

    name: str
    title: str
    caption: str
    svg: Path
    png: Path
    alt: str = ""
    details: tuple[str, ...] = ()


_LOOKS = {
    POSITIVE: Look("#009e73", "solid", ""),
    "silence": Look("#0072b2", (0, (5, 1.5)), "////"),
    "noise": Look("#e69f00", (0, (1.2, 1.2)), "||||"),
    "offscreen": Look("#cc79a7", (0, (5, 1.5, 1.2, 1.5)), "\\\\\\\\"),
    ALL_NEGATIVES: Look("#000000", (0, (8, 1.5, 1.2, 1.5, 1.2, 1.5)), ""),
}
_OTHER_LOOKS = (
    Look("#56b4e9", (0, (3, 1)), "xx"),
    Look("#d55e00", (0, (2, 2)), "----"),
    Look("#882255", (0, (7, 1)), "...."),
    Look("#999933", (0, (1, 2.5)), "oo"),
    Look("#332288", (0, (6, 1, 2, 1)), "\\\\//"),
    Look("#f0e442", (0, (4, 1, 1, 1)), "++"),
)
UNIVERSAL_POLICIES: dict[str, Any] = {
    "universal_max": (0, (5, 1.5)),
    "universal_max10": (0, (1.2, 1.2)),
    "universal_q3": "solid",
}
"""Line styles of the universal threshold policies, in the order they are drawn."""

HOUSE_STYLE: Any = {
    "font.size": 7.0,
    "font.family": "sans-serif",
    "axes.titlesize": 8.0,
    "axes.labelsize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 7.0,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "path.simplify_threshold": 0.25,  # of a point: a ROC has as many places as maps
    "svg.fonttype": "none",  # text stays text: found, read aloud, selected
    "svg.hashsalt": "vssl",
}


def look_of(condition: str, conditions: Sequence[str]) -> Look:
    """How an audio condition is drawn; those that are not the paper's in order of the run."""
    if condition in _LOOKS:
        return _LOOKS[condition]
    others = [name for name in conditions if name not in _LOOKS]
    return _OTHER_LOOKS[others.index(condition) % len(_OTHER_LOOKS)]


def dashes_of(policy: str) -> Any:
    """Line style of a threshold policy."""
    return UNIVERSAL_POLICIES.get(policy, (0, (3, 1, 1, 1)))


def facets(titles: Sequence[str], *, height: float) -> list[Any]:
    """Panels of an empty figure with one y axis, at most four to a line of `height` inches."""
    lines = -(-len(titles) // 4)
    columns = -(-len(titles) // lines)
    width = max(3.4, PAGE * columns / 4)
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03)
    canvas = Canvas(figsize=(width, height * lines + 0.45), layout=layout)
    grid = canvas.subplots(lines, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(titles) :]:
        axes.remove()
    panels = list(grid.flat[: len(titles)])
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title("\n".join(textwrap.wrap(title, 24)))
    return panels


def name_axes(panels: Sequence[Any], below: str, beside: str) -> None:
    """Name the axes below each column of panels and left of each line."""
    for axes in {axes.get_subplotspec().colspan.start: axes for axes in panels}.values():
        axes.set_xlabel(below)
    for axes in panels:
        if axes.get_subplotspec().is_first_col():
            axes.set_ylabel(beside)


def legend_below(panels: Sequence[Any]) -> None:
    """Explain below the panels what has a label in any of them."""
    named = [
        pair for axes in panels for pair in zip(*axes.get_legend_handles_labels(), strict=True)
    ]
    known = {text: handle for handle, text in named}
    if known:
        canvas = panels[0].figure
        columns = 4 if canvas.get_figwidth() > 5 else 2
        canvas.legend(
            known.values(), known, loc="outside lower center", ncols=columns, frameon=False
        )


def say_gap(axes: Any, text: str, *, letters: int = 24) -> None:
    """Say in an empty panel why it is empty, in lines of so many letters."""
    axes.text(
        0.5, 0.5, textwrap.fill(text, letters), transform=axes.transAxes, ha="center", va="center",
        color=GREY, style="italic",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )  # fmt: skip


def write(drawing: Drawing, output: Path, *, name: str, title: str) -> Figure:
    """Write a figure as SVG and PNG, each whole or not at all, with title and alt inside.

    The same data give the same files: no date, no random names.
    """
    output.mkdir(parents=True, exist_ok=True)
    canvas = drawing.canvas
    if canvas.get_layout_engine() is not None:  # laid out once, not for each file
        canvas.draw_without_rendering()
        canvas.set_layout_engine("none")
    svg, png = output / f"{name}.svg", output / f"{name}.png"
    described: Any = {"Title": title, "Description": drawing.alt}
    with whole_file(svg) as partial:
        canvas.savefig(partial, format="svg", dpi=_PNG_DPI, metadata={**described, "Date": None})
        if drawing.photographs:
            partial.write_text(_with_jpeg(partial.read_text("utf-8")), "utf-8")
    with whole_file(png) as partial:
        # photographs gain little from more compression
        options: Any = {"pil_kwargs": {"compress_level": 3}}
        canvas.savefig(partial, format="png", dpi=_PNG_DPI, metadata=described, **options)
    return Figure(name, title, drawing.caption, svg, png, drawing.alt, drawing.details)


def _with_jpeg(text: str) -> str:
    """An SVG whose embedded PNG images, on white, are JPEG images."""

    def replaced(found: re.Match[str]) -> str:
        image = Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image)
        data = io.BytesIO()
        # colours at full resolution: they are the maps
        paper.convert("RGB").save(data, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"

    return _EMBEDDED.sub(replaced, text)
