"""The records of a few samples, or of a part of a run, without reading all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vssl.records.files import RECORDS_FILE
from vssl.records.schema import RECORDS
from vssl.records.store import (
    AtomicParquetWriter,
    RecordsError,
    as_records,
    read_columns,
    read_provenance,
    record_batches,
)
from vssl.types import POSITIVE

_THINNED_TOGETHER = 4096


def records_of(run: Path, ids: Sequence[str], columns: Sequence[str]) -> dict[str, pa.RecordBatch]:
    """The first draw of some samples: by sample, one row per audio condition, in the run's order.

    Raises:
        RecordsError: when a sample is not among the records.
    """
    path = run / RECORDS_FILE
    rows = first_draws(path, ids, columns)
    found = {name: rows.filter(pc.equal(rows.column("sample_id"), name)) for name in ids}
    unknown = [name for name, own in found.items() if not len(own)]
    if unknown:
        known = next(record_batches(path, 1, ["sample_id"])).column(0)[0]
        raise RecordsError(
            f"{path}: has no sample {unknown[0]}. Its column sample_id holds ids such as {known}."
        )
    return {
        name: own.select(list(columns)).combine_chunks().to_batches()[0]
        for name, own in found.items()
    }


def first_draws(records: Path, ids: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Rows of some samples in draw 0, as far as they are there, with `sample_id` and `draw`."""
    chosen = pc.field("sample_id").isin(list(ids)) & (pc.field("draw") == 0)
    return read_columns(records, [*dict.fromkeys(("sample_id", "draw", *columns))], chosen)


def categories_of(run: Path, ids: Sequence[str]) -> dict[str, str]:
    """Classes of some samples; a sample that the run does not have is left out."""
    chosen = pc.field("sample_id").isin(list(ids)) & (pc.field("audio_condition") == POSITIVE)
    table = read_columns(run / RECORDS_FILE, ["sample_id", "category"], chosen)
    return {row["sample_id"]: row["category"] for row in table.to_pylist()}


def samples_by_size(run: Path, shares: Sequence[float]) -> list[str]:
    """Samples at some shares of the way from the smallest ground truth to the largest."""
    columns = ["sample_id", "audio_condition", "boxes"]
    positive = pc.field("audio_condition") == POSITIVE
    rows = read_columns(run / RECORDS_FILE, columns, positive).to_pandas()
    # int(): the product of two int16 sides overflows
    areas = [sum(int(b[2] - b[0]) * int(b[3] - b[1]) for b in boxes) for boxes in rows["boxes"]]
    order = np.argsort(areas, kind="stable")
    places = dict.fromkeys(min(int(share * len(order)), len(order) - 1) for share in shares)
    return [str(rows["sample_id"].iloc[int(order[place])]) for place in places]


def thin_records(run: Path, folder: Path, *, samples: int) -> int:
    """Write the first draws of about so many of a run's samples, evenly spread, as records.

    What needs the maps themselves, as threshold curves do, takes a fraction of the time on them.
    All samples of a picture stay together, so that there may be a few more than were asked for.

    Returns:
        The number of samples kept.
    """
    path = run / RECORDS_FILE
    provenance = read_provenance(path)
    facts = read_columns(path, ["image_group", "audio_condition", "draw"])
    first = facts.column("draw").to_numpy() == 0
    positive = first & pc.equal(facts.column("audio_condition"), POSITIVE).to_numpy()
    groups = facts.column("image_group").combine_chunks().dictionary_encode().indices.to_numpy()
    pictures = int(groups.max()) + 1
    share = min(1.0, samples / max(int(positive.sum()), 1))
    spread = np.linspace(0, pictures - 1, max(1, round(share * pictures))).round().astype(int)
    keep = first & np.isin(groups, spread)
    start = 0
    with AtomicParquetWriter(folder / RECORDS_FILE, RECORDS, provenance) as writer:
        for batch in record_batches(path, _THINNED_TOGETHER):
            rows = batch.filter(pa.array(keep[start : start + len(batch)]))
            start += len(batch)
            if len(rows):
                writer.write(as_records(pa.Table.from_batches([rows])))
    return int((keep & positive).sum())
