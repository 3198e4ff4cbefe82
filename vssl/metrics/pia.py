"""pIA, the percentage of image area: how much of the image a mask marks."""

from __future__ import annotations

import torch

from vssl.core.arrays import Array
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.base import FRACTION, SampleMetric, check_masks
from vssl.types import SoundingObject


def image_area(masks: torch.Tensor) -> torch.Tensor:
    """Per-sample share of marked pixels.

    Source: Juanola et al., ICASSP 2025; vssl_eval utils_dir/eval_utils.py:compute_pIA. The paper
    prints it as a percentage; here it is a fraction.

    Args:
        masks: `[N, H, W]` bool.

    Returns:
        `[N]` float64 in [0, 1].
    """
    # a float sum is several times faster than an integer one, and exact below 2^24 pixels
    return masks.flatten(1).float().sum(dim=1).double() / (masks.shape[1] * masks.shape[2])


class ImageArea(SampleMetric):
    """Mean pIA. Lower is better on negatives; elsewhere it is the size of the marked area.

    Example:
        >>> pia = ImageArea()
        >>> pia.update(torch.tensor([[[True, False]]]), torch.zeros(1, 1, 2))
        >>> pia.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    name = "pia"
    label = "pIA"
    column = "pia"
    conditions = tuple(SoundingObject)
    higher_is_better = False
    bounds = FRACTION

    @staticmethod
    def measure(masks: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        """See `image_area`."""
        check_masks(masks, ground_truth)
        return image_area(masks)

    @classmethod
    def measure_packed(cls, masks: PackedMasks, truth: PackedTruth) -> Array:
        """The same of masks as bits."""
        return masks.area / (masks.shape[0] * masks.shape[1])
