"""Shards: records of a running evaluation, from which a killed run continues."""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from vssl.negatives.plan import AudioPlan
from vssl.records.files import SHARDS_FOLDER
from vssl.records.schema import METADATA_KEY, RECORD_KEY, RECORDS
from vssl.records.store import (
    RecordRows,
    RecordsError,
    as_records,
    parquet_writer,
    read_columns,
)
from vssl.types import Sample

_log = logging.getLogger(__name__)
_GROUP_BYTES = 32 * 2**20
_OPEN_SHARDS = 4


def recorded_samples(folder: Path, identity: str) -> int:
    """Count the samples in shards of a stopped run, without checking their content."""
    found = 0
    for path in (folder / SHARDS_FOLDER).glob("*.parquet"):
        with contextlib.suppress(pa.ArrowException, OSError, ValueError, KeyError):
            facts = json.loads((pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"{}"))
            found += facts["samples"] if facts.get("config_hash") == identity else 0
    return found


class Shards:
    """The shards of one run, in the folder `shards` beside its records.

    A shard holds all rows of some samples. It is written whole or not at all, under a unique name,
    so that processes need not know of each other. `key` is the hash of all that records depend on;
    shards with another key are ignored. `identity` is for `recorded_samples`.
    """

    def __init__(
        self, folder: Path, samples: Sequence[Sample], plan: AudioPlan, key: str, identity: str = ""
    ) -> None:
        self._folder = folder / SHARDS_FOLDER
        self._rows = RecordRows(samples, plan)
        self._ids = pa.array([sample.sample_id for sample in samples], pa.string())
        self._pairings = len(plan.pairings)
        self._key = key
        self._identity = identity

    def recorded(self, *, tidy: bool) -> list[int]:
        """List the positions of the samples in usable shards; `tidy` deletes other shards."""
        usable = self._usable(whole=True)
        if tidy and self._folder.is_dir():
            others = set(self._folder.iterdir()) - {path for path, _ in usable}
            for path in others:
                path.unlink(missing_ok=True)
            if others:
                _log.warning(
                    "%d shards of a stopped run are not used: they are damaged, or were made by"
                    " another configuration, code, library, machine or batch size: %s",
                    len(others), self._folder,
                )  # fmt: skip
        return sorted({number for _, numbers in usable for number in numbers.tolist()})

    def write(
        self, index: torch.Tensor, maps: torch.Tensor, object_maps: torch.Tensor | None
    ) -> None:
        """Write a shard: `index` `[N]`, maps `[N, K, h, w]` and object maps `[N, h, w]` or None."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{int(index[0]):06d}-{uuid.uuid4().hex[:12]}.parquet"
        facts = {"shard_of": self._key, "config_hash": self._identity, "samples": len(index)}
        with parquet_writer(path, RECORDS, facts) as write:
            write(self._rows.table(index.numpy(), maps, object_maps))

    def join(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """Join the shards into one records file, in the samples' order.

        Memory stays flat. A sample in two shards, written by a process that outlived its run, is
        taken once.

        Raises:
            RecordsError: when a row is missing or unexpected; then nothing is written.
        """
        shards = self._usable()
        owner = np.full(len(self._ids), -1)
        place = np.zeros(len(self._ids), dtype=np.int64)
        for number, (_, numbers) in enumerate(shards):
            owner[numbers], place[numbers] = number, np.arange(len(numbers))
        missing = np.flatnonzero(owner < 0)
        if missing.size:
            raise RecordsError(
                f"{path}: {missing.size} samples were never recorded, the first is"
                f" {self._ids[missing[0]]}."
            )
        opened = lru_cache(_OPEN_SHARDS)(lambda shard: as_records(read_columns(shards[shard][0])))
        cuts = np.flatnonzero((np.diff(owner) != 0) | (np.diff(place) != 1)) + 1
        with parquet_writer(path, RECORDS, provenance) as write:
            held: list[pa.Table] = []
            for numbers in np.split(np.arange(len(self._ids)), cuts):
                first, rows = place[numbers[0]] * self._pairings, len(numbers) * self._pairings
                table = opened(int(owner[numbers[0]])).slice(first, rows)
                wanted = pa.table(self._rows.columns(numbers, RECORD_KEY))
                found = table.select(RECORD_KEY)
                if found.columns != wanted.columns:
                    both = zip(found.to_pylist(), wanted.to_pylist(), strict=True)
                    own, other = next(each for each in both if each[0] != each[1])
                    raise RecordsError(
                        f"{path}: expected the row {(*other.values(),)}, but got"
                        f" {(*own.values(),)}."
                    )
                held.append(table)
                whole = int(numbers[-1]) == len(self._ids) - 1
                if whole or sum(each.nbytes for each in held) >= _GROUP_BYTES:
                    write(pa.concat_tables(held).combine_chunks())
                    held = []

    def _usable(self, *, whole: bool = False) -> list[tuple[Path, npt.NDArray[np.int64]]]:
        """Shards of this run with the positions of their samples; `whole` reads all columns."""
        found = []
        for path in sorted(self._folder.glob("*.parquet")):
            try:
                with pq.ParquetFile(path, page_checksum_verification=True) as file:
                    metadata = file.schema_arrow.metadata or {}
                    if json.loads(metadata.get(METADATA_KEY, b"{}")).get("shard_of") != self._key:
                        continue
                    ids = file.read(None if whole else ["sample_id"]).column(0)
            except FileNotFoundError:  # another process removes what is useless
                continue
            except (pa.ArrowException, OSError, ValueError) as error:
                _log.warning("%s: a damaged shard, its samples are done again (%s)", path, error)
                continue
            names = ids.take(np.arange(0, len(ids), self._pairings))
            numbers = pc.index_in(names, value_set=self._ids)
            found.append((path, numbers.to_numpy().astype(np.int64)))
        return found
