"""Numbers at thresholds, their resamples and intervals, written from definitions.

Nothing here is imported from vssl, and speed does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.reference import formulas

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Values = Mapping[str, Float64]
"""By audio condition: cIoU of positives, pIA of negatives, `[N, D, ...]`; NaN where undefined."""


def exceedance(maps: Array, grid: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Pixels above each threshold, their summed weight, and those of any weight: `[N, T]` each."""
    above = maps[:, None, :] > grid[None, :, None]
    inside = above & (weights > 0)[:, None, :]
    covered = np.where(above, weights[:, None, :].astype(np.float64), 0.0).sum(axis=2)
    return above.sum(axis=2), covered, inside.sum(axis=2)


def measured(maps: Mapping[str, Array], truths: Array, thresholds: Sequence[float]) -> Values:
    """cIoU and pIA of every map `[N, D, P, P]` at each of T thresholds: `[N, D, T]`."""
    found = {}
    for condition, of_condition in maps.items():
        found[condition] = np.full((*of_condition.shape[:2], len(thresholds)), np.nan)
        for n, d, t in np.ndindex(found[condition].shape):
            if not np.isnan(of_condition[n, d]).any():
                mask = of_condition[n, d] > thresholds[t]
                found[condition][n, d, t] = (
                    formulas.consensus_iou(mask, truths[n])
                    if condition == "positive"
                    else formulas.image_area(mask)
                )
    return found


def share_above_zero(values: Array) -> float:
    """Of the defined values; NaN where there are none."""
    kept = values[~np.isnan(values)]
    return sum(value > 0 for value in kept) / len(kept) if len(kept) else float("nan")


NEGATIVES = ("silence", "noise", "offscreen")
MEANS: dict[str, tuple[str, Callable[[Array], float], tuple[str, ...]]] = {
    "ciou": ("ciou", formulas.mean, ("positive", "offscreen")),
    "success_rate": ("ciou", formulas.success_rate, ("positive",)),
    "auc": ("ciou", formulas.auc, ("positive",)),
    "pia": ("pia", formulas.mean, ("positive", *NEGATIVES)),
    "false_alarm_rate": ("pia", share_above_zero, NEGATIVES),
    "auc_n": ("pia", formulas.auc_n, NEGATIVES),
}
"""By metric: the column that it is the mean of, its formula over samples, and its conditions."""


def numbers(columns: Mapping[str, Values]) -> dict[tuple[str, str], float]:
    """Every number by (metric, condition), from the columns `ciou` and `pia`, `[N, D]` each.

    Formulas are over the samples of each draw, then follows the mean over draws.
    """
    found = {
        (metric, condition): formulas.mean(
            np.array([formula(draw) for draw in columns[column][condition].T])
        )
        for metric, (column, formula, conditions) in MEANS.items()
        for condition in conditions
        if condition in columns[column]
    }
    for condition in (*NEGATIVES, "all"):
        names = NEGATIVES if condition == "all" else (condition,)
        areas, rejections = ({n: found[m, n] for n in names} for m in ("pia", "auc_n"))
        found["f_loc", condition] = formulas.f_loc(found["ciou", "positive"], areas)
        found["f_auc", condition] = formulas.f_auc(found["auc", "positive"], rejections)
    return found


def resampled_mean(values: Array, weights: Array) -> Float64:
    """Mean of `[N, D, ...]`, NaN left out, over samples weighted `[N]`, then over draws."""
    shaped = weights.reshape(-1, *(1,) * (values.ndim - 1))
    return _weighted(_weighted(values, shaped), np.ones(()))


def _weighted(values: Array, weights: Array) -> Float64:
    """Weighted mean of the defined values over the first axis; NaN where there are none."""
    counts = weights * ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray((counts * np.nan_to_num(values)).sum(axis=0) / counts.sum(axis=0))


def resampled_f_loc(values: Values, weights: Array) -> Float64:
    """F_LOC `[B, T]` for weights `[B, N]` of the samples; NaN where one of its means is."""
    found = np.full((len(weights), values["positive"].shape[2]), np.nan)
    for b, row in enumerate(weights):
        means = {name: resampled_mean(of_condition, row) for name, of_condition in values.items()}
        for t in range(found.shape[1]):
            at = {name: mean[t] for name, mean in means.items()}
            if not np.isnan(list(at.values())).any():
                found[b, t] = formulas.f_loc(at.pop("positive"), at)
    return found


def interval_of_fraction(value: float, resampled: Array, images: int) -> tuple[float, float]:
    """Interval of a fraction; that of 0 or 1 reaches as far as 97.5 % of the resamples do."""
    low, high = formulas.logit_interval(value, resampled, images)
    if value <= 1e-12:
        return 0.0, max(high, float(np.nanquantile(resampled, 0.975)))
    if value >= 1 - 1e-12:
        return min(low, float(np.nanquantile(resampled, 0.025))), 1.0
    return low, high
