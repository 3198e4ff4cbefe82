"""Effect of each departure of the released protocol on a model's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from vssl.core.progress import progress_bar
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.pia import ImageArea
from vssl.records.bootstrap import ImageBootstrap, interval
from vssl.records.files import RECORDS_FILE, SCORES_FILE
from vssl.records.fit import fit_policies
from vssl.records.number import Number, Subset
from vssl.records.numbers import numbers_of
from vssl.records.pooled import pooled_numbers
from vssl.records.schema import RECORDS
from vssl.records.score import score_records
from vssl.records.scores import Samples, Scores
from vssl.records.store import (
    MAPS_AT_ONCE,
    as_records,
    parquet_writer,
    read_provenance,
    record_batches,
)
from vssl.records.truth import GroundTruth
from vssl.thresholds.base import ThresholdPolicy

CORRECTED, TOGETHER = "corrected", "all together"

HEADLINE = "headline"
"""Policy of the positives' numbers as papers print them: half_image, or pooled where released.

Under the departure `THRESHOLD` it is the one of the model's authors.
"""

THRESHOLD = "threshold"
"""Departure: the threshold rule of the authors' own evaluation (`released: threshold:`)."""

_AUDIT_METRICS = (ConsensusIoU(), SuccessRate(), AUC(), ImageArea(), AUCN(), FLoc(), FAuc())
_EFFECT_COLUMNS = (
    "model", "dataset", "map_variant", "threshold_policy", "departure", "kind", "metric",
    "condition", "corrected", "value", "difference", "ci_low", "ci_high", "threshold", "n",
)  # fmt: skip


class AuditedRun(NamedTuple):
    """A run that an audit compares."""

    departure: str  # the switch that is as released, CORRECTED for none, TOGETHER for all
    kind: str  # network, localization or scores, see `what_changes`; `given` for the two ends
    folder: Path
    pooled: bool  # whether its headline is over five thresholds in one list
    headline: str = "half_image"  # policy of its headline, where that is not pooled


def derive_records(run: Path, folder: Path, changes: Mapping[str, Any]) -> None:
    """Write a run's records into a folder, with other facts (`upsampling`, `prior`) about them."""
    provenance = {**read_provenance(run / RECORDS_FILE), **changes}
    folder.mkdir(parents=True, exist_ok=True)
    with parquet_writer(folder / RECORDS_FILE, RECORDS, provenance) as write:
        for batch in record_batches(run / RECORDS_FILE, MAPS_AT_ONCE):
            write(as_records(pa.Table.from_batches([batch])))
    GroundTruth.of(run).write(folder, provenance)


def effects(
    runs: Sequence[AuditedRun],
    policies: Sequence[ThresholdPolicy],
    *,
    shown: Sequence[str],
    folder: Path,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score runs, and take their differences from the corrected one on the same images.

    Args:
        runs: on the same samples and negatives, the corrected one first.
        policies: to score by, among them those of the headline.
        shown: names of policies whose numbers are compared, besides the headline.
        folder: the scores are written below it, in `scores/<departure>/`.
        resamples: of the bootstrap over images, the same for all runs.
        seed: of the bootstrap.

    Returns:
        One row per number: `model, dataset, map_variant, threshold_policy, departure, kind, metric,
        condition, corrected, value, difference, ci_low, ci_high, threshold, n`, fractions; the
        interval is of the difference.
    """
    samples = Samples.of(runs[0].folder)
    bootstrap = ImageBootstrap(samples.image_groups, resamples=resamples, seed=seed)
    facts = read_provenance(runs[0].folder / RECORDS_FILE)
    reference: dict[tuple[str, ...], tuple[Number, float]] = {}
    rows: list[tuple[Any, ...]] = []
    with progress_bar("effects and intervals", len(runs)) as advance:
        for run in runs:
            place = folder / "scores" / run.departure.replace(" ", "_")
            place.mkdir(parents=True, exist_ok=True)
            fitted = fit_policies(policies, run.folder)
            score_records(run.folder, fitted, _AUDIT_METRICS, output=place / SCORES_FILE)
            scores = Scores(place / SCORES_FILE, samples.ids)
            found = dict(_labelled_numbers(run, scores, shown, bootstrap))
            reference = reference or found
            for key in (key for key in found if key in reference):
                variant, policy, metric, condition = key
                (number, threshold), before = found[key], reference[key][0]
                values = (before.value, number.value, number.value - before.value)
                ends = interval(number.resampled - before.resampled)
                row = (facts["model"], facts["dataset"], variant, policy, run.departure, run.kind)
                rows.append((*row, metric, condition, *values, *ends, threshold, number.n))
            advance(1)
    return pd.DataFrame(rows, columns=_EFFECT_COLUMNS)


def _labelled_numbers(
    run: AuditedRun, scores: Scores, shown: Sequence[str], bootstrap: ImageBootstrap
) -> Iterator[tuple[tuple[str, ...], tuple[Number, float]]]:
    """Numbers with their threshold by (map variant, policy, metric, condition)."""
    parts, subsets = list(scores.parts()), [Subset(slice(None), bootstrap)]
    for part in (part for part in parts if part.threshold_policy in shown):
        (numbers,) = numbers_of(scores, part, _AUDIT_METRICS, subsets)
        for number in numbers:
            key = (part.map_variant, part.threshold_policy, number.metric.name, number.condition)
            yield key, (number, scores.threshold(part))
    for part in (part for part in parts if part.threshold_policy == run.headline):
        if run.pooled:
            headline = pooled_numbers(scores, part.map_variant, bootstrap)
        else:
            (headline,) = numbers_of(scores, part, [SuccessRate(), AUC()], subsets)
        for number in headline:
            key = (part.map_variant, HEADLINE, number.metric.name, number.condition)
            yield key, (number, float("nan"))
