"""Records to scores: localization map, threshold, mask, metric columns. No network, no files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from vssl.core.arrays import AnyFloats, Array, Index, Mask
from vssl.maps import to_unit_range
from vssl.masks import PackedTruth
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
from vssl.records.binarize import HOST, Binarized, maps_by_sample
from vssl.records.conditions import sounding_objects
from vssl.records.files import RECORDS_FILE
from vssl.records.fit import FittedPolicy
from vssl.records.localization import AUDIO_VISUAL, MAP_COLUMNS, MAP_EXTREMES, Localization
from vssl.records.read import (
    Chunk,
    categories_of,
    condition_pairs,
    in_threads,
    other_objects,
    run_pairings,
    sample_chunks,
)
from vssl.records.schema import NO_POLICY, NO_THRESHOLD, SCORE_KEY, pair_column
from vssl.records.scores import Part, in_parts
from vssl.records.store import parquet_writer, read_provenance
from vssl.records.truth import GroundTruth
from vssl.tensor_kernels import LOOPS_ON
from vssl.types import NATURAL, SoundingObject, SoundingObjects

AnyMetric = MeanMetric | CurveMetric | SetMetric | CombinedMetric
_Measured = type[MeanMetric] | type[CurveMetric]

_SCORED_COLUMNS = ("sample_id", "draw", *MAP_EXTREMES, *MAP_COLUMNS)

_log = logging.getLogger(__name__)


def score_records(
    run: Path,
    fitted: Sequence[FittedPolicy],
    metrics: Sequence[AnyMetric],
    *,
    output: Path,
    keep: Iterable[pa.Table] = (),
    device: torch.device = HOST,
) -> None:
    """Score every record of a run under every policy and write the scores file.

    A record has one row per policy, and per map variant one row of policy `none` for the columns
    that need no threshold. `keep` are rows of an earlier scores file to carry over.

    Maps are made and measured on `device`. Scores are equal on all, which is checked on the first
    records.

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
    columns = score_columns(path, metrics)
    kinds = {name: pa.list_(pa.float32()) if name in curves else pa.float64() for name in columns}
    schema = pa.schema([*SCORE_KEY, *kinds.items()])
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
        device=HOST,
        turn=nullcontext(),
    )
    if device.type not in LOOPS_ON:
        scorer = _checked(scorer, replace(scorer, device=device, turn=BoundedSemaphore(2)), path)
    with parquet_writer(output, schema, provenance) as write:
        tables = in_threads(scorer, path, _SCORED_COLUMNS, description="scoring")
        for table in in_parts(chain(keep, tables)):
            write(table)


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


def _checked(host: _Scorer, other: _Scorer, path: Path) -> _Scorer:
    """The scorer of another device, if it scores the first records as the host does."""
    rows = next(sample_chunks(path, _SCORED_COLUMNS), None)
    # as texts, in which NaN equals NaN
    if rows is None or len({str(each(rows).to_pydict()) for each in (host, other)}) == 1:
        return other
    _log.warning("%s gives other scores than the CPU, which scores instead", other.device)
    return host


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
    device: torch.device
    turn: AbstractContextManager[Any]  # of a thread on the device, whose memory is not for all

    def __call__(self, rows: pa.RecordBatch) -> pa.Table:
        """Score some records: the rows of the scores file."""
        chunk = Chunk.of(rows, self.truth, self.sounding)
        swaps = chunk.swaps(self.others, self.sounding)
        left_out = self._left_out(chunk, swaps)
        keys = {
            "sample_id": chunk.rows.column("sample_id"),
            "audio_condition": pa.array(chunk.conditions, pa.string()),
            "draw": chunk.rows.column("draw"),
        }
        keys = {name: key.cast(self.schema.field(name).type) for name, key in keys.items()}
        tables = []
        with self.turn:
            columns, binarized = self._of_maps(chunk)
            for variant, found in binarized.items():
                undefined = np.isnan(columns[variant][MAP_MAXIMUM])
                of_masks = self._of_masks(chunk, found, swaps, undefined)
                for values in columns[variant].values():
                    values[undefined] = np.nan
                for measured in of_masks.values():
                    measured[:, undefined] = np.nan
                of_masks |= {"threshold": found.thresholds}
                tables.append(self._table(keys, variant, columns[variant], of_masks, left_out))
        return pa.concat_tables(tables)

    def _of(self, variant: str) -> list[FittedPolicy]:
        return [each for each in self.fitted if each.variant == variant]

    def _left_out(self, chunk: Chunk, swaps: tuple[Index, PackedTruth] | None) -> dict[str, Mask]:
        """Rows that are null, since there is no object to find, by column."""
        found = {}
        for metric in self.measured:
            if issubclass(metric, SwapMetric):
                rows = np.arange(0) if swaps is None else swaps[0]
                found[metric.column] = ~np.isin(np.arange(len(chunk.rows)), rows)
            elif issubclass(metric, PairMetric):
                for partner in chunk.pairs:
                    if self.sounding[partner] != SoundingObject.NONE:
                        found[pair_column(metric.column, partner)] = chunk.natural
            elif not metric.applies_to(NATURAL, SoundingObject.NONE):
                found[metric.column] = chunk.natural
        return found

    def _of_maps(self, chunk: Chunk) -> tuple[dict[str, dict[str, Array]], dict[str, Binarized]]:
        """By map variant: columns that need no threshold, and masks."""
        variants, count = self.localization.variants, len(chunk.rows)
        of_maps = [m for m in self.measured if issubclass(m, (MapMetric, CurveMetric))]
        shapes = {m: (count, *([m.points] if issubclass(m, CurveMetric) else [])) for m in of_maps}
        columns = {v: {m.column: np.full(shapes[m], np.nan) for m in of_maps} for v in variants}
        names, condition = np.unique(chunk.conditions, return_inverse=True)
        sounding = [(name, self.sounding[name]) for name in names.tolist()]
        applies = {m: np.array([m.applies_to(*s) for s in sounding])[condition] for m in of_maps}
        parts: dict[str, list[Binarized]] = {variant: [] for variant in variants}
        truths = chunk.ground_truth.to(self.device)
        ids = chunk.rows.column("sample_id").to_pylist() if self.categories else []
        steps = maps_by_sample(self.localization, chunk.rows, variants, self.device)
        for place, maps in steps:
            own = chunk.sample[place]
            if shared := bool(own[0] == own[-1]):
                truth = truths[own[0]].expand(len(own), -1, -1)
            else:
                truth = truths[torch.from_numpy(own)]
            classes = [self.categories.get(name, "") for name in ids[place]]
            for variant, each in maps.items():
                levels = [each.new_empty(0, len(each))]
                for fitted in self._of(variant):
                    if fitted.by_class is None:
                        level = fitted.policy.threshold(each, truth).to(each)
                    else:
                        known = [fitted.of_class(name).constant() for name in classes]
                        level = each.new_tensor(known)
                    levels.append(level[None])
                parts[variant].append(Binarized.of(each, torch.cat(levels)))
                for metric, rows in applies.items():
                    if not (chosen := np.flatnonzero(rows[place])).size:
                        continue
                    some, met = each, truth
                    if len(chosen) < len(each):
                        some = each[torch.from_numpy(chosen)]
                        met = truth[: len(chosen)] if shared else truth[torch.from_numpy(chosen)]
                    if issubclass(metric, CurveMetric):
                        bounds = self.localization.range_of(variant)
                        if not np.isfinite(bounds).all():
                            continue
                        some = to_unit_range(some, bounds)
                    values = metric.measure(some, met).numpy(force=True)
                    columns[variant][metric.column][place.start + chosen] = values
        masks = {variant: Binarized.joined(each) for variant, each in parts.items()}
        for variant in variants:
            columns[variant][MAP_MAXIMUM] = masks[variant].maximum.astype(np.float64)
        columns[AUDIO_VISUAL][MAP_MAXIMUM] = self.localization.native_maxima(chunk.rows)
        return columns, masks

    def _of_masks(
        self,
        chunk: Chunk,
        found: Binarized,
        swaps: tuple[Index, PackedTruth] | None,
        undefined: Mask,
    ) -> dict[str, AnyFloats]:
        """Columns `[T, R]` of the masks under T policies."""
        policies, count = shape = found.thresholds.shape
        first = count * np.arange(policies)[:, None]  # row of each policy
        truths = chunk.truths.to(self.device)
        truth = truths[np.tile(chunk.sample, policies)]
        columns: dict[str, AnyFloats] = {}
        for metric in self.measured:
            if issubclass(metric, SampleMetric):
                columns[metric.column] = metric.measure_packed(found.masks, truth).reshape(shape)
            elif issubclass(metric, SwapMetric):
                columns[metric.column] = np.zeros(shape)
                if swaps is not None:
                    rows, other = swaps
                    chosen = (first + rows).ravel()
                    others = other.to(self.device)[np.tile(np.arange(len(rows)), policies)]
                    values = metric.measure_packed(found.masks[chosen], truth[chosen], others)
                    total = np.bincount(chosen, values, minlength=policies * count).reshape(shape)
                    times = np.bincount(rows, minlength=count)
                    columns[metric.column] = total / np.maximum(times, 1)
            elif issubclass(metric, PairMetric):
                for partner, (own, met) in chunk.pairs.items():
                    rows, others = (first + own).ravel(), (first + met).ravel()
                    column = np.full(shape, np.nan)
                    values = metric.measure_packed(found.masks, rows, others)
                    column[:, own] = values.reshape(policies, len(own))
                    column[:, own[undefined[met]]] = np.nan
                    columns[pair_column(metric.column, partner)] = column
        return columns

    def _table(
        self,
        keys: Mapping[str, pa.Array],
        variant: str,
        of_maps: Mapping[str, AnyFloats],
        of_masks: Mapping[str, AnyFloats],
        left_out: Mapping[str, Mask],
    ) -> pa.Table:
        """Rows of one map variant: those of `of_maps` first, then those of each policy."""
        parts = [(Part(variant, NO_POLICY, NO_THRESHOLD), dict(of_maps))]
        for place, each in enumerate(self._of(variant)):
            own = {name: column[place] for name, column in of_masks.items()}
            parts.append((Part(variant, each.policy.name, each.source), own))
        tables, count = [], len(keys["draw"])
        for part, columns in parts:
            labels = {
                name: pa.repeat(label, count).dictionary_encode()
                for name, label in zip(Part._fields, part, strict=True)
            }
            arrays = {**keys, **labels}
            for field in self.schema:
                values = columns.get(field.name)
                if values is None:  # a key, or of the other parts, or of a pair without its partner
                    arrays.setdefault(field.name, pa.nulls(count, field.type))
                elif values.ndim == 1:
                    arrays[field.name] = pa.array(values, mask=left_out.get(field.name))
                else:
                    arrays[field.name] = pa.array(list(values.astype(np.float32)), field.type)
            tables.append(pa.table(arrays, schema=self.schema))
        return pa.concat_tables(tables)
