"""How much of what is marked lies beside the object."""

import torch

from vssl.metrics.base import FRACTION, SampleMetric
from vssl.types import SoundingObject


class Outside(SampleMetric):
    name = column = "outside"
    label = "outside"
    conditions = (SoundingObject.OWN,)
    higher_is_better = False
    bounds = FRACTION

    @staticmethod
    def measure(masks: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        beside = (masks & (ground_truth == 0)).flatten(1).sum(dim=1).double()
        return beside / masks.flatten(1).sum(dim=1)  # NaN where nothing is marked: undefined
