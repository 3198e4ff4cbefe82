"""Records in pieces of whole samples, worked on side by side: memory stays flat."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from vssl.core.arrays import Index, Names
from vssl.core.memory import keep_freed_memory
from vssl.core.progress import progress_bar
from vssl.maps import consensus_map
from vssl.masks import PackedTruth
from vssl.records.store import count_rows, read_columns, record_batches
from vssl.types import POSITIVE, SoundingObject, SoundingObjects

Done = TypeVar("Done")

_ROWS_READ = 256
_SAMPLE = "sample_id"


def sample_chunks(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The records of a file in pieces of about 256 rows that hold all rows of their samples.

    The column `sample_id` comes in any case.
    """
    left: list[pa.RecordBatch] = []
    for batch in record_batches(path, _ROWS_READ, [*dict.fromkeys((_SAMPLE, *columns))]):
        starts = sample_starts(batch)
        last = int(starts[-1])  # the last sample may go on in the next batch
        goes_on = bool(left) and left[-1].column(_SAMPLE)[0].equals(batch.column(_SAMPLE)[0])
        if last > 0 or not goes_on:
            whole = [*left, batch.slice(0, last)] if last > 0 else left
            if whole:
                yield pa.concat_batches(whole)
            left = []
        left.append(batch.slice(last))
    if left:
        yield pa.concat_batches(left)


def sample_starts(rows: pa.RecordBatch) -> Index:
    """First row of each sample in records whose samples stand together."""
    codes = rows.column(_SAMPLE).dictionary_encode().indices.to_numpy()
    return np.append(0, np.flatnonzero(np.diff(codes)) + 1)


def in_threads(
    work: Callable[[pa.RecordBatch], Done],
    path: Path,
    columns: Sequence[str],
    *,
    description: str,
) -> Iterator[Done]:
    """Do work on a file's chunks in as many threads as torch would use; results come in order.

    Kernels and pyarrow release the GIL. The file is read a few chunks ahead, never whole.
    """
    keep_freed_memory()  # maps and masks of a chunk are tens of megabytes
    threads = torch.get_num_threads()
    waiting: deque[tuple[int, Future[Done]]] = deque()
    torch.set_num_threads(1)  # each thread is one already
    try:
        with (
            ThreadPoolExecutor(threads) as pool,
            progress_bar(description, count_rows(path)) as advance,
        ):
            for chunk in sample_chunks(path, columns):
                waiting.append((len(chunk), pool.submit(work, chunk)))
                if len(waiting) > 2 * threads:
                    rows, future = waiting.popleft()
                    yield future.result()
                    advance(rows)
            for rows, future in waiting:
                yield future.result()
                advance(rows)
    finally:
        torch.set_num_threads(threads)


def run_pairings(records: Path) -> tuple[tuple[str, int], ...]:
    """The (audio condition, draw) pairs of a run, which are the same for every sample."""
    first = next(sample_chunks(records, ("audio_condition", "draw")))
    stop = [*sample_starts(first)[1:], len(first)][0]
    columns = (first.column(name)[:stop].to_pylist() for name in ("audio_condition", "draw"))
    return tuple(zip(*columns, strict=True))


def condition_pairs(pairings: Sequence[tuple[str, int]]) -> list[tuple[str, str]]:
    """Pairs (partner, condition) of audio conditions whose masks are compared.

    The comparison stands in the rows of `condition`: of two conditions the one with more draws, or
    the later one. A partner with one draw meets every draw; with several, draws meet their like.
    """
    names = list(dict.fromkeys(name for name, _ in pairings))
    draws = {name: sum(n == name for n, _ in pairings) for name in names}
    return [
        (second, first) if draws[first] > draws[second] else (first, second)
        for place, second in enumerate(names)
        for first in names[:place]
    ]


Objects = tuple[list[Any], list[float]]
"""Boxes and their weights."""


def other_objects(records: Path) -> dict[str, list[Objects]]:
    """For each sample whose image shows other samples' objects too: those objects."""
    columns = ["sample_id", "image_group", "boxes", "box_weights"]
    filters = pc.field("audio_condition") == POSITIVE
    rows = read_columns(records, columns, filters).to_pylist()
    by_image: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_image.setdefault(row["image_group"], []).append(row)
    return {
        row["sample_id"]: others
        for row in rows
        if (
            others := [
                (other["boxes"], other["box_weights"])
                for other in by_image[row["image_group"]]
                if other["boxes"] != row["boxes"]
            ]
        )
    }


@dataclass(frozen=True)
class Chunk:
    """R records of S whole samples, with what their rows share."""

    rows: pa.RecordBatch
    starts: Index  # [S] first row of each sample
    sample: Index  # [R] sample of each row
    ground_truth: torch.Tensor  # [S, 224, 224]
    conditions: Names  # [R]
    draws: Index  # [R]

    @classmethod
    def of(cls, rows: pa.RecordBatch) -> Chunk:
        """The chunk of some records with boxes."""
        starts = sample_starts(rows)
        sample = np.zeros(len(rows), np.int64)
        sample[starts[1:]] = 1
        objects = rows.select(["boxes", "box_weights"]).take(pa.array(starts)).to_pylist()
        return cls(
            rows=rows,
            starts=starts,
            sample=sample.cumsum(),
            ground_truth=_consensus_maps([tuple(each.values()) for each in objects]),
            conditions=rows.column("audio_condition").to_numpy(zero_copy_only=False).astype(str),
            draws=rows.column("draw").to_numpy().astype(np.int64),
        )

    @cached_property
    def truths(self) -> PackedTruth:
        """Ground truth of each sample."""
        return PackedTruth.of(self.ground_truth)

    @cached_property
    def truth(self) -> PackedTruth:
        """Ground truth of each row."""
        return self.truths[self.sample]

    def rows_of(self, condition: str) -> Index:
        """Rows of an audio condition, `[S, D]`: one line for each sample, its draws in order."""
        rows = np.flatnonzero(self.conditions == condition)
        order = np.lexsort((self.draws[rows], self.sample[rows]))
        return rows[order].reshape(len(self.starts), -1)

    @cached_property
    def pairs(self) -> dict[str, tuple[Index, Index]]:
        """Rows whose masks are compared: by partner condition, rows and the partner's rows."""
        keys = zip(self.sample.tolist(), self.conditions.tolist(), self.draws.tolist(), strict=True)
        place = {key: row for row, key in enumerate(keys)}
        pairings = list(dict.fromkeys((name, draw) for _, name, draw in place))
        several = {name for name, draw in pairings if draw > 0}
        found: dict[str, list[tuple[int, int]]] = {}
        for partner, condition in condition_pairs(pairings):
            pairs = found.setdefault(partner, [])
            for (sample, name, draw), row in place.items():
                met = place.get((sample, partner, draw if partner in several else 0))
                if name == condition and met is not None:
                    pairs.append((row, met))
        both = {name: np.array(pairs, np.int64).reshape(-1, 2).T for name, pairs in found.items()}
        return {name: (own.copy(), met.copy()) for name, (own, met) in both.items()}

    def swaps(
        self, others: Mapping[str, Sequence[Objects]], sounding: SoundingObjects
    ) -> tuple[Index, PackedTruth] | None:
        """Rows in which the own object sounds, and another that their image shows: its truth.

        A row with several other objects comes several times. `others` are by sample.
        """
        own = [sounding[str(name)] == SoundingObject.OWN for name in self.conditions]
        rows = np.flatnonzero(own)
        names = self.rows.column("sample_id").take(pa.array(rows)).to_pylist()
        found = [
            (row, other)
            for row, name in zip(rows.tolist(), names, strict=True)
            for other in others.get(name, ())
        ]
        if not found:
            return None
        truth = PackedTruth.of(_consensus_maps([other for _, other in found]))
        return np.array([row for row, _ in found]), truth


def _consensus_maps(objects: Sequence[Objects]) -> torch.Tensor:
    return torch.stack([consensus_map(*each) for each in objects])
