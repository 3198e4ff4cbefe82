"""COCO annotations: the JSON file, and its polygons and run lengths on the evaluation grid.

Format: https://cocodataset.org/#format-data. Run lengths count pixels down the columns, first those
outside of the object. A text of counts holds them as pycocotools writes them (`maskApi.c`,
`rleToString`): groups of five bits, and from the fourth count on the difference to the last but
one.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vssl.data.annotated import Annotated, Content, Region
from vssl.data.check import DataError, parsed
from vssl.data.mask_files import nearest_places, to_grid
from vssl.types import EVALUATION_SIZE

_SOUND_KEYS = ("audio", "audio_path", "audio_file", "sound")

Grid = npt.NDArray[np.bool_]
"""A mask on the evaluation grid, `[224, 224]`."""


def read_coco(path: Path) -> Content:
    """Read a COCO file; each picture is a sample, and all of its annotated objects sound.

    The sound is the extra field `audio` of a picture. An annotation that cannot be read is a fault
    of its picture.
    """
    content = parsed(path, "JSON", json.loads)
    parts = ("images", "annotations")
    if not isinstance(content, dict) or not all(isinstance(content.get(p), list) for p in parts):
        found = (
            f"the keys {', '.join(map(str, content))}" if isinstance(content, dict) else "a list"
        )
        raise DataError(
            f"{path}: expected a COCO file, an object with the lists `images` and `annotations`,"
            f" but found {found if content else 'nothing'}. Is it of another test set (data=NAME)?"
        )
    samples, by_id = [], {}
    for number, image in enumerate(content["images"]):
        sample = _sample(image, number)
        samples.append(sample)
        key = image.get("id") if isinstance(image, dict) else None
        if str(key) in by_id:
            sample.faults.append(f"{sample.where}: repeats the id {key}")
        elif isinstance(key, (int, str)):
            by_id[str(key)] = sample  # some writers turn numbers into texts in one of the lists
        else:
            sample.faults.append(f"{sample.where}: its id is {key!r}")
    categories = _categories(content.get("categories"))
    kinds: Counter[str] = Counter()
    for number, annotation in enumerate(content["annotations"]):
        known = annotation if isinstance(annotation, dict) else {}
        key, name = known.get("image_id"), f"annotation {known.get('id', f'#{number}')}"
        owner = by_id.get(str(key)) if isinstance(key, (int, str)) else None
        if owner is None:
            owner = Annotated(name, "")
            owner.faults.append(f"{name}: its image_id is {key!r}, which no image has")
            samples.append(owner)
            continue
        try:
            region = _region(annotation, name, categories)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"lacks `{error.args[0]}`" if isinstance(error, KeyError) else str(error)
            owner.faults.append(f"{name}: {reason}")
            continue
        owner.regions.append(region)
        if region.category not in owner.categories:
            owner.categories.append(region.category)
        kinds[_kind(region.outline)] += 1
    counts = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    regions = [region for sample in samples for region in sample.regions]
    return Content(
        samples,
        [f"COCO, {len(content['images'])} images, {counts or 'no object'}"],
        has_boxes=not regions or any(region.box is not None for region in regions),
        has_masks=bool(regions) and all(region.outline is not None for region in regions),
        of_masks=True,
        is_coco=True,
        has_sizes=True,
    )


def _sample(image: Any, number: int) -> Annotated:
    where = f"image #{number}"
    if not isinstance(image, dict):
        return Annotated(where, "", faults=[f"{where}: is {image!r}, not an object"])
    where = f"image {image.get('id', f'#{number}')}"
    sample = Annotated(where, "")
    sound = next((key for key in _SOUND_KEYS if key in image), "audio")
    for key in ("file_name", sound):
        value = image.get(key)
        if isinstance(value, str) and "\0" not in value:
            setattr(sample, "image" if key == "file_name" else "audio", value)
        elif value is not None:
            sample.faults.append(f"{where}: `{key}` is {value!r}, not a file's name")
    if not (sample.image or sample.faults):
        sample.faults.append(f"{where}: lacks `file_name`")
    size = (image.get("width"), image.get("height"))
    if all(isinstance(side, (int, float)) and side >= 1 for side in size):
        sample.size = (int(size[0] or 0), int(size[1] or 0))
    elif size != (None, None):
        sample.faults.append(f"{where}: is {size[0]!r} x {size[1]!r} pixels large")
    return sample


def _categories(listed: Any) -> dict[str, str]:
    listed = listed if isinstance(listed, list) else []
    named = [c for c in listed if isinstance(c, dict) and isinstance(c.get("name"), str)]
    return {str(category.get("id")): category["name"].strip() for category in named}


def _region(annotation: Mapping[str, Any], where: str, categories: Mapping[str, str]) -> Region:
    key = annotation.get("category_id")
    if key is not None and str(key) not in categories:
        raise ValueError(f"its category_id is {key!r}, which no category has")
    region = Region(where, categories.get(str(key), ""))
    if (box := annotation.get("bbox")) is not None and box != []:
        numbers = isinstance(box, list) and all(isinstance(v, (int, float)) for v in box)
        if not numbers or len(box) != 4 or not all(map(math.isfinite, box)):
            raise ValueError(f"its bbox is {box!r}, not [x, y, width, height]")
        if box[2] < 0 or box[3] < 0:
            raise ValueError(f"its bbox {box!r} has a negative width or height")
        region.box = (box[0], box[1], box[0] + box[2], box[1] + box[3])
    region.outline = annotation.get("segmentation") or None
    return region


def _kind(outline: Any) -> str:
    if outline is None:
        return "objects with a box alone"
    return "with polygons" if isinstance(outline, list) else "with run lengths (RLE)"


def draw_outline(outline: Any, size: tuple[int, int]) -> Grid:
    """Draw a COCO segmentation on the evaluation grid.

    Each pixel of the grid takes the nearest one of the picture, see `to_grid`. Of a polygon `[x, y,
    x, y, ...]` a pixel is in when its centre is, by the even-odd rule; several are united. `size`
    is the picture's width and height.

    Raises:
        ValueError: when it is neither, or run lengths of another size.
    """
    if isinstance(outline, dict):
        return to_grid(_decode_runs(outline, size))
    if not isinstance(outline, list):
        raise ValueError(f"its segmentation is {outline!r}")
    columns, rows = (nearest_places(side) + 0.5 for side in size)  # centres of pixels
    drawn = np.zeros((EVALUATION_SIZE, EVALUATION_SIZE), np.bool_)
    for polygon in outline:
        try:
            points = np.asarray(polygon, np.float64)
        except (TypeError, ValueError):
            points = np.empty(0)
        if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
            raise ValueError("its polygon is not [x, y, x, y, x, y, ...] of three points or more")
        drawn |= _polygon(points.reshape(-1, 2), columns, rows)
    return drawn


def _polygon(
    points: npt.NDArray[np.float64],
    columns: npt.NDArray[np.floating[Any]],
    rows: npt.NDArray[np.floating[Any]],
) -> Grid:
    """Whether the points of a grid lie in a polygon `[n, 2]`, by its crossings of each row."""
    x, y = points.T
    inside = np.zeros((len(rows), len(columns)), np.bool_)
    first, last = np.searchsorted(rows, (y.min(), y.max()))
    rows = rows[first:last]  # no other row is crossed
    below = y <= rows[:, None]
    row, edge = np.nonzero(below != np.roll(below, -1, axis=1))
    ends_x, ends_y = np.roll(x, -1)[edge], np.roll(y, -1)[edge]
    crossing = x[edge] + (rows[row] - y[edge]) / (ends_y - y[edge]) * (ends_x - x[edge])
    column = np.searchsorted(columns, crossing)
    width = len(columns) + 1
    crossed = np.bincount(row * width + column, minlength=len(rows) * width)
    odd = crossed.reshape(-1, width)[:, :-1].astype(np.uint8).cumsum(axis=1, dtype=np.uint8) % 2
    inside[first:last] = odd
    return inside


def _decode_runs(outline: Mapping[str, Any], size: tuple[int, int]) -> Grid:
    width, height = size
    if list(outline.get("size") or ()) != [height, width]:
        raise ValueError(
            f"its run lengths are of size {outline.get('size')}, and its picture is"
            f" [{height}, {width}] (height, width)"
        )
    counts = outline.get("counts")
    if isinstance(counts, str):
        counts = decode_counts(counts)
    runs: list[int] = counts if isinstance(counts, list) else []
    if not all(isinstance(n, int) and n >= 0 for n in runs) or sum(runs) != width * height:
        raise ValueError("its run lengths (`counts`) do not add up to the picture")
    marked = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(marked.reshape(width, height).T)


def decode_counts(text: str) -> list[int]:
    """Decode run lengths from pycocotools' text."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"its run lengths (`counts`) hold {character!r}")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the last group, whose highest bit is the sign
            value -= (bits & 16) << (shift - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("its run lengths (`counts`) are cut off")
    return counts
