"""Threshold policies: how a localization map becomes a binary mask.

A policy gives `threshold(localization_maps, ground_truth)`, one for each map; the mask is
`map > threshold`. `UniversalThreshold` and `FalseAlarmThreshold` are learnt from negatives first,
`BestOf` is chosen by the ground truth of positives.

Example:
    >>> import numpy as np, torch
    >>> policy = UniversalThreshold(statistic="third_quartile", name="universal_q3")
    >>> policy.fit(np.array([0.1, 0.2, 0.3]), np.array(["silence", "noise", "noise"]))
    >>> maps = torch.tensor([[[0.1, 0.4], [0.2, 0.9]]])
    >>> maps > policy.threshold(maps, torch.zeros_like(maps)).view(-1, 1, 1)
    tensor([[[False,  True],
             [False,  True]]])
"""

from vssl.thresholds.base import FixedThreshold, InclusiveThreshold, ThresholdError, ThresholdPolicy
from vssl.thresholds.chosen import BestOf, ChosenThreshold
from vssl.thresholds.false_alarm import FalseAlarmThreshold
from vssl.thresholds.half_range import HalfRange
from vssl.thresholds.released import ReleasedThreshold
from vssl.thresholds.size_aware import HalfImage, ObjectArea
from vssl.thresholds.universal import LearntThreshold, UniversalThreshold

__all__ = [
    "BestOf",
    "ChosenThreshold",
    "FalseAlarmThreshold",
    "FixedThreshold",
    "HalfImage",
    "HalfRange",
    "InclusiveThreshold",
    "LearntThreshold",
    "ObjectArea",
    "ReleasedThreshold",
    "ThresholdError",
    "ThresholdPolicy",
    "UniversalThreshold",
]
