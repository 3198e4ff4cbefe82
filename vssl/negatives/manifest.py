"""The negatives manifest: the negative that every image met, to be replayed by another run."""

from __future__ import annotations

import csv
import hashlib
import io
from array import array
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vssl.core.errors import UsageError
from vssl.core.files import whole_file

_NAME = pa.dictionary(pa.int32(), pa.string())
MANIFEST = pa.schema(
    [
        pa.field("sample_id", _NAME),  # the image's sample
        pa.field("condition", _NAME),  # audio condition
        pa.field("draw", pa.int16()),  # index of the draw
        pa.field("audio_source_id", _NAME),  # whose clip is heard; empty for a made waveform
        pa.field("seed", pa.int64()),  # of the draw, see `AudioCondition.draw_seed`
    ]
)
"""One row for each negative of an image."""

COLUMNS = tuple(MANIFEST.names)
_KEY = list(COLUMNS[:3])
ROWS_AT_ONCE = 65_536


class ManifestError(UsageError):
    """A manifest that cannot be used; the message names the file, the line and what would help."""


def manifest_table(
    names: Iterable[str], conditions: Iterable[str], *columns: npt.ArrayLike
) -> pa.Table:
    """Make a `MANIFEST` of `[M]` numbers for each column: for texts, positions in these."""
    ids, kinds = (pa.array(list(each), pa.string()) for each in (names, conditions))
    labels = ids, kinds, None, ids, None
    arrays = [
        pa.array(np.asarray(column), field.type)
        if texts is None
        else pa.DictionaryArray.from_arrays(np.asarray(column, np.int32), texts)
        for column, field, texts in zip(columns, MANIFEST, labels, strict=True)
    ]
    return pa.table(arrays, schema=MANIFEST)


def common_rows(one: pa.Table, other: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows of two manifests for the same negatives of the same images, in one's order."""
    places = (
        each.select(_KEY).append_column(name, pa.array(np.arange(len(each))))
        for name, each in (("one", one), ("other", other))
    )
    shared = next(places).join(next(places), _KEY, join_type="inner").sort_by("one")
    return one.take(shared["one"]), other.take(shared["other"])


def column_texts(column: pa.Array | pa.ChunkedArray) -> list[str]:
    """Values of a manifest's column as texts."""
    texts: list[str] = column.cast(pa.string()).to_pylist()
    return texts


def manifest_text(manifest: pa.Table) -> Iterator[str]:
    """Write a `MANIFEST` as csv text, some rows at a time, the header first."""
    yield ",".join(COLUMNS) + "\n"
    for batch in manifest.to_batches(ROWS_AT_ONCE):
        text = io.StringIO(newline="")
        rows = zip(*map(column_texts, batch.columns), strict=True)
        csv.writer(text, lineterminator="\n").writerows(rows)
        yield text.getvalue()


def manifest_sha256(manifest: pa.Table) -> str:
    """Hash of a manifest's text: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for text in manifest_text(manifest):
        digest.update(text.encode())
    return digest.hexdigest()


def write_manifest(path: Path, manifest: pa.Table) -> None:
    """Write a manifest as a csv file, atomically."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        file.writelines(manifest_text(manifest))


def read_manifest(path: Path) -> pa.Table:
    """Read a manifest to a table of `MANIFEST`.

    Raises:
        ManifestError: for a missing file, other columns, a bad number or a repeated row.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: no such file (negatives.manifest)")
    names: dict[str, int] = {}
    conditions: dict[str, int] = {}
    columns = sample, condition, draw, source, seed = [array(kind) for kind in "iihiq"]
    line = 0
    with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a mark first
        reader = csv.reader(file, strict=True)
        try:
            place = {name: n for n, name in enumerate(next(reader, []))}
            if missing := [name for name in COLUMNS if name not in place]:
                has = ",".join(COLUMNS)
                raise ValueError(f"lacks the columns {', '.join(missing)}; a manifest has {has}")
            places = [place[name] for name in COLUMNS]
            fields, last = itemgetter(*places), max(places)
            for line, row in enumerate(filter(None, reader), start=2):  # noqa: B007 for messages
                if len(row) <= last:
                    ends = next(name for name in COLUMNS if place[name] >= len(row))
                    raise ValueError(f"ends before {ends}")
                texts = fields(row)
                sample.append(names.setdefault(texts[0], len(names)))
                condition.append(conditions.setdefault(texts[1], len(conditions)))
                draw.append(_whole_number("draw", texts[2], 2**15 - 1))
                source.append(names.setdefault(texts[3], len(names)))
                seed.append(_whole_number("seed", texts[4] or "0", 2**63 - 1))
            line = 0
            manifest = manifest_table(names, conditions, *columns)
            keys = (np.array(sample, np.int64) * len(conditions) + condition) * 2**15 + draw
            first = np.unique(keys, return_index=True)[1]
            if len(first) < len(keys):
                twice = np.setdiff1d(np.arange(len(keys)), first)[0]
                key = tuple(column[twice].as_py() for column in manifest.columns[:3])
                raise ValueError(f"{key} stands there twice")
        except (csv.Error, ValueError) as error:
            where, what = f", line {line}" if line else "", f"{error}"
            if isinstance(error, UnicodeDecodeError):
                where, what = "", f"not a text file ({error})"
            elif isinstance(error, csv.Error):
                where, what = f", line {reader.line_num}", f"not csv ({error})"
            raise ManifestError(f"{path}{where}: {what} (negatives.manifest)") from error
    return manifest


def _whole_number(name: str, text: str, most: int) -> int:
    number = int(text)
    if not 0 <= number <= most:
        raise ValueError(f"Expected `{name}` from 0 to {most}, but got {number}")
    return number
