"""Tables of annotations: one row for each object and annotator of a picture with its sound."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    rows = csv.reader(io.StringIO(text, newline=None), delimiter=separator, skipinitialspace=True)
    try:
        names = next((row for row in rows if any(row)), [])
        columns, box_names = _columns(path, [name.strip() for name in names])
        content = _Rows(path.name, columns, box_names, decimal_comma=separator != ",")
        for row in rows:
            if any(cell.strip() for cell in row):
                content.add(row, rows.line_num, len(names))
    except csv.Error as error:
        raise DataError(f"{path}: not readable as a table ({error})") from error
    used = {*columns.values()}
    unused = [name for n, name in enumerate(names) if n not in used]
    words = {",": "commas", ";": "semicolons", "\t": "tabs"}[separator]
    renamed = [
        f"{key} = {names[place].strip()}"
        for key, place in columns.items()
        if key != names[place].strip()
    ]
    understood = [f"table of {content.count} rows, separated by {words}"]
    understood += [f"columns taken: {', '.join(renamed)}"] if renamed else []
    understood += [f"columns not used: {', '.join(unused)}"] if unused else []
    if box_names in _SIZED:
        understood.append("boxes are x, y, width and height")
    samples = content.finished()
    regions = [region for sample in samples for region in sample.regions]
    return Content(
        samples,
        understood,
        has_boxes=bool(box_names),
        has_masks="mask" in columns and all(region.outline is not None for region in regions),
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


@dataclass
class _Rows:
    """Rows of a table, collected to samples."""

    name: str
    columns: Mapping[str, int]
    box_names: tuple[str, ...]
    decimal_comma: bool
    samples: dict[tuple[str, str], Annotated] = field(default_factory=dict)
    annotators: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    count: int = 0

    def add(self, row: Sequence[str], line: int, width: int) -> None:
        """Add a row; what cannot be read is a fault of its sample."""
        self.count += 1
        where = f"{self.name}, line {line}"
        cells = {
            key: row[place].strip() if place < len(row) else ""
            for key, place in self.columns.items()
        }
        key = cells["image"], cells.get("audio", "")
        sample = self.samples.get(key)
        if sample is None:
            sample = self.samples[key] = Annotated(where, *key)
            self.annotators[key] = set()
        # without the column, as in a list of votes, each row is of another annotator
        self.annotators[key].add(cells.get("annotator") or ("" if "annotator" in cells else where))
        try:
            region = self._region(row, cells, where, width)
        except ValueError as error:
            sample.faults.append(f"{where}: {error}")
            return
        group, category = cells.get("group", ""), cells.get("category", "")
        if sample.group and group != sample.group:
            sample.faults.append(f"{where}: group `{group}`, but `{sample.group}` above")
        sample.group = group or sample.group
        if category and category not in sample.categories:
            sample.categories.append(category)
        if region is not None:
            sample.regions.append(region)

    def finished(self) -> list[Annotated]:
        """Return the samples in the order of their first rows."""
        for key, sample in self.samples.items():
            sample.annotators = len(self.annotators[key])
            more = len(sample.faults) - _SHOWN_FAULTS
            if more > 0:
                sample.faults[_SHOWN_FAULTS:] = [f"and {more} more"]
        return list(self.samples.values())

    def _region(
        self, row: Sequence[str], cells: Mapping[str, str], where: str, width: int
    ) -> Region | None:
        # a row that is cut off would read as a picture in which nothing sounds
        if len(row) < width or any(cell.strip() for cell in row[width:]):
            raise ValueError(f"has {len(row)} cells, and the header {width}")
        if not cells["image"]:
            raise ValueError("names no image")
        if any("\0" in cell for cell in cells.values()):
            raise ValueError("holds the character NUL")
        box = [cells[key] for key in _BOXES[0]] if self.box_names else []
        outline = cells.get("mask") or None
        if not any(box) and outline is None:
            return None
        region = Region(where, cells.get("category", ""), None, outline)
        if any(box):
            x0, y0, x1, y1 = (
                self._number(text, name) for text, name in zip(box, self.box_names, strict=True)
            )
            if self.box_names in _SIZED:
                x1, y1 = x0 + x1, y0 + y1
            region.box = (x0, y0, x1, y1)
        return region

    def _number(self, text: str, name: str) -> float:
        if self.decimal_comma:
            text = text.replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"{name} is `{text}`, not a number" if text else f"{name} is empty")
        return value
