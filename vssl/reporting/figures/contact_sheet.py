"""A contact sheet: samples of a test set with their ground truth and their sounds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import patheffects
from matplotlib.figure import Figure
from PIL import Image

from vssl.audio import read_clip
from vssl.core.errors import UsageError
from vssl.images import decode_image, read_bytes
from vssl.reporting.figures.style import say_gap
from vssl.types import EVALUATION_SIZE, SAMPLE_RATE, Sample

_COLUMNS = 6
_WIDTH, _PICTURE, _WAVE, _TITLE = 2.24, 2.1, 0.7, 0.62  # inches with captions
_DPI = 130
_LONGEST = 320  # longest side of a drawn picture in pixels
_TINT, _MOST_TINT = np.array([0.0, 0.9, 1.0]), 0.45
# of Okabe and Ito, told apart by every kind of colour vision; words say the same
_WAVE_COLOUR, _FAULT, _NEGATIVE = "#0072B2", "#B2182B", "#B35900"
_LINE = 36  # characters of a caption


class Tile(NamedTuple):
    """A sample of the sheet, its ground truth `[224, 224]` in [0, 1], and its fault if any."""

    sample: Sample
    truth: npt.NDArray[np.floating[Any]]
    fault: str


def draw_sheet(path: Path, tiles: Sequence[Tile], *, title: str) -> None:
    """Draw samples: the picture with its ground truth tinted and outlined, and below it the sound.

    The stronger the tint, the more annotators marked a place. Pictures keep their shape, though an
    evaluation stretches them to a square. A file that cannot be read is a grey field.
    """
    columns = min(_COLUMNS, max(3, len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    size = columns * _WIDTH, rows * (_PICTURE + _WAVE) + _TITLE
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    legend = "cyan: ground truth, weaker where fewer annotators marked it. Below: the sound."
    figure.suptitle(f"{title}\n{legend}", fontsize=10, parse_math=False)
    heights = [_PICTURE, _WAVE] * rows
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=heights)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], visible=False)
    pairs = zip(grid[::2].flat, grid[1::2].flat, strict=True)
    for (picture, sound), tile in zip(pairs, tiles, strict=False):
        name, category, fault = _caption(tile)
        font: Any = {"fontsize": 7.2, "loc": "left", "parse_math": False}
        picture.set_title(f"{name}\n{category}", **font)
        sound.set_xlabel(fault, color=_colour(tile), **font)
        for axes in (picture, sound):
            axes.set_visible(True)
            axes.spines[:].set(linewidth=0.6, color=_colour(tile))
        _draw_picture(picture, tile)
        _draw_sound(sound, tile.sample)
    with warnings.catch_warnings():
        # names in letters that the font lacks are drawn as boxes
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        figure.savefig(path)


def _colour(tile: Tile) -> str:
    if tile.fault:
        return _FAULT
    return _NEGATIVE if tile.sample.is_natural_negative else "#444444"


def _caption(tile: Tile) -> tuple[str, str, str]:
    """Id, category, and a fault or how much is marked."""
    sample = tile.sample
    share = 100 * float((tile.truth > 0).mean())
    text = f"{share:.2g} % of the picture" if share else "marks nothing"
    if sample.is_natural_negative:
        text = "nothing in the picture sounds"
    # the end of an id tells it apart, and the begin of a category
    name = sample.sample_id
    name = name if len(name) <= _LINE else f"…{name[1 - _LINE :]}"
    texts = (sample.category or "no category", tile.fault or text)
    category, fault = (t if len(t) <= _LINE else f"{t[: _LINE - 1]}…" for t in texts)
    return name, category, fault


def _draw_picture(axes: Any, tile: Tile) -> None:
    axes.set_facecolor("#e4e4e4")
    try:
        path = tile.sample.image_path
        picture = Image.fromarray(decode_image(read_bytes(path), path))
    except UsageError:
        say_gap(axes, "no picture")
        return
    picture.thumbnail((_LONGEST, _LONGEST))
    width, height = picture.size
    rows = np.arange(height) * EVALUATION_SIZE // height
    columns = np.arange(width) * EVALUATION_SIZE // width
    weight = _MOST_TINT * tile.truth[rows[:, None], columns][..., None]
    pixels = np.asarray(picture) / 255
    axes.imshow((1 - weight) * pixels + weight * _TINT, extent=(0, width, height, 0))
    levels = [level for level in np.unique(tile.truth) if level > 0]
    if levels and tile.truth.min() < levels[0]:
        x, y = (
            (np.arange(EVALUATION_SIZE) + 0.5) * side / EVALUATION_SIZE for side in (width, height)
        )
        low = [0.0, *levels[:-1]]
        middles = [(a + b) / 2 for a, b in zip(low, levels, strict=True)]
        lines = axes.contour(x, y, tile.truth, levels=middles, colors="#00e5ff", linewidths=1.0)
        lines.set_path_effects([patheffects.withStroke(linewidth=2.0, foreground="black")])
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", anchor="C")


def _draw_sound(axes: Any, sample: Sample) -> None:
    axes.set_facecolor("#f6f6f6")
    try:
        clip = read_clip(sample.audio_path)
    except UsageError:
        say_gap(axes, "no sound")
        return
    mono = clip.samples.mean(axis=0)
    seconds = len(mono) / SAMPLE_RATE
    columns = min(400, len(mono))
    edges = np.linspace(0, len(mono), columns, endpoint=False).astype(int)
    low, high = np.minimum.reduceat(mono, edges), np.maximum.reduceat(mono, edges)
    peak = max(float(np.abs(mono).max()), 1e-9)
    axes.fill_between(
        np.linspace(0, seconds, columns), low, high, color=_WAVE_COLOUR, linewidth=0.5
    )
    axes.set(xlim=(0, seconds), ylim=(-1.08 * peak, 1.08 * peak))
    silent = "silent, " if peak < 1e-6 else ""
    axes.text(
        0.99, 0.95, f"{silent}{seconds:.3g} s", ha="right", va="top", fontsize=6,
        transform=axes.transAxes,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
    )  # fmt: skip
