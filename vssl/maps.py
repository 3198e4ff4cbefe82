"""Maps: ground truth, upsampling, binarization. Pure functions on `[N, H, W]` tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from vssl.checks import check_choice, check_maps
from vssl.types import EVALUATION_SIZE, Box

UPSAMPLING_RULES = ("half_pixel", "align_corners", "opencv")


def upsample(
    similarity_maps: torch.Tensor, *, size: int = EVALUATION_SIZE, rule: str = "half_pixel"
) -> torch.Tensor:
    """Upsample similarity maps bilinearly to localization maps.

    Args:
        similarity_maps: `[N, h, w]`, any range.
        size: side of the result in pixels.
        rule: `half_pixel` (cell i covers its share of the pixels), `opencv` (the same, rounded as
            the cv2.resize of the released code rounds; several times slower) or `align_corners`
            (the centres of the corner cells lie on the corner pixels; what the released code does
            to some positives only, QUIRKS 27).

    Returns:
        `[N, size, size]` in the range of the input.

    Raises:
        TypeError: when the maps are not floating-point.
        ValueError: for another shape or an unknown rule.
    """
    check_maps(similarity_maps, name="similarity_maps")
    check_choice(rule, UPSAMPLING_RULES, name="rule")
    if similarity_maps.shape[-2:] == (size, size):
        return similarity_maps
    if rule == "opencv":
        return _stretch(_stretch(similarity_maps, size, dim=2), size, dim=1)
    return F.interpolate(
        similarity_maps[:, None],
        size=(size, size),
        mode="bilinear",
        align_corners=rule == "align_corners",
    )[:, 0]


def _stretch(maps: torch.Tensor, size: int, *, dim: int) -> torch.Tensor:
    """Linear interpolation along one dimension as `a + (b - a) * w`, rounded twice to float32.

    The difference is rounded once; the rest is exact in float64 (the weights have few bits), so it
    is rounded once too, on any machine, like the fused multiply-add behind the released numbers.
    """
    cells = maps.shape[dim]
    centres = (torch.arange(size, dtype=torch.float64, device=maps.device) + 0.5) * (cells / size)
    place = (centres - 0.5).clamp(0, cells - 1)
    left = place.floor().long()
    shape = [1, 1, 1]
    shape[dim] = size
    step = torch.diff(maps, dim=dim, append=maps.narrow(dim, cells - 1, 1))
    stretched = step.double().index_select(dim, left).mul_((place - left).view(shape))
    return stretched.add_(maps.index_select(dim, left)).to(maps.dtype)


def binarize(localization_maps: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    """Binary masks `map > threshold` (strict: a pixel at the threshold is not marked).

    Args:
        localization_maps: `[N, H, W]`.
        threshold: one number or `[N]`.

    Returns:
        `[N, H, W]` bool; False where the map or the threshold is NaN.

    Raises:
        TypeError: when the maps are not floating-point.
        ValueError: for another shape or number of thresholds.
    """
    check_maps(localization_maps, name="localization_maps")
    if isinstance(threshold, torch.Tensor):
        if threshold.numel() not in (1, len(localization_maps)):
            raise ValueError(
                f"Expected one threshold or one per map, but got {threshold.numel()} for"
                f" {len(localization_maps)} maps."
            )
        threshold = threshold.to(localization_maps.dtype).view(-1, 1, 1)
    return localization_maps > threshold


def consensus_map(
    boxes: Sequence[Box], weights: Sequence[float], *, size: int = EVALUATION_SIZE
) -> torch.Tensor:
    """Ground-truth map: the summed weights of the boxes that cover a pixel, clipped to 1.

    With weights of 1 this is the union of the boxes (VGG-SS, IS3); with annotators' votes / 2 it
    is Flickr-SoundNet's consensus map.

    Args:
        boxes: `(x0, y0, x1, y1)` in pixels of `size`, half-open, not negative.
        weights: one weight per box, in (0, 1].
        size: side of the map.

    Returns:
        `[size, size]` float32 in [0, 1].

    Raises:
        ValueError: when the numbers of boxes and weights differ.
    """
    if len(boxes) != len(weights):
        raise ValueError(
            f"Expected one weight per box, but got {len(boxes)} boxes and {len(weights)} weights."
        )
    ground_truth = torch.zeros(size, size)
    for (x0, y0, x1, y1), weight in zip(boxes, weights, strict=True):
        ground_truth[y0:y1, x0:x1] += weight
    return ground_truth.clamp_(max=1.0)
