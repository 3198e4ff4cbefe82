"""Thresholds that fix the marked area: half of the image, or the area of the object.

Both use knowledge that a real system lacks: that something sounds, and how large it is. Neither
can say "nothing here".
"""

from __future__ import annotations

import torch

from vssl.maps import kth_largest_pixels
from vssl.thresholds.base import ThresholdPolicy


def _half(localization_maps: torch.Tensor) -> int:
    """Half of the pixels, rounded up."""
    pixels = localization_maps.shape[1] * localization_maps.shape[2]
    return pixels - pixels // 2


class HalfImage(ThresholdPolicy):
    """The value at index P // 2 of a map's P sorted pixels: the upper half is marked.

    The "median" threshold of LVS, EZ-VSL and most later papers. A map with ties at that value
    marks less than half, a constant map nothing, since masks are strict.

    Example:
        >>> maps = torch.tensor([[[0.1, 0.2], [0.3, 0.4]]])
        >>> HalfImage().threshold(maps, torch.zeros_like(maps))
        tensor([0.3000])
    """

    name = "half_image"

    def threshold(
        self, localization_maps: torch.Tensor, ground_truth: torch.Tensor
    ) -> torch.Tensor:
        """The pixel of each map that half of its pixels reach."""
        return kth_largest_pixels(localization_maps, _half(localization_maps))


class ObjectArea(ThresholdPolicy):
    """The k-th largest pixel, k being the number of ground-truth pixels ("adaptive").

    An oracle, since it knows the object's size. An empty ground truth gives half the image. Masks
    are strict, so one pixel fewer than the object has is marked, as in the released code.

    Example:
        >>> maps = torch.tensor([[[0.1, 0.2], [0.3, 0.4]]])
        >>> ObjectArea().threshold(maps, torch.tensor([[[1.0, 1.0], [1.0, 0.0]]]))
        tensor([0.2000])
    """

    name = "object_area"

    def threshold(
        self, localization_maps: torch.Tensor, ground_truth: torch.Tensor
    ) -> torch.Tensor:
        """The pixel of each map that as many pixels reach as its object has."""
        shared = ground_truth.stride(0) == 0  # one ground truth, seen as one for each map
        distinct = ground_truth[:1] if shared else ground_truth
        # a float sum is several times faster than an integer one, and exact below 2^24 pixels
        area = (distinct > 0).flatten(1).float().sum(dim=1).long()
        half = _half(localization_maps)
        return kth_largest_pixels(localization_maps, area.masked_fill(area == 0, half))
