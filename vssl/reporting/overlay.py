"""Maps drawn over the frames of a video, with the verdict in a bar below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from vssl.images import Pixels
from vssl.reporting.colouring import in_range, layer
from vssl.reporting.verdict import MapNumbers, Threshold, apart, in_percent

_LEVELS = 256
_LEAST_FONT = 9
_INK, _PAPER, _DIM = (255, 255, 255), (16, 16, 16), (90, 90, 90)
_VALUE, _LIMIT = (86, 180, 233), (255, 255, 255)


class FrameOverlay:
    """Draws a map over frames of one size.

    Args:
        width: of a frame in pixels.
        height: of a frame in pixels.
        bounds: finite range that maps are drawn in.
        threshold: values above it are outlined; None for no outline.
    """

    def __init__(
        self, width: int, height: int, bounds: tuple[float, float], threshold: Threshold | None
    ) -> None:
        self._size = (height, width)
        self._bounds = bounds
        self._threshold = threshold
        colours, weights = layer(np.linspace(0, 1, _LEVELS))
        # by level: the part of a pixel that stays, and what is added to it, in 256ths
        self._kept = np.round((1 - weights[:, 0]) * 256).astype(np.uint16)
        own = 256 - self._kept[:, None].astype(np.float64)
        self._added = np.floor(colours * 255 * own).astype(np.uint16)

    def show(self, localization: torch.Tensor, bar: Pixels) -> None:
        """Set the map and the bar that the next frames are drawn with.

        Args:
            localization: `[224, 224]` map.
            bar: `[h, W, 3]` for the bottom of the frame, see `caption_bar`.
        """
        resized = F.interpolate(localization[None, None], size=self._size, mode="bilinear")
        level = np.round(in_range(resized[0, 0].numpy(), self._bounds) * (_LEVELS - 1))
        index = level.astype(np.intp)
        kept, added = self._kept[index][..., None], self._added[index]
        if self._threshold is not None:
            mask = (resized > self._threshold.value).float()
            for side, colour in ((mask, 255 * 256), (1 - mask, 0)):
                edge = self._edge(side)
                kept[edge], added[edge] = 0, colour
        top = max(0, self._size[0] - len(bar))
        kept[top:] = 0
        added[top:] = bar[len(bar) - (self._size[0] - top) :].astype(np.uint16) * 256
        self._frame_kept, self._frame_added = kept, added

    def draw(self, pixels: Pixels) -> Pixels:
        """A frame `[H, W, 3]` with what `show` was last given over it."""
        mixed = pixels.astype(np.uint16)
        mixed *= self._frame_kept
        mixed += self._frame_added
        mixed >>= 8
        return mixed.astype(np.uint8)

    def _edge(self, mask: torch.Tensor) -> npt.NDArray[np.bool_]:
        """Pixels of a mask that lie at its border, not at that of the frame."""
        line = max(1, round(min(self._size) / 240))
        padded = F.pad(1 - mask, (line,) * 4)
        reached = F.max_pool2d(padded, 2 * line + 1, stride=1)
        edge: npt.NDArray[np.bool_] = ((mask * reached)[0, 0] > 0).numpy()
        return edge


def bar_height(height: int) -> int:
    """Height in pixels of the bar on frames of a height."""
    return max(6, round(0.085 * height))


def caption_bar(
    width: int,
    height: int,
    numbers: Sequence[MapNumbers],
    *,
    bounds: tuple[float, float],
    threshold: Threshold | None,
    judged: bool,
    p: float | None = None,
) -> Pixels:
    """The bar below a frame: the verdict in words, and the largest value beside the threshold.

    A gauge along its upper edge shows the range of the map, how far the largest value reaches, and
    the threshold as a tick.

    Args:
        width: of the frame.
        height: of the frame.
        numbers: of the sound's map, then of the negatives'.
        bounds: finite range of the gauge.
        threshold: threshold; None for none.
        judged: whether a verdict is possible.
        p: p value of this frame against wrong sounds of a calibration run; None for none.

    Returns:
        `[h, W, 3]`.
    """
    tall = bar_height(height)
    image = Image.new("RGB", (width, tall), _PAPER)
    draw = ImageDraw.Draw(image)
    gauge = max(2, tall // 7)
    low, high = bounds

    def place(value: float) -> int:
        share = 0.0 if math.isnan(value) else min(max((value - low) / (high - low), 0.0), 1.0)
        return round(share * (width - 1))

    draw.rectangle((0, 0, width, gauge - 1), fill=_DIM)
    draw.rectangle((0, 0, place(numbers[0].largest), gauge - 1), fill=_VALUE)
    if threshold is not None:
        middle, half = place(threshold.value), max(1, width // 400)
        draw.rectangle((middle - half, 0, middle + half, gauge + 1), fill=_LIMIT)
    room = tall - gauge
    wordings, endings = _wordings(numbers, threshold, judged=judged, p=p)
    pairs = [(words, values) for words in wordings for values in endings]
    for words, values in sorted(pairs, key=lambda pair: -len("".join(pair))):
        font = _fitting(f"{words}   {values}", width, room)
        if font is not None:
            line, margin = gauge + room / 2, max(2, tall // 5)
            draw.text((margin, line), words, fill=_INK, font=font, anchor="lm")
            draw.text((width - margin, line), values, fill=_INK, font=font, anchor="rm")
            break
    return np.asarray(image)


def _wordings(
    numbers: Sequence[MapNumbers], threshold: Threshold | None, *, judged: bool, p: float | None
) -> tuple[list[str], list[str]]:
    """Words on the left and values on the right of a bar, each from long to short."""
    given = numbers[0]
    if threshold is None:
        return ["no threshold, no verdict"], [f"largest value {given.largest:.2f}"]
    largest, limit = apart(given.largest, threshold.value)
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


def _fitting(text: str, width: int, height: int) -> Any:
    """The largest font in which a text fits into a bar; None where it would be unreadable."""
    margin = 2 * max(2, height // 5)
    for size in range(int(0.68 * height), max(_LEAST_FONT, int(0.45 * height)) - 1, -1):
        font = _font(size)
        if font.getlength(text) + margin <= width:
            return font
    return None


@lru_cache
def _font(size: int) -> Any:
    return ImageFont.truetype(findfont("DejaVu Sans"), size)
