"""Thresholds that fix the size of what is marked: half the image, or the object's own area.

Both use knowledge that a real system lacks: that something sounds, and how large it is. Neither
can say "nothing here".
"""

from __future__ import annotations

import numpy as np
import torch

from vssl.thresholds.base import EACH_MAP, ThresholdPolicy


class HalfImage(ThresholdPolicy):
    """The value at index P // 2 of a map's P sorted pixels: the upper half is marked.

    The "median" threshold of LVS, EZ-VSL and most later papers. A map with ties at that value
    marks less than half, a constant map nothing, since masks are strict.
    """

    name = "half_image"
    source = EACH_MAP

    def threshold(
        self, localization_maps: torch.Tensor, ground_truth: torch.Tensor
    ) -> torch.Tensor:
        """Upper median of each map, `[N]`."""
        pixels = localization_maps.flatten(1)
        return _sorted_value(pixels, pixels.new_full((len(pixels),), pixels.shape[1] // 2))


class ObjectArea(ThresholdPolicy):
    """The k-th largest pixel, k being the number of ground-truth pixels ("adaptive").

    Where the ground truth is empty, half the image. An oracle: it is told the object's size.
    Masks are strict, so one pixel fewer than the object has is marked, as in the released code
    (QUIRKS 30).
    """

    name = "object_area"
    source = EACH_MAP

    def threshold(
        self, localization_maps: torch.Tensor, ground_truth: torch.Tensor
    ) -> torch.Tensor:
        """The k-th largest value of each map, `[N]`."""
        pixels = localization_maps.flatten(1)
        area = (ground_truth > 0).flatten(1).sum(dim=1)
        index = torch.where(area > 0, pixels.shape[1] - area, pixels.shape[1] // 2)
        return _sorted_value(pixels, index)


def _sorted_value(pixels: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Value at `index` of each row's ascending order, NaN where a row holds NaN.

    By selection, which is several times faster than sorting; rows with the same index (the audio
    conditions of one image) go together. NumPy's selection, since torch's slows down
    quadratically on maps with many equal values.
    """
    rows, positions = pixels.numpy(force=True), index.long().numpy(force=True)
    value = np.empty(len(rows), dtype=rows.dtype)
    for position in np.unique(positions):
        chosen = positions == position
        value[chosen] = np.partition(rows[chosen], position, axis=1)[:, position]
    value[np.isnan(rows).any(axis=1)] = np.nan
    return torch.from_numpy(value).to(pixels.device)
