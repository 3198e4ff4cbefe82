"""Metrics, thresholds and maps in plain numpy, one map at a time, written from the definitions.

Nothing here is imported from vssl, and speed does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special
import scipy.stats
import sklearn.metrics
from scipy.integrate import trapezoid
from scipy.stats import ks_2samp

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

GRID: Float64 = 0.05 * np.arange(21)
"""The floating-point products, as in the released code: 3 x 0.05 lies slightly above 0.15."""


def consensus_iou(mask: Array, ground_truth: Array) -> float:
    """Covered weight over all weight plus marked pixels outside; NaN for 0/0."""
    weights = ground_truth.astype(np.float64)
    covered = weights[mask].sum()
    beside = np.count_nonzero(mask & (weights == 0))
    whole = weights.sum() + beside
    return float(covered / whole) if whole > 0 else math.nan


def image_area(mask: Array) -> float:
    """Share of marked pixels."""
    return np.count_nonzero(mask) / mask.size


def mask_agreement(mask: Array, other: Array) -> float:
    """Shared over joint area of two masks; two empty ones agree."""
    either = np.count_nonzero(mask | other)
    return np.count_nonzero(mask & other) / either if either else 1.0


def swap_delta(mask: Array, ground_truth: Array, others: Sequence[Array]) -> float:
    """cIoU with the own object, less the mean of the cIoUs with the image's other objects."""
    elsewhere = [consensus_iou(mask, other) for other in others]
    return consensus_iou(mask, ground_truth) - sum(elsewhere) / len(elsewhere)


def points_at_object(localization_map: Array, ground_truth: Array) -> float:
    """1 where a highest pixel has a vote, else 0; NaN where none has one, or a pixel is NaN."""
    if np.isnan(localization_map).any() or not ground_truth.any():
        return math.nan
    return float((ground_truth[localization_map == localization_map.max()] > 0).any())


def confidence(localization_map: Array) -> float:
    """Mean of the top quarter of the pixels, at least one; NaN where a pixel is."""
    ordered = np.sort(localization_map, axis=None)[::-1].astype(np.float64)  # NaN come first
    return math.fsum(ordered[: max(1, ordered.size // 4)]) / max(1, ordered.size // 4)


def mean(values: Array) -> float:
    """Mean of the defined values, NaN when there are none."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else math.nan


def success_rate(ciou: Array, level: float = 0.5) -> float:
    """Share of samples that reach a level."""
    kept = ciou[~np.isnan(ciou)]
    return np.count_nonzero(kept >= level) / kept.size if kept.size else math.nan


def success_curve(ciou: Array) -> Float64:
    """Success rate at the 21 points."""
    return np.array([success_rate(ciou, level) for level in GRID])


def rejection_curve(pia: Array) -> Float64:
    """Share of negatives whose marked area stays within each of the 21 points."""
    kept = pia[~np.isnan(pia)]
    return np.array([np.count_nonzero(kept <= area) / kept.size for area in GRID])


def auc(ciou: Array) -> float:
    """Area under the success curve of a whole set."""
    return float(trapezoid(success_curve(ciou), GRID))


def auc_n(pia: Array) -> float:
    """Area under the rejection curve of a whole set."""
    return float(trapezoid(rejection_curve(pia), GRID))


def interactive_success(ciou: Array, images: Sequence[Any], level: float = 0.5) -> float:
    """Share of images of which every source reaches a level; where one is undefined, left out."""
    sources = [ciou[[name == image for name in images]] for image in sorted(set(images))]
    return mean(np.array([float((s >= level).all()) for s in sources if not np.isnan(s).any()]))


def interactive_auc(ciou: Array, images: Sequence[Any]) -> float:
    """Area under that share over the 21 points."""
    return float(trapezoid([interactive_success(ciou, images, level) for level in GRID], GRID))


def separation(positives: Array, negatives: Array) -> dict[str, float]:
    """How far values tell positives from negatives, by scikit-learn and scipy."""
    if not positives.size or not negatives.size:
        return dict.fromkeys(("auroc", "ap", "fpr95", "overlap"), math.nan)
    truth = np.repeat([1, 0], [positives.size, negatives.size])
    values = np.concatenate([positives, negatives])
    alarms, hits, _ = sklearn.metrics.roc_curve(truth, values, drop_intermediate=False)
    # `less`: the distribution function of the first is the lower one, so its values are larger
    distance = ks_2samp(positives, negatives, alternative="less", method="asymp").statistic
    return {
        "auroc": float(sklearn.metrics.roc_auc_score(truth, values)),
        "ap": float(sklearn.metrics.average_precision_score(truth, values)),
        "fpr95": float(alarms[hits >= 0.95][0]),
        "overlap": float(1 - distance),
    }


def quantiles(positives: Array, negatives: Array) -> dict[str, float]:
    """Median of the positives, and their first quartile less the negatives' third."""
    median, first = np.quantile(positives, [0.5, 0.25]) if positives.size else [math.nan] * 2
    third = np.quantile(negatives, 0.75) if negatives.size else math.nan
    return {"alignment": float(median), "separability": float(first - third)}


def detection(positives: Array, found: Array, negatives: Array) -> dict[str, float]:
    """SLAVC's detection view at every confidence that occurs; NaN without positives.

    True positive: a positive that fires in the right place. False positive: any other that fires.
    False negative: a positive that does not fire.
    """
    if not positives.size:
        return {"detection_ap": math.nan, "max_f1": math.nan}
    points, f1 = [], []
    for level in {*positives.tolist(), *negatives.tolist()}:
        fires = positives >= level
        right = np.count_nonzero(fires & found)
        wrong = np.count_nonzero(fires & ~found) + np.count_nonzero(negatives >= level)
        missed = np.count_nonzero(~fires)
        f1.append(2 * right / (2 * right + wrong + missed))
        if right:
            points.append((right / (right + missed), right / (right + wrong)))
    area, before = 0.0, 0.0
    for recall in sorted({recall for recall, _ in points}):
        area += (recall - before) * max(precision for r, precision in points if r >= recall)
        before = recall
    return {"detection_ap": area, "max_f1": max(f1)}


def of_a_set(positives: Array, found: Array, negatives: Array) -> dict[str, float]:
    """All numbers of a set of positives (found in the right place or not) and negatives."""
    return {
        **separation(positives, negatives),
        **quantiles(positives, negatives),
        **detection(positives, found, negatives),
    }


def harmonic_mean(first: float, second: float) -> float:
    """One over the mean of the inverses; 0 when one is 0, NaN when both are."""
    if first == 0 or second == 0:
        return math.nan if first == second else 0.0
    return 1 / ((1 / first + 1 / second) / 2)


def f_loc(ciou: float, pia: Mapping[str, float]) -> float:
    """Harmonic mean of mean cIoU and 1 - the mean over negative types of mean pIA."""
    return harmonic_mean(ciou, 1 - sum(pia.values()) / len(pia))


def f_auc(area: float, rejection: Mapping[str, float]) -> float:
    """Harmonic mean of AUC and the mean over negative types of AUC_N."""
    return harmonic_mean(area, sum(rejection.values()) / len(rejection))


def half_image_threshold(localization_map: Array) -> float:
    """Value at index P / 2 of the sorted pixels."""
    return float(np.sort(localization_map, axis=None)[localization_map.size // 2])


def object_area_threshold(localization_map: Array, ground_truth: Array) -> float:
    """The k-th largest pixel, k the number of ground-truth pixels; half the image for k = 0."""
    area = np.count_nonzero(ground_truth)
    if area == 0:
        return half_image_threshold(localization_map)
    return float(np.sort(localization_map, axis=None)[-area])


def third_quartile(values: Array) -> float:
    """Linear interpolation between the order statistics around 3/4 of the way."""
    ordered = sorted(values.tolist())
    place = 0.75 * (len(ordered) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return float(below + (above - below) * (place - math.floor(place)))


def logit_interval(
    value: float,
    resampled: Array,
    images: int,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    dof: float | None = None,
) -> tuple[float, float]:
    """95 % interval from the spread of resamples: by t on the logit scale, exact on a bound."""
    t = scipy.stats.t(images - 1 if dof is None else dof).interval(0.95)[1]
    spread = np.nanstd(resampled, ddof=0) * math.sqrt(images / (images - 1))
    if bounds is None:
        return value - t * spread, value + t * spread
    low, width = bounds[0], bounds[1] - bounds[0]
    share = (value - low) / width
    if share < 1e-12 or share > 1 - 1e-12:  # of `images` trials none, or all
        exact = scipy.stats.beta.ppf([0.025, 0.975], *((1, images) if share < 0.5 else (images, 1)))
        return (low, low + width * exact[1]) if share < 0.5 else (low + width * exact[0], bounds[1])
    half = t * spread / width / (share * (1 - share))
    ends = scipy.special.expit(scipy.special.logit(share) + np.array([-half, half]))
    return low + width * ends[0], low + width * ends[1]


def dof_by_influence(resampled: Array, weights: Array) -> float:
    """2 G / (kurtosis - 1) of how resamples move with the times that each image was drawn."""
    slopes = [np.cov(resampled, weights[:, g])[0, 1] for g in range(weights.shape[1])]
    kurtosis = scipy.stats.kurtosis(slopes, fisher=False)
    images = weights.shape[1]
    return float(min(max(2 * images / (kurtosis - 1), 2), images - 1))


def universal_threshold(
    similarity_max: Array, condition: Sequence[str], *, statistic: str, factor: float
) -> float:
    """The largest, over negative types, of a statistic of the maxima, raised by a factor."""
    levels = []
    for name in set(condition):
        values = np.array(
            [v for v, c in zip(similarity_max, condition, strict=True) if c == name and v == v]
        )
        if values.size:
            levels.append(values.mean() if statistic == "mean" else third_quartile(values))
    largest = max(levels)
    return float(largest + (factor - 1) * abs(largest))  # upwards where it is negative too


def false_alarm_threshold(similarity_max: Array, condition: Sequence[str], *, rate: float) -> float:
    """The largest, over negative types, of the least maximum that a further one seldom exceeds.

    Seldom: it and those above it are at most that share of all, itself counted among them. The
    largest where even that is too many.
    """
    share = Fraction(str(rate))
    levels = []
    for name in set(condition):
        values = [v for v, c in zip(similarity_max, condition, strict=True) if c == name and v == v]
        rare = [v for v in values if sum(x > v for x in values) + 1 <= share * (len(values) + 1)]
        levels.append(min(rare) if rare else max(values))
    return float(max(levels))


def upsample(similarity_map: Array, *, size: int, rule: str) -> Float64:
    """Bilinear upsampling of one map: each pixel from its place between four cells."""

    def places(cells: int) -> tuple[Array, Array, Array]:
        pixel = np.arange(size)
        aligned = pixel * (cells - 1) / (size - 1)
        place = aligned if rule == "align_corners" else (pixel + 0.5) * cells / size - 0.5
        place = np.clip(place, 0, cells - 1)
        first = np.floor(place).astype(int)
        return first, np.minimum(first + 1, cells - 1), place - first

    cells = similarity_map.astype(np.float64)
    top, bottom, dv = (each[:, None] for each in places(cells.shape[0]))
    left, right, du = places(cells.shape[1])
    return np.asarray(
        (1 - dv) * (1 - du) * cells[top, left]
        + (1 - dv) * du * cells[top, right]
        + dv * (1 - du) * cells[bottom, left]
        + dv * du * cells[bottom, right]
    )


def released_half_pixel(similarity_maps: Array, *, size: int = 224) -> npt.NDArray[np.float32]:
    """Half-pixel bilinear upsampling `[N, h, w]` in the very roundings behind the golden numbers.

    Found by trying every order of operations against the goldens: along rows first, then along
    columns; each time `a + (b - a) * w` with the difference rounded to float32 and the rest fused,
    i.e. rounded once. (A sum of a float32 and of a float32 times a weight of few bits is exact in
    float64, so computing there and rounding back is a fused multiply-add.)
    """
    assert similarity_maps.dtype == np.float32

    def along_last(maps: Array) -> Array:
        cells = maps.shape[-1]
        place = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
        left = np.floor(place).astype(int)
        right = np.minimum(left + 1, cells - 1)
        step = (maps[..., right] - maps[..., left]).astype(np.float64)
        return np.asarray((maps[..., left] + step * (place - left)).astype(np.float32))

    wide = along_last(similarity_maps)
    return along_last(wide.transpose(0, 2, 1)).transpose(0, 2, 1)


def consensus_map(
    boxes: Sequence[tuple[int, int, int, int]], weights: Sequence[float], *, size: int
) -> Float64:
    """Summed weights of the boxes over each pixel, at most 1."""
    result = np.zeros((size, size))
    y, x = np.mgrid[:size, :size]
    for (x0, y0, x1, y1), weight in zip(boxes, weights, strict=True):
        result += weight * ((x0 <= x) & (x < x1) & (y0 <= y) & (y < y1))
    return np.minimum(result, 1.0)
