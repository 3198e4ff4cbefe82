"""What a validation loop needs beside the metrics: choice of samples, and a learnt threshold."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vssl.core.arrays import Array, Names
from vssl.core.errors import UsageError
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.metrics.base import rows_under


class OnConditions(Metric):
    """A metric over the samples under some audio conditions, in batches that mix conditions.

    In a `MetricCollection` that is updated by keywords, every metric takes the arguments that it
    knows: `collection.update(masks=..., ground_truth=..., condition=...)`.

    Args:
        metric: metric whose `update` takes tensors with a row for each sample.
        *conditions: audio conditions whose samples count.

    Example:
        >>> from vssl.metrics import ImageArea
        >>> masks = torch.tensor([[[True, True]], [[True, False]], [[False, False]]])
        >>> pia = OnConditions(ImageArea(), "silence", "noise")
        >>> pia.update(["positive", "silence", "noise"], masks=masks, ground_truth=masks.float())
        >>> pia.compute()
        tensor(0.2500, dtype=torch.float64)
    """

    full_state_update = False

    def __init__(self, metric: Metric, *conditions: str) -> None:
        super().__init__()
        self.metric = metric
        self.conditions = conditions

    def update(self, condition: str | Sequence[str], **batch: torch.Tensor) -> None:
        """Add the samples of a batch that are under the conditions.

        Args:
            condition: audio condition of the batch, or of each of its N samples.
            **batch: tensors `[N, ...]` of the batch; the metric gets those that its `update` names.

        Raises:
            ValueError: for another number of conditions than samples.
        """
        given = self.metric._filter_kwargs(**batch)
        rows = {
            name: value[rows_under(condition, self.conditions, value)]
            for name, value in given.items()
        }
        self.metric.update(**rows)

    def compute(self) -> Any:
        """The metric's value."""
        return self.metric.compute()

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        self.metric.reset()


class LearnablePolicy(Protocol):
    """A threshold policy with one threshold for all maps, as in `vssl.thresholds`."""

    def fit(self, similarity_max: Array, condition: Names) -> None:
        """Learn from the map maxima of negatives."""

    def constant(self) -> float | None:
        """The learnt threshold."""


class EpochThreshold(Metric):
    """A threshold that is learnt from the negatives of an epoch.

    The state is the largest value of each negative's map, so an epoch takes 16 bytes for each of
    them. Several processes learn one threshold from the negatives of all.

    Args:
        policy: a policy that is learnt, e.g. `vssl.thresholds.UniversalThreshold`.
        negatives: audio conditions that it is learnt from, one or several.

    Raises:
        UsageError: for a policy that is not learnt.

    Example:
        >>> from vssl.thresholds import UniversalThreshold
        >>> policy = UniversalThreshold(statistic="mean", name="universal_max")
        >>> threshold = EpochThreshold(policy, negatives=["silence", "noise"])
        >>> maxima = torch.tensor([0.9, 0.1, 0.5, 0.7])
        >>> threshold.update(maxima, ["positive", "silence", "noise", "noise"])
        >>> round(threshold.compute().item(), 6)  # the larger one of .1 and .6
        0.6
    """

    full_state_update = False
    values: list[torch.Tensor]
    numbers: list[torch.Tensor]

    def __init__(
        self,
        policy: LearnablePolicy,
        *,
        negatives: str | Sequence[str] = NEGATIVE_TYPES,
    ) -> None:
        super().__init__()
        if not getattr(policy, "needs_fit", hasattr(policy, "fit")):
            raise UsageError(
                "Expected `policy` to be learnt, as vssl.thresholds.UniversalThreshold is, but got"
                f" {policy!r}. A threshold that is known needs no EpochThreshold."
            )
        self.policy = policy
        self.negatives = (negatives,) if isinstance(negatives, str) else tuple(negatives)
        for state in ("values", "numbers"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, values: torch.Tensor, condition: str | Sequence[str]) -> None:
        """Add samples; those under other conditions are passed over.

        Args:
            values: `[N]` largest value of each native similarity map.
            condition: audio condition of the batch, or of each of its N samples.

        Raises:
            ValueError: for another number of conditions than values.
        """
        rows = rows_under(condition, self.negatives, values)
        names = [condition] * len(values) if isinstance(condition, str) else condition
        numbers = [self.negatives.index(name) for name in names if name in self.negatives]
        # all as float64: torchmetrics gathers an empty process's states as floats
        self.values.append(values[rows].double().to(self.device))
        self.numbers.append(torch.tensor(numbers, dtype=torch.float64, device=self.device))

    def compute(self) -> torch.Tensor:
        """The threshold, float64, in units of the maps; NaN without negatives."""
        if not len(self.values):
            return torch.tensor(torch.nan, dtype=torch.float64)
        values = dim_zero_cat(self.values).numpy(force=True)
        if not np.isfinite(values).any():
            return torch.tensor(torch.nan, dtype=torch.float64)
        numbers = dim_zero_cat(self.numbers).numpy(force=True).astype(np.int64)
        policy = copy.deepcopy(self.policy)
        policy.fit(values, np.array(self.negatives)[numbers])
        return torch.tensor(policy.constant(), dtype=torch.float64)
