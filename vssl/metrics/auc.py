"""AUC on positives and AUC_N on negatives: areas under success curves.

Both are means over samples: the area that one sample adds under the curve depends on its own cIoU
or pIA alone.
"""

from __future__ import annotations

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

    Args:
        column: `[N]` cIoU in [0, 1].

    Returns:
        `[N]` float64 in [0.025, 1] (t = 0 is always reached); NaN stays NaN.

    Example:
        >>> area_of_success(torch.tensor([0.0, 0.5, 1.0]))
        tensor([0.0250, 0.5250, 1.0000], dtype=torch.float64)
    """
    grid, weights = AUC_GRID.to(column.device), _CUMULATIVE.to(column.device)
    reached = torch.searchsorted(grid, column.double().contiguous(), right=True)
    return torch.where(column.isnan(), torch.nan, weights[reached])


def area_of_rejection(column: torch.Tensor) -> torch.Tensor:
    """Area that each negative adds to AUC_N: pIA <= a over a = 0, .05, ..., 1, trapezoid.

    Args:
        column: `[N]` pIA in [0, 1].

    Returns:
        `[N]` float64 in [0.025, 1] (an empty mask gives 1); NaN stays NaN.

    Example:
        >>> area_of_rejection(torch.tensor([0.0, 0.5, 1.0]))
        tensor([1.0000, 0.5250, 0.0250], dtype=torch.float64)
    """
    grid, weights = AUC_GRID.to(column.device), _CUMULATIVE.to(column.device)
    exceeded = torch.searchsorted(grid, column.double().contiguous())
    return torch.where(column.isnan(), torch.nan, 1 - weights[exceeded])


class AUC(ConsensusIoU):
    """Area under the success rate over cIoU thresholds 0, .05, ..., 1, on positives."""

    name = "auc"
    bounds = (1 / 40, 1.0)
    conditions = (SoundingObject.OWN,)

    from_column = staticmethod(area_of_success)


class AUCN(ImageArea):
    """AUC_N: area under the share of negatives with pIA <= a, a = 0, .05, ..., 1.

    Called `AOC_*` in the released code.
    """

    name = "auc_n"
    bounds = (1 / 40, 1.0)
    conditions = (SoundingObject.NONE,)
    higher_is_better = True

    from_column = staticmethod(area_of_rejection)
