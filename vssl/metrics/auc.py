"""AUC on positives and AUC_N on negatives: areas under success curves.

Both are means over samples: the area that one sample adds under the curve depends on its own cIoU
or pIA alone.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.pia import ImageArea
from vssl.types import SoundingObject

AUC_GRID = 0.05 * torch.arange(21, dtype=torch.float64)
"""The points 0, .05, ..., 1 of AUC and AUC_N, floating-point products (docs/protocols.md, R21)."""

# trapezoid weight of the first 0 ... 21 points: the ends weigh 1/40, the others 2/40
_CUMULATIVE = torch.tensor([0, *range(1, 40, 2), 40], dtype=torch.float64) / 40


def area_of_success(column: torch.Tensor) -> torch.Tensor:
    """Area that each sample adds to AUC: success (cIoU >= t) over t = 0, .05, ..., 1, trapezoid.

    Of cIoU `[N]`: `[N]` float64 in [0.025, 1] (t = 0 is always reached); NaN stays NaN.
    """
    return torch.where(column.isnan(), torch.nan, _area_below(column, side="right"))


def area_of_rejection(column: torch.Tensor) -> torch.Tensor:
    """Area that each negative adds to AUC_N: pIA <= a over a = 0, .05, ..., 1, trapezoid.

    Of pIA `[N]`: `[N]` float64 in [0.025, 1] (an empty mask gives 1); NaN stays NaN.
    """
    return torch.where(column.isnan(), torch.nan, 1 - _area_below(column, side="left"))


def _area_below(column: torch.Tensor, *, side: Literal["left", "right"]) -> torch.Tensor:
    """Summed weight of the points below each value; those equal to it count on the `right`."""
    # torch's own search wakes all threads for a few hundred values
    points = np.searchsorted(AUC_GRID.numpy(), column.double().numpy(force=True), side=side)
    return _CUMULATIVE[torch.as_tensor(points)].to(column.device)


class AUC(ConsensusIoU):
    """Area under the success rate over cIoU thresholds 0, .05, ..., 1, on positives.

    Example:
        >>> auc = AUC()
        >>> auc.update(torch.tensor([[[True, True]]]), torch.tensor([[[1.0, 0.0]]]))  # cIoU 0.5
        >>> auc.compute()
        tensor(0.5250, dtype=torch.float64)
    """

    name = "auc"
    label = "AUC"
    bounds = (1 / 40, 1.0)
    conditions = (SoundingObject.OWN,)

    from_column = staticmethod(area_of_success)


class AUCN(ImageArea):
    """AUC_N: area under the share of negatives with pIA <= a, a = 0, .05, ..., 1.

    Called `AOC_*` in the released code.

    Example:
        >>> auc_n = AUCN()
        >>> auc_n.update(torch.tensor([[[True, False]]]), torch.zeros(1, 1, 2))  # pIA 0.5
        >>> auc_n.compute()
        tensor(0.5250, dtype=torch.float64)
    """

    name = "auc_n"
    label = "AUC_N"
    bounds = (1 / 40, 1.0)
    conditions = (SoundingObject.NONE,)
    higher_is_better = True

    from_column = staticmethod(area_of_rejection)
