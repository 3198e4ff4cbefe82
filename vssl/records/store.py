"""Parquet files of a run: written whole or not at all, with their provenance inside."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from vssl.core.arrays import Index, Names
from vssl.core.errors import UsageError
from vssl.core.files import partial_path
from vssl.core.hashing import file_sha256
from vssl.negatives.plan import AudioPlan
from vssl.records.files import (
    ANEW,
    READABLE_VERSIONS,
    RECORDS_FILE,
    RUN_FILE,
    SCHEMA_VERSION,
    TRUTH_FILE,
    recorded_sha256,
)
from vssl.records.schema import EARLIER_TRUTH, METADATA_KEY, RECORD_KEY, RECORDS, TRUTH
from vssl.types import POSITIVE, Sample

MAPS_AT_ONCE = 512
"""Rows with maps that are read at once: 100 MB of maps of 224 x 224."""
_ROWS_AT_ONCE = 65_536  # without maps
_DICTIONARY_COLUMNS = [
    "sample_id", "audio_condition", "audio_source_id", "audio_path", "image_path", "category",
    "map_variant", "threshold_policy", "threshold_source",
]  # fmt: skip


class RecordsError(UsageError):
    """Raised for a file of a run that cannot be used; the message names the file and the fault."""


@contextlib.contextmanager
def parquet_writer(
    path: Path, schema: pa.Schema, provenance: Mapping[str, Any]
) -> Iterator[Callable[[pa.Table], None]]:
    """Stream tables into a parquet file that appears only when complete, with its provenance."""
    partial, text = partial_path(path), json.dumps({"schema_version": SCHEMA_VERSION, **provenance})
    schema = schema.with_metadata({METADATA_KEY: text.encode()})
    writer = pq.ParquetWriter(
        partial, schema, compression="zstd", use_dictionary=_DICTIONARY_COLUMNS,
        write_page_checksum=True,
    )  # fmt: skip
    try:
        yield lambda table: writer.write_table(table.cast(schema))
        writer.close()
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):  # after a failure, as on a full disk, it may fail again
            writer.close()
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors while a parquet file is read into a RecordsError with its name."""
    try:
        yield
    except FileNotFoundError as error:
        raise RecordsError(
            f"{path}: no such file. Is `{path.parent}` the folder of a finished run?"
        ) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise RecordsError(f"{path}: not a readable parquet file ({reason}). {ANEW}") from error


@contextlib.contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a parquet file of a run, see `reading`; its pages are checked as they are read.

    Unlike the pages, the footer has no checksum, but it has the columns' names and types twice.
    """
    with reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        written = (file.metadata.metadata or {}).get(b"ARROW:schema")
        if written is not None:
            kept = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(written)))
            if not kept.equals(file.schema_arrow):  # without what is beside names and types
                raise RecordsError(f"{path}: its columns' names or types are damaged. {ANEW}")
        yield file


def record_batches(
    path: Path, rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """A file of a run in pieces of some rows, see `open_parquet`; None for all columns."""
    with open_parquet(path) as file:
        yield from file.iter_batches(rows, columns=columns and list(columns))


def read_columns(
    path: Path,
    columns: Sequence[str] | None = None,
    filters: Any = None,
    labels: Sequence[str] = (),
) -> pa.Table:
    """Columns of a parquet file of a run, None for all; RecordsError when it lacks one.

    Those of `labels` are dictionaries, which are small where texts repeat.
    """
    with open_parquet(path) as file:
        names, rows = file.schema_arrow.names, file.metadata.num_rows
    wanted = names if columns is None else list(columns)
    lacking = [name for name in wanted if name not in names]
    if lacking:
        raise RecordsError(f"{path}: lacks the column {lacking[0]}. {ANEW}")
    with reading(path):
        table = pq.read_table(
            path, columns=wanted, filters=filters, read_dictionary=list(labels),
            page_checksum_verification=True,
        )  # fmt: skip
        table.validate(full=True)  # a page's header has no checksum, see `check_pages`
    if filters is None and len(table) != rows:
        raise RecordsError(f"{path}: its pages hold other numbers of rows. {ANEW}")
    return table


@dataclass(frozen=True)
class Labels:
    """Names of R rows as codes: row r has the name `names[codes[r]]`."""

    codes: npt.NDArray[np.int32]  # [R]
    names: Names  # those that occur, sorted

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Labels:
        """Number the names of a column; null counts as an empty name."""
        encoded = column.dictionary_encode().combine_chunks()
        codes = encoded.indices.fill_null(-1).to_numpy() + 1
        return cls.of_codes(codes, ["", *encoded.dictionary.to_pylist()])

    @classmethod
    def of_codes(cls, codes: npt.NDArray[np.integer[Any]], names: Sequence[str]) -> Labels:
        """Sort names, and leave out those that no code `[R]` stands for."""
        there = np.flatnonzero(np.bincount(codes, minlength=len(names)))
        place = np.zeros(len(names), np.int32)
        different, place[there] = np.unique(np.array(names, str)[there], return_inverse=True)
        return cls(place[codes], different)

    def __getitem__(self, rows: Index | slice) -> Names:
        """Names of some rows."""
        return self.names[self.codes[rows]]

    def rows(self) -> dict[str, Index]:
        """Rows of each name, in the order in which names occur first."""
        rows = {name: np.flatnonzero(self.codes == n) for n, name in enumerate(self.names.tolist())}
        return dict(sorted(rows.items(), key=lambda each: int(each[1][0])))


def column_names(path: Path) -> list[str]:
    """Names of a file's columns."""
    with open_parquet(path) as file:
        return list(file.schema_arrow.names)


def read_provenance(path: Path) -> dict[str, Any]:
    """Provenance of a records, scores or summary file; RecordsError when it has none of vssl's."""
    with open_parquet(path) as file:
        metadata = file.schema_arrow.metadata or {}
    if METADATA_KEY not in metadata:
        raise RecordsError(f"{path}: was not written by vssl, it has no provenance.")
    try:
        provenance: dict[str, Any] = json.loads(metadata[METADATA_KEY])
        version = provenance["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise RecordsError(f"{path}: its provenance is damaged ({error!r}). {ANEW}") from error
    if version not in READABLE_VERSIONS:
        raise RecordsError(
            f"{path}: has schema version {version}, this vssl reads"
            f" {' and '.join(READABLE_VERSIONS)}. Evaluate again, or use the vssl that wrote it"
            f" ({provenance.get('environment', {}).get('vssl', 'unknown')})."
        )
    return provenance


def check_records(run: Path) -> dict[str, Any]:
    """Check that a run's records and ground truth are complete and unchanged.

    Their sha256 is in run.json, except in runs of earlier versions.

    Returns:
        The provenance of the records.

    Raises:
        RecordsError: when a row is missing, doubled or out of place, or anything was changed.
    """
    path = run / RECORDS_FILE
    provenance = read_provenance(path)
    with open_parquet(path) as file:
        found = {field.name: field.type for field in file.schema_arrow}
    known = {field.name: field.type for field in RECORDS}
    if EARLIER_TRUTH[0] in found:
        known |= {name: TRUTH.field(name).type for name in EARLIER_TRUTH}
    needed = {field.name for field in RECORDS if not field.nullable}
    if not needed <= found.keys() or not found.items() <= known.items():
        raise RecordsError(f"{path}: has other columns than vssl writes. {ANEW}")
    keys = read_columns(path, RECORD_KEY, labels=RECORD_KEY[:2]).unify_dictionaries()
    ids, conditions, draws = (column.combine_chunks() for column in keys.columns)
    pairings = provenance.get("pairings") or dict.fromkeys(
        zip(conditions.cast(pa.string()).to_pylist(), draws.to_pylist(), strict=True)
    )
    kinds, numbers = zip(*pairings, strict=True) if pairings else ((), ())
    samples = int(provenance.get("evaluated") or len(ids) // max(1, len(kinds)))
    if len(ids) != samples * len(kinds):
        raise RecordsError(
            f"{path}: has {len(ids)} rows, but {samples} samples with {len(kinds)} sounds each"
            f" were recorded. {ANEW}"
        )
    expected = pc.index_in(pa.array(kinds, pa.string()), conditions.dictionary).to_numpy(False)
    sample, kind, draw = (
        column.to_numpy(False).reshape(samples, len(kinds))
        for column in (ids.indices, conditions.indices, draws)
    )
    whole = (sample == sample[:, :1]).all() and (kind == expected).all() and (draw == numbers).all()
    if not whole or len(np.unique(sample)) != samples:
        raise RecordsError(f"{path}: rows are missing, doubled or out of place. {ANEW}")
    _check_unchanged(path)
    if EARLIER_TRUTH[0] not in found:
        truth = run / TRUTH_FILE
        read_provenance(truth)
        _check_unchanged(truth)
        names = ids.dictionary.take(sample[:, 0])
        if read_columns(truth, ["sample_id"]).column(0) != pa.chunked_array([names]):
            raise RecordsError(f"{truth}: is not of the samples of {RECORDS_FILE}. {ANEW}")
    return provenance


def _check_unchanged(path: Path) -> None:
    sha256 = recorded_sha256(path.parent, path.name)
    if sha256 is None:
        check_pages(path)
    elif file_sha256(path) != sha256:
        raise RecordsError(f"{path}: was changed after the run ({RUN_FILE}). {ANEW}")


def check_pages(path: Path) -> None:
    """Read a file to its end, so that damage is found before any work.

    The header of a page has no checksum: if it is damaged, a column may end early, or hold codes
    without a label.
    """
    rows = 0
    with open_parquet(path) as file:
        has_maps = "similarity_map" in file.schema_arrow.names
        for batch in file.iter_batches(MAPS_AT_ONCE if has_maps else _ROWS_AT_ONCE):
            batch.validate(full=True)
            rows += len(batch)
        if rows != file.metadata.num_rows:
            raise RecordsError(f"{path}: its pages hold other numbers of rows. {ANEW}")


def count_undefined_maps(path: Path) -> int:
    """Number of records whose similarity map holds NaN."""
    maxima = read_columns(path, ["similarity_max"]).column(0).to_numpy()
    return int(np.isnan(maxima).sum())


class RecordRows:
    """The records of a run: a row for each of K pairings of each of N samples."""

    def __init__(self, samples: Sequence[Sample], plan: AudioPlan) -> None:
        clips = {sample.sample_id: str(sample.audio_path) for sample in samples}
        sources = [r.source_id if r.condition == POSITIVE else None for _, r in plan.distinct]
        columns = {
            "sample_id": [sample.sample_id for sample in samples],
            "image_path": [str(sample.image_path) for sample in samples],
            "category": [sample.category for sample in samples],
            "image_group": [sample.image_group for sample in samples],
            "audio_condition": [condition for condition, _ in plan.pairings],
            "draw": [draw for _, draw in plan.pairings],
            "audio_source_id": sources,
            # null too for a sample that was left out since its maps are missing
            "audio_path": [source and clips.get(source) for source in sources],
        }
        self._index = plan.index
        self._columns = {name: pa.array(c, RECORDS.field(name).type) for name, c in columns.items()}

    def columns(self, samples: Index, names: Collection[str]) -> dict[str, pa.Array]:
        """Columns `[N * K]` of the rows of the samples at some positions `[N]`, without maps."""
        count, pairings = len(samples), self._index.shape[1]
        sample = np.repeat(samples, pairings)
        pairing = np.tile(np.arange(pairings), count)
        sound = self._index[samples].ravel().astype(np.int64)
        places = dict.fromkeys(("audio_condition", "draw"), pairing)
        places |= dict.fromkeys(("audio_source_id", "audio_path"), sound)
        return {name: self._columns[name].take(places.get(name, sample)) for name in names}

    def table(
        self, samples: Index, maps: torch.Tensor, object_maps: torch.Tensor | None = None
    ) -> pa.Table:
        """Make the rows of the samples at some positions `[N]`, in their order.

        Similarity maps are `[N, K, h, w]`, object maps `[N, h, w]`.
        """
        flat = maps.flatten(2).flatten(0, 1)
        seen = pa.nulls(len(flat), RECORDS.field("object_map").type)
        if object_maps is not None:
            seen = _list_rows(object_maps.flatten(1).repeat_interleave(maps.shape[1], dim=0))
        columns = {
            **self.columns(samples, self._columns),
            "map_height": np.full(len(flat), maps.shape[2], np.int16),
            "map_width": np.full(len(flat), maps.shape[3], np.int16),
            "similarity_map": _list_rows(flat),
            "object_map": seen,
            "similarity_max": flat.amax(dim=1).numpy(),
            "similarity_min": flat.amin(dim=1).numpy(),
        }
        return pa.table([columns[name] for name in RECORDS.names], schema=RECORDS)


def as_records(table: pa.Table) -> pa.Table:
    """Give records of an earlier version today's columns: null where they are new."""
    for field in RECORDS:
        if field.nullable and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(RECORDS.names)


def _list_rows(rows: torch.Tensor) -> pa.Array:
    """Rows `[R, L]` as R lists."""
    offsets = torch.arange(len(rows) + 1, dtype=torch.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(offsets.numpy(), rows.flatten().numpy())
