"""Ground-truth masks in image files, on the evaluation grid."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from vssl.core.media import decoding
from vssl.images import ImageFileError, read_bytes
from vssl.maps import encode_mask
from vssl.types import EVALUATION_SIZE, Mask

_JPEG_MARKED_ABOVE = 127  # ringing leaves low values around the objects of a JPEG mask


def read_whole_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read a mask file at its own size: `[H, W]` bool.

    A pixel is marked where its stored value is above 0, in a JPEG above 127: the index of a palette
    image, else the largest channel without alpha.

    Source of the rule: robust_vssl `datasets/dataloader.py` (JPEG: nearest, then > 127), AVSBench
    (PNG: > 0).

    Raises:
        ImageFileError: for a missing or unreadable file.
    """
    image = io.BytesIO(read_bytes(path))
    with decoding(path, ImageFileError, "not decodable as a mask"), Image.open(image) as opened:
        above = _JPEG_MARKED_ABOVE if opened.format == "JPEG" else 0
        values = np.asarray(opened)  # of a palette image the indices
        if opened.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
            values = values[..., :-1]
    if values.ndim == 3:
        values = values.max(axis=2)
    marked: npt.NDArray[np.bool_] = values > above
    return marked


def to_grid(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Bring a mask `[H, W]` to the evaluation size by the nearest pixel, as Pillow's NEAREST does.

    Pixel i takes the one at `nearest_places(side)[i]`.
    """
    rows, columns = map(nearest_places, mask.shape)
    return np.ascontiguousarray(mask[rows[:, None], columns])


def truth_masks(path: Path) -> tuple[Mask, ...]:
    """Read a mask file as a sample's ground truth: its mask, or none where it marks nothing."""
    mask = to_grid(read_whole_mask(path))
    return (encode_mask(mask),) if mask.any() else ()


def nearest_places(side: int) -> npt.NDArray[np.int64]:
    """Places `[224]` along a side of a picture that Pillow's NEAREST takes.

    They are `floor((i + 0.5) * side / 224)`, summed step by step in float64 as Pillow does
    (`Geometry.c`, `ImagingScaleAffine`): where the exact number is whole, the sum may lie below it.
    """
    step = side / EVALUATION_SIZE
    steps = np.full(EVALUATION_SIZE, step)
    steps[0] = step * 0.5
    return np.cumsum(steps).astype(np.int64)
