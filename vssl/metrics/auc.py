"""AUC on positives and AUC_N on negatives: areas under success curves.

Both are means over samples: the area that one sample adds under the curve depends on its own cIoU
or pIA alone.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.pia import ImageArea
from vssl.types import SoundingObject

AUC_GRID = 0.05 * torch.arange(21, dtype=torch.float64)
"""The 21 points 0, .05, ..., 1 of AUC and AUC_N, as floating-point products (QUIRKS 39)."""


def area_of_success(ciou: torch.Tensor) -> torch.Tensor:
    """Area that each sample adds to AUC: success (cIoU >= t) over t = 0, .05, ..., 1, trapezoid.

    Args:
        ciou: `[N]` in [0, 1].

    Returns:
        `[N]` float64 in [0.025, 1] (t = 0 is always reached); NaN stays NaN.

    Example:
        >>> area_of_success(torch.tensor([0.0, 0.5, 1.0]))
        tensor([0.0250, 0.5250, 1.0000], dtype=torch.float64)
    """
    reached = torch.searchsorted(AUC_GRID.to(ciou.device), ciou.double().contiguous(), right=True)
    area = _cumulative_weights(ciou.device)[reached]
    return torch.where(ciou.isnan(), torch.nan, area)


def area_of_rejection(pia: torch.Tensor) -> torch.Tensor:
    """Area that each negative adds to AUC_N: pIA <= a over a = 0, .05, ..., 1, trapezoid.

    Args:
        pia: `[N]` in [0, 1].

    Returns:
        `[N]` float64 in [0.025, 1] (an empty mask gives 1); NaN stays NaN.

    Example:
        >>> area_of_rejection(torch.tensor([0.0, 0.5, 1.0]))
        tensor([1.0000, 0.5250, 0.0250], dtype=torch.float64)
    """
    exceeded = torch.searchsorted(AUC_GRID.to(pia.device), pia.double().contiguous())
    area = 1 - _cumulative_weights(pia.device)[exceeded]
    return torch.where(pia.isnan(), torch.nan, area)


class AUC(ConsensusIoU):
    """Area under the success rate over cIoU thresholds 0, .05, ..., 1, on positives."""

    name = "auc"
    bounds: ClassVar[tuple[float, float] | None] = (1 / 40, 1.0)
    conditions: ClassVar[tuple[str, ...]] = (SoundingObject.OWN,)

    @staticmethod
    def from_column(column: torch.Tensor) -> torch.Tensor:
        """See `area_of_success`."""
        return area_of_success(column)


class AUCN(ImageArea):
    """AUC_N: area under the share of negatives with pIA <= a, a = 0, .05, ..., 1.

    Called `AOC_*` in the released code.
    """

    name = "auc_n"
    bounds: ClassVar[tuple[float, float] | None] = (1 / 40, 1.0)
    conditions: ClassVar[tuple[str, ...]] = (SoundingObject.NONE,)
    higher_is_better = True

    @staticmethod
    def from_column(column: torch.Tensor) -> torch.Tensor:
        """See `area_of_rejection`."""
        return area_of_rejection(column)


def _cumulative_weights(device: torch.device) -> torch.Tensor:
    """Trapezoid weight of the first i of the 21 grid points, i = 0 ... 21.

    The ends weigh 1/40, the others 2/40; as whole fortieths, so that their sum is exactly 1.
    """
    fortieths = torch.tensor([0, *range(1, 40, 2), 40], dtype=torch.float64, device=device)
    return fortieths / 40
