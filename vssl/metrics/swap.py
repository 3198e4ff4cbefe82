"""The swap test: does the map move to the other object when the other object's sound plays?"""

from __future__ import annotations

import torch

from vssl.core.arrays import Array
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.base import SwapMetric
from vssl.metrics.ciou import consensus_iou, packed_consensus_iou


class SwapDelta(SwapMetric):
    """Mean of cIoU with the own object minus cIoU with the image's other object.

    For images that show two objects, each with its own sound (IS3, the embedded benchmark). Over an
    image's two samples the mean is also the cIoU that an object loses when the other one sounds. A
    model that does not listen has 0, except under `object_area`, whose threshold depends on the
    sounding object's size. Ours; related to IIoU, but without a level of IoU.

    Example:
        >>> delta = SwapDelta()
        >>> own, other = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
        >>> delta.update(torch.tensor([[[True, False]]]), own, other)
        >>> delta.compute()
        tensor(1., dtype=torch.float64)
    """

    name = "swap_delta"
    column = "swap_delta"
    higher_is_better = True
    bounds = (-1.0, 1.0)

    @staticmethod
    def measure(
        masks: torch.Tensor, ground_truth: torch.Tensor, other: torch.Tensor
    ) -> torch.Tensor:
        """`[N]` float64 in [-1, 1]; NaN where either cIoU is undefined."""
        return consensus_iou(masks, ground_truth) - consensus_iou(masks, other)

    @classmethod
    def measure_packed(cls, masks: PackedMasks, truth: PackedTruth, other: PackedTruth) -> Array:
        """The same of masks as bits."""
        return packed_consensus_iou(masks, truth) - packed_consensus_iou(masks, other)
