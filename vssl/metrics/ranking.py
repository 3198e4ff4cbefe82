"""Compiled loops over bootstrap resamples of statistics that depend on the order of values.

Resamples are worked on side by side, 64 at a time, so that the compiler makes vectors of them. All
counts are whole numbers, which floats hold exactly.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch

from vssl.core.arrays import Array, Counts, Index, Mask
from vssl.core.compiling import compiled

_SIDE = 64  # resamples that are worked on side by side


def rank_statistics(ends: Index, positive: Mask, unit: Index, weights: Counts) -> Array:
    """How far values tell positives from negatives, for many weightings of the images.

    Args:
        ends: `[K]` end of each run of equal values, which are sorted from the largest.
        positive: `[M]` whether each value is a positive's.
        unit: `[M]` image of each value.
        weights: `[B, U]` weight of each image, whole numbers.

    Returns:
        `[B, 4]`: area under the ROC curve, average precision, false positive rate at the first
        threshold that lets 95 % of the positives through, and the least sum of missed positives
        and accepted negatives (as shares) of any threshold. NaN where a side weighs nothing.
    """
    return _in_blocks(_ranks, weights, ends, positive, unit)


def detection_statistics(
    ends: Index, place: Index, success: Mask, unit: Index, weights: Counts
) -> Array:
    """Average precision and best F1 of detections, for many weightings of the images.

    Args:
        ends: `[K]` end of each run of equal confidences, which are sorted from the largest.
        place: `[M]` row in `success` of a visible source; -1 for none.
        success: `[N, T]` whether a visible source is found, for T threshold policies.
        unit: `[M]` image of each detection.
        weights: `[B, U]` weight of each image, whole numbers.

    Returns:
        `[B, T, 2]`: interpolated average precision, and the largest F1. NaN without visible
        sources.
    """
    return _in_blocks(_detections, weights, ends, place, success, unit)


def weighted_quantile(values: Array, unit: Index, weights: Counts, level: float) -> Array:
    """Quantile of values that count as often as their image's whole weight says.

    Args:
        values: `[M]` ascending.
        unit: `[M]` image of each value.
        weights: `[B, U]` whole weights.
        level: in [0, 1].

    Returns:
        `[B]`, linear between the two order statistics around `level * (n - 1)`; NaN for n = 0.
    """
    return _in_blocks(_quantiles, weights, values, unit, level)


def _in_blocks(kernel: Callable[..., Array], weights: Counts, *given: Any) -> Array:
    """What a kernel gives for each block of resamples, in threads."""
    by_unit = np.ascontiguousarray(weights.T)  # no copy of a bootstrap's weights
    firsts = range(0, len(weights), _SIDE)
    if len(firsts) == 1:
        return kernel(*given, by_unit, 0)
    return np.concatenate(list(_pool().map(lambda first: kernel(*given, by_unit, first), firsts)))


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that all callers share, since draws are worked on in threads of their own."""
    return ThreadPoolExecutor(torch.get_num_threads())


os.register_at_fork(after_in_child=_pool.cache_clear)  # where its threads are not


@compiled
def _block(weights: Counts, first: int) -> Counts:
    """Weights `[U, 64]` of the resamples from `first` on, filled with zeros."""
    block = np.zeros((weights.shape[0], _SIDE), weights.dtype)
    for u in range(weights.shape[0]):
        for b in range(min(_SIDE, weights.shape[1] - first)):
            block[u, b] = weights[u, first + b]
    return block


@compiled(error_model="numpy")
def _ranks(ends: Index, positive: Mask, unit: Index, weights: Counts, first: int) -> Array:
    """See `rank_statistics`."""
    block = _block(weights, first)
    total, more, some = np.zeros((2, _SIDE)), np.zeros((2, _SIDE)), np.zeros(2, np.bool_)
    for m in range(unit.shape[0]):
        u, of_side = unit[m], total[int(positive[m])]
        for b in range(_SIDE):
            of_side[b] += block[u, b]
    negatives, positives = total
    more_alarms, more_hits = more
    hits, alarms, area, precision = np.zeros((4, _SIDE))
    best, at_95 = np.zeros(_SIDE), np.full(_SIDE, -1.0)
    start, rising = 0, False
    for end in ends:
        more[:], some[:] = 0.0, False
        for m in range(start, end):
            u, side = unit[m], int(positive[m])
            of_side, some[side] = more[side], True
            for b in range(_SIDE):
                of_side[b] += block[u, b]
        start = end
        if rising and some[0]:  # further positives alone would have raised the difference
            for b in range(_SIDE):
                gap = hits[b] / positives[b] - alarms[b] / negatives[b]
                best[b] = gap if gap > best[b] else best[b]
        rising = some[1]
        for b in range(_SIDE):
            area[b] += more_alarms[b] * (hits[b] + more_hits[b] / 2)
            hits[b] += more_hits[b]
            alarms[b] += more_alarms[b]
        if rising:
            for b in range(_SIDE):
                fired = hits[b] + alarms[b]
                precision[b] += more_hits[b] * hits[b] / (fired if fired > 1 else 1.0)
                # whole weights: 95 % is met exactly
                reached = at_95[b] < 0 and 100 * hits[b] >= 95 * positives[b]
                at_95[b] = alarms[b] if reached else at_95[b]
    result = np.full((min(_SIDE, weights.shape[1] - first), 4), np.nan)
    for b in range(result.shape[0]):
        if positives[b] > 0 and negatives[b] > 0:
            gap = hits[b] / positives[b] - alarms[b] / negatives[b]
            result[b, 0] = area[b] / (positives[b] * negatives[b])
            result[b, 1] = precision[b] / positives[b]
            result[b, 2] = at_95[b] / negatives[b]
            result[b, 3] = 1 - max(best[b], gap)
    return result


@compiled(error_model="numpy")
def _detections(
    ends: Index, place: Index, success: Mask, unit: Index, weights: Counts, first: int
) -> Array:
    """See `detection_statistics`; from the smallest confidence, whose counts are known."""
    block = _block(weights, first)
    result = np.full((min(_SIDE, weights.shape[1] - first), success.shape[1], 2), np.nan)
    every, visible = np.zeros((2, _SIDE))
    for m in range(unit.shape[0]):
        u = unit[m]
        for b in range(_SIDE):
            every[b] += block[u, b]
        if place[m] >= 0:
            for b in range(_SIDE):
                visible[b] += block[u, b]
    fired, found, silent, area = np.zeros((4, _SIDE))
    highest, behind, best = np.zeros((3, _SIDE))
    for t in range(success.shape[1]):
        fired[:] = every
        found[:], silent[:], area[:], highest[:], behind[:], best[:] = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for m in range(unit.shape[0]):
            u = unit[m]
            if place[m] >= 0 and success[place[m], t]:
                for b in range(_SIDE):
                    found[b] += block[u, b]
        for k in range(ends.shape[0] - 1, -1, -1):
            start, seen = ends[k - 1] if k > 0 else 0, False
            for m in range(start, ends[k]):
                seen |= place[m] >= 0
            # where no visible source fires, precision falls and recall stays
            if seen:
                for b in range(_SIDE):
                    there = found[b] + silent[b]
                    recall = found[b] / (there if there > 1 else 1.0)
                    precision = found[b] / (fired[b] if fired[b] > 1 else 1.0)
                    f1 = 2 * found[b] / (there + fired[b])
                    area[b] += highest[b] * (behind[b] - recall)
                    behind[b] = recall
                    highest[b] = precision if precision > highest[b] else highest[b]
                    best[b] = f1 if f1 > best[b] else best[b]
            for m in range(start, ends[k]):
                u = unit[m]
                for b in range(_SIDE):
                    fired[b] -= block[u, b]
                if place[m] >= 0:
                    for b in range(_SIDE):
                        silent[b] += block[u, b]
                    if success[place[m], t]:
                        for b in range(_SIDE):
                            found[b] -= block[u, b]
        for b in range(result.shape[0]):
            if visible[b] > 0:
                result[b, t, 0] = area[b] + highest[b] * behind[b]
                result[b, t, 1] = best[b]
    return result


@compiled(error_model="numpy")
def _quantiles(values: Array, unit: Index, level: float, weights: Counts, first: int) -> Array:
    """See `weighted_quantile`."""
    block = _block(weights, first)
    total, seen = np.zeros((2, _SIDE))
    below, above = np.full((2, _SIDE), np.nan)
    for m in range(unit.shape[0]):
        u = unit[m]
        for b in range(_SIDE):
            total[b] += block[u, b]
    place = level * (total - 1)
    lower = np.floor(place)
    upper = np.minimum(lower + 1, total - 1)
    for m in range(unit.shape[0]):
        u, value = unit[m], values[m]
        for b in range(_SIDE):
            before = seen[b]
            seen[b] += block[u, b]
            below[b] = value if before <= lower[b] and lower[b] < seen[b] else below[b]
            above[b] = value if before <= upper[b] and upper[b] < seen[b] else above[b]
    found = below + (above - below) * (place - lower)
    return found[: min(_SIDE, weights.shape[1] - first)]
