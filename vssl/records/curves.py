"""Every metric of the assessment as a function of one threshold for all maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from vssl.kernels import exceedance
from vssl.metrics.auc import area_of_rejection, area_of_success
from vssl.metrics.ciou import SUCCESS
from vssl.metrics.fscore import FAuc, FLoc
from vssl.records.chunks import Chunk, in_threads, sample_chunks
from vssl.records.conditions import no_negatives, without_conditions
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import AUDIO_VISUAL, MAP_COLUMNS, Localization
from vssl.records.numbers import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.records.scores import Samples
from vssl.records.store import count_undefined_maps, read_columns, read_provenance
from vssl.records.uncertainty import ImageBootstrap, nanmean
from vssl.types import POSITIVE

Array = npt.NDArray[np.float64]

_EXTREMES = ("similarity_max", "similarity_min")
_COLUMNS = ("draw", "boxes", "box_weights", *_EXTREMES, *MAP_COLUMNS)
_CELLS = 4096


@dataclass(frozen=True)
class ThresholdCurves:
    """Means over samples (and draws) at each of T thresholds.

    Attributes:
        thresholds: `[T]` ascending, float32 as masks are made.
        ciou: `[T]` mean cIoU of positives.
        success_rate: `[T]` success rate of positives.
        auc: `[T]` AUC of positives.
        pia: negative type -> `[T]` mean pIA.
        false_alarm_rate: negative type -> `[T]` share of negatives in which anything is marked.
        auc_n: negative type -> `[T]` AUC_N.
        together: the negative types behind F_LOC and F_AUC: the paper's three where the run has
            them, else all that it has.
        f_loc: `[T]` F_LOC.
        f_auc: `[T]` F_AUC.
        f_loc_resampled: `[B, T]` F_LOC of bootstrap resamples over images.
        ciou_resampled: `[B, T]` cIoU of the same.
        success_rate_resampled: `[B, T]` success rate of the same.
    """

    thresholds: npt.NDArray[np.float32]
    ciou: Array
    success_rate: Array
    auc: Array
    pia: dict[str, Array]
    false_alarm_rate: dict[str, Array]
    auc_n: dict[str, Array]
    together: tuple[str, ...]
    f_loc: Array
    f_auc: Array
    f_loc_resampled: Array
    ciou_resampled: Array
    success_rate_resampled: Array

    @property
    def condition(self) -> str:
        """Condition of F_LOC and F_AUC: `all` for the paper's three, else the types' names."""
        return ALL_NEGATIVES if self.together == NEGATIVE_TYPES else "+".join(self.together)

    def at(self, threshold: float) -> int:
        """Position of a threshold that is one of the curve's.

        Raises:
            ValueError: when it is not.
        """
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
    """Metrics of a run at many thresholds, from one pass over its maps.

    Args:
        run: folder with records of positives and negatives; other audio conditions are passed over.
        variant: `av` or `ogl`.
        include: thresholds that must be among the curve's.
        points: number of evenly spaced thresholds over the range of the maps.
        resamples: bootstrap resamples over images.
        seed: seed of the bootstrap.
        draws: how many draws of each negative are looked at; None for all.

    Raises:
        RecordsError: when the records cannot be read.
    """
    facts = read_provenance(run / RECORDS_FILE)
    localization = Localization.of(facts)
    others = [name for name in no_negatives(facts) if name != POSITIVE]
    low, high = _range(run, localization, variant, others)
    grid = np.unique(np.array([*np.linspace(low, high, points), *include], np.float32))
    edges = np.linspace(np.float64(grid[0]), np.float64(grid[-1]), _CELLS + 1)[:-1]
    cells = np.searchsorted(grid.astype(np.float64), edges).astype(np.int64)
    samples = Samples.of(run)
    bootstrap = ImageBootstrap(samples.image_groups, resamples=resamples, seed=seed)

    # where no map holds NaN, draws may be averaged sample by sample, which saves memory
    holes = count_undefined_maps(run / RECORDS_FILE) > 0

    def work(rows: pa.RecordBatch) -> dict[tuple[str, str], Array]:
        rows = without_conditions(rows, others)
        if draws is not None:
            rows = rows.filter(pc.less(rows.column("draw"), draws))
        return _chunk_means(Chunk.of(rows), localization, variant, grid, cells, by_draw=holes)

    path = run / RECORDS_FILE
    found = list(in_threads(work, path, _COLUMNS, description="threshold curves"))
    means = {key: np.concatenate([each[key] for each in found]) for key in found[0]}
    types = [name for metric, name in means if metric == "pia"]
    # [N, D, T]: within a draw over samples, then over draws
    values = {key: nanmean(nanmean(column, axis=0), axis=0) for key, column in means.items()}
    pia = {name: values["pia", name] for name in types}
    auc_n = {name: values["auc_n", name] for name in types}
    three = set(NEGATIVE_TYPES) <= set(types)
    together = NEGATIVE_TYPES if three else tuple(types)
    resampled = {
        key: _resampled(column, bootstrap)
        for key, column in means.items()
        if key[0] in ("ciou", "success_rate", "pia")
    }
    return ThresholdCurves(
        thresholds=grid,
        ciou=values["ciou", POSITIVE],
        success_rate=values["success_rate", POSITIVE],
        auc=values["auc", POSITIVE],
        pia=pia,
        false_alarm_rate={name: values["false_alarm_rate", name] for name in types},
        auc_n=auc_n,
        together=together,
        f_loc=FLoc.combine(values["ciou", POSITIVE], {name: pia[name] for name in together}),
        f_auc=FAuc.combine(values["auc", POSITIVE], {name: auc_n[name] for name in together}),
        f_loc_resampled=FLoc.combine(
            resampled["ciou", POSITIVE], {name: resampled["pia", name] for name in together}
        ),
        ciou_resampled=resampled["ciou", POSITIVE],
        success_rate_resampled=resampled["success_rate", POSITIVE],
    )


def _resampled(column: Array, bootstrap: ImageBootstrap) -> Array:
    """Means of resamples, `[N, D, T]` to `[B, T]`."""
    found = bootstrap.means(column.reshape(len(column), -1))
    return nanmean(found.reshape(len(found), *column.shape[1:]), axis=1)


def _chunk_means(
    chunk: Chunk,
    localization: Localization,
    variant: str,
    grid: npt.NDArray[np.float32],
    cells: npt.NDArray[np.int64],
    *,
    by_draw: bool,
) -> dict[tuple[str, str], Array]:
    """Values `[S, D, T]`, or means over draws `[S, 1, T]`, by (metric, audio condition)."""
    found = {}
    for condition in dict.fromkeys(chunk.conditions.tolist()):
        rows = chunk.rows_of(condition)
        records = chunk.rows.take(pa.array(rows.ravel()))
        undefined = np.isnan(localization.native_maxima(records))
        maps = localization.maps(records, (variant,))[variant]
        if undefined.any():
            maps[torch.from_numpy(undefined)] = 0.0
        pixels = maps.flatten(1).contiguous().numpy()
        positive = condition == POSITIVE
        weights = chunk.truths.unpack().flatten(1).numpy() if positive else pixels[:0]
        marked, covered, inside = exceedance(pixels, grid, cells, weights)
        if positive:
            total = chunk.truths.total[:, None]
            with np.errstate(invalid="ignore"):
                value = covered / (total + marked - inside)
            area = area_of_success(torch.from_numpy(value))
            # as `SuccessRate`: undefined where cIoU is
            share = np.where(np.isnan(value), np.nan, value >= SUCCESS)
        else:
            value = marked / pixels.shape[1]
            area = area_of_rejection(torch.from_numpy(value))
            share = marked > 0
        for name, column in zip(
            ("ciou", "auc", "success_rate") if positive else ("pia", "auc_n", "false_alarm_rate"),
            (value, area.numpy(), share),
            strict=True,
        ):
            column = np.where(undefined[:, None], np.nan, column)
            shaped = column.reshape(*rows.shape, -1)
            found[name, condition] = shaped if by_draw else shaped.mean(axis=1, keepdims=True)
    return found


def _range(
    run: Path, localization: Localization, variant: str, others: Sequence[str]
) -> tuple[float, float]:
    """Bounds of all localization maps of positives and negatives.

    Upsampling does not leave those of native maps.
    """
    low, high = 0.0, 1.0
    if localization.transform == "none":
        columns = ["audio_condition", *_EXTREMES]
        table = without_conditions(read_columns(run / RECORDS_FILE, columns), others)
        highs, lows = (table.column(name).to_numpy() for name in _EXTREMES)
        low, high = float(np.nanmin(lows)), float(np.nanmax(highs))
    if variant == AUDIO_VISUAL:
        return low, high
    lows, highs = [], []
    for chunk in sample_chunks(run / RECORDS_FILE, MAP_COLUMNS):
        seen, _, mix = localization.objects(chunk)
        lows.append(float(seen.min()))
        highs.append(float(seen.max()))
    bottom, top, alpha = mix
    ends = [(value - bottom) / (top - bottom) for value in (low, high)]
    return (
        alpha * ends[0] + (1 - alpha) * min(lows),
        alpha * ends[1] + (1 - alpha) * max(highs),
    )
