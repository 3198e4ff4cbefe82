"""Compiled loops over the pixels of maps, which take most of the time of scoring.

Plain loops, written so that the compiler makes vectors of them. Against LLVM intrinsics for the
same (maps of 224 x 224 pixels, AVX-512): upsampling takes 1.0 times as long, counting 1.0, the k-th
largest pixel 1.4, masks as bits 1.2 (one threshold) to 1.5 (twelve). Libraries take longer than
these: torch's `interpolate` 12 times, `numpy.partition` 11 times, `numpy.bitwise_count` 9 times.
One file, since numba's cache of a kernel does not see changes in other files.
"""

from __future__ import annotations

import numpy as np

from vssl.core.arrays import Array, Bits, Floats, Index
from vssl.core.compiling import compiled

Places = tuple[Index, Index, Floats, Floats]

_WORD = 64
_BITS = np.uint64(1) << np.arange(_WORD, dtype=np.uint64)
_SEARCHED = 128
_SAMPLED = 128
_GUESSES = 8
_STEPS = 4096


@compiled(fastmath={"contract"})
def _upsample(
    cells: Floats, rows: Places, columns: Places, fused: bool, wide: Floats, result: Floats
) -> None:
    """Upsample one map; products that are added are rounded once, as torch and OpenCV do."""
    upper, lower, above, below = rows
    left, right, before, behind = columns
    for y in range(cells.shape[0]):
        for x in range(result.shape[1]):
            a, b = cells[y, left[x]], cells[y, right[x]]
            if fused:
                wide[y, x] = (b - a) * behind[x] + a
            else:
                wide[y, x] = a * before[x] + b * behind[x]
    for y in range(result.shape[0]):
        top, bottom, row = wide[upper[y]], wide[lower[y]], result[y]
        near, far = above[y], below[y]
        if fused:
            for x in range(result.shape[1]):
                row[x] = (bottom[x] - top[x]) * far + top[x]
        else:
            for x in range(result.shape[1]):
                row[x] = top[x] * near + bottom[x] * far


@compiled
def bilinear(maps: Floats, rows: Places, columns: Places, fused: bool) -> Floats:
    """Upsample maps `[N, h, w]` to `[N, H, W]`.

    Args:
        maps: the maps.
        rows: for each of H pixels: the cell before it, the cell behind it, and their weights.
        columns: the same for each of W pixels.
        fused: `a + (b - a) * behind` in place of `a * before + b * behind`.
    """
    result = np.empty((maps.shape[0], rows[0].shape[0], columns[0].shape[0]), np.float32)
    wide = np.empty((maps.shape[1], columns[0].shape[0]), np.float32)
    for n in range(maps.shape[0]):
        _upsample(maps[n], rows, columns, fused, wide, result[n])
    return result


@compiled
def pack_above(maps: Floats, thresholds: Floats) -> Bits:
    """Strict binary masks of maps under several thresholds, one bit for each pixel.

    Args:
        maps: `[N, P]`, contiguous.
        thresholds: `[T, N]` thresholds of each map.

    Returns:
        `[T, N, ceil(P / 64)]`, pixel p in bit p % 64 of word p // 64; NaN pixels are not marked.
    """
    whole = maps.shape[1] // _WORD
    words = (maps.shape[1] + _WORD - 1) // _WORD
    masks = np.empty((thresholds.shape[0], maps.shape[0], words), np.uint64)
    masks[:, :, whole:] = 0
    for n in range(maps.shape[0]):
        row = maps[n]
        for k in range(thresholds.shape[0]):
            level, packed = thresholds[k, n], masks[k, n]
            for w in range(whole):
                first, word = w * _WORD, np.uint64(0)
                for p in range(_WORD):
                    word |= _BITS[p] if row[first + p] > level else np.uint64(0)
                packed[w] = word
            for p in range(whole * _WORD, maps.shape[1]):
                if row[p] > level:
                    packed[whole] |= _BITS[p % _WORD]
    return masks


@compiled
def _ones(word: np.uint64) -> np.uint64:
    """Number of bits set; compilers know this as one instruction."""
    pairs = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    low = np.uint64(0x3333333333333333)
    fours = (pairs & low) + ((pairs >> np.uint64(2)) & low)
    bytewise = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (bytewise * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled
def count_pairs(first: Bits, second: Bits, rows: Index, others: Index) -> Index:
    """Count pixels that masks `first[rows[k]]` and `second[others[k]]` both mark, `[K]`."""
    result = np.empty(rows.shape[0], np.int64)
    for k in range(rows.shape[0]):
        one, other = first[rows[k]], second[others[k]]
        total = np.uint64(0)
        for w in range(first.shape[1]):
            total += _ones(one[w] & other[w])
        result[k] = np.int64(total)
    return result


@compiled
def _count_above(row: Floats, level: np.float32) -> np.int32:
    total = np.int32(0)
    for p in range(row.shape[0]):
        total += np.int32(row[p] > level)
    return total


@compiled
def _ordered(bits: np.int32) -> np.int32:
    """Bits of a float to an integer of the same order, and back."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@compiled
def _order_of(value: np.float32) -> np.int64:
    """Place of a float in the order of all floats."""
    return np.int64(_ordered(np.float32(value).view(np.int32)))


@compiled
def _float_at(place: np.int64) -> np.float32:
    return np.int32(_ordered(np.int32(place))).view(np.float32)


@compiled
def _kth_largest(row: Floats, k: int) -> np.float32:
    """The k-th largest pixel of a row without NaN.

    It lies in (low, high]. Both close in by counting, at first where it lies if pixels are spread
    evenly, until few are left, which are sorted.
    """
    some = np.sort(row[:: max(1, row.shape[0] // _SAMPLED)].copy())
    middle, margin = int((row.shape[0] - k) / row.shape[0] * some.shape[0]), some.shape[0] // 10
    low = _order_of(some[max(0, middle - margin)])
    high = _order_of(some[min(some.shape[0] - 1, middle + margin)])
    above_low, above_high = _count_above(row, _float_at(low)), _count_above(row, _float_at(high))
    if above_low < k:
        low, above_low = _order_of(np.float32(-np.inf)), _count_above(row, np.float32(-np.inf))
        if above_low < k:
            return np.float32(-np.inf)
    if above_high >= k:
        high, above_high = _order_of(np.float32(np.inf)), np.int32(0)
    found = np.empty(_WORD, np.float32)
    steps, aside = 0, 0.05
    while above_low - above_high > found.shape[0] and high - low > 1:
        share = 0.5
        if steps < _GUESSES:
            # to the side of what moved last, so that both bounds move
            share = (above_low - k) / (above_low - above_high) + aside
        middle = low + min(max(int(share * (high - low)), 1), high - low - 1)
        above = _count_above(row, _float_at(middle))
        if above >= k:
            low, above_low, aside = middle, above, 0.05
        else:
            high, above_high, aside = middle, above, -0.05
        steps += 1
    if high - low <= 1:
        return _float_at(high) + np.float32(0)  # 0, not -0
    below, top, left = _float_at(low), _float_at(high), 0
    for first in range(0, row.shape[0], _SEARCHED):
        block = row[first : first + _SEARCHED]
        if _count_above(block, below) > _count_above(block, top):
            for value in block:
                if below < value <= top:
                    found[left] = value
                    left += 1
    return np.sort(found[:left])[left - (k - above_high)]


@compiled
def _holds_nan(row: Floats) -> bool:
    count = np.int32(0)
    for p in range(row.shape[0]):
        count += np.int32(row[p] != row[p])
    return bool(count > 0)


@compiled
def kth_largest(maps: Floats, k: Index) -> Floats:
    """The k-th largest pixel of each map `[N, P]`, k in 1 ... P: `[N]`; NaN for a map with NaN."""
    result = np.full(maps.shape[0], np.nan, np.float32)
    for n in range(maps.shape[0]):
        if not _holds_nan(maps[n]):
            result[n] = _kth_largest(maps[n], k[n])
    return result


@compiled(fastmath={"reassoc"})
def _mean_above(row: Floats, level: float, k: int) -> float:
    """Mean of the k largest pixels of a map, given the k-th largest."""
    if np.isinf(level):
        return level
    excess = 0.0
    for p in range(row.shape[0]):
        excess += max(np.float64(row[p]) - level, 0.0)
    return level + excess / k


@compiled
def mean_of_largest(maps: Floats, levels: Floats, k: int) -> Array:
    """Mean of the k largest pixels of each map `[N, P]`, given the k-th largest `[N]`: `[N]`.

    NaN for a map that holds NaN.
    """
    result = np.full(maps.shape[0], np.nan)
    for n in range(maps.shape[0]):
        if not np.isnan(levels[n]):
            result[n] = _mean_above(maps[n], np.float64(levels[n]), k)
    return result


@compiled
def exceedance(maps: Floats, grid: Floats, weights: Floats) -> tuple[Index, Array, Index]:
    """How many pixels of each map exceed each of many thresholds, in one pass over the map.

    Args:
        maps: `[N, P]` without NaN.
        grid: `[T]` ascending thresholds.
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
    scale = _STEPS / span if span > 0 else 0.0
    # how many thresholds lie below each of many even steps, so that a search starts close by
    starts = np.empty(_STEPS, np.int64)
    k = 0
    for step in range(_STEPS):
        while k < points and np.float64(grid[k]) < np.float64(grid[0]) + step * span / _STEPS:
            k += 1
        starts[step] = k
    below = np.zeros(points + 1, np.int64)
    weight_below, inside_below = np.zeros(points + 1, np.float64), np.zeros(points + 1, np.int64)
    for n in range(count):
        below[:] = 0
        weight_below[:] = 0
        inside_below[:] = 0
        for p in range(maps.shape[1]):
            value = maps[n, p]
            step = int((np.float64(value) - np.float64(grid[0])) * scale)
            k = starts[min(max(step, 0), _STEPS - 1)]
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
