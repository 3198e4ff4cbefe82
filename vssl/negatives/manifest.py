"""The negatives manifest: the negative that every image met, to be replayed by another run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from vssl.core.errors import UsageError


class ManifestError(UsageError):
    """A manifest that cannot be used; the message names the file, the line and what would help."""


@dataclass(frozen=True)
class ManifestRow:
    """A negative of an image.

    Attributes:
        sample_id: the image's sample.
        condition: audio condition.
        draw: index of the draw.
        audio_source_id: sample whose clip is heard; empty for a waveform that is made.
        seed: seed of the draw, see `AudioCondition.draw_seed`.
    """

    sample_id: str
    condition: str
    draw: int
    audio_source_id: str
    seed: int


COLUMNS = tuple(field.name for field in fields(ManifestRow))


def render_manifest(rows: Iterable[ManifestRow]) -> str:
    """Write a manifest as csv text, headed `sample_id,condition,draw,audio_source_id,seed`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(vars(row).values() for row in rows)
    return text.getvalue()


def read_manifest(path: Path) -> list[ManifestRow]:
    """Read a manifest.

    Raises:
        ManifestError: for a missing file, other columns, a bad number or a repeated row.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: no such file (negatives.manifest)")
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not a text file ({error}) (negatives.manifest)") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
        if missing:
            raise ManifestError(
                f"{path}: lacks the columns {', '.join(missing)}; a manifest has"
                f" {','.join(COLUMNS)} (negatives.manifest)"
            )
        rows = [_manifest_row(path, line, row) for line, row in enumerate(reader, start=2)]
    except csv.Error as error:
        raise ManifestError(
            f"{path}, line {reader.line_num}: not csv ({error}) (negatives.manifest)"
        ) from error
    seen: set[tuple[str, str, int]] = set()
    for row in rows:
        key = (row.sample_id, row.condition, row.draw)
        if key in seen:
            raise ManifestError(f"{path}: {key} stands there twice (negatives.manifest)")
        seen.add(key)
    return rows


def _manifest_row(path: Path, line: int, row: dict[str, str]) -> ManifestRow:
    missing = [name for name in COLUMNS if row[name] is None]
    if missing:
        raise ManifestError(f"{path}, line {line}: ends before {missing[0]} (negatives.manifest)")
    try:
        draw, seed = int(row["draw"]), int(row["seed"] or 0)
        for name, value, most in (("draw", draw, 2**15 - 1), ("seed", seed, 2**63 - 1)):
            if not 0 <= value <= most:
                raise ValueError(f"Expected `{name}` from 0 to {most}, but got {value}")
        return ManifestRow(row["sample_id"], row["condition"], draw, row["audio_source_id"], seed)
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{path}, line {line}: {error} (negatives.manifest)") from error
