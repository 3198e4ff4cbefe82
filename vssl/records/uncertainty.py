"""Bootstrap over images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class ImageBootstrap:
    """Means over samples, with resamples of the *images* drawn with replacement.

    Samples that show one picture (an IS3 pair) are drawn together, and all draws of a sample stay
    with it: rows are not independent, images are. The same resamples serve every mean, so that
    combinations of means (F_LOC) and differences have honest intervals.

    Args:
        image_groups: `[N]` name of each sample's picture.
        resamples: number of resamples B.
        seed: seed of the resampling.
    """

    def __init__(
        self, image_groups: Sequence[str], *, resamples: int = 1000, seed: int = 0
    ) -> None:
        names, self._group = np.unique(np.asarray(image_groups, dtype=str), return_inverse=True)
        self._groups = len(names)
        generator = np.random.default_rng(seed)
        counts = [
            np.bincount(generator.integers(self._groups, size=self._groups), minlength=self._groups)
            for _ in range(resamples)
        ]
        self._weights = np.asarray(counts, dtype=np.float64).reshape(resamples, self._groups)

    def means(self, values: Array) -> Array:
        """Mean over samples within each draw, of every resample.

        Args:
            values: `[N, D]` per-sample values of D draws, NaN where undefined.

        Returns:
            `[B, D]`; NaN where a resample holds no defined value, and everywhere for a single
            image, which says nothing about the spread over images.
        """
        if self._groups < 2:
            return np.full((len(self._weights), values.shape[1]), np.nan)
        defined = ~np.isnan(values)
        sums = self._group_sums(np.where(defined, values, 0.0))
        counts = self._group_sums(defined.astype(np.float64))
        with np.errstate(invalid="ignore"):
            return (self._weights @ sums) / (self._weights @ counts)

    def _group_sums(self, values: Array) -> Array:
        sums = np.zeros((self._groups, values.shape[1]))
        np.add.at(sums, self._group, values)
        return sums


def interval(resampled: Array, *, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of resampled values `[B]`; NaN when none is defined."""
    finite = resampled[np.isfinite(resampled)]
    if finite.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
