"""The contract of metrics of a whole set that are no means of per-sample values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torchmetrics.utilities import dim_zero_cat

from vssl.core.arrays import Array, Counts, Index, Mask
from vssl.metrics.base import MapMetric, ReportedMetric
from vssl.types import SoundingObject

MAP_MAXIMUM = "map_maximum"
"""Column that every scores file has: the largest value of a map.

Of the native similarity map; of the upsampled mix for object-guided maps.
"""


@dataclass(frozen=True)
class Values:
    """The values of one draw of one audio condition, for a set metric.

    Attributes:
        value: `[N]` the metric's column, without NaN.
        image: `[N]` number of each sample's image, for resampling.
        success: `[N, K]` whether cIoU reaches 0.5 under each of K threshold policies; ignored where
            no threshold is involved (K = 1).
    """

    value: Array
    image: Index
    success: Mask


def joined(values: Sequence[Values]) -> Values:
    """Several conditions' values as one."""
    return Values(
        np.concatenate([np.empty(0), *(v.value for v in values)]),
        np.concatenate([np.empty(0, np.int64), *(v.image for v in values)]),
        np.concatenate([np.empty((0, 1), np.bool_), *(v.success for v in values)]),
    )


Family = Mapping[str, Array]
"""Name of a metric -> its value `[B, K]` under each weighting of the images and each policy."""


class SetMetric(ReportedMetric):
    """A number of all positives and all negatives of a type together.

    Several metrics may come from one `family`, which finds all of them in one pass.

    Attributes:
        name: also its key in the family.
        column: column of the scores that it looks at.
        map_metrics: map metrics that must be measured for it.
        by_threshold: whether cIoU under a threshold policy is involved.
        on_positives: whether it is of the positives alone, and of each other condition under which
            the own object sounds, rather than of positives against each type of negatives, and
            against the paper's three together.
    """

    column: ClassVar[str] = MAP_MAXIMUM
    map_metrics: ClassVar[tuple[type[MapMetric], ...]] = ()
    by_threshold: ClassVar[bool] = False
    on_positives: ClassVar[bool] = False
    by_subset = False

    values: list[torch.Tensor]
    positives: list[torch.Tensor]
    successes: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        for state in ("values", "positives", "successes"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    @staticmethod
    @abstractmethod
    def family(positives: Values, negatives: Values, weights: Counts) -> Family:
        """The metrics of a family.

        Args:
            positives: one draw of the positives, or of another condition of the own object.
            negatives: one draw of the negatives; of all types where they are taken together.
            weights: `[B, number of images]` whole numbers, of the smallest type that holds them:
                how often each image counts.
        """

    def update(
        self,
        values: torch.Tensor,
        positive: torch.Tensor | bool,
        success: torch.Tensor | None = None,
    ) -> None:
        """Add samples.

        Args:
            values: `[N]` of the column, e.g. the largest value of each map; NaN is left out.
            positive: `[N]` whether each is a positive or a negative, or one for all.
            success: `[N]` whether cIoU reaches 0.5, for metrics with a threshold.

        Raises:
            ValueError: for another number of one than of values.
        """
        # all as float64: torchmetrics gathers an empty process's states as floats
        found = values.double().to(self.device)
        marks = torch.as_tensor(positive).to(found)
        reached = torch.zeros_like(found) if success is None else success.to(found)
        for name, given in (("positive", marks), ("success", reached)):
            if given.numel() != 1 and given.shape != found.shape:
                raise ValueError(
                    f"Expected `{name}` for each of {list(found.shape)} values, but got"
                    f" {list(given.shape)}."
                )
        self.values.append(found)
        self.positives.append(marks.expand_as(found))
        self.successes.append(reached.expand_as(found))

    def compute(self) -> torch.Tensor:
        """The number; NaN when positives or negatives are missing."""
        if not len(self.values):
            return torch.tensor(torch.nan, dtype=torch.float64)
        value, positive, success = (
            dim_zero_cat(state).numpy(force=True)
            for state in (self.values, self.positives, self.successes)
        )

        def chosen(rows: Mask) -> Values:
            rows = rows & ~np.isnan(value)
            image = np.zeros(int(rows.sum()), np.int64)
            return Values(value[rows], image, success[rows, None] > 0)

        found = self.family(chosen(positive > 0), chosen(positive == 0), np.ones((1, 1), np.uint8))
        return torch.tensor(found[self.name][0, 0], dtype=torch.float64)

    @classmethod
    def applies_to(cls, condition: str, sounding: SoundingObject | None = None) -> bool:
        """Whether the metric is reported for an audio condition, or for `all`.

        `sounding` is the object that sounds under it; None for what is assumed by the name.
        """
        wanted = SoundingObject.OWN if cls.on_positives else SoundingObject.NONE
        return (sounding or SoundingObject.assumed(condition)) == wanted


def ordered(positives: Values, negatives: Values) -> tuple[Index, Index]:
    """Order of positives and negatives from the largest value, and where ties end.

    Returns:
        `[M]` positions in the positives followed by the negatives, and `[K]` end of each run of
        equal values.
    """
    values = np.concatenate([positives.value, negatives.value])
    order = np.argsort(-values, kind="stable")
    changes = np.flatnonzero(np.diff(values[order]))
    return order, np.append(changes + 1, len(values)) if len(values) else changes
