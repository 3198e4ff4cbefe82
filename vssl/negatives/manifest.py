"""The negatives manifest: the negative that every image met, to be replayed by another run."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

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
    """A manifest that cannot be used; the message names the file, the row and what would help."""


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
    try:
        read = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False),  # so that errors name the row
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=MANIFEST, include_columns=COLUMNS, null_values=[""]
            ),
        )
    except (pa.ArrowException, OSError) as error:
        # pyarrow counts rows from 1, and columns from 0
        reason = re.sub(r"column #(\d+)", lambda n: f"column #{int(n[1]) + 1}", str(error))
        raise ManifestError(
            f"{path}: not readable as a manifest, a csv with the columns {','.join(COLUMNS)}"
            f" ({reason}) (negatives.manifest)"
        ) from error
    seeds = read["seed"].fill_null(0)
    manifest = read.set_column(len(_KEY) + 1, "seed", seeds).unify_dictionaries().combine_chunks()
    for name in ("draw", "seed"):
        odd = manifest.filter(pc.less(manifest[name], 0).fill_null(True)).slice(0, 1).to_pylist()
        if odd:
            raise ManifestError(
                f"{path}: Expected `{name}` to be a whole number from 0 on, but got"
                f" {', '.join(f'{key} {value!r}' for key, value in odd[0].items())}"
                " (negatives.manifest)"
            )
    counts = manifest.group_by(_KEY).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts["count_all"], 1)).select(_KEY).to_pylist()
    if twice:
        key = tuple(twice[0].values())
        raise ManifestError(f"{path}: {key} stands there twice (negatives.manifest)")
    return manifest
