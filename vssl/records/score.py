"""Records to scores: localization map, threshold, mask, metric columns. No network, no files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from vssl.core.arrays import Array, Floats, Index, Mask
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.base import (
    CombinedMetric,
    MapMetric,
    MeanMetric,
    PairMetric,
    SampleMetric,
    SwapMetric,
)
from vssl.metrics.curve import CurveMetric
from vssl.metrics.set_metric import MAP_MAXIMUM, SetMetric
from vssl.records.binarize import Binarized, maps_by_sample
from vssl.records.conditions import sounding_objects
from vssl.records.files import RECORDS_FILE
from vssl.records.fit import FittedPolicy
from vssl.records.localization import AUDIO_VISUAL, MAP_COLUMNS, Localization
from vssl.records.read import (
    Chunk,
    categories_of,
    condition_pairs,
    in_threads,
    other_objects,
    run_pairings,
)
from vssl.records.schema import NO_POLICY, NO_THRESHOLD, pair_column, scores_schema
from vssl.records.scores import by_part
from vssl.records.store import AtomicParquetWriter, read_provenance
from vssl.records.truth import GroundTruth
from vssl.types import NATURAL, SoundingObject, SoundingObjects

AnyMetric = MeanMetric | CurveMetric | SetMetric | CombinedMetric
_Measured = type[MeanMetric] | type[CurveMetric]

_SCORED_COLUMNS = (
    *("sample_id", "draw", "similarity_max", "similarity_min"),
    *MAP_COLUMNS,
)

_log = logging.getLogger(__name__)

_ROW_KEYS = ["sample_id", "audio_condition", "draw"]
_ROW_LABELS = ("map_variant", "threshold_policy", "threshold_source")


def score_records(
    run: Path,
    fitted: Sequence[FittedPolicy],
    metrics: Sequence[AnyMetric],
    *,
    output: Path,
    keep: Iterable[pa.Table] = (),
) -> None:
    """Score every record of a run under every policy and write the scores file.

    A record has one row per policy, and per map variant one row of policy `none` for the columns
    that need no threshold. `keep` are rows of an earlier scores file to carry over.

    The own sounds of natural negatives stand under the condition `natural`. They have no rows where
    an object of the picture would sound, and null in the columns of metrics that need an object.

    Raises:
        RecordsError: when the records cannot be read.
    """
    path = run / RECORDS_FILE
    provenance = read_provenance(path)
    measured, truth = _measured(metrics), GroundTruth.of(run)
    swaps = any(issubclass(metric, SwapMetric) for metric in measured)
    curves = [metric.column for metric in measured if issubclass(metric, CurveMetric)]
    schema = scores_schema(score_columns(path, metrics), curves)
    localization = Localization.of(provenance)
    for variant in localization.variants if curves else ():
        if not np.isfinite(localization.range_of(variant)).all():
            _log.warning(
                "%s: maps `%s` have no known range, so that %s, whose thresholds are from 0 to 1,"
                " cannot be had of them. Declare value_range in the model.",
                run, variant, " and ".join(curves),
            )  # fmt: skip
    scorer = _Scorer(
        localization=localization,
        fitted=fitted,
        measured=measured,
        truth=truth,
        others=other_objects(path, truth) if swaps else {},
        sounding=sounding_objects(provenance),
        schema=schema,
        categories=categories_of(run, truth.ids) if any(f.by_class for f in fitted) else {},
    )
    with AtomicParquetWriter(output, schema, provenance) as writer:
        tables = in_threads(scorer, path, _SCORED_COLUMNS, description="scoring")
        for table in by_part(chain(keep, tables)):
            writer.write(table)


def score_columns(records: Path, metrics: Sequence[AnyMetric]) -> list[str]:
    """List the columns that metrics measure on a run."""
    measured = _measured(metrics)
    of_pairs = [m for m in measured if issubclass(m, PairMetric)]
    pairs = condition_pairs(run_pairings(records)) if of_pairs else []
    partners = dict.fromkeys(partner for partner, _ in pairs)
    kinds = (SampleMetric, SwapMetric, MapMetric, CurveMetric)
    single = [m.column for kind in kinds for m in measured if issubclass(m, kind)]
    by_pair = [pair_column(m.column, partner) for m in of_pairs for partner in partners]
    return [MAP_MAXIMUM, *single, *by_pair]


def _measured(metrics: Sequence[AnyMetric]) -> list[_Measured]:
    """One metric class for each column."""
    classes: list[_Measured] = [
        type(metric) for metric in metrics if isinstance(metric, (MeanMetric, CurveMetric))
    ]
    for metric in metrics:
        classes += metric.map_metrics if isinstance(metric, SetMetric) else ()
    by_column: dict[str, _Measured] = {}
    for each in classes:
        by_column.setdefault(each.column, each)
    return list(by_column.values())


@dataclass(frozen=True)
class _Scorer:
    """Scores chunks of records; threads share it."""

    localization: Localization
    fitted: Sequence[FittedPolicy]
    measured: Sequence[_Measured]
    truth: GroundTruth
    others: Mapping[str, Sequence[str]]
    sounding: SoundingObjects
    schema: pa.Schema
    categories: Mapping[str, str]  # by sample; only where a class has its own threshold

    def __call__(self, rows: pa.RecordBatch) -> pa.Table:
        """Score some records: the rows of the scores file."""
        chunk = Chunk.of(rows, self.truth, self.sounding)
        swaps = chunk.swaps(self.others, self.sounding)
        columns, masks_of = self._of_maps(chunk)
        keys = pa.table({
            "sample_id": chunk.rows.column("sample_id"),
            "audio_condition": pa.array(chunk.conditions, pa.string()),
            "draw": chunk.rows.column("draw"),
        })  # fmt: skip
        keys = keys.cast(pa.schema([self.schema.field(name) for name in _ROW_KEYS]))
        of_row = dict(zip(_ROW_KEYS, keys.columns, strict=True))
        blocks: list[pa.Table] = []
        for variant in self.localization.variants:
            undefined = np.isnan(columns[variant][MAP_MAXIMUM])
            labels = (variant, NO_POLICY, NO_THRESHOLD)
            blocks.append(self._block(of_row, labels, columns[variant], undefined))
            binarized = masks_of[variant]
            pairs = zip(self._of(variant), binarized.masks, binarized.thresholds, strict=True)
            for each, masks, thresholds in pairs:
                measured = self._of_masks(chunk, masks, swaps, undefined)
                labels = (variant, each.policy.name, each.source)
                blocks.append(self._block(of_row, labels, measured, undefined, thresholds))
        return pa.concat_tables(blocks)

    def _of(self, variant: str) -> list[FittedPolicy]:
        return [each for each in self.fitted if each.variant == variant]

    def _of_maps(self, chunk: Chunk) -> tuple[dict[str, dict[str, Array]], dict[str, Binarized]]:
        """By map variant: columns that need no threshold, and masks."""
        variants, count = self.localization.variants, len(chunk.rows)
        of_maps = [m for m in self.measured if issubclass(m, (MapMetric, CurveMetric))]
        columns = {v: {m.column: _unmeasured(m, count) for m in of_maps} for v in variants}
        conditions = [(name, self.sounding[name]) for name in chunk.conditions.tolist()]
        applies = {m: np.array([m.applies_to(*each) for each in conditions]) for m in of_maps}
        parts: dict[str, list[Binarized]] = {variant: [] for variant in variants}
        names = chunk.rows.column("sample_id").to_pylist()
        for place, maps in maps_by_sample(self.localization, chunk.rows, variants):
            own = chunk.ground_truth[chunk.sample[place.start]]
            for variant, each in maps.items():
                truth = own.expand(len(each), -1, -1)
                category = self.categories.get(names[place.start], "")
                thresholds = [
                    f.of_class(category).threshold(each, truth).float() for f in self._of(variant)
                ]
                nothing = torch.empty(0, len(each))
                stacked = torch.stack(thresholds) if thresholds else nothing
                parts[variant].append(Binarized.of(each, stacked))
                for metric, rows in applies.items():
                    if (chosen := np.flatnonzero(rows[place])).size:
                        some = each if len(chosen) == len(each) else each[chosen]
                        if issubclass(metric, CurveMetric):
                            low, high = self.localization.range_of(variant)
                            if not np.isfinite([low, high]).all():
                                continue
                            some = (some - low) / (high - low)
                        values = metric.measure(some, truth[: len(chosen)]).numpy()
                        columns[variant][metric.column][place.start + chosen] = values
        masks = {variant: Binarized.joined(each) for variant, each in parts.items()}
        for of_variant in columns.values():
            for metric in of_maps:
                if issubclass(metric, MapMetric):
                    column = of_variant[metric.column]
                    of_variant[metric.column] = self._asked(metric, chunk, column)
        for variant in variants:
            columns[variant][MAP_MAXIMUM] = masks[variant].maximum.astype(np.float64)
        columns[AUDIO_VISUAL][MAP_MAXIMUM] = self.localization.native_maxima(chunk.rows)
        return columns, masks

    def _of_masks(
        self,
        chunk: Chunk,
        masks: PackedMasks,
        swaps: tuple[Index, PackedTruth] | None,
        undefined: Mask,
    ) -> dict[str, Array]:
        """Columns of one policy's masks."""
        columns = {}
        for metric in self.measured:
            if issubclass(metric, SampleMetric):
                values = metric.measure_packed(masks, chunk.truth)
                columns[metric.column] = self._asked(metric, chunk, values)
            elif issubclass(metric, SwapMetric):
                # null (neither counted nor undefined) where an image shows no other object
                columns[metric.column] = np.ma.array(np.zeros(len(masks)), mask=True)
                if swaps is not None:
                    rows, other = swaps
                    values = metric.measure_packed(masks[rows], chunk.truth[rows], other)
                    times = np.bincount(rows, minlength=len(masks))
                    total = np.bincount(rows, values, minlength=len(masks))
                    mean = total / np.maximum(times, 1)
                    columns[metric.column] = np.ma.array(mean, mask=times == 0)
            elif issubclass(metric, PairMetric):
                for partner, (own, met) in chunk.pairs.items():
                    column = np.full(len(masks), np.nan)
                    column[own] = metric.measure_packed(masks, own, met)
                    column[own[undefined[met]]] = np.nan
                    if self.sounding[partner] != SoundingObject.NONE:
                        column = _without(column, chunk.natural)
                    columns[pair_column(metric.column, partner)] = column
        return columns

    def _asked(self, metric: type[MeanMetric], chunk: Chunk, column: Array) -> Array:
        """Ask natural negatives only what is reported for them: they have no object to find."""
        alike = [each for each in self.measured if each.column == metric.column]
        if any(each.applies_to(NATURAL, SoundingObject.NONE) for each in alike):
            return column
        return _without(column, chunk.natural)

    def _block(
        self,
        keys: Mapping[str, pa.ChunkedArray],
        labels: tuple[str, str, str],
        columns: dict[str, Array],
        undefined: Mask,
        thresholds: Floats | None = None,
    ) -> pa.Table:
        """Rows of one map variant and policy: NaN for a map with NaN, null where not measured."""
        count = len(undefined)
        arrays = {field.name: pa.nulls(count, field.type) for field in self.schema} | dict(keys)
        for name, label in zip(_ROW_LABELS, labels, strict=True):
            arrays[name] = pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), [label])
        for name, column in columns.items():
            masked = column.mask if isinstance(column, np.ma.MaskedArray) else None
            column[undefined if masked is None else undefined & ~masked] = np.nan
            values = np.ma.getdata(column)
            arrays[name] = pa.array(values, mask=masked) if values.ndim == 1 else _lists(values)
        if thresholds is not None:
            arrays["threshold"] = pa.array(thresholds)
        return pa.table(arrays, schema=self.schema)


def _unmeasured(metric: type[MapMetric] | type[CurveMetric], count: int) -> Array:
    """A column of NaN, `[R]`, or `[R, T]` of curves."""
    shape = (count, metric.points) if issubclass(metric, CurveMetric) else (count,)
    return np.full(shape, np.nan)


def _lists(values: Array) -> pa.ListArray:
    """A column of lists of one length from `[R, T]`."""
    ends = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values.astype(np.float32).ravel()))


def _without(column: Array, left_out: Mask) -> Array:
    """A column with null at some rows."""
    return np.ma.array(column, mask=left_out) if left_out.any() else column
