"""The contract of metrics of the mean of the samples' curves, e.g. of F over all thresholds."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torchmetrics.utilities import dim_zero_cat

from vssl.core.arrays import Array, Index
from vssl.core.errors import UsageError
from vssl.metrics.base import ConditionMetric


class CurveMetric(ConditionMetric):
    """The largest value of the mean curve: of all samples, or of each batch of them, averaged.

    A sample's curve has T values, e.g. one for each threshold. `measure` gives it, and the scores
    file keeps it as a list. Samples without a curve (NaN) are left out and counted.

    Args:
        batch: None for one mean curve of all samples. A number k for one of each k samples in their
            order, the last ones of which may be fewer: the number is the mean of their largest
            values, and a batch without a curve counts 0 if another one has one.

    Attributes:
        points: T, the number of values of a curve.
    """

    points: ClassVar[int]

    def __init__(self, *, batch: int | None = None) -> None:
        super().__init__()
        if batch is not None and batch < 1:
            raise UsageError(f"Expected `batch` to be at least 1, or null, but got {batch}.")
        self.batch = batch
        # named by the column: collections let metrics share states that are equal after one batch
        self._state = f"curves_of_{self.column}"
        self.add_state(self._state, default=[], dist_reduce_fx="cat")

    @staticmethod
    @abstractmethod
    def measure(localization_maps: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        """Curves `[N, T]` float32 of maps in [0, 1] and ground truths `[N, H, W]`.

        A row is NaN where the sample has no curve.
        """

    def update(self, localization_maps: torch.Tensor, ground_truth: torch.Tensor) -> None:
        """Add samples: maps in [0, 1] and ground truths, `[N, H, W]`."""
        curves = self.measure(localization_maps, ground_truth)
        getattr(self, self._state).append(curves.to(self.device))

    def compute(self) -> torch.Tensor:
        """The number; NaN without a sample that has a curve."""
        given = getattr(self, self._state)
        if not len(given):
            return torch.tensor(torch.nan, dtype=torch.float64)
        curves = dim_zero_cat(given).numpy(force=True).reshape(-1, 1, self.points)
        found = self.largest(*summed(curves, self.groups(len(curves))))
        return torch.tensor(found.mean(), dtype=torch.float64)

    def groups(self, count: int) -> Index:
        """The group of each of `count` samples that share a mean curve, `[count]` from 0."""
        return np.arange(count) // (self.batch or max(count, 1))

    def largest(self, sums: Array, counts: Array) -> Array:
        """The largest value of each group's mean curve, from `summed`, `[G, D]`.

        NaN for a draw without any curve, as where the range of the maps is not known.
        """
        with np.errstate(invalid="ignore"):
            largest = (sums / counts[..., None]).max(axis=-1)
        if self.batch is None:
            return np.asarray(largest)
        return np.where(counts.any(axis=0), np.nan_to_num(largest, nan=0.0), np.nan)


def summed(curves: Array, group: Index) -> tuple[Array, Array]:
    """Sum and number of the curves of each group.

    Args:
        curves: `[N, D, T]` of N samples in D draws; NaN where there is none.
        group: `[N]` number of each sample's group, from 0.

    Returns:
        `[G, D, T]` and `[G, D]`.
    """
    defined = ~np.isnan(curves[..., 0])
    groups = int(group.max(initial=0)) + 1
    sums = np.zeros((groups, *curves.shape[1:]))
    counts = np.zeros((groups, curves.shape[1]))
    np.add.at(sums, group, np.where(defined[..., None], curves, 0.0))
    np.add.at(counts, group, defined)
    return sums, counts
