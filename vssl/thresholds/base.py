"""The contract of a threshold policy, and the fixed threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from vssl.core.arrays import Array, Names
from vssl.core.checks import check_finite
from vssl.core.errors import UsageError

EACH_MAP = "each map"
"""Source of a policy under which each map has another threshold."""


class ThresholdError(UsageError):
    """A threshold policy that cannot be used here; the message says why and what would help."""


class ThresholdPolicy:
    """How a localization map becomes a mask: `mask = map > threshold`.

    Attributes:
        name: the policy's name in configuration, scores and tables.
        needs_fit: whether `fit` must be called with the maxima of negatives first.
        source: origin of a threshold that is not fitted: `constant`, `released code`, or `EACH_MAP`
            where every map has its own threshold, as in a class that overrides `threshold`.
        in_map_units: whether the threshold was given in units of one model's own similarity map,
            so that it means nothing on a map that was rescaled.
    """

    name: str
    needs_fit: bool = False
    source: str = "constant"
    in_map_units: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "threshold" in vars(cls) and "source" not in vars(cls):
            cls.source = EACH_MAP

    def fit(self, similarity_max: Array, condition: Names) -> None:
        """Learn from negatives; policies that need none ignore the call.

        Args:
            similarity_max: `[R]` maxima of native similarity maps; of post-processed maps for a
                model with a `map_transform`, of upsampled mixes for object-guided maps.
            condition: `[R]` name of each one's negative audio condition.
        """

    def check_model(self, model: str) -> None:
        """Raise a ThresholdError where the policy does not exist for a model."""

    def constant(self) -> float | None:
        """The one threshold of all maps; None where each has its own.

        Raises:
            ThresholdError: when it is not known yet.
        """
        return None

    def threshold(
        self, localization_maps: torch.Tensor, ground_truth: torch.Tensor
    ) -> torch.Tensor:
        """Threshold of each map.

        A policy defines `constant`, or overrides this.

        Args:
            localization_maps: `[N, H, W]`.
            ground_truth: `[N, H, W]` in [0, 1]; only policies that are oracles look at it.

        Returns:
            `[N]` float32; NaN where a map holds NaN and the threshold is its own.

        Raises:
            ThresholdError: when the policy was not fitted, or no model was named.
        """
        value = self.constant()
        if value is not None:
            return localization_maps.new_full((len(localization_maps),), value)
        raise NotImplementedError(f"{type(self).__name__} defines no threshold.")


class FixedThreshold(ThresholdPolicy):
    """One constant for all maps.

    Args:
        value: the threshold, in units of the localization map.
        name: the policy's name.

    Example:
        >>> maps = torch.tensor([[[0.2, 0.9]], [[0.5, 0.6]]])
        >>> FixedThreshold(value=0.5).threshold(maps, torch.zeros_like(maps))
        tensor([0.5000, 0.5000])
    """

    def __init__(self, *, value: float = 0.5, name: str = "fixed") -> None:
        check_finite(float(value), name="value")
        self.value = value
        self.name = name

    def constant(self) -> float:
        """The constant."""
        return self.value


class InclusiveThreshold(FixedThreshold):
    """One constant for all maps, at which pixels are marked too: `mask = map >= value`."""

    def constant(self) -> float:
        """The next float32 below the value."""
        return float(np.nextafter(np.float32(self.value), np.float32(-np.inf)))
