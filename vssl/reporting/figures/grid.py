"""The qualitative grid: one image under every audio condition, one column per run."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib import patheffects
from matplotlib.figure import Figure as Canvas

from vssl.maps import binarize, stretch
from vssl.reporting.collection import ReportRun
from vssl.reporting.figures.data import FigureData, Gaps, GridSample
from vssl.reporting.figures.gallery import draw_truth
from vssl.reporting.figures.overlay import laid_over
from vssl.reporting.figures.style import GREY, PAGE, Drawing
from vssl.reporting.tables.model import MISSING
from vssl.types import EVALUATION_SIZE

_RENDERINGS = {
    "old": "Old rendering: each map scaled by its own minimum and maximum, so that every map seems"
    " to find something.",
    "new": "New rendering: what is not above {policy} is not drawn; colours run from the threshold"
    " to the largest value in the column.",
}
"""The paper's two: each map min-max scaled, and what lies above the universal threshold only."""

_WIDEST, _NARROWEST = 8, 6  # columns that the width of a page is divided by
_LEFT, _BELOW, _BETWEEN = 0.5, 0.13, 0.05  # inches around the maps
_DARKEST = 0.35  # where the colours of the new rendering start: black would hide the image
_BLANK = 0.82  # grey level in place of an image that is not at hand


def grids(part: FigureData) -> Iterator[Drawing]:
    """Each sample of the qualitative grid in both renderings."""
    for number, sample in enumerate(part.samples, start=1):
        labels = [run.label for run in part.runs]
        scenes = [sample.scenes[label] for label in labels]
        first, largest, others = scenes[0], [], []
        for label, scene in zip(labels, scenes, strict=True):
            values = scene.extremes[part.variant][:, 1].tolist()
            texts = [f"{name} {v:.2f}" for name, v in zip(scene.conditions, values, strict=True)]
            largest.append(f"{label} {', '.join(texts)}")
            if any(first.sources.get(name, own) != own for name, own in scene.sources.items()):
                others.append(label)
        for rendering, how in _RENDERINGS.items():
            gaps: Gaps = []
            for run, scene in zip(part.runs, scenes, strict=True):
                if rendering == "new" and run.threshold(part.policy, part.variant) is None:
                    gaps.append((run.label, f"no threshold {part.policy}"))
                if not torch.isfinite(scene.maps[part.variant]).all():
                    gaps.append((run.label, "a map holds NaN"))
            met = f"Rows name the sounds of {labels[0]}; {', '.join(others)} met others."
            no_image = f"The image is not at hand, maps are drawn on grey ({sample.missing})."
            yield Drawing(
                draw_grid(part, sample, rendering),
                name=f"grid_{number}_{rendering}",
                words={
                    "sample": first.sample_id,
                    "category": first.category,
                    "rendering": rendering,
                    "rows": ", ".join(first.conditions),
                    "columns": ", ".join(labels),
                    "largest": "; ".join(largest),
                },
                notes=[
                    how.format(policy=part.policy),
                    no_image if sample.missing else "",
                    met if others else "",
                ],
                policies=[part.policy] if rendering == "new" else [],
                gaps=gaps,
                photographs=True,
            )


def draw_grid(part: FigureData, sample: GridSample, rendering: str) -> Canvas:
    """Draw one sample: rows are audio conditions (draw 0), columns are runs, eight to a line."""
    scenes = [sample.scenes[run.label] for run in part.runs]
    conditions = list(dict.fromkeys(name for scene in scenes for name in scene.conditions))
    blocks = [part.runs[n : n + _WIDEST] for n in range(0, len(part.runs), _WIDEST)]
    side = (PAGE - _LEFT) / max(_NARROWEST, *(len(block) for block in blocks))
    titles = [textwrap.wrap(run.label, round(15 * side)) for run in part.runs]
    above = 0.13 + 0.11 * max(len(lines) for lines in titles)
    line, block_height = side + _BELOW, above + (side + _BELOW) * len(conditions)
    width, height = _LEFT + side * len(blocks[0]), block_height * len(blocks) + 0.03
    canvas = Canvas(figsize=(width, height))
    axes = canvas.add_axes((0, 0, 1, 1))  # one for all cells: in inches from the upper left
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    for number, block in enumerate(blocks):
        top = number * block_height + above
        for row, condition in enumerate(conditions):
            middle = top + row * line + side / 2
            # what is heard in the first run that has the condition
            first = next(scene for scene in scenes if condition in scene.conditions)
            name, *heard = first.label(condition).split("\n")
            wrapped = (part for each in heard for part in textwrap.wrap(each, 15))
            text = "\n".join([name, *wrapped])
            axes.text(_LEFT / 2, middle, text, rotation=90, ha="center", va="center", fontsize=6.5)
        for place, run in enumerate(block):
            left = _LEFT + place * side
            title = "\n".join(titles[number * _WIDEST + place])
            axes.text(left + side / 2, top - 0.05, title, ha="center", va="bottom", fontsize=6.5)
            for row, condition in enumerate(conditions):
                cell = _Cell(axes, left + _BETWEEN / 2, top + row * line, side - _BETWEEN)
                if condition in sample.scenes[run.label].conditions:
                    _draw_cell(cell, part, run, sample, condition, rendering)
                else:
                    cell.say(f"no {condition}")
    return canvas


@dataclass(frozen=True)
class _Cell:
    """A square of the grid, in inches."""

    axes: Any
    left: float
    top: float
    side: float

    def show(self, pixels: npt.NDArray[np.floating[Any]]) -> None:
        extent = (self.left, self.left + self.side, self.top + self.side, self.top)
        eight_bits = (255 * pixels).round().astype(np.uint8)  # a figure holds all its images
        self.axes.imshow(eight_bits, extent=extent, aspect="auto")

    def caption(self, text: str) -> None:
        middle, below = self.left + self.side / 2, self.top + self.side + 0.02
        self.axes.text(middle, below, text, ha="center", va="top", fontsize=5.6)

    def say(self, text: str) -> None:
        middle = self.left + self.side / 2, self.top + self.side / 2
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
        self.axes.text(
            *middle, "\n".join(textwrap.wrap(text, 12)), ha="center", va="center", fontsize=5.6,
            color=GREY, style="italic", bbox=box,
        )  # fmt: skip

    def outline(self, localization: torch.Tensor, threshold: float) -> None:
        if float(localization.min()) < threshold < float(localization.max()):
            steps = (np.arange(EVALUATION_SIZE) + 0.5) / EVALUATION_SIZE * self.side
            lines = self.axes.contour(
                self.left + steps, self.top + steps, localization.numpy(), levels=[threshold],
                colors="white", linewidths=0.6,
            )  # fmt: skip
            lines.set_path_effects([patheffects.withStroke(linewidth=1.2, foreground="black")])


def _draw_cell(
    cell: _Cell,
    part: FigureData,
    run: ReportRun,
    sample: GridSample,
    condition: str,
    rendering: str,
) -> None:
    scene = sample.scenes[run.label]
    place = scene.conditions.index(condition)
    maps = scene.maps[part.variant]
    background = sample.image
    if background is None:
        background = torch.full((EVALUATION_SIZE, EVALUATION_SIZE, 3), _BLANK)
    threshold = run.threshold(part.policy, part.variant)
    if not torch.isfinite(maps[place]).all():
        cell.show(background.numpy())
        cell.say("map holds NaN")
        cell.caption(MISSING)
        return
    if rendering == "old":
        cell.show(laid_over(background.numpy(), stretch(maps[place : place + 1])[0].numpy()))
    elif threshold is None:
        cell.show(background.numpy())
        cell.say("no threshold")
    else:
        cell.show(cut(background, maps, place, threshold))
        cell.outline(maps[place], threshold)
    draw_truth(cell.axes, scene, left=cell.left, top=cell.top, side=cell.side, width=0.9)
    cell.caption(extremes_text(*scene.extremes[part.variant][place].tolist()))


def cut(image: torch.Tensor, maps: torch.Tensor, place: int, threshold: float) -> Any:
    """A map over an image `[H, W, 3]`, nothing drawn where it is not above the threshold.

    The maps `[K, H, W]` share one scale, from the threshold to their largest finite value.
    """
    top = float(maps[torch.isfinite(maps)].max())
    span = max(top - threshold, 1e-12)
    relative = _DARKEST + (1 - _DARKEST) * ((maps[place] - threshold) / span).clamp(0, 1)
    marked = binarize(maps[place : place + 1], threshold)[0].numpy()[..., None]
    return np.where(marked, laid_over(image.numpy(), relative.numpy()), image.numpy())


def extremes_text(least: float, largest: float) -> str:
    """Least and largest value of a map, as shown below it."""
    digits = 3 if 0 < max(abs(least), abs(largest)) < 0.095 else 2
    return f"{least:.{digits}f} to {largest:.{digits}f}".replace("-", "\N{MINUS SIGN}")
