"""A table of the labels that are audible and visible in each sample, beyond its class."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl.core.errors import UsageError

_COLUMNS = ("video_id", "label", "modality")
_MODALITIES = {"A": (True, False), "V": (False, True), "AV": (True, True)}


@dataclass(frozen=True)
class LabelTable:
    """Labels that are audible in a sample's clip, and visible in its picture, by sample id."""

    path: Path
    audible: dict[str, set[str]]
    visible: dict[str, set[str]]

    def lacking(self, ids: Sequence[str], *, key: str) -> list[str]:
        """Samples that the table does not list; UsageError if these are all."""
        unknown = [each for each in ids if each not in self.audible and each not in self.visible]
        if ids and len(unknown) == len(ids):
            raise UsageError(
                f"{self.path}: knows none of the {len(ids)} samples, e.g. not {unknown[0]}. Is it a"
                f" table of this test set ({key})?"
            )
        return unknown

    def is_seen(self, clip: str, image: str) -> bool:
        """Whether a label that is audible in one sample's clip is visible in another's picture."""
        return not self.audible.get(clip, set()).isdisjoint(self.visible.get(image, ()))


def read_labels(path: Path, *, key: str) -> LabelTable:
    """Read a csv table with the columns `video_id`, `label` and `modality` (VGGSounder's layout).

    Other columns are ignored. `key` is the configuration key, for messages.

    Raises:
        UsageError: for a missing or unreadable file, missing columns, no rows, or a modality that
            is not A (audible), V (visible) or AV.
    """
    audible: dict[str, set[str]] = defaultdict(set)
    visible: dict[str, set[str]] = defaultdict(set)
    for where, row in table_rows(path, _COLUMNS, key=key):
        sample, label, modality = (row[name] for name in _COLUMNS)
        if not sample or not label or modality not in _MODALITIES:
            raise UsageError(
                f"{where}: expected an id, a label and one of {', '.join(_MODALITIES)}, but got"
                f" {sample!r}, {label!r} and {modality!r} ({key})"
            )
        heard, seen = _MODALITIES[modality]
        if heard:
            audible[sample].add(label)
        if seen:
            visible[sample].add(label)
    if not audible and not visible:
        raise UsageError(f"{path}: holds no rows ({key})")
    return LabelTable(path, dict(audible), dict(visible))


def table_rows(
    path: Path, columns: Sequence[str], *, key: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read a csv table with a header: the place of each row, for messages, and its cells."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file ({key})")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
                wanted = f"{', '.join(missing)} of {', '.join(columns)}"
                raise UsageError(f"{path}: lacks the columns {wanted} ({key})")
            for row in reader:
                yield f"{path}, line {reader.line_num}", row
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not readable as a csv table ({error}) ({key})") from error
