"""Bicubic resizing of decoded images: antialiased, as torch and Pillow define it, and as OpenCV.

The antialiased one takes one pass: torch takes 2.9 times as long (1280 x 720 to 224 x 224, one
thread) and rounds otherwise (by up to 6e-6), which would move every number; Pillow rounds to 8
bits. It runs without the GIL, so that threads prepare images side by side.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vssl.core.arrays import Array, Bytes, Floats, Index
from vssl.core.compiling import compiled

_ROWS = 16
_SHARPNESS = -0.5  # of the cubic, where it antialiases (Keys, 1981)
_SHARPNESS_OPENCV = -0.75  # torch's too, where it does not antialias
_TAPS = np.arange(-1, 3)  # pixels around a place, from the one before it


def resize_antialiased(pixels: Bytes, size: int) -> Floats:
    """Resize `[H, W, 3]` to `[3, size, size]`, bicubic, with a low-pass where the image shrinks.

    As torch's `interpolate(mode="bicubic", antialias=True)` but for its roundings; not clamped.
    """
    rows, columns = (_weights(old, size) for old in pixels.shape[:2])
    resized: Floats = _resize(np.ascontiguousarray(pixels), *rows, *columns)
    resized /= 255
    return resized


def resize_as_opencv(pixels: Bytes, size: int) -> Bytes:
    """Resize `[H, W, 3]` to `[size, size, 3]`, bicubic, without antialiasing.

    As `cv2.resize(pixels, (size, size), interpolation=cv2.INTER_CUBIC)`. OpenCV's packages
    for x86 compute in float32, columns first, and add four products in two pairs: another order of
    additions gives another level where the exact value is near a half, in 1 of 100,000 values.
    """
    columns_done = _interpolated(pixels.astype(np.float32), size)
    resized = _interpolated(columns_done, size)
    return np.rint(resized).clip(0, 255).astype(np.uint8)


def _interpolated(image: Floats, size: int) -> Floats:
    """Interpolate along the second axis, and exchange the axes: `[H, W, 3]` to `[size, H, 3]`."""
    width = image.shape[1]
    place = (np.arange(size) + 0.5) * width / size - 0.5
    before = np.floor(place)
    weights = _cubic(np.abs((place - before)[:, None] - _TAPS), _SHARPNESS_OPENCV)
    taps = (before[:, None].astype(np.int64) + _TAPS).clip(0, width - 1)
    terms = image[:, taps] * weights.astype(np.float32)[..., None]  # [H, size, 4, 3]
    pairs = terms[:, :, 0::2] + terms[:, :, 1::2]
    summed: Floats = pairs[:, :, 0] + pairs[:, :, 1]
    return summed.swapaxes(0, 1)


@lru_cache(maxsize=64)
def _weights(old: int, new: int) -> tuple[Index, Floats]:
    """First pixel of each of `new` sums over `old` pixels, and their weights `[new, T]`."""
    scale = old / new
    stretch = max(scale, 1.0)
    centers = scale * (np.arange(new) + 0.5)
    first = np.maximum((centers - 2 * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + 2 * stretch + 0.5).astype(np.int64), old)
    taps = np.arange((last - first).max())
    distance = np.abs((taps + first[:, None] - centers[:, None] + 0.5) / stretch)
    weights = np.where(taps < (last - first)[:, None], _cubic(distance, _SHARPNESS), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return first, weights.astype(np.float32)


def _cubic(x: Array, a: float) -> Array:
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@compiled
def _resize(
    pixels: Bytes, first_row: Index, by_row: Floats, first_column: Index, by_column: Floats
) -> Floats:
    """Weighted sums of rows, then of columns: `[H, W, 3]` to `[3, S, S]`."""
    height, width, size = pixels.shape[0], pixels.shape[1], first_row.shape[0]
    flat = pixels.reshape(height, width * 3)
    # turned, so that both sums run over contiguous memory, many values at a time; some rows at
    # once, so that each line of memory is written to once
    turned = np.empty((width * 3, size), np.float32)
    rows = np.empty((_ROWS, width * 3), np.float32)
    for top in range(0, size, _ROWS):
        count = min(_ROWS, size - top)
        rows[:] = 0.0
        for n in range(count):
            row = rows[n]
            for t in range(by_row.shape[1]):
                weight = by_row[top + n, t]
                if weight != 0.0:
                    source = flat[first_row[top + n] + t]
                    for k in range(width * 3):
                        row[k] += weight * np.float32(source[k])
        for k in range(width * 3):
            for n in range(count):
                turned[k, top + n] = rows[n, k]
    result = np.empty((3, size, size), np.float32)
    column = np.empty(size, np.float32)
    for x in range(size):
        for c in range(3):
            column[:] = 0.0
            for t in range(by_column.shape[1]):
                weight = by_column[x, t]
                if weight != 0.0:
                    across = turned[(first_column[x] + t) * 3 + c]
                    for y in range(size):
                        column[y] += weight * across[y]
            for y in range(size):
                result[c, y, x] = column[y]
    return result
