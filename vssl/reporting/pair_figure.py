"""The picture of `vssl-localize`: one image with its sound, silence and noise."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from vssl.images import Pixels, as_tensor
from vssl.reporting.colouring import COLOURS, in_range, laid_over
from vssl.reporting.verdict import MapNumbers, Threshold, in_percent

_LONGEST = 480
"""Longest side in pixels that an image is drawn at."""
_WIDE = 2.6
"""Width of a column in inches."""


def draw_pair(
    path: Path,
    pixels: Pixels,
    columns: Sequence[tuple[str, torch.Tensor, MapNumbers]],
    *,
    bounds: tuple[float, float],
    threshold: Threshold | None,
    title: str,
    notes: Sequence[str],
) -> None:
    """Draw an image, and beside it its map under each sound.

    Maps are drawn in the declared range, so that a map that is low looks low; what lies above the
    threshold is outlined in white.

    Args:
        path: PNG file to write.
        pixels: the image, `[H, W, 3]`.
        columns: title, localization map `[224, 224]` and numbers of each sound.
        bounds: the declared range; where it has no end, the extremes of these maps stand in.
        threshold: threshold; None for no outline.
        title: the verdict.
        notes: lines below: where the numbers come from, and warnings.
    """
    picture = _shrunk(pixels)
    height, width = picture.shape[:2]
    if not np.isfinite(bounds).all():
        every = torch.stack([each for _, each, _ in columns])
        bounds = (float(every.min()), float(every.max()) + 1e-12)
    tall = min(max(_WIDE * height / width, 1.2), 4.4)
    wide = tall * width / height
    count = 1 + len(columns)
    size = (max(count * (wide + 0.15) + 0.9, 7.5), 0.0)
    lines = [line for note in notes for line in textwrap.wrap(note, int(size[0] * 15))]
    heads = textwrap.wrap(title, int(size[0] * 10.5))
    above, below = 0.42 + 0.22 * len(heads), 0.56 + 0.16 * len(lines)
    size = (size[0], tall + above + below)
    figure = Figure(figsize=size, dpi=110)
    top, bottom = 1 - above / size[1], below / size[1]
    share = wide / size[0]
    left = (1 - (count * (share + 0.15 / size[0]) + 0.75 / size[0])) / 2
    _panel(figure, (left, bottom, share, top - bottom), picture, "image")
    for place, (name, localization, numbers) in enumerate(columns, start=1):
        box = (left + place * (share + 0.15 / size[0]), bottom, share, top - bottom)
        resized = torch.nn.functional.interpolate(
            localization[None, None], size=(height, width), mode="bilinear"
        )[0, 0].numpy()
        axes = _panel(figure, box, laid_over(picture, in_range(resized, bounds)), name)
        if threshold is not None and resized.min() < threshold.value < resized.max():
            axes.contour(resized, levels=[threshold.value], colors="black", linewidths=2.4)
            axes.contour(resized, levels=[threshold.value], colors="white", linewidths=1.2)
        text = f"{numbers.smallest:.3f} to {numbers.largest:.3f}"
        if numbers.marked is not None:
            text += f"\nmarks {in_percent(numbers.marked)}"
        axes.set_xlabel(text, fontsize=9)
    _scale(figure, (left + count * (share + 0.15 / size[0]), bottom, 0.12 / size[0], top - bottom),
           bounds, threshold)  # fmt: skip
    figure.text(0.5, 1 - 0.12 / size[1], "\n".join(heads), fontsize=11, ha="center", va="top")
    figure.text(0.012, 0.06 / size[1], "\n".join(lines), fontsize=7.5, color="#444444")
    figure.savefig(path)


def _shrunk(pixels: Pixels) -> np.ndarray[Any, Any]:
    """An image `[H, W, 3]` in [0, 1], not larger than is drawn."""
    image = as_tensor(pixels)
    scale = _LONGEST / max(image.shape[1:])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1:]]
        image = torch.nn.functional.interpolate(
            image[None], size=size, mode="bilinear", antialias=True
        )[0]
    return image.permute(1, 2, 0).clamp(0, 1).numpy()


def _panel(
    figure: Figure, box: tuple[float, float, float, float], picture: np.ndarray[Any, Any], name: str
) -> Any:
    axes = figure.add_axes(box, anchor="N")
    axes.imshow(picture)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(name, fontsize=9.5)
    return axes


def _scale(
    figure: Figure,
    box: tuple[float, float, float, float],
    bounds: tuple[float, float],
    threshold: Threshold | None,
) -> None:
    """What the colours mean, and where the threshold lies among them."""
    axes = figure.add_axes(box)
    mappable = ScalarMappable(Normalize(*bounds), mpl.colormaps[COLOURS])
    figure.colorbar(mappable, cax=axes)
    axes.tick_params(labelsize=8)
    if threshold is not None and bounds[0] <= threshold.value <= bounds[1]:
        axes.axhline(threshold.value, color="black", linewidth=3)
        axes.axhline(threshold.value, color="white", linewidth=1.4)
    if threshold is not None:
        axes.set_title(f"threshold\n{threshold.value:.3f}", fontsize=7.5)
