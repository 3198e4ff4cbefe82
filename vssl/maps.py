"""Maps: ground truth, upsampling, binarization. Pure functions on `[N, H, W]` tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from vssl import tensor_kernels
from vssl.core.checks import check_choice, check_maps, check_same_shape
from vssl.core.choices import MAP_TRANSFORMS, UPSAMPLING_RULES
from vssl.kernels import Places
from vssl.types import EVALUATION_SIZE, Box, Mask


def upsample(
    similarity_maps: torch.Tensor, *, size: int = EVALUATION_SIZE, rule: str = "half_pixel"
) -> torch.Tensor:
    """Upsample similarity maps to localization maps, bilinearly or bicubically.

    Args:
        similarity_maps: `[N, h, w]`, any range.
        size: side of the result in pixels.
        rule: `half_pixel` (cell i covers its share of the pixels), `opencv` (the same, rounded as
            the released code's cv2.resize rounds), `align_corners` (the centres of the corner
            cells lie on the corner pixels, as the released code has it for some positives) or
            `bicubic` (half-pixel, by torch's cubic convolution with a = -0.75).

    Returns:
        `[N, size, size]` in the range of the input, which `bicubic` can exceed.

    Raises:
        TypeError: when the maps are not floating-point.
        ValueError: for another shape or an unknown rule.
    """
    check_maps(similarity_maps, name="similarity_maps")
    check_choice(rule, UPSAMPLING_RULES, name="rule")
    if similarity_maps.shape[-2:] == (size, size):
        return similarity_maps
    if rule == "bicubic":  # on the host, since torch does not round alike on every device
        cells = similarity_maps[:, None].cpu()
        upsampled = F.interpolate(cells, size=(size, size), mode="bicubic")[:, 0]
        return upsampled.to(similarity_maps.device)
    if similarity_maps.dtype == torch.float32:
        rows, columns = (bilinear_places(side, size, rule) for side in similarity_maps.shape[1:])
        return tensor_kernels.bilinear(similarity_maps, rows, columns, rule == "opencv")
    return F.interpolate(
        similarity_maps[:, None],
        size=(size, size),
        mode="bilinear",
        align_corners=rule == "align_corners",
    )[:, 0]


@lru_cache
def bilinear_places(cells: int, size: int, rule: str) -> Places:
    """For each of `size` pixels: the cells before and behind it, and their weights.

    In float32 as torch computes them, and for `opencv` rounded to float32 at the end.
    """
    pixel = np.arange(size, dtype=np.float64)
    place: np.ndarray[Any, Any]
    if cells == size:
        place = pixel
    elif rule == "opencv":
        place = ((pixel + 0.5) * (cells / size) - 0.5).clip(0, cells - 1)
    elif rule == "align_corners":
        step = np.float32(cells - 1) / np.float32(max(size - 1, 1))
        place = pixel.astype(np.float32) * step
    else:
        step = np.float32(cells) / np.float32(size)
        place = (np.float64(step) * (pixel + 0.5) - 0.5).clip(0).astype(np.float32)
    before = np.minimum(place.astype(np.int64), cells - 1)
    behind = np.minimum(before + 1, cells - 1)
    weight = (place - before.astype(place.dtype)).clip(0, 1).astype(np.float32)
    return before, behind, np.float32(1) - weight, weight


def transform_maps(localization_maps: torch.Tensor, transform: str) -> torch.Tensor:
    """Apply a model's published post-processing to upsampled maps.

    Args:
        localization_maps: `[N, H, W]`.
        transform: `none`; `stretch`: every map is stretched to [0, 1] by its own extremes, and a
            constant map becomes 0; or `stretch_and_clip` (RCGrad): every map is stretched, then
            all below its median (the value at index H W / 2 of its sorted pixels) becomes 0, and a
            constant map 0. RCGrad's three stages of stretching give the same, as all is linear.

    Returns:
        `[N, H, W]`; but for `none` in [0, 1], NaN where a map holds NaN or is infinite.

    Raises:
        ValueError: for another shape or an unknown transform.
    """
    check_maps(localization_maps, name="localization_maps")
    check_choice(transform, MAP_TRANSFORMS, name="transform")
    if transform == "none":
        return localization_maps
    stretched = stretch(localization_maps)
    span = localization_maps.amax(dim=(1, 2)) - localization_maps.amin(dim=(1, 2))
    infinite = ~span.isfinite().view(-1, 1, 1)
    if transform == "stretch":
        return stretched.masked_fill(infinite, torch.nan)
    pixels = stretched.flatten(1)
    upper = pixels.shape[1] - pixels.shape[1] // 2
    if pixels.dtype == torch.float32:  # ten times as fast as torch's
        median = kth_largest_pixels(stretched, upper)
    else:
        median = pixels.kthvalue(pixels.shape[1] - upper + 1, dim=1).values
    clipped = stretched.masked_fill(stretched < median.view(-1, 1, 1), 0.0)
    return clipped.masked_fill(infinite, torch.nan)


def kth_largest_pixels(localization_maps: torch.Tensor, k: torch.Tensor | int) -> torch.Tensor:
    """The k-th largest pixel of each map `[N, H, W]`: `[N]` float32; NaN where a map holds NaN.

    k counts from 1: one for all maps, or `[N]`.
    """
    pixels = localization_maps.flatten(1).float().contiguous()
    ranks = torch.as_tensor(k, device=pixels.device).expand(len(pixels))
    return tensor_kernels.kth_largest(pixels, ranks)


def transformed_maximum(
    maximum: torch.Tensor, minimum: torch.Tensor, transform: str
) -> torch.Tensor:
    """Largest value of transformed maps, from the extremes `[N]` of their native similarity maps.

    For `none` it is `maximum` itself; for the others 1, or 0 where a map is the same everywhere.
    NaN where a map holds NaN.
    """
    check_choice(transform, MAP_TRANSFORMS, name="transform")
    if transform == "none":
        return maximum
    differs = ~_is_flat(minimum, maximum)
    return differs.to(maximum.dtype).masked_fill(maximum.isnan(), torch.nan)


def stretch(maps: torch.Tensor) -> torch.Tensor:
    """Stretch each map `[N, H, W]` to [0, 1] by its own extremes; constant maps become 0."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    flat = _is_flat(low, high)
    return ((maps - low) / (high - low).masked_fill(flat, 1.0)).masked_fill(flat, 0.0)


def _is_flat(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Whether maps with these extremes are constant but for the roundings of an upsampling."""
    return high - low <= 4 * torch.finfo(low.dtype).eps * torch.maximum(low.abs(), high.abs())


def to_unit_range(maps: torch.Tensor, value_range: tuple[float, float]) -> torch.Tensor:
    """Bring maps of some range to [0, 1]."""
    low, high = value_range
    if (low, high) == (0, 1):
        return maps
    return (maps - low) / maps.new_tensor(high - low)  # by a number CUDA does not divide exactly


def object_guided(
    localization_maps: torch.Tensor,
    object_maps: torch.Tensor,
    *,
    alpha: float,
    place: torch.Tensor | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> torch.Tensor:
    """Object-guided localization: `alpha * av + (1 - alpha) * object`.

    Source: EZ-VSL (Mo and Morgado, ECCV 2022), with alpha 0.4.

    Args:
        localization_maps: `[N, H, W]` audio-visual maps.
        object_maps: `[M, H, W]` object maps, upsampled.
        alpha: weight of the audio-visual map, in [0, 1].
        place: `[N]` which object map each map is mixed with; None where M = N.
        value_range: range of the audio-visual maps that is brought to [0, 1] first.

    Raises:
        ValueError: for other shapes, or sides that differ.
    """
    check_maps(localization_maps, name="localization_maps")
    check_maps(object_maps, name="object_maps")
    if place is None:
        check_same_shape(localization_maps, object_maps, names="audio-visual and object maps")
        place = torch.arange(len(object_maps))
    check_same_shape(localization_maps[0], object_maps[0], names="audio-visual and object maps")
    own = to_unit_range(localization_maps, value_range)
    seen = object_maps if len(object_maps) == 1 else object_maps[place]
    return (alpha * own).add_((1 - alpha) * seen)


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
    boxes: Sequence[Box],
    weights: Sequence[float],
    masks: Sequence[Mask] = (),
    mask_weights: Sequence[float] = (),
    *,
    size: int = EVALUATION_SIZE,
) -> torch.Tensor:
    """Ground-truth map: the summed weights of the boxes and masks that cover a pixel, clipped to 1.

    With weights of 1 this is their union (VGG-SS, IS3, AVSBench); with annotators' votes / 2 it is
    Flickr-SoundNet's consensus map.

    Args:
        boxes: `(x0, y0, x1, y1)` in pixels of `size`, half-open, not negative.
        weights: one weight per box, in (0, 1].
        masks: of side `size`, from `encode_mask`.
        mask_weights: one weight per mask, in (0, 1].
        size: side of the map.

    Returns:
        `[size, size]` float32 in [0, 1].

    Raises:
        ValueError: when the numbers of boxes, or masks, and weights differ.
    """
    given = (("box", "boxes", boxes, weights), ("mask", "masks", masks, mask_weights))
    for kind, kinds, regions, own in given:
        if len(regions) != len(own):
            raise ValueError(
                f"Expected one weight per {kind}, but got {len(regions)} {kinds} and {len(own)}"
                " weights."
            )
    ground_truth = torch.zeros(size, size)
    for (x0, y0, x1, y1), weight in zip(boxes, weights, strict=True):
        ground_truth[y0:y1, x0:x1] += weight
    for mask, weight in zip(masks, mask_weights, strict=True):
        ground_truth += weight * torch.from_numpy(decode_mask(mask, size=size))
    return ground_truth.clamp_(max=1.0)


def encode_mask(mask: npt.NDArray[np.bool_]) -> Mask:
    r"""Encode a binary mask `[size, size]`: the places where its pixels, row by row, change.

    Places are 16-bit little-endian numbers; the first is where the first marked pixel is. So a
    mask takes some hundred bytes, and equal masks have equal bytes.

    Example:
        >>> mask = np.zeros((4, 4), bool)
        >>> mask[1, 1:3] = True
        >>> encode_mask(mask)
        b'\x05\x00\x07\x00'
        >>> bool((decode_mask(encode_mask(mask), size=4) == mask).all())
        True
    """
    changes = np.diff(mask.ravel().astype(bool, copy=False), prepend=False)
    return np.flatnonzero(changes).astype("<u2").tobytes()


def mask_pixels(mask: Mask) -> int:
    """Count the marked pixels of a mask of the evaluation size, without decoding it."""
    changes = np.frombuffer(mask, "<u2").astype(np.int64)
    if len(changes) % 2:  # marked to its end
        changes = np.append(changes, EVALUATION_SIZE**2)
    return int((changes[1::2] - changes[::2]).sum())


def decode_mask(mask: Mask, *, size: int = EVALUATION_SIZE) -> npt.NDArray[np.bool_]:
    """Decode a mask of `encode_mask`: `[size, size]` bool."""
    changes = np.zeros(size * size, np.uint8)
    changes[np.frombuffer(mask, "<u2")] = 1
    return (np.cumsum(changes, dtype=np.uint16) % 2).astype(bool).reshape(size, size)
