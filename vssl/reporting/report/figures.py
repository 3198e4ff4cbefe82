"""The report's figures: SVG and PNG of each, with a caption that says what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

from vssl.images import ImageFileError
from vssl.metrics.sets import MAP_MAXIMUM
from vssl.records.localization import AUDIO_VISUAL, OBJECT_GUIDED
from vssl.records.rows import samples_by_size
from vssl.reporting.report.collection import Group
from vssl.reporting.report.figures_curves import f_loc, roc, success_pia
from vssl.reporting.report.figures_data import (
    CURVE_RECORDS,
    CURVE_SAMPLES,
    GridSample,
    Part,
    Scores,
    read_curves,
    read_scores,
)
from vssl.reporting.report.figures_grid import grids
from vssl.reporting.report.figures_maxima import maxima
from vssl.reporting.report.figures_style import HOUSE_STYLE, Drawing, write
from vssl.reporting.scenes import evaluation_image, read_scenes

FIGURES: tuple[Callable[[Part], Iterator[Drawing]], ...] = (maxima, f_loc, success_pia, roc, grids)
"""All figures of a report, in order. Each function draws what its docstring says, and gives title,
caption and alt text with it.
"""

VARIANTS = (AUDIO_VISUAL, OBJECT_GUIDED)

GRID_SHARES = (0.1, 0.5, 0.9)
"""Samples of the qualitative grid, as shares of all in ascending size of the ground truth."""


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    Attributes:
        name: of its files, unique in the report.
        title: what it shows.
        caption: how to read it and what it rests on.
        svg: vector file.
        png: the same at 200 dots per inch.
        alt: what is to be seen, for those who do not see it.
    """

    name: str
    title: str
    caption: str
    svg: Path
    png: Path
    alt: str = ""


def draw_figures(
    group: Group,
    output: Path,
    *,
    policy: str = "universal_q3",
    samples: Sequence[str] = (),
) -> list[Figure]:
    """Draw a group's figures, those of object-guided maps apart.

    What a run does not have is said in its panel and in the caption.

    Args:
        group: runs on one test set.
        output: folder for the files `<group>_<figure>.svg` and `.png`.
        policy: threshold policy of the curves and of the new rendering.
        samples: ids of the qualitative grid's samples; none takes three by the object's size.

    Raises:
        RecordsError: when records cannot be read, or lack a sample that was asked for.
    """
    with mpl.rc_context(HOUSE_STYLE):
        return [
            _written(drawing, part, output)
            for part in parts_of(group, policy=policy, samples=samples)
            for draw in FIGURES
            for drawing in draw(part)
        ]


def parts_of(
    group: Group,
    *,
    policy: str = "universal_q3",
    samples: Sequence[str] = (),
    curve_records: int = CURVE_RECORDS,
    curve_samples: int = CURVE_SAMPLES,
) -> list[Part]:
    """Read what a group's figures are drawn from, by map variant.

    Args:
        group: runs on one test set.
        policy: as for `draw_figures`.
        samples: as for `draw_figures`.
        curve_records: a run with more records has its threshold curves drawn from a part of it,
            which the caption says.
        curve_samples: about how many samples that part has.
    """
    scores = {run.label: read_scores(run, policy) for run in group.runs}
    curves = {
        run.label: read_curves(run, records=curve_records, part=curve_samples)
        for run in group.runs
        if run.negatives and not _only_nan(scores[run.label])
    }
    grid_samples = list(_grid_samples(group, samples))
    runs = {v: [run for run in group.runs if v in run.variants] for v in VARIANTS}
    return [
        Part(group, own, variant, policy, scores, curves, grid_samples)
        for variant, own in runs.items()
        if own
    ]


def _only_nan(scores: Scores) -> bool:
    maxima = scores.get(MAP_MAXIMUM, {})
    return bool(maxima) and all(rows.isna().all() for rows in maxima.values())


def _grid_samples(group: Group, samples: Sequence[str]) -> Iterator[GridSample]:
    chosen = list(samples) or samples_by_size(group.runs[0].folder, GRID_SHARES)
    by_run = {run.label: read_scenes(run.folder, chosen, variants=VARIANTS) for run in group.runs}
    for place in range(len(chosen)):
        scenes = {label: each[place] for label, each in by_run.items()}
        missing = ""
        for path in dict.fromkeys(scene.image_path for scene in scenes.values()):
            try:
                yield GridSample(evaluation_image(path), "", scenes)
                break
            except ImageFileError as error:
                missing = missing or str(error)
        else:
            yield GridSample(None, missing, scenes)


def _written(drawing: Drawing, part: Part, output: Path) -> Figure:
    guided = part.variant != AUDIO_VISUAL
    name = f"{part.group.name}_{drawing.name}{f'_{part.variant}' if guided else ''}"
    title = f"{drawing.title}{', object-guided maps (OGL)' if guided else ''}: {part.group.dataset}"
    svg, png = write(
        drawing.canvas,
        output,
        name,
        title=title,
        alt=drawing.alt,
        photographs=drawing.photographs,
    )
    return Figure(name, title, drawing.caption, svg, png, drawing.alt)
