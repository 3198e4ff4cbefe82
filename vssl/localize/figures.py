"""Pictures of `vssl-localize`: an image under its sounds, a video over time, and drawn frames."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from vssl.core.arrays import Floats, Mask
from vssl.images import Pixels, as_tensor
from vssl.localize.setup import Setup
from vssl.localize.verdict import MapNumbers, Threshold, Verdict, distinguishable, in_percent
from vssl.reporting.figures.overlay import COLOURS, in_range, laid_over, layer
from vssl.types import POSITIVE

_LONGEST = 480  # longest side of a drawn image in pixels
_PICTURE_WIDTH, _MOST_HEIGHT, _LEAST_WIDTH = 2.2, 4.4, 7.5  # inches of a picture and of a figure
_TIMELINE_WIDTH = 10.0
# of Okabe and Ito: distinct for every kind of colour vision, and in grey
_SOUND, _NEGATIVE_COLOURS = "#0072B2", ("#E69F00", "#7F7F7F", "#CC79A7", "#009E73")

_LEAST_FONT = 9
_INK, _BAR_COLOUR, _DIM = (255, 255, 255), (16, 16, 16), (90, 90, 90)
_VALUE, _LIMIT = (86, 180, 233), (255, 255, 255)


def _save(path: Path, figure: Figure, files: str, verdict: Verdict, note: str) -> None:
    """Save a figure with files, verdict and warnings above and all else below; it grows by them."""
    width, height = figure.get_size_inches()
    warnings = [f"warning: {each}" for each in verdict.warnings]
    above, below = (
        [line for text in texts for line in textwrap.wrap(text, int(width * characters))]
        for texts, characters in (
            ([files, verdict.words, *warnings], 10.5),
            ([*verdict.errors, note], 15.5),
        )
    )
    figure.suptitle("\n".join(above), fontsize=11)
    figure.supxlabel("\n".join(below), x=0.01, ha="left", fontsize=8)
    figure.set_figheight(height + 0.2 * len(above) + 0.15 * len(below))
    figure.savefig(path)


def draw_pair(
    path: Path,
    pixels: Pixels,
    columns: Sequence[tuple[str, torch.Tensor, MapNumbers]],
    setup: Setup,
    files: str,
    verdict: Verdict,
) -> None:
    """Draw an image, and beside it its map `[224, 224]` under each sound, with title and numbers.

    Maps are drawn in the set-up's bounds, or in their own range if that is infinite. Values above
    its threshold are outlined in white.
    """
    bounds, threshold, picture = setup.bounds, setup.threshold, shrunk(pixels)
    height, width = picture.shape[:2]
    if not np.isfinite(bounds).all():
        maps = torch.stack([localization for _, localization, _ in columns])
        bounds = (float(maps.min()), float(maps.max()) + 1e-12)
    count = 1 + len(columns)
    size = max(count * _PICTURE_WIDTH, _LEAST_WIDTH), min(2.0 * height / width, _MOST_HEIGHT) + 1.0
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    panels = figure.subplots(1, count, subplot_kw={"xticks": [], "yticks": []})
    panels[0].imshow(picture)
    panels[0].set_title("image", fontsize=9.5)
    for axes, (name, localization, numbers) in zip(panels[1:], columns, strict=True):
        resized = resized_map(localization, (height, width)).numpy()
        axes.imshow(laid_over(picture, in_range(resized, bounds)))
        axes.set_title(name, fontsize=9.5)
        if threshold is not None and resized.min() < threshold.value < resized.max():
            for colour, line in (("black", 2.4), ("white", 1.2)):
                axes.contour(resized, levels=[threshold.value], colors=colour, linewidths=line)
        text = f"{numbers.smallest:.3f} to {numbers.largest:.3f}"
        if numbers.marked is not None:
            text += f"\nmarks {in_percent(numbers.marked)}"
        axes.set_xlabel(text, fontsize=9)
    shades = ScalarMappable(Normalize(*bounds), mpl.colormaps[COLOURS])
    scale = figure.colorbar(shades, ax=panels.tolist(), aspect=15, pad=0.01).ax
    scale.tick_params(labelsize=8)
    if threshold is not None:
        scale.set_title(f"threshold\n{threshold.value:.3f}", fontsize=7.5)
        if bounds[0] <= threshold.value <= bounds[1]:
            scale.axhline(threshold.value, color="black", linewidth=3)
            scale.axhline(threshold.value, color="white", linewidth=1.4)
    _save(path, figure, files, verdict, setup.sources)


def resized_map(localization: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize a map `[h, w]` to `[H, W]`."""
    return F.interpolate(localization[None, None], size=size, mode="bilinear")[0, 0]


def shrunk(pixels: Pixels, longest: int = _LONGEST) -> np.ndarray[Any, Any]:
    """Shrink an image to a longest side in pixels, `[H, W, 3]` in [0, 1]."""
    image = as_tensor(pixels)
    scale = longest / max(image.shape[1:])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1:]]
        image = F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    return image.permute(1, 2, 0).clamp(0, 1).numpy()


def draw_timeline(
    path: Path,
    seconds: Sequence[float],
    frames: Sequence[Sequence[MapNumbers]],
    setup: Setup,
    files: str,
    verdict: Verdict,
    sampled: str,
) -> None:
    """Draw the largest values of a video's maps over time, the given sound first in each frame.

    A negative with several draws is a band from its lowest to its highest draw. With a threshold, a
    second plot shows the marked area. `sampled` says which frames were looked at.
    """
    threshold = setup.threshold
    count = 1 if threshold is None else 2
    size = (_TIMELINE_WIDTH, 2.8 + 1.1 * count)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    ratios = [3, 1][:count]
    grid = figure.subplots(count, 1, sharex=True, squeeze=False, height_ratios=ratios)
    values = grid[0, 0]
    marker = "o" if len(seconds) == 1 else None
    largest = np.array([[each.largest for each in numbers] for numbers in frames])
    conditions = np.array([each.condition for each in frames[0]])
    values.plot(
        seconds, largest[:, 0], color=_SOUND, linewidth=2.2, label="given sound", marker=marker
    )
    # negatives on top and thinner, so that equal values show both
    negatives = [name for name in dict.fromkeys(conditions.tolist()) if name != POSITIVE]
    for name, colour in zip(negatives, _NEGATIVE_COLOURS * len(negatives), strict=False):
        draws = largest[:, conditions == name]
        if draws.shape[1] > 1:
            values.fill_between(
                seconds, draws.min(axis=1), draws.max(axis=1), color=colour, alpha=0.45,
                linewidth=0.8, label=f"{name}, {draws.shape[1]} draws",
            )  # fmt: skip
        else:
            values.plot(
                seconds, draws, color=colour, linewidth=1.3, linestyle=(0, (5, 1.5)), label=name,
                marker=marker,
            )  # fmt: skip
    if threshold is not None:
        values.axhline(
            threshold.value, color="black", linewidth=1.1, linestyle=":",
            label=f"threshold {threshold.value:.3f}",
        )  # fmt: skip
        marked = grid[1, 0]
        share = 100 * np.array([numbers[0].marked for numbers in frames], dtype=float)
        marked.fill_between(seconds, 0, share, color=_SOUND, alpha=0.35, linewidth=0, step="post")
        marked.plot(seconds, share, color=_SOUND, linewidth=1.0, drawstyle="steps-post",
                    marker=marker)  # fmt: skip
        marked.set_ylim(bottom=0, top=max(1.0, 1.1 * float(np.nanmax([*share, 0.0]))))
        marked.set_ylabel("pIA (%)", fontsize=9)
    if len(seconds) > 1:
        values.set_xlim(seconds[0], seconds[-1])
    values.set_ylabel("largest value of the map", fontsize=9)
    grid[-1, 0].set_xlabel("time (s)", fontsize=9)
    for axes in grid[:, 0]:
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    values.legend(fontsize=8, ncols=5, loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False)
    _save(path, figure, files, verdict, f"{sampled}; {setup.sources}")


def frame_layer(
    localization: torch.Tensor,
    numbers: Sequence[MapNumbers],
    *,
    size: tuple[int, int],
    bounds: tuple[float, float],
    threshold: Threshold | None,
    judged: bool,
    p: float | None = None,
) -> tuple[Floats, Floats]:
    """Draw a map and a bar to lay over frames of a video.

    The bar has the verdict in words, and the largest value beside the threshold. A gauge along its
    upper edge shows the range of the map, the largest value, and the threshold as a tick.

    The map `[224, 224]` is of the given sound, as the first of `numbers`; others are the
    negatives'. `size` is H and W of the frames, `bounds` the finite range of drawn values. Without
    a threshold there is no outline. `p` is against wrong sounds of a calibration run.

    Returns a factor `[H, W, 1]` and a summand `[H, W, 3]`, float32: `pixels * factor + summand` is
    the drawn frame.
    """
    resized = resized_map(localization, size)
    colours, weights = layer(in_range(resized.numpy(), bounds))
    factor, summand = (1 - weights).astype(np.float32), (255 * colours * weights).astype(np.float32)
    if threshold is not None:
        for edge, colour in outline(resized, threshold.value):
            factor[edge], summand[edge] = 0, colour
    image = Image.new("RGB", (size[1], bar_height(size[0])), _BAR_COLOUR)
    texts = _wordings(numbers, threshold, judged=judged, p=p)
    _draw_bar(image, numbers, bounds, threshold, texts)
    bar = np.asarray(image)[-size[0] :]
    factor[-len(bar) :], summand[-len(bar) :] = 0, bar
    return factor, summand


def outline(localization: torch.Tensor, threshold: float) -> Iterator[tuple[Mask, int]]:
    """Outline what a map `[H, W]` marks: pixels `[H, W]` inside of the border, and outside of it.

    Each with its grey value, 255 and 0.
    """
    mask = (localization > threshold).float()[None, None]
    line = max(1, round(min(localization.shape) / 240))
    for side, grey in ((mask, 255), (1 - mask, 0)):
        # pixels near the other side, without those at the border of the frame
        near = F.max_pool2d(F.pad(1 - side, (line,) * 4), 2 * line + 1, stride=1)
        yield (side * near)[0, 0].numpy() > 0, grey


def bar_height(height: int) -> int:
    """Height in pixels of the bar on frames of this height."""
    return max(6, round(0.085 * height))


def _draw_bar(
    image: Image.Image,
    numbers: Sequence[MapNumbers],
    bounds: tuple[float, float],
    threshold: Threshold | None,
    texts: tuple[list[str], list[str]],
) -> None:
    """Draw the gauge, and below it the longest legible words and values that fit."""
    draw, gauge, (low, high) = ImageDraw.Draw(image), max(2, image.height // 7), bounds

    def place(value: float) -> int:
        share = 0.0 if math.isnan(value) else min(max((value - low) / (high - low), 0.0), 1.0)
        return round(share * (image.width - 1))

    draw.rectangle((0, 0, image.width, gauge - 1), fill=_DIM)
    draw.rectangle((0, 0, place(numbers[0].largest), gauge - 1), fill=_VALUE)
    if threshold is not None:
        middle, half = place(threshold.value), max(1, image.width // 400)
        draw.rectangle((middle - half, 0, middle + half, gauge + 1), fill=_LIMIT)
    room, margin = image.height - gauge, max(2, image.height // 5)
    inner = image.width - 2 * max(2, room // 5)
    font = _font(max(_LEAST_FONT, int(0.56 * room)))
    for words, values in sorted(product(*texts), key=lambda pair: -len("".join(pair))):
        if font.getlength(f"{words}   {values}") <= inner:
            line = gauge + room / 2
            draw.text((margin, line), words, fill=_INK, font=font, anchor="lm")
            draw.text((image.width - margin, line), values, fill=_INK, font=font, anchor="rm")
            break


def _wordings(
    numbers: Sequence[MapNumbers], threshold: Threshold | None, *, judged: bool, p: float | None
) -> tuple[list[str], list[str]]:
    """Word the left and the right of a bar, each from long to short."""
    given = numbers[0]
    if threshold is None:
        return ["no threshold, no verdict"], [f"largest value {given.largest:.2f}"]
    largest, limit = distinguishable(given.largest, threshold.value)
    values = f"{largest} {'>' if given.largest > threshold.value else '≤'} {limit}"
    if not judged:
        return ["no verdict possible", "no verdict"], [values]
    chance = "" if p is None else f", p = {p:.2g}"
    endings = [f"{values} ({threshold.policy}){chance}", values + chance, values]
    if not given.points:
        return ["nothing here makes this sound", "nothing"], [*endings, ""]
    words = f"localized: marks {in_percent(given.marked)}"
    also = " and ".join(dict.fromkeys(each.condition for each in numbers[1:] if each.points))
    if also:
        return [f"{words}, but points under {also} too", f"{words}?", "localized?", "?"], endings
    return [words, "localized"], [*endings, ""]


@lru_cache
def _font(size: int) -> Any:
    return ImageFont.truetype(findfont("DejaVu Sans"), size)
