"""The two kinds of metric: means of per-sample values, and combinations of such means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics import Metric

from vssl.checks import check_maps, check_same_shape
from vssl.types import POSITIVE


class SampleMetric(Metric, ABC):
    """The mean over samples of a value that one mask and its ground truth give.

    The value is found in two steps. `measure` compares masks with ground truths and gives a column
    of the scores file; `from_column` turns that column into the metric's own per-sample value (the
    identity unless overridden), so that several metrics share one column. Undefined values (NaN)
    are left out of the mean and counted.

    Attributes:
        name: the metric's name in summaries, tables and wandb.
        column: name of the column that `measure` fills.
        conditions: audio conditions it is reported for: names, or `negatives` for all but the
            positive.
    """

    name: ClassVar[str]
    column: ClassVar[str]
    conditions: ClassVar[tuple[str, ...]]
    higher_is_better: bool
    is_differentiable = False
    full_state_update = False

    total: torch.Tensor
    n: torch.Tensor
    n_undefined: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("n_undefined", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    @staticmethod
    @abstractmethod
    def measure(masks: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        """Per-sample column `[N]` float64 of masks `[N, H, W]` bool and ground truths in [0, 1]."""

    @staticmethod
    def from_column(column: torch.Tensor) -> torch.Tensor:
        """Per-sample value `[N]` float64 of a column `[N]`; NaN stays NaN."""
        return column

    @classmethod
    def applies_to(cls, condition: str) -> bool:
        """Whether the metric is reported for an audio condition."""
        return condition in cls.conditions or (
            condition != POSITIVE and "negatives" in cls.conditions
        )

    def update(
        self,
        masks: torch.Tensor,
        ground_truth: torch.Tensor,
        undefined: torch.Tensor | None = None,
        *,
        column: torch.Tensor | None = None,
    ) -> None:
        """Add samples.

        Args:
            masks: `[N, H, W]` bool.
            ground_truth: `[N, H, W]` in [0, 1].
            undefined: `[N]` bool, samples whose map held NaN.
            column: what `measure` gives for these samples, where a metric that shares the column
                has found it already.
        """
        if column is None:
            column = self.measure(masks, ground_truth)
        if undefined is not None:
            column = column.masked_fill(undefined, torch.nan)
        values = self.from_column(column)
        defined = ~values.isnan()
        self.total += values[defined].sum()
        self.n += defined.sum()
        self.n_undefined += (~defined).sum()

    def compute(self) -> torch.Tensor:
        """The mean over defined samples, a fraction; NaN when there are none."""
        return self.total / self.n


class CombinedMetric(ABC):
    """A number computed from means over positives and over negatives, e.g. a harmonic mean.

    Attributes:
        name: the metric's name.
        positive: name of the sample metric on positives.
        negative: name of the sample metric on negatives.
        higher_is_better: direction.
    """

    name: ClassVar[str]
    positive: ClassVar[str]
    negative: ClassVar[str]
    higher_is_better: ClassVar[bool]

    @staticmethod
    @abstractmethod
    def combine(
        positive: npt.NDArray[np.float64], negatives: Mapping[str, npt.NDArray[np.float64]]
    ) -> npt.NDArray[np.float64]:
        """Combine means, elementwise over any shape (values, or bootstrap resamples).

        Args:
            positive: mean on positives, a fraction.
            negatives: negative type -> mean on it, a fraction.

        Returns:
            The combination, a fraction.
        """


def check_masks(masks: torch.Tensor, ground_truth: torch.Tensor) -> None:
    """Check masks and ground truth of a sample metric.

    Raises:
        TypeError: when the masks are not boolean or the ground truth not floating-point.
        ValueError: when the shapes are not `[N, H, W]` or differ.
    """
    if masks.dtype != torch.bool:
        raise TypeError(
            f"Expected `masks` to be boolean, but got {masks.dtype}. Binarize the maps first."
        )
    check_maps(ground_truth, name="ground_truth")
    check_same_shape(masks, ground_truth, names="`masks` and `ground_truth`")
