"""Thresholds that fix the size of what is marked: half the image, or the object's own area.

Both use knowledge that a real system lacks: that something sounds, and how large it is. Neither
can say "nothing here".
"""

from __future__ import annotations

import numpy as np

from vssl.thresholds.base import EACH_MAP, Index, ThresholdPolicy


class HalfImage(ThresholdPolicy):
    """The value at index P // 2 of a map's P sorted pixels: the upper half is marked.

    The "median" threshold of LVS, EZ-VSL and most later papers. A map with ties at that value
    marks less than half, a constant map nothing, since masks are strict.
    """

    name = "half_image"
    source = EACH_MAP

    def rank(self, object_area: Index, pixels: int) -> Index:
        """Half of the pixels, rounded up."""
        return np.full(len(object_area), pixels - pixels // 2)


class ObjectArea(ThresholdPolicy):
    """The k-th largest pixel, k being the number of ground-truth pixels ("adaptive").

    Where the ground truth is empty, half the image. An oracle: it is told the object's size.
    Masks are strict, so one pixel fewer than the object has is marked, as in the released code
    (QUIRKS 30).
    """

    name = "object_area"
    source = EACH_MAP

    def rank(self, object_area: Index, pixels: int) -> Index:
        """The object's number of pixels."""
        return np.where(object_area > 0, object_area, pixels - pixels // 2)
