"""The pointing game: does the map's highest point lie on the object?"""

from __future__ import annotations

import torch

from vssl.core.checks import check_maps, check_same_shape
from vssl.metrics.base import FRACTION, MapMetric
from vssl.types import SoundingObject


def points_at_object(localization_maps: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
    """Whether a map's largest pixel lies inside the ground truth; of several, any.

    Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016, without its
    margin of 15 pixels.

    Args:
        localization_maps: `[N, H, W]`.
        ground_truth: `[N, H, W]` in [0, 1]; any weight above 0 is inside.

    Returns:
        `[N]` float64, 0 or 1; NaN where the ground truth is empty or the map holds NaN.

    Raises:
        ValueError: for other shapes, or two that differ.
    """
    check_maps(localization_maps, name="localization_maps")
    check_same_shape(localization_maps, ground_truth, names="maps and ground truth")
    inside = ground_truth > 0
    highest = localization_maps.amax(dim=(1, 2), keepdim=True)
    hit = ((localization_maps == highest) & inside).flatten(1).any(dim=1).double()
    undefined = ~inside.flatten(1).any(dim=1) | highest.flatten().isnan()
    return hit.masked_fill(undefined, torch.nan)


class PointingGame(MapMetric):
    """Share of positives whose highest point lies on the object. Needs no threshold.

    Example:
        >>> pointing = PointingGame()
        >>> maps = torch.tensor([[[0.2, 0.9]], [[0.9, 0.2]]])
        >>> pointing.update(maps, torch.tensor([[[0.0, 1.0]], [[0.0, 1.0]]]))
        >>> pointing.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    name = "pointing_game"
    column = "pointing_game"
    conditions = (SoundingObject.OWN,)
    higher_is_better = True
    bounds = FRACTION

    measure = staticmethod(points_at_object)
