"""cIoU: how well a mask covers the ground truth."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from vssl.core.arrays import Array
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.base import FRACTION, HigherForOwn, SampleMetric, check_masks
from vssl.types import SoundingObject

SUCCESS = 0.5
"""cIoU from which a sample counts as a success."""


def consensus_iou(masks: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
    r"""Per-sample consensus IoU.

    .. math:: \frac{\sum M G}{\sum G + \sum_{G = 0} M}

    Where the ground truth is 0 or 1 everywhere, as with masks or boxes of weight 1, it is IoU.

    Source: Senocak et al., Learning to Localize Sound Source in Visual Scenes, CVPR 2018; as in
    vssl_eval utils_dir/utils.py (docs/protocols.md).

    Args:
        masks: `[N, H, W]` bool.
        ground_truth: `[N, H, W]` floating-point in [0, 1], 0/1 or annotators' consensus.

    Returns:
        `[N]` float64 in [0, 1]; NaN where mask and ground truth are both empty.

    Raises:
        TypeError: for masks that are not boolean or a ground truth that is not floating-point.
        ValueError: for shapes other than `[N, H, W]`, or two different ones.
    """
    check_masks(masks, ground_truth)
    weights = ground_truth.flatten(1)
    weights = weights if weights.dtype == torch.float64 else weights.float()
    marked = masks.flatten(1).to(weights.dtype)
    # sums of up to 2^24 zeros, ones and halves are exact in float32
    covered = _dot(marked, weights)
    beside = marked.sum(dim=1).double() - _dot(marked, (weights > 0).to(weights.dtype))
    return covered / (weights.sum(dim=1).double() + beside)


def packed_consensus_iou(masks: PackedMasks, truth: PackedTruth) -> Array:
    """`consensus_iou` of masks and ground truths as bits; N masks may share one ground truth.

    Returns:
        `[N]` float64 in [0, 1]; NaN where mask and ground truth are both empty.
    """
    covered, inside = truth.covered_and_inside(masks)
    with np.errstate(invalid="ignore"):
        return np.asarray(covered / (truth.total + masks.area - inside))


def _dot(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Row by row inner product of `[N, P]` tensors: `[N]` float64, exact also in autocast."""
    with torch.autocast(first.device.type, enabled=False):
        return torch.bmm(first[:, None, :], second[:, :, None])[:, 0, 0].double()


class ConsensusIoU(HigherForOwn, SampleMetric):
    """Mean cIoU with the sample's own object.

    On positives it is the cIoU in F_LOC. Where the own object sounds in another way, it shows how
    much change of sound the map withstands. Where another object sounds, or under offscreen audio,
    it is a control: it shows how much of the map ignores the sound.

    Example:
        >>> ciou = ConsensusIoU()
        >>> ciou.update(torch.tensor([[[True, True]]]), torch.tensor([[[1.0, 0.0]]]))
        >>> ciou.update(torch.tensor([[[True, False]]]), torch.tensor([[[1.0, 0.0]]]))
        >>> ciou.compute()
        tensor(0.7500, dtype=torch.float64)
    """

    name = "ciou"
    label = "cIoU"
    column = "ciou"
    conditions: ClassVar[tuple[str, ...]] = (SoundingObject.OWN, SoundingObject.OTHER, "offscreen")
    higher_is_better = True
    bounds = FRACTION

    measure = staticmethod(consensus_iou)
    measure_packed = staticmethod(packed_consensus_iou)


class SuccessRate(ConsensusIoU):
    """Share of samples with cIoU >= 0.5. Older papers print this as "cIoU" or "AP50".

    Example:
        >>> success = SuccessRate()
        >>> success.update(torch.tensor([[[True, True]]]), torch.tensor([[[1.0, 0.0]]]))
        >>> success.compute()
        tensor(1., dtype=torch.float64)
    """

    name = "success_rate"
    conditions = (SoundingObject.OWN,)

    @staticmethod
    def from_column(column: torch.Tensor) -> torch.Tensor:
        """1 where cIoU >= 0.5, else 0; NaN stays NaN."""
        return torch.where(column.isnan(), torch.nan, (column >= SUCCESS).double())
