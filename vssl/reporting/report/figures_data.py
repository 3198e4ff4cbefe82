"""What the report's curves are drawn from: the scores of a run, as few numbers as it takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from vssl.metrics.auc import AUC_GRID
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.pia import ImageArea
from vssl.metrics.sets import MAP_MAXIMUM
from vssl.records.curves import ThresholdCurves, threshold_curves
from vssl.records.files import SCORES_FILE
from vssl.records.numbers import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.records.rows import thin_records
from vssl.records.schema import NO_POLICY
from vssl.records.store import column_names, read_columns
from vssl.records.uncertainty import nanmean
from vssl.reporting.report.collection import ReportRun
from vssl.types import SoundingObject

Array = npt.NDArray[np.float64]

CURVE_RECORDS = 3000
"""Records up to which a threshold curve looks at all of a run."""

CURVE_SAMPLES = 400
"""Samples that it looks at in larger runs, first draw of each negative."""

CURVE_POINTS, CURVE_RESAMPLES = 201, 500


class Rows(NamedTuple):
    """A column of the scores under one audio condition.

    Attributes:
        value: `[R]`, NaN where undefined.
        draw: `[R]` draw of each row.
    """

    value: Array
    draw: npt.NDArray[np.int64]

    @property
    def defined(self) -> Array:
        """The values that are not NaN."""
        return self.value[~np.isnan(self.value)]

    @property
    def undefined(self) -> int:
        """How many are NaN."""
        return int(np.isnan(self.value).sum())


@dataclass(frozen=True)
class RunScores:
    """Scores of a run by map variant and audio condition.

    Attributes:
        maxima: largest value of each map.
        ciou: where the own object sounds, under the policy; nothing where it was not measured.
        pia: of every condition, under the policy.
    """

    maxima: Mapping[tuple[str, str], Rows]
    ciou: Mapping[tuple[str, str], Rows]
    pia: Mapping[tuple[str, str], Rows]


def read_scores(run: ReportRun, policy: str) -> RunScores:
    """The maxima of a run's maps, and cIoU and pIA under a policy.

    What a run does not have is missing from the answer: a policy, a metric, or the whole file.
    """
    path = run.folder / SCORES_FILE
    if not path.is_file():
        return RunScores({}, {}, {})
    maxima = _columns(path, NO_POLICY, [MAP_MAXIMUM])
    found = _columns(path, policy, [ConsensusIoU.column, ImageArea.column])
    ciou = found.get(ConsensusIoU.column, {})
    return RunScores(
        maxima.get(MAP_MAXIMUM, {}),
        {key: rows for key, rows in ciou.items() if run.sounding[key[1]] == SoundingObject.OWN},
        found.get(ImageArea.column, {}),
    )


def _columns(path: Path, policy: str, columns: list[str]) -> dict[str, dict[tuple[str, str], Rows]]:
    """Columns of a policy's rows by map variant and audio condition."""
    known = [name for name in columns if name in column_names(path)]
    labels = ["map_variant", "audio_condition"]
    chosen = pc.field("threshold_policy") == policy
    table = read_columns(path, [*labels, "draw", *known], chosen)
    if not known or not len(table):
        return {}
    codes, names = [], []
    for label in labels:
        column = table.column(label).unify_dictionaries().combine_chunks()
        codes.append(column.indices.to_numpy())
        names.append(column.dictionary.to_pylist())
    draws = table.column("draw").to_numpy().astype(np.int64)
    values = {name: table.column(name).to_numpy().astype(np.float64) for name in known}
    found: dict[str, dict[tuple[str, str], Rows]] = {name: {} for name in known}
    for v, variant in enumerate(names[0]):
        for c, condition in enumerate(names[1]):
            chosen = np.flatnonzero((codes[0] == v) & (codes[1] == c))
            if len(chosen):
                for name in known:
                    rows = Rows(values[name][chosen], draws[chosen])
                    found[name][variant, condition] = rows
    return found


def success_shares(ciou: Rows) -> Array:
    """Share of positives with cIoU >= t at t = 0, .05, ..., 1, `[21]`: the curve behind AUC."""
    grid = AUC_GRID.numpy()
    return _mean_over_draws(ciou, lambda value: (value[:, None] >= grid).mean(axis=0))


def rejection_shares(pia: Rows) -> Array:
    """Share of negatives with pIA <= a at a = 0, .05, ..., 1, `[21]`: the curve behind AUC_N."""
    grid = AUC_GRID.numpy()
    return _mean_over_draws(pia, lambda value: (value[:, None] <= grid).mean(axis=0))


def _mean_over_draws(rows: Rows, share: Callable[[Array], Array]) -> Array:
    per_draw = [np.full(len(AUC_GRID), np.nan)]
    for draw in np.unique(rows.draw):
        value = rows.value[(rows.draw == draw) & ~np.isnan(rows.value)]
        if len(value):
            per_draw.append(share(value))
    return nanmean(np.stack(per_draw), axis=0)


def negative_groups(negatives: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What positives are set against: each negative, and the paper's three together."""
    groups: dict[str, tuple[str, ...]] = {name: (name,) for name in negatives}
    if set(NEGATIVE_TYPES) <= set(negatives):
        groups[ALL_NEGATIVES] = NEGATIVE_TYPES
    return groups


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic: positives kept over negatives kept.

    The area below it is the mean over draws of the AUROC within each, as in the summary.

    Attributes:
        false_positive: `[K]` ascending from 0 to 1.
        true_positive: `[K]` ascending from 0 to 1.
    """

    false_positive: Array
    true_positive: Array

    @property
    def area(self) -> float:
        """Area below the curve."""
        return float(np.trapezoid(self.true_positive, self.false_positive))

    def thinned(self, points: int = 400) -> Roc:
        """The curve with fewer points, evenly spaced along it."""
        if len(self.false_positive) <= points:
            return self
        length = (self.false_positive + self.true_positive) / 2
        places = np.searchsorted(length, np.linspace(0, 1, points)).clip(0, len(length) - 1)
        chosen = np.unique([0, *places, len(length) - 1])
        return Roc(self.false_positive[chosen], self.true_positive[chosen])


def separation_roc(positives: Rows, negatives: list[Rows]) -> Roc | None:
    """ROC of map maxima: positives against some negatives.

    In each draw all negatives count alike, and all draws count alike; a negative with one draw
    meets every draw of the others. A value that ties with another is a slope, not a step.

    Returns:
        None where one side has no defined value.
    """
    counts = [int(rows.draw.max()) + 1 for rows in negatives if len(rows.draw)]
    draws = min((count for count in counts if count > 1), default=1)
    values: list[Array] = []
    weights: list[Array] = []
    for draw in range(draws):
        drawn = []
        for rows in negatives:
            single = not len(rows.draw) or int(rows.draw.max()) == 0
            value = rows.value[rows.draw == (0 if single else draw)]
            drawn.append(value[~np.isnan(value)])
        joined = np.concatenate(drawn)
        if len(joined):
            values.append(joined)
            weights.append(np.full(len(joined), 1 / len(joined)))
    kept = positives.defined
    if not values or not len(kept):
        return None
    value = np.concatenate([kept, *values])
    hit = np.concatenate([np.full(len(kept), 1 / len(kept)), np.zeros(len(value) - len(kept))])
    alarm = np.concatenate([np.zeros(len(kept)), *weights]) / len(values)
    order = np.argsort(-value, kind="stable")
    last = np.append(np.flatnonzero(np.diff(value[order])), len(value) - 1)
    true, false = (np.append(0.0, each[order].cumsum()[last]) for each in (hit, alarm))
    return Roc(false / false[-1], true / true[-1])


@dataclass(frozen=True)
class CurveOfRun:
    """F_LOC over the threshold, and how much of the run it rests on.

    Attributes:
        curves: the curves.
        samples: number of samples looked at.
        whole: whether those are all, with all draws.
    """

    curves: ThresholdCurves
    samples: int
    whole: bool


def threshold_curve(
    run: ReportRun, *, records: int = CURVE_RECORDS, part: int = CURVE_SAMPLES
) -> dict[str, CurveOfRun]:
    """F_LOC over the threshold for each map variant of a run with negatives.

    Args:
        run: the run.
        records: a run with more records is looked at in part.
        part: how many samples are looked at then.
    """
    settings: Any = {"points": CURVE_POINTS, "resamples": CURVE_RESAMPLES, "seed": 0}
    samples = int(run.provenance["evaluated"])
    if samples * sum(run.draws.values()) <= records:
        return {
            variant: CurveOfRun(threshold_curves(run.folder, variant, **settings), samples, True)
            for variant in run.variants
        }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        kept = thin_records(run.folder, folder, samples=part)
        return {
            variant: CurveOfRun(threshold_curves(folder, variant, **settings), kept, False)
            for variant in run.variants
        }
