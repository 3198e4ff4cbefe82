"""A number of a run, with its spread and its intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from vssl.core.arrays import Array, Index
from vssl.metrics.base import CombinedMetric, ConditionMetric
from vssl.records.bootstrap import ROUNDING, ImageBootstrap, interval_around, variance
from vssl.records.score import AnyMetric
from vssl.records.sounds import Spread
from vssl.types import SoundingObject


class Subset(NamedTuple):
    """Some samples of a run, by their places, and the bootstrap over their images."""

    rows: Index | slice
    images: ImageBootstrap


@dataclass(frozen=True)
class Number:
    """A number with its spread."""

    metric: AnyMetric
    condition: str  # audio condition, a pair of them (`positive-silence`), or `all`
    value: float  # over samples within each draw, then the mean over draws
    per_draw: Array  # `[D]` the same within each draw
    at_threshold: Array  # `[B]` resamples of `value` over images, at the threshold as it is
    images: int
    n: int  # samples (images, for metrics by image) with a defined value in some draw
    n_undefined: int  # values left out
    sounds: Spread | None = None  # from sounds that several images share, if there are any
    dof_images: float | None = None  # of the spread over images; None for `images - 1`
    near: Array | None = None  # `[K, B]` resamples of `value` at K thresholds near it
    of_threshold: Array | None = None  # `[B]` change when each resample refits its threshold
    totals: Array | None = None  # `[G, 2, D]` of a mean: sum and number of values by image, draw
    sounding: tuple[SoundingObject, ...] = (SoundingObject.NONE,)  # both objects for a pair
    parts: tuple[Number, Mapping[str, Number]] | None = None  # of a combined: positive, negatives

    @property
    def key(self) -> tuple[str, str]:
        """Metric and condition."""
        return self.metric.name, self.condition

    @cached_property
    def resampled(self) -> Array:
        """`[B]` resamples of images, shared sounds and the fitted threshold together."""
        resampled = self.at_threshold
        if self.sounds is not None:
            resampled = resampled + self.sounds.deviations
        return resampled if self.of_threshold is None else resampled + self.of_threshold

    def interval(self) -> tuple[float, float]:
        """95 % interval over images, shared sounds, fitted thresholds; NaN for a single image."""
        return self._interval(self.resampled, self.dof)

    def interval_at_threshold(self) -> tuple[float, float]:
        """95 % interval over images alone, at exactly this threshold, for exactly these sounds."""
        return self._interval(self.at_threshold, self._own_dof)

    def _interval(self, resampled: Array, dof: float) -> tuple[float, float]:
        bounds = self.metric.bounds
        low, high = interval_around(
            self.value, resampled, images=self.images, bounds=bounds, dof=dof
        )
        if self.parts is None or bounds is None or self.value > bounds[0]:
            return low, high
        # no image has a success: combine the upper end of the positives with the negatives
        assert isinstance(self.metric, CombinedMetric)
        positive, negatives = self.parts
        most = np.asarray(positive.interval()[1])
        values = {name: np.asarray(number.value) for name, number in negatives.items()}
        return low, max(high, float(self.metric.combine(most, values)))

    @property
    def dof(self) -> float:
        """Degrees of freedom of the spread: few where it rests on few sounds (Satterthwaite)."""
        own = Spread(self.resampled - self.value, self._own_dof)
        if self.sounds is None or not np.isfinite(self.sounds.dof):
            return own.dof
        images = Spread(own.deviations - self.sounds.deviations, own.dof)
        return (images + self.sounds).dof

    @property
    def _own_dof(self) -> float:
        return self.images - 1.0 if self.dof_images is None else self.dof_images

    def shares(self) -> dict[str, float]:
        """Shares of images, shared sounds and fitted threshold in the variance.

        The threshold's share is the rest, which is negative if it reduces the variance. All are NaN
        where resamples differ by rounding alone.
        """
        total = variance(self.resampled)
        low, high = self.metric.bounds or (0.0, abs(self.value))
        if not total > (ROUNDING * (high - low)) ** 2:
            return dict.fromkeys(("images", "sounds", "threshold"), np.nan)
        images = variance(self.at_threshold) / total
        sounds = 0.0 if self.sounds is None else variance(self.sounds.deviations) / total
        rest = 0.0 if self.of_threshold is None else 1 - images - sounds
        return {"images": images, "sounds": sounds, "threshold": rest}

    @property
    def higher_is_better(self) -> bool:
        """Direction, which for a mean may depend on the object that sounds."""
        if isinstance(self.metric, ConditionMetric):
            return self.metric.is_higher_better(*self.sounding)
        return bool(self.metric.higher_is_better)

    def row(self) -> dict[str, Any]:
        """The summary columns of the number (`records.schema.SUMMARY`)."""
        several = len(self.per_draw) > 1
        low_there, high_there = low, high = self.interval_at_threshold()
        if self.sounds is not None or self.of_threshold is not None:
            low, high = self.interval()
        return {
            "condition": self.condition,
            "sounding_object": self.sounding[0].value if len(self.sounding) == 1 else None,
            "metric": self.metric.name,
            "value": self.value,
            "std_over_draws": float(np.std(self.per_draw, ddof=1)) if several else None,
            "ci_low": low,
            "ci_high": high,
            "ci_low_at_threshold": low_there,
            "ci_high_at_threshold": high_there,
            **{f"share_{source}": share for source, share in self.shares().items()},
            "n": self.n,
            "n_undefined": self.n_undefined,
            "draws": len(self.per_draw),
            "higher_is_better": self.higher_is_better,
        }
