"""SLAVC's detection view: a model must say whether something sounds, and if so where.

Source: Mo and Morgado, "A Closer Look at Weakly-Supervised Audio-Visual Source Localization",
NeurIPS 2022; SLAVC utils.py:EvaluatorFull. Its LocAcc, which ignores the confidence, is the success
rate.
"""

from __future__ import annotations

import numpy as np
import torch

from vssl import tensor_kernels
from vssl.core.arrays import Counts
from vssl.core.checks import check_maps
from vssl.metrics.base import FRACTION, MapMetric
from vssl.metrics.ranking import detection_statistics
from vssl.metrics.set_metric import Family, SetMetric, Values, ordered
from vssl.types import SoundingObject


def map_confidence(localization_maps: torch.Tensor) -> torch.Tensor:
    """Mean of the top quarter of a map's pixels.

    Source: SLAVC test.py. SLAVC first rescales the map; we take it as it is, which changes no
    order within one map variant.

    Args:
        localization_maps: `[N, H, W]`.

    Returns:
        `[N]` float64; NaN where a map holds NaN.
    """
    check_maps(localization_maps, name="localization_maps")
    pixels = localization_maps.flatten(1).float().contiguous()
    return tensor_kernels.mean_of_largest(pixels, max(1, pixels.shape[1] // 4))


class Confidence(MapMetric):
    """Mean confidence, see `map_confidence`; measured for the detection metrics.

    Example:
        >>> confidence = Confidence()
        >>> confidence.update(torch.tensor([[[0.1, 0.2], [0.9, 0.3]]]), torch.ones(1, 2, 2))
        >>> confidence.compute()
        tensor(0.9000, dtype=torch.float64)
    """

    name = "confidence"
    column = "confidence"
    conditions = tuple(SoundingObject)
    higher_is_better = True
    bounds = FRACTION

    @staticmethod
    def measure(localization_maps: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        """See `map_confidence`."""
        return map_confidence(localization_maps)


def detection(positives: Values, negatives: Values, weights: Counts) -> Family:
    """Average precision and best F1 over all confidence thresholds.

    A positive fires when its confidence reaches the threshold: it is a true positive when its cIoU
    reaches 0.5, else a false one; a negative that fires is a false positive; a positive that does
    not fire is a false negative. SLAVC takes about 200 thresholds for AP and 11 for F1, we take
    all. AP is interpolated: at each recall the best precision at that recall or a higher one.
    Arguments as in `SetMetric.family`.

    Returns:
        By metric name, `[B, K]`; NaN without positives.
    """
    order, ends = ordered(positives, negatives)
    place = np.where(order < len(positives.value), order, -1)
    image = np.concatenate([positives.image, negatives.image])[order]
    found = detection_statistics(ends, place, positives.success, image, weights)
    return {"detection_ap": found[..., 0], "max_f1": found[..., 1]}


class _Detection(SetMetric):
    column = Confidence.column
    map_metrics = (Confidence,)
    by_threshold = True
    higher_is_better = True
    bounds = FRACTION

    family = staticmethod(detection)


class DetectionAP(_Detection):
    """Interpolated average precision of detections (SLAVC's AP), from map confidences.

    Example:
        >>> ap = DetectionAP()
        >>> confidence, positive = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([1, 0, 1])
        >>> ap.update(confidence, positive, success=torch.tensor([True, False, True]))
        >>> ap.compute()
        tensor(0.8333, dtype=torch.float64)
    """

    name = "detection_ap"
    label = "detection AP"


class MaxF1(_Detection):
    """Largest F1 of detections over all confidence thresholds (SLAVC's max-F1).

    Example:
        >>> f1 = MaxF1()
        >>> confidence, positive = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([1, 0, 1])
        >>> f1.update(confidence, positive, success=torch.tensor([True, False, True]))
        >>> f1.compute()
        tensor(0.8000, dtype=torch.float64)
    """

    name = "max_f1"
    label = "max-F1"
