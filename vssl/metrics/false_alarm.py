"""False alarm rate: in how many negatives anything is marked."""

from __future__ import annotations

import torch

from vssl.metrics.pia import ImageArea
from vssl.types import SoundingObject


class FalseAlarmRate(ImageArea):
    """Share of negatives whose mask is not empty.

    Its complement is TN of AVATAR and FAn of AVIS (docs/metrics.md).

    Example:
        >>> rate = FalseAlarmRate()
        >>> masks = torch.tensor([[[True, False]], [[False, False]]])
        >>> rate.update(masks, torch.zeros(2, 1, 2))
        >>> rate.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    name = "false_alarm_rate"
    label = "false alarms"
    conditions = (SoundingObject.NONE,)
    higher_is_better = False
    by_subset = False

    @staticmethod
    def from_column(column: torch.Tensor) -> torch.Tensor:
        """1 where anything is marked, else 0; NaN stays NaN."""
        return torch.where(column.isnan(), torch.nan, (column > 0).double())
