"""The contracts of metrics.

- `ReportedMetric`: the base of all; tables take header, arrow and unit from its attributes.
- `MeanMetric`: the mean over samples of a per-sample value. By what the value is measured on:
  `SampleMetric` (a mask and its ground truth), `MapMetric` (a localization map), `PairMetric` (two
  masks of one image), `SwapMetric` (a mask, its own object and the image's other object).
- `vssl.metrics.curve.CurveMetric`: of the mean of the samples' curves, e.g. its largest value.
- `CombinedMetric`: computed from numbers on positives and on negatives, e.g. a harmonic mean.
- `vssl.metrics.set_metric.SetMetric`: a number of a whole set that is no mean, e.g. an AUROC.

All are torchmetrics for any validation loop: `update` with the samples of a batch, `compute` at the
end. Scoring of records calls `measure_packed` (masks as bits), `from_column` and `family` instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torchmetrics import Metric

from vssl.core.arrays import Array, Index
from vssl.core.checks import check_choice, check_maps, check_same_shape
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.masks import PackedMasks, PackedTruth
from vssl.types import POSITIVE, SoundingObject

_UNPACKED = 256  # masks

FRACTION = (0.0, 1.0)
"""Bounds of a number that is a share."""


class ReportedMetric(Metric, ABC):
    """The base of all metrics. Its attributes alone decide how a metric appears.

    Attributes:
        name: the metric's name in summaries, tables and wandb.
        label: header in tables; the name with blanks unless given.
        unit: `%` for fractions, which tables show in percent; else the unit in words.
        higher_is_better: direction, and so the arrow in tables.
        chance: what knowing nothing reaches; None for 0, or for 1 where lower is better. Tables do
            not mark what is no better.
        bounds: smallest and largest value, which keep intervals within; None for any.
        by_subset: whether it is also reported by class and by object size.
        by_order: whether the order of the samples changes it.
    """

    name: ClassVar[str]
    label: ClassVar[str] = ""
    unit: ClassVar[str] = "%"
    chance: ClassVar[float | None] = None
    bounds: ClassVar[tuple[float, float] | None] = None
    by_subset: ClassVar[bool] = True
    by_order: ClassVar[bool] = False
    higher_is_better: bool
    is_differentiable = False
    full_state_update = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" in vars(cls) and "label" not in vars(cls):
            cls.label = cls.name.replace("_", " ")


def metric_classes() -> dict[str, type[ReportedMetric]]:
    """The metric classes of all imported modules, by name."""
    kinds: list[Any] = [ReportedMetric]
    for kind in kinds:  # grows meanwhile
        kinds += kind.__subclasses__()
    named = [kind for kind in kinds if "name" in vars(kind)]
    return {kind.name: kind for kind in reversed(named)}


class ConditionMetric(ReportedMetric):
    """A number of each audio condition, from a column of the scores file.

    Attributes:
        column: name of the column that is measured.
        conditions: audio conditions it is reported for: names, or members of `SoundingObject` for
            all under which that object sounds; `negatives` is another name for `none`.
        with_natural: whether natural negatives, with their own sound, count among the positives.
            It is then not reported for `natural`.
    """

    column: ClassVar[str]
    conditions: ClassVar[tuple[str, ...]]  # a member of SoundingObject is a str
    with_natural: ClassVar[bool] = False

    @classmethod
    def applies_to(cls, condition: str, sounding: SoundingObject | None = None) -> bool:
        """Whether the metric is measured under an audio condition.

        `sounding` is the object that sounds under it; None for what is assumed by the name.
        """
        sounding = sounding or SoundingObject.assumed(condition)
        names = {condition, sounding, *(["negatives"] if sounding == SoundingObject.NONE else [])}
        return not names.isdisjoint(cls.conditions)

    @classmethod
    def is_higher_better(cls, *sounding: SoundingObject) -> bool:
        """Direction where these objects sound: one, or those of both conditions of a pair."""
        return bool(cls.higher_is_better)


class HigherForOwn(ConditionMetric):
    """A comparison with the own object's mask: higher is better where it sounds, and only there."""

    @classmethod
    def is_higher_better(cls, *sounding: SoundingObject) -> bool:
        """Higher is better where the own object sounds, under both conditions of a pair."""
        return set(sounding) == {SoundingObject.OWN}


class MeanMetric(ConditionMetric):
    """The mean over samples of a value of each sample.

    A value takes two steps. `measure` gives a column of the scores file. `from_column` turns it
    into the metric's value (unchanged unless overridden), so that several metrics share a column.
    Undefined values (NaN) are left out of the mean and counted.

    Attributes:
        by_image: whether the mean is over images, of the smallest value of an image's samples.
    """

    by_image: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        # named by the metric: collections let metrics share states that are equal after one batch
        self._state = f"sums_of_{self.name}"
        self.add_state(self._state, torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")

    @staticmethod
    def from_column(column: torch.Tensor) -> torch.Tensor:
        """Per-sample value `[N]` float64 of a column `[N]`; NaN stays NaN."""
        return column

    def compute(self) -> torch.Tensor:
        """The mean over defined samples, a fraction; NaN without any."""
        return self._sums[0] / self._sums[1]

    @property
    def n_undefined(self) -> int:
        """Number of samples that were left out, since their value is undefined."""
        return int(self._sums[2])

    @property
    def _sums(self) -> torch.Tensor:
        """Sum and number of defined values, and number of undefined ones."""
        sums: torch.Tensor = getattr(self, self._state)
        return sums

    def _add(self, column: torch.Tensor) -> None:
        values = self.from_column(column)
        undefined = values.isnan()
        added = torch.stack([values.nansum(), (~undefined).sum(), undefined.sum()])
        setattr(self, self._state, self._sums + added.to(self._sums))


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
        return _of_unpacked(cls.measure, masks, truth)

    def update(self, masks: torch.Tensor, ground_truth: torch.Tensor) -> None:
        """Add samples: masks `[N, H, W]` bool and their ground truths in [0, 1]."""
        self._add(self.measure(masks, ground_truth))


class MapMetric(MeanMetric):
    """The mean of a value that a localization map and its ground truth give, without threshold."""

    @staticmethod
    @abstractmethod
    def measure(localization_maps: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        """Per-sample column `[N]` float64 of maps and ground truths `[N, H, W]`."""

    def update(self, localization_maps: torch.Tensor, ground_truth: torch.Tensor) -> None:
        """Add samples: maps and ground truths `[N, H, W]`."""
        self._add(self.measure(localization_maps, ground_truth))


class PairMetric(MeanMetric):
    """The mean of a value that two masks of one image give, under two audio conditions.

    Reported for every pair of conditions, as condition `<one>-<other>`.
    """

    conditions = ()
    by_subset = False

    @staticmethod
    @abstractmethod
    def measure(masks: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Column `[N]` float64 of masks `[N, H, W]` bool under one condition and another."""

    @classmethod
    def measure_packed(cls, masks: PackedMasks, rows: Index, others: Index) -> Array:
        """The same column of masks as bits, for pairs `rows[k]`, `others[k]` of them."""
        return _of_unpacked(cls.measure, masks[rows], masks[others])

    def update(self, masks: torch.Tensor, others: torch.Tensor) -> None:
        """Add pairs of masks `[N, H, W]` bool, under one sound and another."""
        self._add(self.measure(masks, others))


class SwapMetric(MeanMetric):
    """The mean of a value that a mask gives with its own object and the image's other object.

    Defined where the own object sounds in images that several samples show with different objects
    (IS3 pairs).
    """

    conditions = (SoundingObject.OWN,)
    by_subset = False

    @staticmethod
    @abstractmethod
    def measure(
        masks: torch.Tensor, ground_truth: torch.Tensor, other: torch.Tensor
    ) -> torch.Tensor:
        """Column `[N]` float64 of masks, own and other ground truths `[N, H, W]`."""

    @classmethod
    def measure_packed(cls, masks: PackedMasks, truth: PackedTruth, other: PackedTruth) -> Array:
        """The same column of masks as bits."""
        return _of_unpacked(cls.measure, masks, truth, other)

    def update(self, masks: torch.Tensor, ground_truth: torch.Tensor, other: torch.Tensor) -> None:
        """Add samples: masks `[N, H, W]` bool, own and other ground truths in [0, 1]."""
        self._add(self.measure(masks, ground_truth, other))


class CombinedMetric(ReportedMetric):
    """A number computed from numbers of positives and of negatives, e.g. a harmonic mean.

    Args:
        negatives: the types, or one, that `update` gets and `compute` averages over.

    Attributes:
        positive: name of the metric on positives, whose class is `of_positives`.
        negative: name of the metric on negatives, whose class is `of_negatives`. Both are sample
            metrics, or both curve metrics.
    """

    positive: ClassVar[str]
    negative: ClassVar[str]
    of_positives: ClassVar[type[ConditionMetric]]
    of_negatives: ClassVar[type[ConditionMetric]]

    def __init__(self, *, negatives: str | Sequence[str] = NEGATIVE_TYPES) -> None:
        super().__init__()
        names = [negatives] if isinstance(negatives, str) else negatives
        means = {POSITIVE: self.of_positives(), **{name: self.of_negatives() for name in names}}
        self.means: Mapping[str, ConditionMetric] = torch.nn.ModuleDict(means)  # type: ignore[assignment]

    def update(
        self,
        masks: torch.Tensor,
        ground_truth: torch.Tensor,
        condition: str | Sequence[str] = POSITIVE,
    ) -> None:
        """Add samples.

        Args:
            masks: `[N, H, W]` bool.
            ground_truth: `[N, H, W]` in [0, 1].
            condition: `positive` or a type of negatives, one for all or the N of the samples.

        Raises:
            UsageError: for another condition.
            ValueError: for another number of conditions than masks.
        """
        if isinstance(condition, str):
            check_choice(condition, self.means, name="condition")
            self.means[condition].update(masks, ground_truth)
            return
        for name in condition:
            check_choice(name, self.means, name="condition")
        for name, mean in self.means.items():  # all, so that none lacks an update in a process
            rows = rows_under(condition, [name], masks)
            mean.update(masks[rows], ground_truth[rows])

    def compute(self) -> torch.Tensor:
        """The combination; NaN where positives or a type of negatives are missing."""
        positive, *negatives = (m.compute().numpy(force=True) for m in self.means.values())
        names = [name for name in self.means if name != POSITIVE]
        found = self.combine(positive, dict(zip(names, negatives, strict=True)))
        return torch.tensor(float(found), dtype=torch.float64)

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        for each in self.means.values():
            each.reset()

    @staticmethod
    @abstractmethod
    def combine(positive: Array, negatives: Mapping[str, Array]) -> Array:
        """Combine means, fractions, elementwise over any shape (values, or bootstrap resamples).

        Args:
            positive: mean on positives.
            negatives: negative type -> mean on it.
        """


def _of_unpacked(
    measure: Callable[..., torch.Tensor], masks: PackedMasks, *others: PackedMasks | PackedTruth
) -> Array:
    """Measure unpacked masks some at a time; of the others one may meet all."""
    found = [np.empty(0)]
    for start in range(0, len(masks), _UNPACKED):
        piece = masks[start : start + _UNPACKED].unpack()
        met = (
            other.unpack().expand(len(piece), -1, -1)
            if len(other) == 1
            else other[start : start + _UNPACKED].unpack()
            for other in others
        )
        found.append(measure(piece, *met).double().numpy(force=True))
    return np.concatenate(found)


def rows_under(
    condition: str | Sequence[str], chosen: Collection[str], batch: torch.Tensor
) -> torch.Tensor:
    """Rows `[N]` bool of a batch `[N, ...]` under some audio conditions.

    Args:
        condition: audio condition of the batch, or of each of its N rows.
        chosen: the conditions that count.
        batch: any tensor of the batch.

    Raises:
        ValueError: for another number of conditions than rows.
    """
    names = [condition] * len(batch) if isinstance(condition, str) else condition
    if len(names) != len(batch):
        raise ValueError(
            f"Expected a condition for each of {len(batch)} samples, but got {len(names)}."
        )
    return torch.tensor([name in chosen for name in names], dtype=torch.bool, device=batch.device)


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
