"""The report's figures: SVG and PNG of each, with a caption that says what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib as mpl

from vssl.images import ImageFileError
from vssl.records.localization import AUDIO_VISUAL, OBJECT_GUIDED
from vssl.records.read import samples_by_size
from vssl.reporting.collection import Group
from vssl.reporting.figures.curves import f_loc, maxima, roc, success_pia
from vssl.reporting.figures.data import (
    CURVE_RECORDS,
    CURVE_SAMPLES,
    FigureData,
    GridSample,
    read_curves,
    read_scores,
    why_no_curves,
)
from vssl.reporting.figures.grid import grids
from vssl.reporting.figures.samples import evaluation_image, read_scenes
from vssl.reporting.figures.style import HOUSE_STYLE, Drawing, Figure, write

FIGURES: tuple[Callable[[FigureData], Iterator[Drawing]], ...] = (
    maxima,
    f_loc,
    success_pia,
    roc,
    grids,
)
"""All figures of a report, in order."""

VARIANTS = (AUDIO_VISUAL, OBJECT_GUIDED)

GRID_SHARES = (0.1, 0.5, 0.9)
"""Samples of the qualitative grid, as shares of all in ascending size of the ground truth."""


def draw_figures(
    group: Group,
    output: Path,
    *,
    policy: str = "universal_q3",
    samples: Sequence[str] = (),
) -> list[Figure]:
    """Draw a group's figures, `<group>_<figure>.svg` and `.png`; those of OGL maps apart.

    What a run does not have is said in its panel and in the caption. `policy` is that of the curves
    and of the new rendering, `samples` are ids for the qualitative grid; none takes three by the
    object's size.

    Raises:
        RecordsError: when records cannot be read, or lack a sample that was asked for.
    """
    figures = []
    with mpl.rc_context(HOUSE_STYLE):
        for part in parts_of(group, policy=policy, samples=samples):
            guided = part.variant != AUDIO_VISUAL
            suffix = f"_{part.variant}" if guided else ""
            behind = ", object-guided maps (OGL)" if guided else ""
            for drawing in (drawing for draw in FIGURES for drawing in draw(part)):
                name = f"{group.name}_{drawing.name}{suffix}"
                title = f"{drawing.title}{behind}: {group.dataset}"
                figures.append(write(drawing, output, name=name, title=title))
    return figures


def parts_of(
    group: Group,
    *,
    policy: str = "universal_q3",
    samples: Sequence[str] = (),
    curve_records: int = CURVE_RECORDS,
    curve_samples: int = CURVE_SAMPLES,
) -> list[FigureData]:
    """Read what a group's figures are drawn from, by map variant.

    `curve_records` and `curve_samples` say when curves rest on a part of a run, see `read_curves`.
    """
    scores = {run.label: read_scores(run, policy) for run in group.runs}
    curves = {
        run.label: read_curves(run, records=curve_records, part=curve_samples)
        for run in group.runs
        if not why_no_curves(run, scores[run.label])
    }
    grid_samples = list(_grid_samples(group, samples))
    having = {v: [run for run in group.runs if v in run.variants] for v in VARIANTS}
    return [
        FigureData(group, runs, variant, policy, scores, curves, grid_samples)
        for variant, runs in having.items()
        if runs
    ]


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
