"""Records in chunks of whole samples, so that memory stays flat, and records of a few samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from vssl.core.arrays import Index, Mask, Names
from vssl.core.memory import keep_freed_memory
from vssl.core.progress import progress_bar
from vssl.masks import PackedTruth
from vssl.records.conditions import without_conditions
from vssl.records.files import RECORDS_FILE, SCHEMA_VERSION
from vssl.records.schema import RECORDS
from vssl.records.store import (
    MAPS_AT_ONCE,
    Labels,
    RecordsError,
    as_records,
    open_parquet,
    parquet_writer,
    read_columns,
    read_provenance,
    record_batches,
)
from vssl.records.truth import GroundTruth, consensus_maps, object_area
from vssl.types import EVALUATION_SIZE, NATURAL, POSITIVE, SoundingObject, SoundingObjects

Done = TypeVar("Done")

_ROWS_READ = 256
_SAMPLE = "sample_id"


def sample_chunks(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Read a records file in chunks of about 256 rows that hold all rows of their samples.

    The column `sample_id` is always included.
    """
    rest: list[pa.RecordBatch] = []
    for batch in record_batches(path, _ROWS_READ, [*dict.fromkeys((_SAMPLE, *columns))]):
        rows = pa.concat_batches([*rest, batch])
        last = int(sample_starts(rows)[-1])  # the last sample may go on in the next batch
        if last > 0:
            yield rows.slice(0, last)
        rest = [rows.slice(last)]
    yield from rest


def sample_starts(rows: pa.RecordBatch) -> Index:
    """Find the first row of each sample; the rows of a sample must be consecutive."""
    names = rows.column(_SAMPLE)
    differs = pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
    return np.append(0, np.flatnonzero(differs) + 1)


def in_threads(
    work: Callable[[pa.RecordBatch], Done],
    path: Path,
    columns: Sequence[str],
    *,
    description: str,
    without: Sequence[str] = (),
) -> Iterator[Done]:
    """Process a file's chunks in as many threads as torch would use; results come in order.

    Kernels and pyarrow release the GIL. The file is read a few chunks ahead, never whole.

    Args:
        work: called with each chunk.
        path: records file.
        columns: columns to read, besides `sample_id`.
        description: of the progress bar.
        without: audio conditions whose rows are dropped from the chunks.
    """
    keep_freed_memory()  # maps and masks of a chunk are tens of megabytes
    threads = torch.get_num_threads()
    waiting: deque[tuple[int, Future[Done]]] = deque()
    with open_parquet(path) as file:
        total = file.metadata.num_rows
    torch.set_num_threads(1)  # each thread is one already
    try:
        with (
            ThreadPoolExecutor(threads) as pool,
            progress_bar(description, total) as advance,
        ):
            for chunk in sample_chunks(path, columns):
                rows = without_conditions(chunk, without) if without else chunk
                waiting.append((len(chunk), pool.submit(work, rows)))
                if len(waiting) > 2 * threads:
                    count, future = waiting.popleft()
                    yield future.result()
                    advance(count)
            for count, future in waiting:
                yield future.result()
                advance(count)
    finally:
        torch.set_num_threads(threads)


def run_pairings(records: Path) -> tuple[tuple[str, int], ...]:
    """List the (audio condition, draw) pairs of a run, which are the same for every sample."""
    first = next(sample_chunks(records, ("audio_condition", "draw")))
    stop = [*sample_starts(first)[1:], len(first)][0]
    columns = (first.column(name)[:stop].to_pylist() for name in ("audio_condition", "draw"))
    return tuple(zip(*columns, strict=True))


def condition_pairs(pairings: Sequence[tuple[str, int]]) -> list[tuple[str, str]]:
    """List pairs (partner, condition) of audio conditions whose masks are compared.

    The result is stored with `condition`, which is the one with more draws (the later one on a
    tie). A single-draw partner is compared with every draw; otherwise draw k with draw k.
    """
    names = list(dict.fromkeys(name for name, _ in pairings))
    draws = {name: sum(n == name for n, _ in pairings) for name in names}
    return [
        (second, first) if draws[first] > draws[second] else (first, second)
        for place, second in enumerate(names)
        for first in names[:place]
    ]


def other_objects(records: Path, truth: GroundTruth) -> dict[str, list[str]]:
    """Map a sample to the others whose objects its image shows too, if there are any.

    Natural negatives have no object.
    """
    columns = [_SAMPLE, "image_group"]
    positive = pc.field("audio_condition") == POSITIVE
    table = read_columns(records, columns, positive, labels=columns[1:])
    names, image = table.column(_SAMPLE), Labels.of(table.column("image_group")).codes
    own = np.flatnonzero(~truth.natural[truth.rows(names.to_pylist())])
    own = own[np.bincount(image[own])[image[own]] > 1]
    by_image: dict[int, list[str]] = {}
    for name, place in zip(names.take(own).to_pylist(), image[own].tolist(), strict=True):
        by_image.setdefault(place, []).append(name)
    return {
        name: [other for other in shown if other != name]
        for shown in by_image.values()
        for name in shown
    }


@dataclass(frozen=True)
class Chunk:
    """R records of S samples, and the ground truth that their rows share.

    The own sound of a natural negative has the condition `natural`. Other rows in which an object
    of its picture would sound are left out.
    """

    rows: pa.RecordBatch
    objects: GroundTruth  # of the run
    starts: Index  # [S] first row of each sample
    sample: Index  # [R] sample of each row
    natural: Mask  # [R] whether its sample is a natural negative
    ground_truth: torch.Tensor  # [S, 224, 224]
    conditions: Names  # [R]
    draws: Index  # [R]
    pairings: Sequence[tuple[str, int]]  # as recorded for every sample

    @classmethod
    def of(cls, rows: pa.RecordBatch, truth: GroundTruth, sounding: SoundingObjects) -> Chunk:
        """Wrap all records of some samples of a run with this ground truth.

        `sounding` is the object that sounds by audio condition.
        """
        starts = sample_starts(rows)
        names = rows.column(_SAMPLE).take(pa.array(starts)).to_pylist()
        sample = np.zeros(len(rows), np.int64)
        sample[starts[1:]] = 1
        sample = sample.cumsum()
        natural = truth.natural[truth.rows(names)][sample]
        conditions = rows.column("audio_condition").to_numpy(zero_copy_only=False).astype(str)
        draws = rows.column("draw").to_numpy().astype(np.int64)
        count = np.append(starts, len(rows))[1]
        pairings = list(zip(conditions[:count].tolist(), draws[:count].tolist(), strict=True))
        if natural.any():
            conditions = conditions.astype(f"<U{max(len(NATURAL), conditions.itemsize // 4)}")
            conditions[natural & (conditions == POSITIVE)] = NATURAL
            silent = [sounding[str(name)] == SoundingObject.NONE for name in conditions]
            kept = ~natural | np.array(silent)
            rows, conditions, draws = rows.filter(pa.array(kept)), conditions[kept], draws[kept]
            natural, sample = natural[kept], sample[kept]
            starts = sample_starts(rows)
        return cls(
            rows=rows,
            objects=truth,
            starts=starts,
            sample=sample,
            natural=natural,
            ground_truth=consensus_maps(truth.objects(names)),
            conditions=conditions,
            draws=draws,
            pairings=pairings,
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
        """Find the rows of an audio condition: by sample that has it, then by draw D.

        Returns:
            `[s, D]`, s = S unless there are natural negatives.
        """
        rows = np.flatnonzero(self.conditions == condition)
        order = np.lexsort((self.draws[rows], self.sample[rows]))
        recorded = POSITIVE if condition == NATURAL else condition
        draws = sum(name == recorded for name, _ in self.pairings)
        return rows[order].reshape(-1, draws)

    @cached_property
    def pairs(self) -> dict[str, tuple[Index, Index]]:
        """Rows whose masks are compared: by partner condition, rows and the partner's rows.

        Natural negatives are compared under pairs of negatives alone.
        """
        rows = {name: self.rows_of(name) for name in dict.fromkeys(n for n, _ in self.pairings)}
        compared: dict[str, list[Index]] = {}
        for partner, condition in condition_pairs(self.pairings):
            own, met = rows[condition], rows[partner]
            if self.natural.any():
                both = np.intersect1d(self.sample[own], self.sample[met])
                own, met = (rows[np.isin(self.sample[rows[:, 0]], both)] for rows in (own, met))
            if met.shape[1] > 1:
                own = own[:, : met.shape[1]]
            both = np.stack(np.broadcast_arrays(own, met)).reshape(2, -1)
            compared.setdefault(partner, []).append(both)
        joined = {partner: np.concatenate(both, axis=1) for partner, both in compared.items()}
        return {partner: (own, met) for partner, (own, met) in joined.items()}

    def swaps(
        self, others: Mapping[str, Sequence[str]], sounding: SoundingObjects
    ) -> tuple[Index, PackedTruth] | None:
        """Pair rows in which the own object sounds with the other objects that their image shows.

        Returns rows and the ground truth of each one's other object; None without any. A row with
        several other objects is repeated. `others` are samples by sample, see `other_objects`; one
        whose boxes and masks are the same is no other object, whatever their weights.
        """
        if not others:
            return None
        names = self.rows.column(_SAMPLE).take(pa.array(self.starts)).to_pylist()
        pairs = [
            (row, names[self.sample[row]], other)
            for row, condition in enumerate(self.conditions.tolist())
            if sounding[condition] == SoundingObject.OWN
            for other in others.get(names[self.sample[row]], ())
        ]
        shown = [*dict.fromkeys(name for _, *both in pairs for name in both)]
        known = dict(zip(shown, self.objects.objects(shown), strict=True))
        swapped = [
            (row, other) for row, own, other in pairs if known[own][::2] != known[other][::2]
        ]
        if not swapped:
            return None
        truth = PackedTruth.of(consensus_maps([known[other] for _, other in swapped]))
        return np.array([row for row, _ in swapped]), truth


def records_of(run: Path, ids: Sequence[str], columns: Sequence[str]) -> dict[str, pa.RecordBatch]:
    """Read the first draw of some samples: one row per audio condition, in the run's order.

    Raises:
        RecordsError: when a sample is not among the records.
    """
    path = run / RECORDS_FILE
    first_draws = pc.field(_SAMPLE).isin(list(ids)) & (pc.field("draw") == 0)
    rows = read_columns(path, [*dict.fromkeys((_SAMPLE, "draw", *columns))], first_draws)
    by_sample = {name: rows.filter(pc.equal(rows.column(_SAMPLE), name)) for name in ids}
    for name, own in by_sample.items():
        if not len(own):
            known = next(record_batches(path, 1, [_SAMPLE])).column(0)[0]
            raise RecordsError(
                f"{path}: has no sample {name}. Its column sample_id holds ids such as {known}."
            )
    return {
        name: own.select(list(columns)).combine_chunks().to_batches()[0]
        for name, own in by_sample.items()
    }


def categories_of(run: Path, ids: Sequence[str]) -> dict[str, str]:
    """Read the classes of some samples; a sample that the run does not have is left out."""
    chosen = pc.field(_SAMPLE).isin(list(ids)) & (pc.field("audio_condition") == POSITIVE)
    table = read_columns(run / RECORDS_FILE, [_SAMPLE, "category"], chosen)
    return dict(zip(*(column.to_pylist() for column in table.columns), strict=True))


def samples_by_size(run: Path, shares: Sequence[float]) -> list[str]:
    """Pick samples at some shares of the way from the smallest ground truth to the largest.

    Natural negatives are picked only where there is nothing else.
    """
    truth = GroundTruth.of(run)
    ids = [truth.ids[place] for place in np.flatnonzero(~truth.natural)] or truth.ids
    areas = [
        sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes)
        + sum(EVALUATION_SIZE**2 * object_area([], [], [mask], [1.0]) for mask in masks)
        for boxes, _, masks, _ in truth.objects(ids)
    ]
    order = np.argsort(areas, kind="stable").tolist()
    places = dict.fromkeys(min(int(share * len(order)), len(order) - 1) for share in shares)
    return [ids[order[place]] for place in places]


def thin_records(run: Path, folder: Path, *, samples: int) -> int:
    """Write the first draws of about so many of a run's samples, evenly spread, as records.

    Threshold curves and other functions of the maps themselves then take a fraction of the time.
    All samples of a picture are kept together, so a few more may be kept than were asked for.

    Returns:
        The number of samples kept.
    """
    path = run / RECORDS_FILE
    facts = read_columns(path, [_SAMPLE, "image_group", "audio_condition", "draw"])
    first = facts.column("draw").to_numpy() == 0
    positive = first & pc.equal(facts.column("audio_condition"), POSITIVE).to_numpy()
    groups = facts.column("image_group").combine_chunks().dictionary_encode().indices.to_numpy()
    pictures = int(groups.max()) + 1
    share = min(1.0, samples / max(int(positive.sum()), 1))
    spread = np.linspace(0, pictures - 1, max(1, round(share * pictures))).round().astype(int)
    keep = first & np.isin(groups, spread)
    start, provenance = 0, {**read_provenance(path), "schema_version": SCHEMA_VERSION}
    kept = facts.column(_SAMPLE).filter(pa.array(keep & positive)).to_pylist()
    GroundTruth.of(run).of_some(kept).write(folder, provenance)
    with parquet_writer(folder / RECORDS_FILE, RECORDS, provenance) as write:
        for batch in record_batches(path, MAPS_AT_ONCE):
            rows = batch.filter(pa.array(keep[start : start + len(batch)]))
            start += len(batch)
            if len(rows):
                write(as_records(pa.Table.from_batches([rows])))
    return int((keep & positive).sum())
