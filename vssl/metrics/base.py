"""The contracts of metrics.

- `MeanMetric`: the mean over samples of a per-sample value. By what the value is measured on:
  `SampleMetric` (a mask and its ground truth), `MapMetric` (a localization map), `PairMetric` (two
  masks of one image), `SwapMetric` (a mask, its own object and the image's other object).
- `vssl.metrics.sets.SetMetric`: a number of a whole set that is no mean, e.g. an AUROC.
- `CombinedMetric`: computed from means, e.g. a harmonic mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics import Metric

from vssl.checks import check_maps, check_same_shape
from vssl.masks import PackedMasks, PackedTruth
from vssl.types import SoundingObject

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


FRACTION = (0.0, 1.0)
"""Bounds of a number that is a share."""


class MeanMetric(Metric, ABC):
    """The mean over samples of a value of each sample.

    The value is found in two steps. What is measured is a column of the scores file; `from_column`
    turns that column into the metric's own value (the identity unless overridden), so that several
    metrics share one column. Undefined values (NaN) are left out of the mean and counted.

    Attributes:
        name: the metric's name in summaries, tables and wandb.
        column: name of the column that is measured.
        conditions: audio conditions it is reported for: names, or members of `SoundingObject` for
            all under which that object sounds; `negatives` is another name for `none`.
        by_image: whether the column is first reduced to its smallest value over the samples that
            show one image, so that the mean is over images.
        bounds: smallest and largest value that a sample can have, which keep intervals within; None
            for any.
    """

    name: ClassVar[str]
    column: ClassVar[str]
    conditions: ClassVar[tuple[str, ...]]  # a member of SoundingObject is a str
    by_image: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float] | None] = None
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
    def from_column(column: torch.Tensor) -> torch.Tensor:
        """Per-sample value `[N]` float64 of a column `[N]`; NaN stays NaN."""
        return column

    @classmethod
    def applies_to(cls, condition: str, sounding: SoundingObject | None = None) -> bool:
        """Whether the metric is reported for an audio condition.

        Args:
            condition: its name.
            sounding: the object that sounds under it; None for what is assumed by the name.
        """
        sounding = sounding or SoundingObject.assumed(condition)
        names = {condition, sounding, *(["negatives"] if sounding == SoundingObject.NONE else [])}
        return not names.isdisjoint(cls.conditions)

    def is_higher_better(self, *sounding: SoundingObject) -> bool:
        """Direction where these objects sound: one, or those of both conditions of a pair."""
        return bool(self.higher_is_better)

    def compute(self) -> torch.Tensor:
        """The mean over defined samples, a fraction; NaN when there are none."""
        return self.total / self.n

    def _add(self, column: torch.Tensor, undefined: torch.Tensor | None) -> None:
        """Add the column of some samples, where `undefined` is NaN."""
        if undefined is not None:
            column = column.masked_fill(undefined, torch.nan)
        values = self.from_column(column).to(self.total.device)
        defined = ~values.isnan()
        self.total += values[defined].sum()
        self.n += defined.sum()
        self.n_undefined += (~defined).sum()


class SampleMetric(MeanMetric):
    """The mean of a value that one mask and its ground truth give."""

    @staticmethod
    @abstractmethod
    def measure(masks: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        """Per-sample column `[N]` float64 of masks `[N, H, W]` bool and ground truths in [0, 1]."""

    @classmethod
    def measure_packed(cls, masks: PackedMasks, truth: PackedTruth) -> Array:
        """The same column of masks as bits, where N masks may share one ground truth.

        Overridden where counting bits is enough, which is many times faster.
        """
        ground_truth = truth.unpack().expand(len(masks), -1, -1)
        return cls.measure(masks.unpack(), ground_truth).numpy()

    def update(
        self,
        masks: torch.Tensor | None = None,
        ground_truth: torch.Tensor | None = None,
        undefined: torch.Tensor | None = None,
        *,
        column: torch.Tensor | None = None,
        images: torch.Tensor | None = None,
    ) -> None:
        """Add samples, by their masks or by their column.

        Args:
            masks: `[N, H, W]` bool.
            ground_truth: `[N, H, W]` in [0, 1].
            undefined: `[N]` bool, samples whose map held NaN.
            column: what `measure` gives for these samples, where it was found already.
            images: `[N]` int64 image of each sample; only metrics with `by_image` need it.

        Raises:
            ValueError: without column, masks and ground truth.
        """
        self._add(self._column(masks, ground_truth, column), undefined)

    def _column(
        self,
        masks: torch.Tensor | None,
        ground_truth: torch.Tensor | None,
        column: torch.Tensor | None,
    ) -> torch.Tensor:
        if column is not None:
            return column
        if masks is None or ground_truth is None:
            raise ValueError(f"Expected masks and ground truth, or their column, for {self.name}.")
        return self.measure(masks, ground_truth)


class MapMetric(MeanMetric):
    """The mean of a value that a localization map and its ground truth give, without threshold."""

    @staticmethod
    @abstractmethod
    def measure(localization_maps: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        """Per-sample column `[N]` float64 of maps and ground truths `[N, H, W]`."""

    @classmethod
    def from_statistics(cls, maximum: Array, confidence: Array) -> Array | None:
        """The same column from what scoring knows of every map; None where that is too little.

        Args:
            maximum: `[N]` largest pixel of each map.
            confidence: `[N]` mean of the top quarter of its pixels.
        """
        return None

    def update(
        self,
        localization_maps: torch.Tensor,
        ground_truth: torch.Tensor,
        undefined: torch.Tensor | None = None,
    ) -> None:
        """Add samples: maps and ground truths `[N, H, W]`, and `[N]` bool where a map held NaN."""
        self._add(self.measure(localization_maps, ground_truth), undefined)


class PairMetric(MeanMetric):
    """The mean of a value that two masks of one image give, under two audio conditions.

    Reported for every pair of conditions, as condition `<one>-<other>`.
    """

    conditions = ()

    @staticmethod
    @abstractmethod
    def measure(masks: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Column `[N]` float64 of masks `[N, H, W]` bool under one condition and another."""

    @classmethod
    def measure_packed(cls, masks: PackedMasks, rows: Index, others: Index) -> Array:
        """The same column of masks as bits, for pairs `rows[k]`, `others[k]` of them."""
        return cls.measure(masks[rows].unpack(), masks[others].unpack()).numpy()

    def update(
        self,
        masks: torch.Tensor | None = None,
        others: torch.Tensor | None = None,
        undefined: torch.Tensor | None = None,
        *,
        column: torch.Tensor | None = None,
    ) -> None:
        """Add pairs of masks, or their column.

        Args:
            masks: `[N, H, W]` bool.
            others: `[N, H, W]` bool.
            undefined: `[N]` bool, pairs of which either map held NaN.
            column: what `measure` gives for these pairs, where it was found already.

        Raises:
            ValueError: without column and masks.
        """
        if column is None:
            if masks is None or others is None:
                raise ValueError(f"Expected two sets of masks, or their column, for {self.name}.")
            column = self.measure(masks, others)
        self._add(column, undefined)


class SwapMetric(MeanMetric):
    """The mean of a value that a mask gives with its own object and the image's other object.

    Defined where the own object sounds in images that several samples show with different objects
    (IS3 pairs).
    """

    conditions = (SoundingObject.OWN,)

    @staticmethod
    @abstractmethod
    def measure(
        masks: torch.Tensor, ground_truth: torch.Tensor, other: torch.Tensor
    ) -> torch.Tensor:
        """Column `[N]` float64 of masks, own and other ground truths `[N, H, W]`."""

    @classmethod
    def measure_packed(cls, masks: PackedMasks, truth: PackedTruth, other: PackedTruth) -> Array:
        """The same column of masks as bits."""
        count = len(masks)
        own, others = (t.unpack().expand(count, -1, -1) for t in (truth, other))
        return cls.measure(masks.unpack(), own, others).numpy()

    def update(
        self,
        masks: torch.Tensor,
        ground_truth: torch.Tensor,
        other: torch.Tensor,
        undefined: torch.Tensor | None = None,
    ) -> None:
        """Add samples: masks `[N, H, W]` bool, ground truths in [0, 1], `[N]` bool for NaN."""
        self._add(self.measure(masks, ground_truth, other), undefined)


class CombinedMetric(ABC):
    """A number computed from means over positives and over negatives, e.g. a harmonic mean.

    Attributes:
        name: the metric's name.
        positive: name of the mean metric on positives.
        negative: name of the mean metric on negatives.
        higher_is_better: direction.
        bounds: smallest and largest value that it can have; None for any.
    """

    name: ClassVar[str]
    positive: ClassVar[str]
    negative: ClassVar[str]
    higher_is_better: ClassVar[bool]
    bounds: ClassVar[tuple[float, float] | None] = None

    @staticmethod
    @abstractmethod
    def combine(positive: Array, negatives: Mapping[str, Array]) -> Array:
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
