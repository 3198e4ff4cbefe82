"""Compiled loops over bootstrap resamples of statistics that depend on the order of values."""

from __future__ import annotations

import numpy as np

from vssl.core.arrays import Array, Index, Mask
from vssl.core.compiling import compiled


@compiled
def rank_statistics(ends: Index, positive: Mask, unit: Index, weights: Array) -> Array:
    """How far values tell positives from negatives, for many weightings of the images.

    Args:
        ends: `[K]` end of each run of equal values, which are sorted from the largest.
        positive: `[M]` whether each value is a positive's.
        unit: `[M]` image of each value.
        weights: `[B, U]` weight of each image.

    Returns:
        `[B, 4]`: area under the ROC curve, average precision, false positive rate at the first
        threshold that lets 95 % of the positives through, and the least sum of missed positives
        and accepted negatives (as shares) of any threshold. NaN where a side weighs nothing.
    """
    result = np.full((weights.shape[0], 4), np.nan)
    for b in range(weights.shape[0]):
        row = weights[b]
        positives, negatives = 0.0, 0.0
        for m in range(unit.shape[0]):
            if positive[m]:
                positives += row[unit[m]]
            else:
                negatives += row[unit[m]]
        if positives == 0 or negatives == 0:
            continue
        hits, alarms, area, precision = 0.0, 0.0, 0.0, 0.0
        at_95, best = np.nan, 0.0
        first = 0
        for end in ends:
            more_hits, more_alarms = 0.0, 0.0
            for m in range(first, end):
                if positive[m]:
                    more_hits += row[unit[m]]
                else:
                    more_alarms += row[unit[m]]
            first = end
            if more_hits == 0 and more_alarms == 0:  # a third of the images of a resample
                continue
            area += more_alarms * (hits + more_hits / 2)
            hits += more_hits
            alarms += more_alarms
            if more_hits > 0:
                precision += more_hits * hits / (hits + alarms)
            # whole weights: 95 % is met exactly
            if np.isnan(at_95) and 100 * hits >= 95 * positives:
                at_95 = alarms / negatives
            best = max(best, hits / positives - alarms / negatives)
        result[b, 0] = area / (positives * negatives)
        result[b, 1] = precision / positives
        result[b, 2] = at_95
        result[b, 3] = 1 - best
    return result


@compiled
def detection_statistics(
    ends: Index, place: Index, success: Array, unit: Index, weights: Array
) -> Array:
    """Average precision and best F1 of detections, for many weightings of the images.

    Args:
        ends: `[K]` end of each run of equal confidences, which are sorted from the largest.
        place: `[M]` row in `success` of a visible source; -1 for none.
        success: `[N, T]` 1 where a visible source is found, else 0, for T threshold policies.
        unit: `[M]` image of each detection.
        weights: `[B, U]` weight of each image.

    Returns:
        `[B, T, 2]`: interpolated average precision, and the largest F1. NaN without visible
        sources.
    """
    kinds = success.shape[1]
    result = np.full((weights.shape[0], kinds, 2), np.nan)
    precision = np.empty((ends.shape[0], kinds))
    recall = np.empty((ends.shape[0], kinds))
    found, best = np.empty(kinds), np.empty(kinds)
    highest, area = np.empty(kinds), np.empty(kinds)
    for b in range(weights.shape[0]):
        row = weights[b]
        silent = 0.0  # visible sources below the confidence threshold
        for m in range(unit.shape[0]):
            if place[m] >= 0:
                silent += row[unit[m]]
        if silent == 0:
            continue
        fired, first, points = 0.0, 0, 0
        found[:], best[:] = 0.0, 0.0
        for end in ends:
            visible = False
            for m in range(first, end):
                weight = row[unit[m]]
                if weight == 0:  # a third of the images of a resample, which change nothing
                    continue
                fired += weight
                if place[m] >= 0:
                    visible = True
                    silent -= weight
                    hits = success[place[m]]
                    for t in range(kinds):
                        found[t] += weight * hits[t]
            first = end
            # where no visible source fires, precision falls and recall stays
            if visible:
                for t in range(kinds):
                    hit = found[t]
                    precision[points, t] = hit / max(fired, 1.0)
                    recall[points, t] = hit / max(hit + silent, 1.0)
                    best[t] = max(best[t], 2 * hit / max(hit + fired + silent, 1.0))
                points += 1
        highest[:], area[:] = 0.0, 0.0
        for k in range(points - 1, -1, -1):
            for t in range(kinds):
                highest[t] = max(highest[t], precision[k, t])
                before = recall[k - 1, t] if k > 0 else 0.0
                area[t] += highest[t] * (recall[k, t] - before)
        result[b, :, 0], result[b, :, 1] = area, best
    return result


@compiled
def weighted_quantile(values: Array, unit: Index, weights: Array, level: float) -> Array:
    """Quantile of values that count as often as their image's whole weight says.

    Args:
        values: `[M]` ascending.
        unit: `[M]` image of each value.
        weights: `[B, U]` whole weights.
        level: in [0, 1].

    Returns:
        `[B]`, linear between the two order statistics around `level * (n - 1)`; NaN for n = 0.
    """
    result = np.full(weights.shape[0], np.nan)
    for b in range(weights.shape[0]):
        row = weights[b]
        total = 0.0
        for m in range(unit.shape[0]):
            total += row[unit[m]]
        if total == 0:
            continue
        place = level * (total - 1)
        lower = np.floor(place)
        seen, below, above = 0.0, np.nan, np.nan
        for m in range(unit.shape[0]):
            seen += row[unit[m]]
            if np.isnan(below) and seen > lower:
                below = values[m]
            if seen > lower + 1 or (seen >= total and row[unit[m]] > 0):
                above = values[m]
                break
        result[b] = below + (above - below) * (place - lower)
    return result
