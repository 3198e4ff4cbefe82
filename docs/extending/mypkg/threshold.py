"""A universal threshold: the largest median of the maxima of a negative type."""

import numpy as np

from vssl.core.arrays import Array
from vssl.thresholds.universal import LearntThreshold


class MedianThreshold(LearntThreshold):
    def level(self, maxima: Array) -> float:
        return float(np.median(maxima))
