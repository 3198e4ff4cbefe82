"""Records to scores: localization map, threshold, mask, metric columns. No network, no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from vssl.maps import consensus_map
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.base import (
    CombinedMetric,
    MapMetric,
    MeanMetric,
    PairMetric,
    SampleMetric,
    SwapMetric,
)
from vssl.metrics.sets import MAP_MAXIMUM, SetMetric
from vssl.records.binarize import Binarized, binarize_records
from vssl.records.chunks import in_threads, sample_chunks, sample_starts
from vssl.records.files import RECORDS_FILE
from vssl.records.fit import FittedPolicy
from vssl.records.localization import AUDIO_VISUAL, MAP_COLUMNS, Localization
from vssl.records.schema import NO_POLICY, NO_THRESHOLD, pair_column, scores_schema
from vssl.records.store import AtomicParquetWriter, read_provenance
from vssl.types import POSITIVE

AnyMetric = MeanMetric | SetMetric | CombinedMetric

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_SCORED_COLUMNS = (
    *("sample_id", "draw", "boxes", "box_weights", "image_group"),
    *("similarity_max", "similarity_min", *MAP_COLUMNS),
)
_ROWS_WRITTEN = 1 << 17


def score_records(
    run: Path,
    fitted: Sequence[FittedPolicy],
    metrics: Sequence[AnyMetric],
    *,
    output: Path,
    keep: pa.Table | None = None,
) -> None:
    """Score every record under every policy and write the scores file.

    A record has one row for each policy, and for each map variant one row of policy `none` with
    what needs no threshold.

    Args:
        run: folder with the records.
        fitted: policies, each with what it rests on and its map variant.
        metrics: metrics; those that share a column measure it once.
        output: file to write.
        keep: rows of an earlier scores file to carry over.

    Raises:
        RecordsError: when the records cannot be read.
    """
    path = run / RECORDS_FILE
    provenance = read_provenance(path)
    measured = Measured.of(metrics)
    schema = scores_schema(score_columns(path, metrics))
    scorer = _Scorer(
        localization=Localization.of(provenance),
        fitted=fitted,
        measured=measured,
        others=_other_objects(path) if measured.of_swaps else {},
        schema=schema,
    )
    with AtomicParquetWriter(output, schema, provenance) as writer:
        if keep is not None and len(keep):
            writer.write(keep)
        tables = in_threads(scorer, sample_chunks(path, _SCORED_COLUMNS))
        for table in _in_large_pieces(tables):
            writer.write(table)


def score_columns(records: Path, metrics: Sequence[AnyMetric]) -> list[str]:
    """Names of the columns that metrics measure on a run."""
    measured = Measured.of(metrics)
    pairs = condition_pairs(run_pairings(records)) if measured.of_pairs else []
    by_pair = [
        pair_column(m.column, partner)
        for m in measured.of_pairs
        for partner in dict.fromkeys(pair[0] for pair in pairs)
    ]
    single = (*measured.of_samples, *measured.of_swaps, *measured.of_maps)
    return [MAP_MAXIMUM, *(m.column for m in single), *by_pair]


@dataclass(frozen=True)
class Measured:
    """The metrics that measure a column, one for each column, by what they measure it on."""

    of_samples: tuple[type[SampleMetric], ...]
    of_pairs: tuple[type[PairMetric], ...]
    of_swaps: tuple[type[SwapMetric], ...]
    of_maps: tuple[type[MapMetric], ...]

    @classmethod
    def of(cls, metrics: Sequence[AnyMetric]) -> Measured:
        """The columns that metrics need."""
        kinds: list[type[MeanMetric]] = [type(m) for m in metrics if isinstance(m, MeanMetric)]
        for metric in metrics:
            kinds += metric.map_metrics if isinstance(metric, SetMetric) else ()
        by_column = {kind.column: kind for kind in reversed(kinds)}
        ordered = [by_column[column] for column in dict.fromkeys(kind.column for kind in kinds)]
        return cls(
            of_samples=tuple(k for k in ordered if issubclass(k, SampleMetric)),
            of_pairs=tuple(k for k in ordered if issubclass(k, PairMetric)),
            of_swaps=tuple(k for k in ordered if issubclass(k, SwapMetric)),
            of_maps=tuple(k for k in ordered if issubclass(k, MapMetric)),
        )


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


def _other_objects(records: Path) -> dict[str, list[Objects]]:
    """For each sample whose image shows other samples' objects too: those objects."""
    columns = ["sample_id", "image_group", "boxes", "box_weights"]
    filters = pc.field("audio_condition") == POSITIVE
    rows = pq.read_table(records, columns=columns, filters=filters).to_pylist()
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
class _Chunk:
    """Records of whole samples, with what their rows share."""

    rows: pa.RecordBatch
    sample: Index  # [R] sample of each row
    truths: PackedTruth  # of each sample
    conditions: npt.NDArray[np.str_]  # [R]
    draws: Index  # [R]

    @classmethod
    def of(cls, rows: pa.RecordBatch) -> _Chunk:
        starts = sample_starts(rows)
        sample = np.zeros(len(rows), np.int64)
        sample[starts[1:]] = 1
        objects = rows.select(["boxes", "box_weights"]).take(pa.array(starts)).to_pylist()
        return cls(
            rows=rows,
            sample=sample.cumsum(),
            truths=_packed([(each["boxes"], each["box_weights"]) for each in objects]),
            conditions=rows.column("audio_condition").to_numpy(zero_copy_only=False).astype(str),
            draws=rows.column("draw").to_numpy().astype(np.int64),
        )

    @cached_property
    def truth(self) -> PackedTruth:
        """Ground truth of each row."""
        return self.truths[self.sample]

    @cached_property
    def positives(self) -> Index:
        """Rows in which the image's own sound plays."""
        return np.flatnonzero(self.conditions == POSITIVE)

    @cached_property
    def pairs(self) -> dict[str, tuple[Index, Index]]:
        """Rows whose masks are compared: by partner condition, rows and the partner's rows."""
        place = {
            key: row
            for row, key in enumerate(
                zip(
                    self.sample.tolist(), self.conditions.tolist(), self.draws.tolist(), strict=True
                )
            )
        }
        pairings = list(dict.fromkeys((name, draw) for _, name, draw in place))
        several = {name for name, draw in pairings if draw > 0}
        found: dict[str, tuple[Index, Index]] = {}
        partners: dict[str, list[tuple[int, int]]] = {}
        for partner, condition in condition_pairs(pairings):
            pairs = partners.setdefault(partner, [])
            for (sample, name, draw), row in place.items():
                met = place.get((sample, partner, draw if partner in several else 0))
                if name == condition and met is not None:
                    pairs.append((row, met))
        for partner, pairs in partners.items():
            both = np.array(pairs, np.int64).reshape(-1, 2)
            found[partner] = (both[:, 0].copy(), both[:, 1].copy())
        return found

    def swaps(self, others: Mapping[str, Sequence[Objects]]) -> tuple[Index, PackedTruth] | None:
        """Positives whose image shows other objects: rows, and one other object's truth for each.

        A row with several other objects comes several times.
        """
        names = self.rows.column("sample_id").take(pa.array(self.positives)).to_pylist()
        found = [
            (row, other)
            for row, name in zip(self.positives.tolist(), names, strict=True)
            for other in others.get(name, ())
        ]
        if not found:
            return None
        return np.array([row for row, _ in found]), _packed([other for _, other in found])


def _packed(objects: Sequence[Objects]) -> PackedTruth:
    return PackedTruth.of(torch.stack([consensus_map(*each) for each in objects]))


@dataclass(frozen=True)
class _Scorer:
    """Scores chunks of records; threads share it."""

    localization: Localization
    fitted: Sequence[FittedPolicy]
    measured: Measured
    others: Mapping[str, Sequence[Objects]]
    schema: pa.Schema

    def __call__(self, rows: pa.RecordBatch) -> pa.Table:
        """The rows of the scores file that some records give."""
        chunk = _Chunk.of(rows)
        swaps = chunk.swaps(self.others)
        tables = []
        for variant in self.localization.variants:
            policies = [each for each in self.fitted if each.variant == variant]
            binarized = binarize_records(
                self.localization, rows, variant, [each.policy for each in policies], chunk.truth
            )
            native = variant == AUDIO_VISUAL
            maxima = (
                self.localization.native_maxima(rows)
                if native
                else binarized.maximum.astype(np.float64)
            )
            undefined = np.isnan(maxima)
            columns = {MAP_MAXIMUM: maxima, **self._of_maps(chunk, variant, binarized)}
            key = (variant, NO_POLICY, NO_THRESHOLD)
            tables.append(self._table(chunk, key, _without(columns, undefined)))
            for each, masks, thresholds in zip(
                policies, binarized.masks, binarized.thresholds, strict=True
            ):
                found = _without(self._of_masks(chunk, masks, swaps, undefined), undefined)
                found["threshold"] = thresholds
                tables.append(self._table(chunk, (variant, each.policy.name, each.source), found))
        return pa.concat_tables(tables)

    def _of_maps(self, chunk: _Chunk, variant: str, binarized: Binarized) -> dict[str, Array]:
        """Columns that need no threshold."""
        columns = {}
        for metric in self.measured.of_maps:
            known = metric.from_statistics(
                binarized.maximum.astype(np.float64), binarized.confidence
            )
            if known is not None:
                columns[metric.column] = known
                continue
            chosen = np.flatnonzero([metric.applies_to(c) for c in chunk.conditions])
            columns[metric.column] = np.full(len(chunk.rows), np.nan)
            if len(chosen):
                maps = self.localization.maps(chunk.rows.take(pa.array(chosen)))[variant]
                found = metric.measure(maps, chunk.truth[chosen].unpack())
                columns[metric.column][chosen] = found.numpy()
        return columns

    def _of_masks(
        self,
        chunk: _Chunk,
        masks: PackedMasks,
        swaps: tuple[Index, PackedTruth] | None,
        undefined: npt.NDArray[np.bool_],
    ) -> dict[str, Array]:
        """Columns of one policy's masks."""
        columns = {
            metric.column: metric.measure_packed(masks, chunk.truth)
            for metric in self.measured.of_samples
        }
        for swap in self.measured.of_swaps:
            # null, and so neither counted nor undefined, where an image shows no other object
            columns[swap.column] = np.ma.array(np.zeros(len(masks)), mask=True)
            if swaps is not None:
                rows, other = swaps
                found = swap.measure_packed(masks[rows], chunk.truth[rows], other)
                times = np.bincount(rows, minlength=len(masks))
                total = np.bincount(rows, found, minlength=len(masks))
                mean = total / np.maximum(times, 1)
                columns[swap.column] = np.ma.array(mean, mask=times == 0)
        for pair in self.measured.of_pairs:
            for partner, (own, met) in chunk.pairs.items():
                column = np.full(len(masks), np.nan)
                column[own] = pair.measure_packed(masks, own, met)
                column[own[undefined[met]]] = np.nan
                columns[pair_column(pair.column, partner)] = column
        return columns

    def _table(
        self, chunk: _Chunk, key: tuple[str, str, str], columns: Mapping[str, Array]
    ) -> pa.Table:
        """Rows of one map variant and policy."""
        count = len(chunk.rows)
        arrays: dict[str, pa.Array] = {
            "sample_id": chunk.rows.column("sample_id").dictionary_encode(),
            "audio_condition": chunk.rows.column("audio_condition").dictionary_encode(),
            "draw": chunk.rows.column("draw"),
        }
        labels = ("map_variant", "threshold_policy", "threshold_source")
        for name, value in zip(labels, key, strict=True):
            zeros = pa.array(np.zeros(count, np.int32))
            arrays[name] = pa.DictionaryArray.from_arrays(zeros, [value])
        for name in self.schema.names:
            if name in columns:
                arrays[name] = pa.array(columns[name])
            elif name not in arrays:
                arrays[name] = pa.nulls(count, pa.float64())
        names = self.schema.names
        return pa.table([arrays[name] for name in names], names=names).cast(self.schema)


def _without(columns: dict[str, Array], undefined: npt.NDArray[np.bool_]) -> dict[str, Array]:
    """Columns with NaN where a map holds NaN; what is masked stays so."""
    for column in columns.values():
        column[undefined & ~np.ma.getmaskarray(column)] = np.nan
    return columns


def _in_large_pieces(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Tables joined to pieces of many rows, as row groups should be."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= _ROWS_WRITTEN:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)
