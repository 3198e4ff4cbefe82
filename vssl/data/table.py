"""Tables of annotations: one row for each object and annotator of a picture with its sound."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from vssl.data.annotated import Annotated, Content, Region
from vssl.data.check import DataError

_NAMES = {
    "image": (
        "image",
        "image_path",
        "image_file",
        "img",
        "picture",
        "frame",
        "file_name",
        "filename",
    ),
    "audio": ("audio", "audio_path", "audio_file", "sound", "wav"),
    "category": ("category", "class", "label"),
    "annotator": ("annotator", "annotator_id"),
    "group": ("group", "image_group"),
    "mask": ("mask", "mask_path", "mask_file"),
}
"""Names under which a column is known, in small letters."""

_BOXES = (
    ("x0", "y0", "x1", "y1"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
    ("x1", "y1", "x2", "y2"),
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
)
"""Names of the four columns of a box; the last two have its width and height."""
_SIZED = _BOXES[-2:]

_WANTED = "image, audio, x0, y0, x1, y1, category; or image, audio, category with masks"
_SHOWN_FAULTS = 3


def read_table(path: Path) -> Content:
    """Read a table with a header, separated by commas, semicolons or tabs.

    Rows of one image and audio file are one sample. A row without box is one of a picture in which
    nothing sounds.
    """
    text, separator = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator, skipinitialspace=True)
    try:
        names = [name.strip() for name in next((row for row in reader if any(row)), [])]
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"{path}: not readable as a table ({error})") from error
    columns, box_names = _columns(path, names)
    samples: dict[tuple[str, str], Annotated] = {}
    for line, row in rows:
        where = f"{path.name}, line {line}"
        cells = {
            key: row[place].strip() if place < len(row) else "" for key, place in columns.items()
        }
        files = cells["image"], cells.get("audio", "")
        sample = samples.setdefault(files, Annotated(where, *files))
        # without the column, as in a list of votes, each row is of another annotator
        sample.annotators.add(cells.get("annotator") or ("" if "annotator" in cells else where))
        try:
            # a row that is cut off would read as a picture in which nothing sounds
            if len(row) < len(names) or any(cell.strip() for cell in row[len(names) :]):
                raise ValueError(f"has {len(row)} cells, and the header {len(names)}")
            region = _region(cells, where, box_names, decimal_comma=separator != ",")
        except ValueError as error:
            sample.faults.append(f"{where}: {error}")
            continue
        group, category = cells.get("group", ""), cells.get("category", "")
        if sample.group and group != sample.group:
            sample.faults.append(f"{where}: group `{group}`, but `{sample.group}` above")
        sample.group = group or sample.group
        if category and category not in sample.categories:
            sample.categories.append(category)
        if region is not None:
            sample.regions.append(region)
    for sample in samples.values():
        if (more := len(sample.faults) - _SHOWN_FAULTS) > 0:
            sample.faults[_SHOWN_FAULTS:] = [f"and {more} more"]
    words = {",": "commas", ";": "semicolons", "\t": "tabs"}[separator]
    understood = [f"table of {len(rows)} rows, separated by {words}"]
    if renamed := [f"{key} = {names[n]}" for key, n in columns.items() if key != names[n]]:
        understood.append(f"columns taken: {', '.join(renamed)}")
    if unused := [name for n, name in enumerate(names) if n not in columns.values()]:
        understood.append(f"columns not used: {', '.join(unused)}")
    if box_names in _SIZED:
        understood.append("boxes are x, y, width and height")
    outlines = [region.outline for sample in samples.values() for region in sample.regions]
    return Content(
        list(samples.values()),
        understood,
        has_boxes=bool(box_names),
        has_masks="mask" in columns and None not in outlines,
        of_masks="mask" in columns,
        has_sizes=box_names in _SIZED,
        has_annotators="annotator" in columns,
    )


def read_text(path: Path) -> tuple[str, str]:
    """Read a table's text; also what separates its cells: commas, semicolons or tabs."""
    try:
        data = path.read_bytes()
        wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))  # Excel's "Unicode text"
        text = data.decode("utf-16" if wide else "utf-8-sig")
        header = next((line for line in text.splitlines() if line.strip()), "")
        return text, max(",;\t", key=header.count)
    except OSError as error:
        raise DataError(f"{path}: not readable ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not text in UTF-8 ({error}). Save it as `CSV UTF-8`."
        ) from error


def _columns(path: Path, names: Sequence[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Places of the known columns, and the names of those of the box."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name.lower(), []).append(place)
    found: dict[str, int] = {}
    for key, known in _NAMES.items():
        there = [place for name in known for place in places.get(name, ())]
        if len(there) > 1:
            shown = " and ".join(names[place] for place in there)
            raise DataError(f"{path}: {shown} may both be the column `{key}`. Rename one of them.")
        if there:
            found[key] = there[0]
    boxes = [four for four in _BOXES if all(len(places.get(name, ())) == 1 for name in four)]
    if "image" not in found:
        raise DataError(
            f"{path}: has no column `image`. Its columns are {', '.join(names) or 'none'}; wanted"
            f" are {_WANTED}. Rename them, or name another file: data.annotation=FILE."
        )
    some = {name for four in _BOXES[:5] for name in four} & places.keys()
    if some and not boxes:
        raise DataError(
            f"{path}: has a part of a box alone, {', '.join(sorted(some))}. Its columns are"
            f" {', '.join(names)}; wanted are {_WANTED}."
        )
    if boxes:
        found |= {key: places[name][0] for key, name in zip(_BOXES[0], boxes[0], strict=True)}
    return found, boxes[0] if boxes else ()


def _region(
    cells: Mapping[str, str], where: str, box_names: Sequence[str], *, decimal_comma: bool
) -> Region | None:
    """The object of a row; None where the row has none."""
    if not cells["image"]:
        raise ValueError("names no image")
    if any("\0" in cell for cell in cells.values()):
        raise ValueError("holds the character NUL")
    texts = [cells[key] for key in _BOXES[0]] if box_names else []
    outline = cells.get("mask") or None
    box = None
    if any(texts):
        x0, y0, x1, y1 = (
            _number(text.replace(",", ".") if decimal_comma else text, name)
            for text, name in zip(texts, box_names, strict=True)
        )
        box = (x0, y0, x0 + x1, y0 + y1) if box_names in _SIZED else (x0, y0, x1, y1)
    if box is None and outline is None:
        return None
    return Region(where, cells.get("category", ""), box, outline)


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is `{text}`, not a number" if text else f"{name} is empty")
    return value
