"""The qualitative grid: one image under every audio condition, one column per run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine

from vssl.maps import binarize, stretch
from vssl.reporting.collection import ReportRun
from vssl.reporting.figures.data import FigureData, Gaps, GridSample
from vssl.reporting.figures.gallery import draw_map, heard_in, squares
from vssl.reporting.figures.overlay import laid_over
from vssl.reporting.figures.style import PAGE, Drawing, say_gap
from vssl.types import EVALUATION_SIZE

_RENDERINGS = {
    "old": "Old rendering: each map scaled by its own minimum and maximum, so that every map seems"
    " to find something.",
    "new": "New rendering: what is not above {policy} is not drawn; colours run from the threshold"
    " to the largest value in the column.",
}
"""The paper's two: each map min-max scaled, and what lies above the universal threshold only."""

_WIDEST, _NARROWEST = 8, 6  # columns that the width of a page is divided by
_LEFT, _ABOVE, _BELOW = 0.4, 0.2, 0.16  # inches around the maps
_SCALE = 0.7  # of letters and lines, for so many maps
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
    blocks = [part.runs[n : n + _WIDEST] for n in range(0, len(part.runs), _WIDEST)]
    heard = heard_in([sample.scenes[run.label] for run in part.runs])
    columns, rows = len(blocks[0]), len(heard)
    side = (PAGE - _LEFT) / max(_NARROWEST, columns)
    height = len(blocks) * (_ABOVE + rows * (side + _BELOW))
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    canvas = Canvas(figsize=(_LEFT + side * columns, height), layout=layout)
    places = canvas.subfigures(len(blocks), squeeze=False).flat
    for block, place in zip(blocks, places, strict=True):
        scenes = [sample.scenes[run.label] for run in block]
        titles = [run.label for run in block]
        options: Any = {"side": side, "columns": columns, "scale": _SCALE}
        for axes, number, condition in squares(place, titles, heard, **options):
            if condition in scenes[number].conditions:
                _draw_cell(axes, part, block[number], sample, condition, rendering)
            else:
                say_gap(axes, f"no {condition}", letters=12)
    return canvas


def _draw_cell(
    axes: Any,
    part: FigureData,
    run: ReportRun,
    sample: GridSample,
    condition: str,
    rendering: str,
) -> None:
    scene = sample.scenes[run.label]
    maps, place = scene.maps[part.variant], scene.conditions.index(condition)
    image, threshold = sample.image, run.threshold(part.policy, part.variant)
    if image is None:
        image = torch.full((EVALUATION_SIZE, EVALUATION_SIZE, 3), _BLANK)
    pixels, outlined = image.numpy(), None
    if not torch.isfinite(maps[place]).all():
        say_gap(axes, "map holds NaN", letters=12)
    elif rendering == "old":
        pixels = laid_over(pixels, stretch(maps[place : place + 1])[0].numpy())
    elif threshold is None:
        say_gap(axes, "no threshold", letters=12)
    else:
        pixels, outlined = cut(image, maps, place, threshold), threshold
    draw_map(axes, pixels, scene, condition, variant=part.variant, threshold=outlined, scale=_SCALE)


def cut(image: torch.Tensor, maps: torch.Tensor, place: int, threshold: float) -> Any:
    """A map over an image `[H, W, 3]`, nothing drawn where it is not above the threshold.

    The maps `[K, H, W]` share one scale, from the threshold to their largest finite value.
    """
    top = float(maps[torch.isfinite(maps)].max())
    span = max(top - threshold, 1e-12)
    relative = _DARKEST + (1 - _DARKEST) * ((maps[place] - threshold) / span).clamp(0, 1)
    marked = binarize(maps[place : place + 1], threshold)[0].numpy()[..., None]
    return np.where(marked, laid_over(image.numpy(), relative.numpy()), image.numpy())
