"""The data of the report's figures, and the facts and gaps in their captions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import torch

from vssl.analysis.threshold_curves import ThresholdCurves, threshold_curves
from vssl.core.arrays import Array
from vssl.core.negatives import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.images import ImageFileError
from vssl.metrics.auc import AUC_GRID
from vssl.metrics.base import MapMetric, SampleMetric, metric_classes
from vssl.metrics.set_metric import MAP_MAXIMUM
from vssl.records.files import SCORES_FILE
from vssl.records.localization import AUDIO_VISUAL, OBJECT_GUIDED
from vssl.records.read import samples_by_size, thin_records
from vssl.records.schema import NO_POLICY
from vssl.records.store import column_names, read_columns
from vssl.reporting.collection import Group, ReportRun
from vssl.reporting.figures.samples import RunScene, evaluation_image, read_scenes
from vssl.reporting.tables.captions import disagreements
from vssl.reporting.tables.model import MISSING, caption, extent, labels_by, percent
from vssl.types import POSITIVE

Gaps = list[tuple[str, str]]
"""Label of a run, and what it lacks."""

ScoreColumns = Mapping[str, Mapping[tuple[str, str], pd.Series]]
"""Column of the scores, then map variant and audio condition: values by draw, NaN if undefined."""

VARIANTS = (AUDIO_VISUAL, OBJECT_GUIDED)

GRID_SHARES = (0.1, 0.5, 0.9)
"""Samples of the qualitative grid, as shares of all in ascending size of the ground truth."""

CURVE_RECORDS = 3000
"""Records up to which a threshold curve looks at all of a run."""

CURVE_SAMPLES = 400
"""Samples that it looks at in larger runs, first draw of each negative."""

CURVE_RESAMPLES = 500


class Curves(NamedTuple):
    """F_LOC over the threshold by map variant."""

    by_variant: Mapping[str, ThresholdCurves] = MappingProxyType({})
    part: int | None = None  # of how many samples, None for all
    missing: str = ""  # why there are none


class GridSample(NamedTuple):
    """A sample of the qualitative grid: image `[224, 224, 3]` or why it lacks, scenes by run."""

    image: torch.Tensor | None
    missing: str
    scenes: Mapping[str, RunScene]


@dataclass(frozen=True)
class FigureData:
    """The data of one map variant's figures: scores and curves by a run's label."""

    group: Group
    runs: Sequence[ReportRun]
    variant: str
    policy: str
    scores: Mapping[str, ScoreColumns]
    curves: Mapping[str, Curves]
    samples: Sequence[GridSample] = ()
    left_out: Sequence[str] = ()  # labels of baselines

    def rows(self, run: ReportRun, column: str, condition: str) -> pd.Series:
        """A run's column of the scores under an audio condition, indexed by draw.

        Columns of masks are those under the report's policy. Empty where the run has none.
        """
        found = self.scores[run.label].get(column, {}).get((self.variant, condition))
        return pd.Series(dtype=np.float64) if found is None else found

    def number(self, run: ReportRun, metric: str, condition: str, policy: str = "") -> str:
        """A number of the summary in percent; `n/a` where it is missing or undefined."""
        number = run.number(metric, condition, policy or self.policy, self.variant)
        return MISSING if number is None else percent(float(number["value"]))

    def missing_number(self, run: ReportRun, metric: str, condition: str, policy: str = "") -> Gaps:
        """A gap, if the summary lacks a number."""
        policy = policy or self.policy
        if run.number(metric, condition, policy, self.variant) is not None:
            return []
        of = "" if policy == NO_POLICY else f" under {policy}"
        return [(run.label, f"no {metric} of {condition}{of} in the summary")]

    def without_scores(self) -> Gaps:
        """The runs whose file of scores is gone."""
        none = [run for run in self.runs if MAP_MAXIMUM not in self.scores[run.label]]
        return [(run.label, f"no {SCORES_FILE}") for run in none]

    def undefined(self) -> Gaps:
        """The runs with maps that hold NaN."""
        gaps = []
        for run in self.runs:
            count = sum(int(self.rows(run, MAP_MAXIMUM, c).isna().sum()) for c in run.conditions)
            gaps += [(run.label, f"{count} maps hold NaN and are left out")] if count else []
        return gaps

    def details(
        self, *sentences: str, policies: Sequence[str] = (), gaps: Sequence[tuple[str, str]]
    ) -> tuple[str, ...]:
        """Sentences, what the runs rest on as below a table, values of thresholds, and gaps."""
        rows = pd.concat([run.summary for run in self.runs])
        behind = rows[
            rows["threshold_policy"].isin(policies) & (rows["map_variant"] == self.variant)
        ]
        values = [
            f"{run.label} {policy} {value:.4g}"
            for run in self.runs
            for policy in policies
            if (value := run.threshold(policy, self.variant)) is not None
        ]
        parts = [
            *sentences,
            *caption(rows if behind.empty else behind)[1],
            *disagreements(self.group),
            f"Thresholds: {'; '.join(values)}." if values else "",
            f"Gaps: {by_run(gaps)}." if gaps else "",
            f"Not drawn (--baselines draws them): {', '.join(self.left_out)}."
            if self.left_out
            else "",
        ]
        return tuple(part for part in parts if part)

    @property
    def size(self) -> str:
        """How many samples the runs have, and the seed."""
        return f"{extent(pd.concat([run.summary for run in self.runs]))}."


def read_scores(run: ReportRun, policy: str) -> ScoreColumns:
    """A run's columns of maps, and those of masks under a policy, as far as it has them."""
    path = run.folder / SCORES_FILE
    found: dict[str, dict[tuple[str, str], pd.Series]] = {}
    if not path.is_file():
        return found
    labels = ["map_variant", "audio_condition"]
    kinds = metric_classes().values()
    for name, columns in (
        (NO_POLICY, {MAP_MAXIMUM, *(kind.column for kind in kinds if issubclass(kind, MapMetric))}),
        (policy, {kind.column for kind in kinds if issubclass(kind, SampleMetric)}),
    ):
        known = [column for column in column_names(path) if column in columns]
        chosen = pc.field("threshold_policy") == name
        rows = read_columns(path, [*labels, "draw", *known], chosen).to_pandas()
        for (variant, condition), part in rows.groupby(labels, observed=True, sort=False):
            for column in known:
                values = part.set_index("draw")[column].astype(np.float64)
                found.setdefault(column, {})[str(variant), str(condition)] = values
    return found


def mean_shares(rows: pd.Series, reaches: np.ufunc) -> Array:
    """Shares of samples that reach 0, .05, ..., 1, mean over draws, `[21]`: a curve behind an AUC.

    `reaches` is `np.greater_equal` for cIoU, `np.less_equal` for pIA.
    """
    grid = AUC_GRID.numpy()
    by_draw = rows.dropna().groupby(level=0)
    shares = [reaches(value.to_numpy()[:, None], grid).mean(axis=0) for _, value in by_draw]
    mean: Array = np.stack(shares).mean(axis=0)
    return mean


def negative_groups(negatives: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Negatives to compare positives with: each one, and the paper's three together."""
    groups: dict[str, tuple[str, ...]] = {name: (name,) for name in negatives}
    if set(NEGATIVE_TYPES) <= set(negatives):
        groups[ALL_NEGATIVES] = NEGATIVE_TYPES
    return groups


def separation_roc(positives: pd.Series, negatives: Sequence[pd.Series]) -> Array | None:
    """ROC of map maxima: positives against some negatives, by draw.

    In each draw all negatives count alike, and all draws count alike; a negative with one draw
    meets every draw of the others. A value that ties with another is a slope, not a step. The area
    below is the mean over draws of the AUROC within each, as in the summary.

    Returns `[2, K]` shares above each value, of negatives and of positives, ascending from 0 to 1;
    None where one side has no defined value.
    """
    several = [rows for rows in negatives if rows.index.max() > 0]
    draws = min((int(rows.index.max()) + 1 for rows in several), default=1)
    met = []
    for draw in range(draws):
        drawn = [rows[rows.index == (draw if rows.index.max() > 0 else 0)] for rows in negatives]
        met.append(np.concatenate([rows.dropna() for rows in drawn]))
    met = [values for values in met if len(values)]
    kept = positives.dropna().to_numpy()
    if not met or not len(kept):
        return None
    places = np.unique(np.concatenate([kept, *met]))[::-1]

    def reaching(values: Array) -> Array:
        """Share of some values that are at least as high as none, and as each place."""
        return np.append(0.0, 1 - np.searchsorted(np.sort(values), places) / len(values))

    return np.stack([np.mean([reaching(values) for values in met], axis=0), reaching(kept)])


def read_curves(run: ReportRun, scores: ScoreColumns) -> Curves:
    """F_LOC over the threshold for each map variant of a run, or why it has none."""
    maxima = scores.get(MAP_MAXIMUM, {})
    if not run.negatives:
        return Curves(missing="no negatives, so no F_LOC")
    if scores and all(condition != POSITIVE for _, condition in maxima):
        return Curves(missing="all samples are natural negatives, so no F_LOC")
    if maxima and all(rows.isna().all() for rows in maxima.values()):
        return Curves(missing="every map holds NaN")
    curves = partial(threshold_curves, points=201, resamples=CURVE_RESAMPLES, seed=0)
    if int(run.provenance["evaluated"]) * sum(run.draws.values()) <= CURVE_RECORDS:
        return Curves({name: curves(run.folder, name) for name in run.variants})
    with tempfile.TemporaryDirectory() as place:
        kept = thin_records(run.folder, Path(place), samples=CURVE_SAMPLES)
        return Curves({name: curves(Path(place), name) for name in run.variants}, kept)


def parts_of(
    group: Group,
    *,
    policy: str = "universal_q3",
    samples: Sequence[str] = (),
    baselines: bool = True,
) -> list[FigureData]:
    """Read the data of a group's figures, by map variant."""
    models = tuple(run for run in group.runs if baselines or not run.is_baseline)
    left_out = [run.label for run in group.runs if models and run not in models]
    group = group._replace(runs=models or group.runs)
    scores = {run.label: read_scores(run, policy) for run in group.runs}
    curves = {run.label: read_curves(run, scores[run.label]) for run in group.runs}
    grid_samples = list(_grid_samples(group, samples))
    having = {v: [run for run in group.runs if v in run.variants] for v in VARIANTS}
    return [
        FigureData(group, runs, variant, policy, scores, curves, grid_samples, left_out)
        for variant, runs in having.items()
        if runs
    ]


def _grid_samples(group: Group, samples: Sequence[str]) -> Iterator[GridSample]:
    chosen = list(samples) or samples_by_size(group.runs[0].folder, GRID_SHARES)
    read = {run.label: read_scenes(run.folder, chosen, variants=VARIANTS) for run in group.runs}
    for place in range(len(chosen)):
        scenes = {label: each[place] for label, each in read.items()}
        missing = ""
        for path in dict.fromkeys(scene.image_path for scene in scenes.values()):
            try:
                yield GridSample(evaluation_image(path), "", scenes)
                break
            except ImageFileError as error:  # runs of other machines have other paths
                missing = missing or str(error)
        else:
            yield GridSample(None, missing, scenes)


def by_run(texts: Iterable[tuple[str, str]]) -> str:
    """Texts of runs, each once, after the labels of its runs."""
    return "; ".join(f"{', '.join(labels)}: {text}" for text, labels in labels_by(texts).items())
