"""Records to scores: localization map, threshold, mask, metric columns. No network, no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from vssl.arrays import Array, Index, Mask
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
from vssl.records.binarize import Binarized, maps_by_sample
from vssl.records.chunks import (
    Chunk,
    Objects,
    condition_pairs,
    in_threads,
    other_objects,
    run_pairings,
)
from vssl.records.conditions import sounding_objects
from vssl.records.files import RECORDS_FILE
from vssl.records.fit import FittedPolicy
from vssl.records.localization import AUDIO_VISUAL, MAP_COLUMNS, Localization
from vssl.records.schema import NO_POLICY, NO_THRESHOLD, pair_column, scores_schema
from vssl.records.store import AtomicParquetWriter, read_provenance
from vssl.thresholds.base import ThresholdPolicy
from vssl.types import SoundingObjects

AnyMetric = MeanMetric | SetMetric | CombinedMetric

_SCORED_COLUMNS = (
    *("sample_id", "draw", "boxes", "box_weights", "image_group"),
    *("similarity_max", "similarity_min", *MAP_COLUMNS),
)
_ROWS_WRITTEN = 1 << 17

_Block = tuple[tuple[str, str, str], dict[str, Array]]
"""Map variant, policy and source, and their columns `[R]`."""


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
        others=other_objects(path) if measured.of_swaps else {},
        sounding=sounding_objects(provenance),
        schema=schema,
    )
    with AtomicParquetWriter(output, schema, provenance) as writer:
        if keep is not None and len(keep):
            writer.write(keep)
        tables = in_threads(scorer, path, _SCORED_COLUMNS, description="scoring")
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


@dataclass(frozen=True)
class _Scorer:
    """Scores chunks of records; threads share it."""

    localization: Localization
    fitted: Sequence[FittedPolicy]
    measured: Measured
    others: Mapping[str, Sequence[Objects]]
    sounding: SoundingObjects
    schema: pa.Schema

    def __call__(self, rows: pa.RecordBatch) -> pa.Table:
        """The rows of the scores file that some records give."""
        chunk = Chunk.of(rows)
        swaps = chunk.swaps(self.others, self.sounding)
        blocks: list[_Block] = []
        for variant in self.localization.variants:
            policies = [each for each in self.fitted if each.variant == variant]
            columns, binarized = self._of_maps(chunk, variant, [each.policy for each in policies])
            undefined = np.isnan(columns[MAP_MAXIMUM])
            key = (variant, NO_POLICY, NO_THRESHOLD)
            blocks.append((key, _without(columns, undefined)))
            pairs = zip(policies, binarized.masks, binarized.thresholds, strict=True)
            for each, masks, thresholds in pairs:
                found = _without(self._of_masks(chunk, masks, swaps, undefined), undefined)
                found["threshold"] = thresholds
                blocks.append(((variant, each.policy.name, each.source), found))
        return self._table(chunk, blocks)

    def _of_maps(
        self, chunk: Chunk, variant: str, policies: Sequence[ThresholdPolicy]
    ) -> tuple[dict[str, Array], Binarized]:
        """Columns that need no threshold, and masks."""
        columns = {m.column: np.full(len(chunk.rows), np.nan) for m in self.measured.of_maps}
        conditions = [(name, self.sounding[name]) for name in chunk.conditions.tolist()]
        applies = {
            m: np.array([m.applies_to(*each) for each in conditions]) for m in self.measured.of_maps
        }
        parts = []
        for place, maps in maps_by_sample(self.localization, chunk.rows, variant):
            own = chunk.ground_truth[chunk.sample[place.start]]
            truth = own.expand(len(maps), -1, -1)
            thresholds = [policy.threshold(maps, truth).float() for policy in policies]
            stacked = torch.stack(thresholds) if policies else torch.empty(0, len(maps))
            parts.append(Binarized.of(maps, stacked))
            for metric, rows in applies.items():
                if (chosen := np.flatnonzero(rows[place])).size:
                    some = maps if len(chosen) == len(maps) else maps[chosen]
                    found = metric.measure(some, truth[: len(chosen)]).numpy()
                    columns[metric.column][place.start + chosen] = found
        binarized = Binarized.joined(parts)
        if variant == AUDIO_VISUAL:
            columns[MAP_MAXIMUM] = self.localization.native_maxima(chunk.rows)
        else:
            columns[MAP_MAXIMUM] = binarized.maximum.astype(np.float64)
        return columns, binarized

    def _of_masks(
        self,
        chunk: Chunk,
        masks: PackedMasks,
        swaps: tuple[Index, PackedTruth] | None,
        undefined: Mask,
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

    def _table(self, chunk: Chunk, blocks: Sequence[_Block]) -> pa.Table:
        """Rows of all map variants and policies, one block after the other."""
        count, times = len(chunk.rows), len(blocks)
        arrays: dict[str, pa.Array] = {
            "draw": pa.array(np.tile(chunk.draws, times)),
        }
        for name in ("sample_id", "audio_condition"):
            encoded = chunk.rows.column(name).dictionary_encode()
            codes = np.tile(encoded.indices.to_numpy(), times)
            arrays[name] = pa.DictionaryArray.from_arrays(codes, encoded.dictionary)
        labels = ("map_variant", "threshold_policy", "threshold_source")
        for place, name in enumerate(labels):
            values = [key[place] for key, _ in blocks]
            different = list(dict.fromkeys(values))
            codes = np.repeat([different.index(value) for value in values], count)
            arrays[name] = pa.DictionaryArray.from_arrays(codes.astype(np.int32), different)
        nothing = np.ma.array(np.zeros(count), mask=True)
        for name in self.schema.names:
            if name not in arrays:
                parts = [columns.get(name, nothing) for _, columns in blocks]
                joined = np.concatenate([np.ma.getdata(part) for part in parts])
                masked = np.concatenate([np.ma.getmaskarray(part) for part in parts])
                arrays[name] = pa.array(joined.astype(np.float64), mask=masked)
        names = self.schema.names
        return pa.table([arrays[name] for name in names], names=names).cast(self.schema)


def _without(columns: dict[str, Array], undefined: Mask) -> dict[str, Array]:
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
