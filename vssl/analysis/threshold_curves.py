"""Metrics as functions of one threshold for all maps, and histograms of map maxima."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from vssl.core.arrays import Array, Floats, Index
from vssl.core.negatives import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.kernels import exceedance
from vssl.metrics.auc import area_of_rejection, area_of_success
from vssl.metrics.ciou import SUCCESS
from vssl.metrics.fscore import FAuc, FLoc
from vssl.records.bootstrap import ImageBootstrap, nanmean
from vssl.records.conditions import no_negatives, sounding_objects, without_conditions
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import (
    AUDIO_VISUAL,
    MAP_COLUMNS,
    MAP_EXTREMES,
    Localization,
    object_maps,
)
from vssl.records.read import Chunk, in_threads, sample_chunks
from vssl.records.scores import Samples
from vssl.records.store import count_undefined_maps, read_columns, read_provenance
from vssl.records.truth import GroundTruth
from vssl.types import NATURAL, POSITIVE

_CURVE_COLUMNS = ("draw", *MAP_EXTREMES, *MAP_COLUMNS)
_ON_POSITIVES = ("ciou", "success_rate", "auc")
_ON_NEGATIVES = ("pia", "false_alarm_rate", "auc_n")
_RESAMPLED = ("ciou", "success_rate", "pia")
_CHUNKS_JOINED = 64

_Key = tuple[str, str]
"""Metric and audio condition."""


@dataclass(frozen=True)
class ThresholdCurves:
    """Means over samples and draws at each of T thresholds.

    Attributes:
        thresholds: `[T]` ascending, float32.
        values: metric and condition -> `[T]`: `ciou, success_rate, auc` of positives, `pia,
            false_alarm_rate, auc_n` of each negative type, `f_loc, f_auc` of `condition`.
        resampled: `f_loc, ciou, success_rate` -> `[B, T]` of bootstrap resamples over images.
        together: negative types behind F_LOC and F_AUC: the paper's three, or all of the run's.
        condition: `all` for the paper's three, else the types' names.
    """

    thresholds: Floats
    values: dict[tuple[str, str], Array]
    resampled: dict[str, Array]
    together: tuple[str, ...]
    condition: str

    @property
    def ciou(self) -> Array:
        """`[T]` mean cIoU of positives."""
        return self.values["ciou", POSITIVE]

    @property
    def f_loc(self) -> Array:
        """`[T]` F_LOC."""
        return self.values["f_loc", self.condition]

    def at(self, threshold: float) -> int:
        """Position of a threshold; ValueError if it is not one of the curve's."""
        place = int(np.searchsorted(self.thresholds, np.float32(threshold)))
        if place == len(self.thresholds) or self.thresholds[place] != np.float32(threshold):
            raise ValueError(f"Expected one of the curve's thresholds, but got {threshold}.")
        return place


def threshold_curves(
    run: Path,
    variant: str,
    *,
    include: Sequence[float] = (),
    points: int = 501,
    resamples: int = 1000,
    seed: int = 0,
    draws: int | None = None,
) -> ThresholdCurves:
    """Compute metrics of a run at many thresholds, in one pass over its maps.

    Args:
        run: folder with records; conditions other than positives and negatives are ignored.
        variant: `av` or `ogl`.
        include: thresholds that must be among the curve's.
        points: number of evenly spaced thresholds over the range of the maps.
        resamples: number of bootstrap resamples over images.
        seed: seed of the bootstrap.
        draws: number of draws of each negative; None for all.

    Raises:
        RecordsError: when the records cannot be read.
    """
    path = run / RECORDS_FILE
    facts = read_provenance(path)
    localization = Localization.of(facts)
    others = [name for name in no_negatives(facts) if name != POSITIVE]
    low, high = _range(path, localization, variant, others)
    truth, sounding = GroundTruth.of(run), sounding_objects(facts)
    grid = np.unique(np.array([*np.linspace(low, high, points), *include], np.float32))
    # without NaN, draws can be averaged sample by sample, which is quicker
    holes = count_undefined_maps(path) > 0

    def work(rows: pa.RecordBatch) -> dict[_Key, Array]:
        if draws is not None:
            rows = rows.filter(pc.less(rows.column("draw"), draws))
        chunk = Chunk.of(rows, truth, sounding)
        return _chunk_means(
            chunk, localization, variant, grid, natural=bool(truth.natural.any()), by_draw=holes
        )

    bootstrap = ImageBootstrap(Samples.of(run).image_groups, resamples=resamples, seed=seed)
    chunks = in_threads(work, path, _CURVE_COLUMNS, description="threshold curves", without=others)
    sums: dict[_Key, tuple[Array, Array]] = {}
    start = 0
    while found := list(islice(chunks, _CHUNKS_JOINED)):
        stop = start + sum(len(each["ciou", POSITIVE]) for each in found)
        drawn = bootstrap.weights[:, bootstrap.image[start:stop]].astype(np.float64)
        for key in found[0]:
            column = np.concatenate([each[key] for each in found])
            own = drawn if key[0] in _RESAMPLED else drawn[:0]
            nothing = np.zeros((2, *column.shape[1:]))
            sums[key] = _added(sums.get(key, (nothing, nothing)), column, own)
        start = stop
    order = (*_ON_POSITIVES, *_ON_NEGATIVES)
    values = {key: _mean(sums[key][0]) for key in sorted(sums, key=lambda k: order.index(k[0]))}
    types = tuple(name for metric, name in values if metric == "pia")
    together, condition = types, "+".join(types)
    if set(NEGATIVE_TYPES) <= set(types):
        together, condition = NEGATIVE_TYPES, ALL_NEGATIVES
    for metric in (FLoc, FAuc):
        negatives = {name: values[metric.negative, name] for name in together}
        positive = values[metric.positive, POSITIVE]
        values[metric.name, condition] = metric.combine(positive, negatives)
    resampled = {metric: _mean(sums[metric, POSITIVE][1]) for metric in ("ciou", "success_rate")}
    areas = {name: _mean(sums["pia", name][1]) for name in together}
    resampled["f_loc"] = FLoc.combine(resampled["ciou"], areas)
    if bootstrap.images < 2:  # says nothing about the spread over images
        resampled = {name: np.full_like(each, np.nan) for name, each in resampled.items()}
    return ThresholdCurves(grid, values, resampled, together, condition)


def _added(before: tuple[Array, Array], column: Array, drawn: Array) -> tuple[Array, Array]:
    """Add samples `[S, D, T]`, drawn `[B, S]` times, to sums and numbers, `[2, D, T]` each."""
    defined = ~np.isnan(column)
    both = np.stack([np.where(defined, column, 0.0), defined], axis=1)
    # sample after sample, so that it does not matter how many come at once
    total = np.concatenate([before[0][None], both]).sum(axis=0)
    return total, before[1] + np.tensordot(drawn, both, 1)


def _mean(sums: Array) -> Array:
    """Means over draws of the means over samples, `[..., 2, D, T]` to `[..., T]`."""
    with np.errstate(invalid="ignore"):
        return nanmean(sums[..., 0, :, :] / sums[..., 1, :, :], axis=-2)


def _chunk_means(
    chunk: Chunk,
    localization: Localization,
    variant: str,
    grid: Floats,
    *,
    natural: bool,
    by_draw: bool,
) -> dict[_Key, Array]:
    """Values `[S, D, T]`, or means `[S, 1, T]`; NaN where a sample has no rows of a condition."""
    found: dict[_Key, Array] = {}
    conditions = [*(name for name, _ in chunk.pairings), *([NATURAL] if natural else [])]
    for condition in dict.fromkeys(conditions):
        rows = chunk.rows_of(condition)
        positive = condition == POSITIVE
        names = _ON_POSITIVES if positive else _ON_NEGATIVES
        shape = len(chunk.starts), rows.shape[1] if by_draw else 1, len(grid)
        found |= {(name, condition): np.full(shape, np.nan) for name in names}
        if not len(rows):
            continue
        records = chunk.rows.take(pa.array(rows.ravel()))
        samples = chunk.sample[rows[:, 0]]
        truths = chunk.truths[samples]
        undefined = np.isnan(localization.native_maxima(records))
        maps = localization.maps(records, (variant,))[variant]
        if undefined.any():
            maps[torch.from_numpy(undefined)] = 0.0
        pixels = maps.flatten(1).contiguous().numpy()
        weights = truths.unpack().flatten(1).numpy() if positive else pixels[:0]
        marked, covered, inside = exceedance(pixels, grid, weights)
        if positive:
            total = truths.total[:, None]
            with np.errstate(invalid="ignore"):
                value = covered / (total + marked - inside)
            area = area_of_success(torch.from_numpy(value))
            # as `SuccessRate`: undefined where cIoU is
            share = np.where(np.isnan(value), np.nan, value >= SUCCESS)
        else:
            value = marked / pixels.shape[1]
            area = area_of_rejection(torch.from_numpy(value))
            share = marked > 0
        for name, column in zip(names, (value, share, area.numpy()), strict=True):
            column = np.where(undefined[:, None], np.nan, column)
            shaped = column.reshape(*rows.shape, -1)
            means = shaped if by_draw else shaped.mean(axis=1, keepdims=True)
            found[name, condition][samples] = means
    return found


def _range(
    path: Path, localization: Localization, variant: str, others: Sequence[str]
) -> tuple[float, float]:
    """Bounds of all localization maps of positives and negatives, those of native maps."""
    low, high = 0.0, 1.0
    if localization.transform == "none":
        columns = ["audio_condition", *MAP_EXTREMES]
        table = without_conditions(read_columns(path, columns), others)
        highs, lows = (table.column(name).to_numpy() for name in MAP_EXTREMES)
        low, high = float(np.nanmin(lows)), float(np.nanmax(highs))
    if variant == AUDIO_VISUAL:
        return low, high
    lows, highs = [], []
    for chunk in sample_chunks(path, MAP_COLUMNS):
        seen, _, (bottom, top, alpha) = localization.objects(object_maps(chunk))
        lows.append(float(seen.min()))
        highs.append(float(seen.max()))
    low, high = ((end - bottom) / (top - bottom) for end in (low, high))
    return alpha * low + (1 - alpha) * min(lows), alpha * high + (1 - alpha) * max(highs)


def maxima_histograms(run: Path, *, bins: int = 64) -> tuple[Array, dict[str, Index]]:
    """Count the maxima of a run's native maps in B bins between the smallest and the largest.

    Maps are post-processed as the model's; those with NaN are left out.

    Returns:
        Bounds of the bins, `[B + 1]`, and by audio condition the number of records in each, `[B]`.

    Raises:
        RecordsError: when the records cannot be read.
    """
    path = run / RECORDS_FILE
    rows = read_columns(path, ["sample_id", "audio_condition", *MAP_EXTREMES])
    condition, names = rows.column("audio_condition"), GroundTruth.of(run).natural_ids
    natural = pc.is_in(rows.column("sample_id"), value_set=pa.array(names, pa.string()))
    own = pc.and_(natural, pc.equal(condition, POSITIVE))
    labels = pc.if_else(own, NATURAL, condition).combine_chunks().dictionary_encode()
    maxima = Localization.of(read_provenance(path)).native_maxima(rows)
    finite, code = np.isfinite(maxima), labels.indices.to_numpy()
    edges = np.histogram_bin_edges(maxima[finite], bins=bins)
    return edges, {
        name: np.histogram(maxima[finite & (code == place)], bins=edges)[0]
        for place, name in enumerate(labels.dictionary.to_pylist())
    }
