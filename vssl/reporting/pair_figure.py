"""The picture of `vssl-localize`: one image with its sound, silence and noise."""

from __future__ import annotations

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
from vssl.reporting.captions import Captions
from vssl.reporting.colouring import COLOURS, in_range, laid_over
from vssl.reporting.verdict import MapNumbers, Threshold, Verdict, in_percent

_LONGEST = 480
"""Longest side in pixels that an image is drawn at."""
_WIDE, _NARROW = 2.6, 1.7
_TALL, _LEAST = 4.4, 0.9
"""The most and the least that a picture takes, in inches."""
_BETWEEN, _SCALE, _TITLES, _LABELS = 0.15, 0.75, 0.45, 0.48
"""Room between columns, for the scale of colours, above and below the pictures, in inches."""


def draw_pair(
    path: Path,
    pixels: Pixels,
    columns: Sequence[tuple[str, torch.Tensor, MapNumbers]],
    *,
    bounds: tuple[float, float],
    threshold: Threshold | None,
    files: str,
    verdict: Verdict,
    note: str,
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
        files: which image and which sound, for the title.
        verdict: the verdict.
        note: where the numbers come from.
    """
    picture = _shrunk(pixels)
    height, width = picture.shape[:2]
    if not np.isfinite(bounds).all():
        every = torch.stack([each for _, each, _ in columns])
        bounds = (float(every.min()), float(every.max()) + 1e-12)
    tall = min(max(_WIDE * height / width, _LEAST), _TALL)
    wide = min(max(tall * width / height, _NARROW), _WIDE)
    step, count = wide + _BETWEEN, 1 + len(columns)
    total = max(count * step + _SCALE, 7.5)
    captions = Captions(files, verdict.words, verdict.warnings, verdict.errors, note, total)
    below = captions.below + _LABELS
    figure = Figure(figsize=(total, tall + captions.above + _TITLES + below), dpi=110)
    left = (total - count * step - _SCALE + 0.2) / 2

    def box(place: int, size: float) -> tuple[float, float, float, float]:
        high = figure.get_figheight()
        return (left + place * step) / total, below / high, size / total, tall / high

    _panel(figure, box(0, wide), picture, "image")
    for place, (name, localization, numbers) in enumerate(columns, start=1):
        resized = torch.nn.functional.interpolate(
            localization[None, None], size=(height, width), mode="bilinear"
        )[0, 0].numpy()
        shown = laid_over(picture, in_range(resized, bounds))
        axes = _panel(figure, box(place, wide), shown, name)
        if threshold is not None and resized.min() < threshold.value < resized.max():
            for colour, line in (("black", 2.4), ("white", 1.2)):
                axes.contour(resized, levels=[threshold.value], colors=colour, linewidths=line)
        text = f"{numbers.smallest:.3f} to {numbers.largest:.3f}"
        if numbers.marked is not None:
            text += f"\nmarks {in_percent(numbers.marked)}"
        axes.set_xlabel(text, fontsize=9)
    _scale(figure, box(count, 0.12), bounds, threshold)
    captions.draw(figure)
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
    axes = figure.add_axes(box, anchor="S")
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
