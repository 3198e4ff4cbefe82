"""Records as they would be under other facts: the same similarity maps, localized otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from vssl.records.files import RECORDS_FILE
from vssl.records.schema import RECORDS
from vssl.records.store import (
    AtomicParquetWriter,
    as_records,
    read_provenance,
    record_batches,
)


def derive_records(run: Path, folder: Path, changes: Mapping[str, Any]) -> None:
    """Write a run's records with other provenance into a folder, a piece at a time.

    Args:
        run: folder of the run.
        folder: where `records.parquet` is written; made if it does not exist.
        changes: facts to replace in the provenance, e.g. `upsampling` or `prior`.

    Raises:
        RecordsError: when the records cannot be read.
    """
    provenance = {**read_provenance(run / RECORDS_FILE), **changes}
    folder.mkdir(parents=True, exist_ok=True)
    with AtomicParquetWriter(folder / RECORDS_FILE, RECORDS, provenance) as writer:
        for batch in record_batches(run / RECORDS_FILE, 4096):
            writer.write(as_records(pa.Table.from_batches([batch])))
