"""A table of the labels that are audible and visible in each sample, beyond its class."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from vssl.core.errors import UsageError

_COLUMNS = ("video_id", "label", "modality")
_MODALITIES = {"A": (True, False), "V": (False, True), "AV": (True, True)}


@dataclass(frozen=True)
class LabelTable:
    """Labels that are audible in a sample's clip, and visible in its picture, by sample id."""

    path: Path
    audible: dict[str, set[str]]
    visible: dict[str, set[str]]

    @property
    def ids(self) -> Set[str]:
        """Samples that the table lists."""
        return self.audible.keys() | self.visible.keys()

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
    if not path.is_file():
        raise UsageError(f"{path}: no such file ({key})")
    audible: dict[str, set[str]] = defaultdict(set)
    visible: dict[str, set[str]] = defaultdict(set)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(
                    f"{path}: lacks the columns {', '.join(missing)}; a table of labels has"
                    f" {', '.join(_COLUMNS)} ({key})"
                )
            for row in reader:
                sample, label, modality = (row[name] for name in _COLUMNS)
                if not sample or not label or modality not in _MODALITIES:
                    raise UsageError(
                        f"{path}, line {reader.line_num}: expected an id, a label and one of"
                        f" {', '.join(_MODALITIES)}, but got {sample!r}, {label!r} and"
                        f" {modality!r} ({key})"
                    )
                heard, seen = _MODALITIES[modality]
                if heard:
                    audible[sample].add(label)
                if seen:
                    visible[sample].add(label)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not readable as a csv table ({error}) ({key})") from error
    if not audible and not visible:
        raise UsageError(f"{path}: holds no rows ({key})")
    return LabelTable(path, dict(audible), dict(visible))
