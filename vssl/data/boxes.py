"""Faults of ground-truth boxes: empty, or in another unit than expected."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vssl.maps import consensus_map, mask_pixels
from vssl.types import EVALUATION_SIZE, Box, Sample

LEAST_PIXELS = 16
"""Least area of a ground truth in pixels of the evaluation size, 0.03 % of the image.

The smallest object of IS3 has 220. Below this no map of a network can point at the object.
"""

_BEYOND = 1.0
"""Sides of the image by which a box may reach beyond its edge; more means another unit."""

Annotated = Sequence[float]
"""`x0, y0, x1, y1` as annotated, in fractions of the image's sides, not clipped."""


def pixels_of(box: Sequence[float], *, full: float) -> Box:
    """Convert an annotated box to pixels of the evaluation size, clipped and rounded down.

    `full` is the side of the image in the box's unit: 1 for fractions, 224 for pixels.

    Raises:
        ValueError: when a number is NaN or infinite.
    """
    if not all(math.isfinite(value) for value in box):
        raise ValueError(f"the box {list(box)} holds NaN or infinity")
    scale = EVALUATION_SIZE / full
    x0, y0, x1, y1 = (int(min(max(float(value), 0.0), full) * scale) for value in box)
    return x0, y0, x1, y1


def box_fault(box: Annotated) -> str:
    """Describe the fault of an annotated box; empty without one."""
    x0, y0, x1, y1 = box
    if is_far(box):
        return "reaches far outside of the image"
    if x1 < x0 or y1 < y0:
        return "has its second corner before its first"
    if min(x1, y1) <= 0 or max(x0, y0) >= 1:
        return "lies outside of the image"
    pixels = marked_pixels(box)
    return "" if pixels >= LEAST_PIXELS else _near_empty(pixels)


def is_far(box: Annotated) -> bool:
    """Whether a box reaches so far outside of the image that its unit must be wrong."""
    return min(box) < -_BEYOND or max(box) > 1 + _BEYOND


def truth_fault(annotated: Sequence[Annotated], sample: Sample) -> str:
    """Explain why a sample's ground truth marks nothing, else empty.

    `annotated` are its boxes as they stand in the annotation.
    """
    boxes, masks = sample.boxes, sample.masks
    if not (boxes or masks):
        return "has no box or mask"
    if any(
        (x1 - x0) * (y1 - y0) >= LEAST_PIXELS for x0, y0, x1, y1 in boxes if x1 > x0 and y1 > y0
    ):
        return ""
    if any(mask_pixels(mask) >= LEAST_PIXELS for mask in masks):
        return ""
    truth = consensus_map(boxes, sample.box_weights, masks, sample.mask_weights)
    pixels = int((truth > 0).sum())
    if pixels >= LEAST_PIXELS:
        return ""
    faults = dict.fromkeys(box_fault(box) for box in annotated) or {_near_empty(pixels): None}
    return ", ".join(fault for fault in faults if fault) or _near_empty(pixels)


def guess_cause(annotated: Sequence[Annotated], unit: str) -> str:
    """Guess in a sentence why boxes of a test set are faulty.

    Empty without faults, or if few boxes are faulty and no cause is likely. `unit` is the expected
    one: `fractions`, `pixels` of 224 x 224, or those of each `picture`.
    """
    faulty = [box for box in annotated if box_fault(box)]
    if not faulty:
        return ""
    areas = [marked_pixels(box) for box in faulty]
    nearly = any(0 < area < LEAST_PIXELS for area in areas)
    fault = "empty, or nearly so," if nearly else "empty"
    fault += " after clipping to the image"
    fault += " or reach far outside of it" if max(areas) >= LEAST_PIXELS else ""
    fault = f"{len(faulty)} of {len(annotated)} boxes are {fault}"
    far = sum(max(box) > 1 for box in faulty)
    small = sum(min(box) >= 0 and max(box) * EVALUATION_SIZE <= 1 for box in faulty)
    side = f"{EVALUATION_SIZE} x {EVALUATION_SIZE}"
    if any(x1 < x0 or y1 < y0 for x0, y0, x1, y1 in faulty) and all(map(_fits_as_size, annotated)):
        return f"{fault}; are they x, y, width and height rather than two corners?"
    if 2 * len(faulty) < len(annotated):
        return ""
    if unit == "pixels" and 2 * small > len(faulty):
        return f"{fault}; are they in fractions rather than pixels of {side}?"
    likely = {
        "fractions": "pixels rather than fractions",
        "pixels": f"pixels of the image files rather than of {side}",
        "picture": "pixels of pictures of another size",
    }[unit]
    return f"{fault}; are they in {likely}?" if 2 * far > len(faulty) else fault


def _fits_as_size(box: Annotated) -> bool:
    """Whether a box lies in the image if its second half is width and height."""
    x, y, width, height = box
    slack = 1 / EVALUATION_SIZE
    return min(box) >= 0 and x + width <= 1 + slack and y + height <= 1 + slack


def marked_pixels(box: Annotated) -> int:
    """Area of a box in pixels of the evaluation size, clipped to the image."""
    x0, y0, x1, y1 = pixels_of(box, full=1.0)
    return max(0, x1 - x0) * max(0, y1 - y0)


def _near_empty(pixels: int) -> str:
    side = EVALUATION_SIZE
    return f"covers {pixels} pixels of {side} x {side}, less than {LEAST_PIXELS}"
