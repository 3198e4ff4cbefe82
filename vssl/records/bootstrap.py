"""Bootstrap over images, and intervals.

An interval is symmetric on the logit scale between a number's bounds, or on the number's own scale
if it has none. Its width rests on the spread of the resamples. At N = 50, percentiles of resamples
cover too seldom near a bound, and never on it, where all resamples are equal. There the interval is
the exact one of Clopper and Pearson ("The use of confidence or fiducial limits illustrated in the
case of the binomial", 1934), which holds for any values between the bounds.
`benchmarks/interval_coverage.py` measures the coverage. Tests of ties, curves of the threshold
study and the audit use percentiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from scipy import special

from vssl.core.arrays import Array, Counts, Index

ROUNDING = 1e-12
"""Spread of resamples, as a part of a number's range, up to which it is rounding alone."""

_LEVEL = 0.95  # probability that an interval covers the number of the population
_DRAWN_AT_ONCE = 2**22  # images that are drawn at once
_TOTALS_HELD = 2**27  # bytes of totals that one product takes
_WEIGHTED_AT_ONCE = 1024  # images whose weights are made floats at once


class ImageBootstrap:
    """Means over samples, with resamples of the *images* drawn with replacement.

    Images are independent, rows are not: samples that show one picture (an IS3 pair) are drawn
    together, with all their draws. Every mean uses the same resamples, so that intervals of
    combinations (F_LOC) and differences are correct.

    Args:
        image_groups: `[N]` name of each sample's picture.
        resamples: number of resamples B.
        seed: seed of the resampling, or several numbers that make it up.

    Attributes:
        seed: seed of the resampling.
        image: `[N]` number of each sample's picture.
        images: number of pictures G.
        with_itself: `[1 + B, G]` how often each picture counts: once, then as it is drawn. Of the
            smallest type that holds it.
        weights: `[B, G]` how often each picture is drawn.
    """

    def __init__(
        self, image_groups: Sequence[str], *, resamples: int = 1000, seed: int | Sequence[int] = 0
    ) -> None:
        names, self.image = np.unique(np.asarray(image_groups, dtype=str), return_inverse=True)
        self.images = len(names)
        self._rows = np.argsort(self.image, kind="stable")
        self._firsts = np.searchsorted(self.image[self._rows], np.arange(self.images))
        self.seed = seed
        generator = np.random.default_rng(seed)
        counts = np.ones((self.images, 1 + resamples), np.uint8)  # what is read together lies so
        together = max(1, _DRAWN_AT_ONCE // max(self.images, 1))
        for first in range(0, resamples, together):  # so that memory does not grow with B
            count = min(together, resamples - first)
            drawn = generator.integers(self.images, size=(count, self.images))
            drawn += self.images * np.arange(count)[:, None]
            times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
            needed = np.promote_types(counts.dtype, np.min_scalar_type(times.max(initial=0)))
            counts = counts.astype(needed, copy=False)
            counts[:, 1 + first : 1 + first + count] = times.T
        self.with_itself: Counts = counts.T
        self.weights: Counts = self.with_itself[1:]

    def totals(self, values: Array, *, by_image: bool = False) -> Array:
        """Sum and count `[G, 2, D]` of the defined values by image: of `[N, D]`, or `[G, D]`."""
        defined = ~np.isnan(values)
        both = np.stack([np.where(defined, values, 0.0), defined.astype(np.float64)], axis=1)
        if by_image:
            return both
        return np.asarray(np.add.reduceat(both[self._rows], self._firsts, axis=0))

    def means(self, totals: Array) -> Array:
        """Means over samples within each draw, `[B, D]`, from totals `[G, 2, D]`.

        NaN for a resample without a defined value, and everywhere for a single image, from which
        the spread over images is not known.
        """
        sums, counts = totals[:, 0], totals[:, 1]
        if self.images < 2:
            return np.full((len(self.weights), sums.shape[1]), np.nan)
        draws, same = sums.shape[1], counts.shape[1] > 0 and (counts == counts[:, :1]).all()
        divisors = counts[:, :1] if same else counts
        found = weighted(self.weights, np.concatenate([sums, divisors], axis=1))
        with np.errstate(invalid="ignore"):
            return np.asarray(found[:, :draws] / found[:, draws:])

    def means_over_draws(self, totals: Iterable[Array]) -> list[Array]:
        """Means over samples and draws of every resample, `[B]` each, from totals `[G, 2, D]`.

        One product does for many of them, and takes as long as for few.
        """
        found: list[Array] = []
        held: list[Array] = []
        for each in chain(totals, [None]):
            held += [] if each is None else [merged_draws(each)]
            if held and (each is None or sum(some.nbytes for some in held) >= _TOTALS_HELD):
                stops = np.cumsum([some.shape[2] for some in held])[:-1]
                means = np.split(self.means(np.concatenate(held, axis=2)), stops, axis=1)
                found += [m[:, 0].copy() if m.shape[1] == 1 else nanmean(m, axis=1) for m in means]
                held = []
        return found

    def dof(self, resampled: Array) -> Array:
        """Degrees of freedom `[K]` of the spread of resamples `[B, K]`, by the images behind it.

        Few images decide an AUROC near 1: those whose positive some negative exceeds. The variance
        of G values of kurtosis k is as uncertain as that of 2 G / (k - 1) normal ones. The values
        are the images' influences: the resamples regressed on how often each image was drawn.
        """
        most = max(self.images - 1.0, 1.0)
        if self.images < 3:
            return np.full(resampled.shape[1], most)
        defined = np.isfinite(resampled)
        known = np.where(defined, resampled, np.nan)
        centred = np.where(defined, known - nanmean(known, axis=0), 0.0)
        second, fourth = np.zeros((2, resampled.shape[1]))
        for first in range(0, self.images, _WEIGHTED_AT_ONCE):
            weights = self.weights[:, first : first + _WEIGHTED_AT_ONCE].astype(np.float64)
            squares = (weights.T @ centred - centred.sum(axis=0)) ** 2  # of a mean of 0
            second += squares.sum(axis=0) / self.images
            fourth += (squares**2).sum(axis=0) / self.images
        unknown = (defined.sum(axis=0) < 2) | (second == 0)
        kurtosis = fourth / np.where(second > 0, second, 1.0) ** 2
        few = np.clip(2 * self.images / (kurtosis - 1 + 1e-9), 2, most)
        return np.where(unknown, most, few)


def weighted(weights: Counts, values: Array) -> Array:
    """Sums `[B, K]` of values `[G, K]` that count `weights[b, g]` times."""
    sums = np.zeros((len(weights), values.shape[1]))
    for first in range(0, len(values), _WEIGHTED_AT_ONCE):
        some = slice(first, first + _WEIGHTED_AT_ONCE)
        sums += weights[:, some].astype(np.float64) @ values[some]
    return sums


def merged_draws(totals: Array) -> Array:
    """Totals `[G, 2, D]` as `[G, 2, 1]` where all draws have the same number of values."""
    counts = totals[:, 1]
    same = counts.shape[1] > 1 and bool((counts == counts[:, :1]).all())
    return totals.mean(axis=2, keepdims=True) if same else totals


def smallest_in_group(values: Array, group: Index) -> Array:
    """Smallest value of each group, `[N, D]` and `[N]` to `[G, D]`; NaN where one is NaN."""
    smallest = np.full((int(group.max()) + 1, values.shape[1]), np.inf)
    with np.errstate(invalid="ignore"):
        np.minimum.at(smallest, group, values)
    return smallest


def nanmean(values: Array, axis: int | None = None) -> Array:
    """Mean without NaN; NaN of no values, without a warning."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0.0).sum(axis=axis) / defined.sum(axis=axis))


def variance(resampled: Array) -> float:
    """Variance of the defined resamples among `[B]`; 0 without any."""
    defined = resampled[np.isfinite(resampled)]
    return float(np.var(defined)) if len(defined) else 0.0


def interval_around(
    value: float,
    resampled: Array,
    *,
    images: int,
    bounds: tuple[float, float] | None = None,
    dof: float | None = None,
) -> tuple[float, float]:
    """95 % interval of a number; NaN for a single image, or without a defined resample.

    Args:
        value: the number.
        resampled: `[B]` its bootstrap resamples; values that are not finite are ignored.
        images: number G of images behind it.
        bounds: smallest and largest value that the number can have; None for any.
        dof: degrees of freedom of the spread; None for G - 1.
    """
    resampled = resampled[np.isfinite(resampled)]
    if images < 2 or not len(resampled) or not math.isfinite(value):
        return math.nan, math.nan
    # of G images, the bootstrap's variance is too small by a factor of (G - 1) / G
    spread = float(np.std(resampled)) * math.sqrt(images / (images - 1))
    # Student's quantile; `scipy.stats` gives the same, a hundred times as slowly
    times = float(special.stdtrit(max(images - 1 if dof is None else dof, 1), (1 + _LEVEL) / 2))
    if bounds is None:
        return value - times * spread, value + times * spread
    low, high = bounds
    share = (value - low) / (high - low)
    if ROUNDING < share < 1 - ROUNDING:
        if spread <= ROUNDING * (high - low):  # alike whatever is drawn
            return value, value
        middle = special.logit(share)
        half = times * spread / (high - low) / (share * (1 - share))
        ends = low + (high - low) * special.expit([middle - half, middle + half])
        return float(ends[0]), float(ends[1])
    # all values lie on the bound: exact, unless another threshold would move them further
    tail = (1 - _LEVEL) / 2
    exact = 1 - tail ** (1 / images)
    far = 1 - tail if share < 0.5 else tail
    further = float(np.quantile(resampled, far) if spread > 0 else resampled[0])
    if share < 0.5:
        return low, max(low + (high - low) * exact, further)
    return min(high - (high - low) * exact, further), high


def interval(resampled: Array, *, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of resampled values `[B]`; NaN when none is defined."""
    finite = resampled[np.isfinite(resampled)]
    if not len(finite):
        return math.nan, math.nan
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high
