"""Compiled loops over the pixels of maps: what scoring spends its time in.

One file, since numba's cache of a kernel does not see changes in other files.

Compiled by numba when first called and kept on disk. All kernels release the GIL, so that threads
score chunks of records side by side. Maps, masks and counts are the same on every machine: where a
product is added (`_fma`) it is rounded once, and counts are whole numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from vssl.compiling import compiled

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bits = npt.NDArray[np.uint64]
Places = tuple[Int64, Int64, Float32, Float32]

_LANES = 16
_WORD = 64
_SAMPLED = 128
_GUESSES = 4
_HIGHEST = np.finfo(np.float32).max


@intrinsic
def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """`a * b + c` in float32, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@intrinsic
def _above(typing_context: Any, row: Any, first: Any, threshold: Any) -> Any:
    """Which of `row[first : first + 16]` exceed a threshold: 16 bits, the first pixel lowest.

    Compilers do not see that a loop over comparisons is one comparison of vectors.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        vector = ir.VectorType(ir.FloatType(), _LANES)
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        pixels = builder.load(place)
        pixels.align = 4
        zero = ir.Constant(ir.IntType(32), 0)
        undefined = ir.Constant(vector, ir.Undefined)
        one = builder.insert_element(undefined, arguments[2], zero)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
        level = builder.shuffle_vector(one, undefined, everywhere)
        return builder.bitcast(builder.fcmp_ordered(">", pixels, level), ir.IntType(_LANES))

    return types.uint16(row, types.int64, types.float32), generate


@intrinsic
def _ones(typing_context: Any, word: Any) -> Any:
    """Number of bits set in a 64-bit word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@compiled
def _word_above(row: Float32, first: int, threshold: np.float32) -> np.uint64:
    """Which of `row[first : first + 64]` exceed a threshold, one bit for each."""
    return (
        np.uint64(_above(row, first, threshold))
        | (np.uint64(_above(row, first + 16, threshold)) << np.uint64(16))
        | (np.uint64(_above(row, first + 32, threshold)) << np.uint64(32))
        | (np.uint64(_above(row, first + 48, threshold)) << np.uint64(48))
    )


@compiled
def _upsample(
    cells: Float32, rows: Places, columns: Places, fused: bool, wide: Float32, result: Float32
) -> None:
    """Upsample one map `[h, w]` to `result` `[H, W]`; `wide` `[h, W]` is scratch."""
    upper, lower, above, below = rows
    left, right, before, behind = columns
    for y in range(cells.shape[0]):
        for x in range(result.shape[1]):
            a, b = cells[y, left[x]], cells[y, right[x]]
            if fused:
                wide[y, x] = _fma(b - a, behind[x], a)
            else:
                wide[y, x] = _fma(a, before[x], b * behind[x])
    for y in range(result.shape[0]):
        top, bottom, row = wide[upper[y]], wide[lower[y]], result[y]
        near, far = above[y], below[y]
        if fused:
            for x in range(result.shape[1]):
                row[x] = _fma(bottom[x] - top[x], far, top[x])
        else:
            for x in range(result.shape[1]):
                row[x] = _fma(top[x], near, bottom[x] * far)


@compiled
def bilinear(maps: Float32, rows: Places, columns: Places, fused: bool) -> Float32:
    """Upsample maps: each pixel from its place between two columns and two rows.

    Args:
        maps: `[N, h, w]`.
        rows: for each of H pixels: the cell before it, the cell behind it, and their weights.
        columns: the same for each of W pixels.
        fused: `a + (b - a) * behind` in place of `a * before + b * behind`.

    Returns:
        `[N, H, W]`.
    """
    result = np.empty((maps.shape[0], rows[0].shape[0], columns[0].shape[0]), np.float32)
    wide = np.empty((maps.shape[1], columns[0].shape[0]), np.float32)
    for n in range(maps.shape[0]):
        _upsample(maps[n], rows, columns, fused, wide, result[n])
    return result


@compiled
def _pack(row: Float32, levels: Float32, masks: Bits) -> None:
    """Strict masks `[T, W]` of one map `[P]` under T thresholds, written over what `masks` held."""
    whole = row.shape[0] // _WORD
    if whole < masks.shape[1]:
        masks[:, whole] = 0
    for w in range(whole):
        first = w * _WORD
        for k in range(levels.shape[0]):
            masks[k, w] = _word_above(row, first, levels[k])
    for p in range(whole * _WORD, row.shape[0]):
        for k in range(levels.shape[0]):
            if row[p] > levels[k]:
                masks[k, whole] |= np.uint64(1) << np.uint64(p - whole * _WORD)


@compiled
def pack_above(maps: Float32, thresholds: Float32) -> Bits:
    """Strict binary masks of maps under several thresholds, one bit for each pixel.

    Args:
        maps: `[N, P]`, contiguous.
        thresholds: `[T, N]` thresholds of each map.

    Returns:
        `[T, N, ceil(P / 64)]`, pixel p in bit p % 64 of word p // 64; NaN pixels are not marked.
    """
    words = (maps.shape[1] + _WORD - 1) // _WORD
    masks = np.empty((thresholds.shape[0], maps.shape[0], words), np.uint64)
    for n in range(maps.shape[0]):
        _pack(maps[n], thresholds[:, n].copy(), masks[:, n])
    return masks


@compiled
def count_pairs(first: Bits, second: Bits, rows: Int64, others: Int64) -> Int64:
    """Pixels that two masks both mark.

    Args:
        first: `[N, W]` masks.
        second: `[M, W]` masks.
        rows: `[K]` which of `first`.
        others: `[K]` which of `second` each meets.

    Returns:
        `[K]`.
    """
    result = np.empty(rows.shape[0], np.int64)
    for k in range(rows.shape[0]):
        one, other = first[rows[k]], second[others[k]]
        total = np.uint64(0)
        for w in range(first.shape[1]):
            total += _ones(one[w] & other[w])
        result[k] = np.int64(total)
    return result


@compiled
def _count_above(row: Float32, threshold: np.float32) -> np.int64:
    pixels = row.shape[0]
    whole = pixels // _WORD
    total = np.uint64(0)
    for w in range(whole):
        first = w * _WORD
        total += _ones(_word_above(row, first, threshold))
    count = np.int64(total)
    for p in range(whole * _WORD, pixels):
        count += row[p] > threshold
    return count


@compiled
def _count_two(row: Float32, one: np.float32, other: np.float32) -> tuple[np.int64, np.int64]:
    """Pixels above each of two thresholds, in one pass: reading the row is what takes the time."""
    pixels = row.shape[0]
    whole = pixels // _WORD
    first_total, second_total = np.uint64(0), np.uint64(0)
    for w in range(whole):
        first = w * _WORD
        first_total += _ones(_word_above(row, first, one))
        second_total += _ones(_word_above(row, first, other))
    counts = np.int64(first_total), np.int64(second_total)
    for p in range(whole * _WORD, pixels):
        counts = counts[0] + (row[p] > one), counts[1] + (row[p] > other)
    return counts


@compiled
def _between(row: Float32, low: np.float32, high: np.float32, found: Float32) -> int:
    """Collect the pixels in (low, high]; how many there are."""
    count = 0
    for first in range(0, row.shape[0] - row.shape[0] % _LANES, _LANES):
        chosen = _above(row, first, low) & ~_above(row, first, high)
        if chosen:
            for p in range(first, first + _LANES):
                if low < row[p] <= high:
                    found[count] = row[p]
                    count += 1
    for p in range(row.shape[0] - row.shape[0] % _LANES, row.shape[0]):
        if low < row[p] <= high:
            found[count] = row[p]
            count += 1
    return count


@compiled
def _largest(row: Float32) -> np.float32:
    """The largest pixel of a row without NaN; in columns first, which compilers make vectors of."""
    whole = row.shape[0] - row.shape[0] % _SAMPLED
    if whole == 0:
        return row.max()
    highest = row[:_SAMPLED].copy()
    for first in range(_SAMPLED, whole, _SAMPLED):
        block = row[first : first + _SAMPLED]
        for j in range(_SAMPLED):
            highest[j] = block[j] if block[j] > highest[j] else highest[j]
    largest = highest.max()
    for p in range(whole, row.shape[0]):
        largest = max(largest, row[p])
    return largest


@compiled
def _some(row: Float32) -> Float32:
    """About 128 evenly spaced pixels of a row, ascending."""
    return np.sort(row[:: max(1, row.shape[0] // _SAMPLED)].copy())


@compiled
def _bracket(
    row: Float32, k: int, some: Float32
) -> tuple[np.float32, np.float32, np.int64, np.int64]:
    """Bounds of the k-th largest pixel, from some of the pixels where that works.

    Returns:
        low, high, and the pixels above each: at least k above low, fewer than k above high. Both
        are finite, but where low = high is the answer itself.
    """
    place = int((row.shape[0] - k) / row.shape[0] * some.shape[0])
    low = some[max(0, place - _SAMPLED // 10)]
    high = some[min(some.shape[0] - 1, place + _SAMPLED // 10)]
    above_low, above_high = _count_two(row, low, high)
    if above_low < k:
        low = row.min()
        above_low = _count_above(row, low)
        if above_low < k:
            return low, low, above_low, above_low
    if above_high >= k:
        high, above_high = _largest(row), np.int64(0)
    if low == -np.inf:
        low = -_HIGHEST
        above_low = _count_above(row, low)
        if above_low < k:
            return low, low, above_low, above_low
    if high == np.inf:
        above_high = _count_above(row, _HIGHEST)
        if above_high >= k:
            return high, high, above_high, above_high
        high = _HIGHEST
    return low, high, above_low, above_high


@compiled
def _kth_largest(row: Float32, k: int, some: Float32, found: Float32) -> np.float32:
    """The k-th largest pixel of a row without NaN.

    Args:
        row: `[P]`.
        k: in 1 ... P.
        some: see `_some`.
        found: `[64]` scratch.
    """
    low, high, above_low, above_high = _bracket(row, k, some)
    if low == high:
        return low
    step = 0
    while above_low - above_high > _WORD:
        # on both sides of where k lies if pixels are spread evenly, so that both bounds close in;
        # thirds where that does not work
        left = above_low - above_high
        centre, aside = (above_low - k) / left, _WORD / 3 / left
        if step >= _GUESSES:
            centre, aside = 0.5, 1 / 6
        span = np.float64(high) - np.float64(low)
        first = np.float32(np.float64(low) + span * max(centre - aside, 0.0))
        second = np.float32(np.float64(low) + span * min(centre + aside, 1.0))
        if not low < first < high:
            first = np.float32(np.float64(low) + span / 2)
            if not low < first < high:
                return high  # no float between: all that are left are equal
        if not first < second < high:
            second = first
        above_first, above_second = _count_two(row, first, second)
        if above_second >= k:
            low, above_low = second, above_second
        elif above_first >= k:
            low, above_low = first, above_first
            high, above_high = second, above_second
        else:
            high, above_high = first, above_first
        step += 1
    left = _between(row, low, high, found)
    return np.sort(found[:left])[left - (k - above_high)]


@compiled
def _holds_nan(row: Float32) -> bool:
    return bool(_count_above(row, np.float32(-np.inf)) < row.shape[0] and np.isnan(row).any())


@compiled
def kth_largest(maps: Float32, k: Int64) -> Float32:
    """The k-th largest pixel of each map, exactly.

    Values are narrowed down by counting until few pixels are left, which are sorted: several times
    faster than selection, since counting is one comparison of 16 pixels at once.

    Args:
        maps: `[N, P]`.
        k: `[N]` in 1 ... P.

    Returns:
        `[N]`; NaN for a map that holds NaN.
    """
    result = np.full(maps.shape[0], np.nan, np.float32)
    found = np.empty(_WORD, np.float32)
    for n in range(maps.shape[0]):
        if not _holds_nan(maps[n]):
            result[n] = _kth_largest(maps[n], k[n], _some(maps[n]), found)
    return result


@compiled
def _clip_below_median(
    row: Float32, low: np.float32, high: np.float32, flat: bool, found: Float32
) -> None:
    """Do so with one map `[P]`, in place, see `clip_below_median`."""
    span = high - low
    if not np.isfinite(span):
        row[:] = np.nan
    elif flat:
        row[:] = np.float32(0)
    else:
        for p in range(row.shape[0]):
            row[p] = (row[p] - low) / span
        upper = row.shape[0] - row.shape[0] // 2
        median = _kth_largest(row, upper, _some(row), found)
        for p in range(row.shape[0]):
            row[p] = row[p] if row[p] >= median else np.float32(0)


@compiled
def clip_below_median(maps: Float32, low: Float32, high: Float32, flat: Bools) -> Float32:
    """Stretch maps to [0, 1] and set to 0 what lies below the upper median of their pixels.

    Args:
        maps: `[N, P]`.
        low: `[N]` smallest pixel of each.
        high: `[N]` largest pixel of each.
        flat: `[N]` maps that are the same everywhere: they become 0.

    Returns:
        `[N, P]`; NaN for a map that holds NaN or infinite pixels.
    """
    result = maps.copy()
    found = np.empty(_WORD, np.float32)
    for n in range(maps.shape[0]):
        _clip_below_median(result[n], low[n], high[n], flat[n], found)
    return result


@compiled(fastmath={"reassoc"})
def _mean_above(row: Float32, level: float, k: int) -> float:
    """Mean of the k largest pixels of a map, given the k-th largest."""
    if np.isinf(level):
        return level
    excess = 0.0
    for p in range(row.shape[0]):
        excess += max(np.float64(row[p]) - level, 0.0)
    return level + excess / k


@compiled
def mean_of_largest(maps: Float32, k: Int64) -> Float64:
    """Mean of the k largest pixels of each map `[N, P]`: `[N]`; NaN for a map that holds NaN."""
    result = np.full(maps.shape[0], np.nan)
    found = np.empty(_WORD, np.float32)
    for n in range(maps.shape[0]):
        if not _holds_nan(maps[n]):
            level = np.float64(_kth_largest(maps[n], k[n], _some(maps[n]), found))
            result[n] = _mean_above(maps[n], level, k[n])
    return result


@compiled
def _blend(row: Float32, other: Float32, low: float, high: float, weight: float) -> None:
    """Mix a map with another, in place, see `blend`."""
    span, bottom = np.float32(high - low), np.float32(low)
    own, rest = np.float32(weight), np.float32(1 - weight)
    if low == 0 and high == 1:
        for p in range(row.shape[0]):
            row[p] = own * row[p] + rest * other[p]
    else:
        for p in range(row.shape[0]):
            row[p] = own * ((row[p] - bottom) / span) + rest * other[p]


@compiled
def blend(
    maps: Float32, others: Float32, place: Int64, low: float, high: float, weight: float
) -> Float32:
    """`weight * (map - low) / (high - low) + (1 - weight) * other`, rounded as torch rounds it.

    Args:
        maps: `[N, P]`.
        others: `[M, P]`.
        place: `[N]` which of the others each map meets.
        low: lower bound of the maps' range; 0 with `high` 1 leaves the maps as they are.
        high: upper bound.
        weight: in [0, 1].

    Returns:
        `[N, P]`.
    """
    result = maps.copy()
    for n in range(maps.shape[0]):
        _blend(result[n], others[place[n]], low, high, weight)
    return result


@compiled
def binarize_native(
    native: Float32,
    rows: Places,
    columns: Places,
    fused: bool,
    others: Float32,
    place: Int64,
    mix: tuple[float, float, float],
    levels: Float32,
    ranks: Int64,
    quarter: int,
    rounding: float,
) -> tuple[Bits, Float32, Float32, Float64]:
    """From native maps to masks, one map at a time, so that it stays in the processor's cache.

    Args:
        native: `[N, h, w]` similarity maps.
        rows: where to upsample, see `bilinear`.
        columns: the same along x.
        fused: see `bilinear`.
        others: `[M, H * W]` upsampled object maps; M = 0 for maps that are not mixed.
        place: `[N]` object map of each map.
        mix: low, high and weight, see `blend`.
        levels: `[T, N]` thresholds, as far as they are known.
        ranks: `[T, N]` where above 0, the threshold is the k-th largest pixel of the map instead.
        quarter: number of pixels whose mean is wanted; 0 for none.
        rounding: for maps that are first stretched and clipped (see `clip_below_median`), the
            share of its largest magnitude below which a map's span is none; negative for maps that
            are left as they are.

    Returns:
        Masks `[T, N, W]` as in `pack_above`, their thresholds `[T, N]`, each map's largest pixel
        `[N]` and the mean of its `quarter` largest pixels `[N]`. For a map that holds NaN the masks
        are empty, the rest of its numbers NaN but for the known thresholds.
    """
    kinds, count = levels.shape
    height, width = rows[0].shape[0], columns[0].shape[0]
    pixels = height * width
    masks = np.empty((kinds, count, (pixels + _WORD - 1) // _WORD), np.uint64)
    thresholds = np.where(ranks > 0, np.float32(np.nan), levels)
    largest = np.full(count, np.nan, np.float32)
    confidence = np.full(count, np.nan)
    wide, found = np.empty((native.shape[1], width), np.float32), np.empty(_WORD, np.float32)
    square = np.empty((height, width), np.float32)
    row = square.reshape(pixels)
    for n in range(count):
        _upsample(native[n], rows, columns, fused, wide, square)
        if rounding >= 0 and not _holds_nan(row):
            low, high = -_largest(-row), _largest(row)
            flat = high - low <= np.float32(rounding) * max(abs(low), abs(high))
            _clip_below_median(row, low, high, flat, found)
        if others.shape[0]:
            _blend(row, others[place[n]], mix[0], mix[1], mix[2])
        if _holds_nan(row):
            masks[:, n] = 0
            continue
        largest[n] = _largest(row)
        some = _some(row)
        for k in range(kinds):
            if ranks[k, n] > 0:
                thresholds[k, n] = _kth_largest(row, ranks[k, n], some, found)
        if quarter > 0:
            top = np.float64(_kth_largest(row, quarter, some, found))
            confidence[n] = _mean_above(row, top, quarter)
        _pack(row, thresholds[:, n].copy(), masks[:, n])
    return masks, thresholds, largest, confidence


@compiled
def exceedance(
    maps: Float32, grid: Float32, cells: Int64, weights: Float32
) -> tuple[Int64, Float64, Int64]:
    """How many pixels of each map exceed each of many thresholds, in one pass over the map.

    Args:
        maps: `[N, P]` without NaN.
        grid: `[T]` ascending thresholds.
        cells: `[C]` for C even steps from the first threshold to the last: how many thresholds
            lie below the step's start, so that the search starts close by.
        weights: `[N, P]` weight of each pixel, or `[0, P]` where none is asked for.

    Returns:
        `[N, T]` pixels above each threshold, `[N, T]` their summed weight, and `[N, T]` those of
        any weight above 0.
    """
    count, points = maps.shape[0], grid.shape[0]
    marked = np.zeros((count, points), np.int64)
    covered = np.zeros((count, points), np.float64)
    inside = np.zeros((count, points), np.int64)
    span = np.float64(grid[-1]) - np.float64(grid[0])
    scale = cells.shape[0] / span if span > 0 else 0.0
    below = np.zeros(points + 1, np.int64)
    weight_below, inside_below = np.zeros(points + 1, np.float64), np.zeros(points + 1, np.int64)
    for n in range(count):
        below[:] = 0
        weight_below[:] = 0
        inside_below[:] = 0
        for p in range(maps.shape[1]):
            value = maps[n, p]
            cell = int((np.float64(value) - np.float64(grid[0])) * scale)
            k = cells[min(max(cell, 0), cells.shape[0] - 1)]
            while k > 0 and grid[k - 1] >= value:
                k -= 1
            while k < points and grid[k] < value:
                k += 1
            below[k] += 1
            if weights.shape[0] and weights[n, p] > 0:
                weight_below[k] += weights[n, p]
                inside_below[k] += 1
        # a pixel with k thresholds below it exceeds exactly these
        total, weight, within = 0, 0.0, 0
        for k in range(points, 0, -1):
            total += below[k]
            weight += weight_below[k]
            within += inside_below[k]
            marked[n, k - 1], covered[n, k - 1], inside[n, k - 1] = total, weight, within
    return marked, covered, inside
