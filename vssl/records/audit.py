"""What each departure of the released protocol does to a model's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.pia import ImageArea
from vssl.progress import progress_bar
from vssl.records.files import RECORDS_FILE, SCORES_FILE
from vssl.records.numbers import Number, numbers_of
from vssl.records.pooled import pooled_numbers
from vssl.records.score import AnyMetric
from vssl.records.scores import Samples, Scores
from vssl.records.store import read_provenance
from vssl.records.uncertainty import ImageBootstrap, interval

HEADLINE = "headline"
"""Policy of the positives' numbers as papers print them: half_image, or pooled where released."""

CORRECTED = "corrected"
TOGETHER = "all together"


def audit_metrics() -> list[AnyMetric]:
    """The metrics that an audit looks at."""
    return [ConsensusIoU(), SuccessRate(), AUC(), ImageArea(), AUCN(), FLoc(), FAuc()]


@dataclass(frozen=True)
class Audited:
    """A run that an audit compares.

    Attributes:
        departure: which switch is as released, `corrected` for none, `all together` for all.
        kind: what that changes; for the runs that were given, `given`.
        run: folder with the records.
        scores: folder with scores under all policies of the audit.
        pooled: whether the headline is over five thresholds in one list.
    """

    departure: str
    kind: str
    run: Path
    scores: Path
    pooled: bool


def effects(
    runs: Sequence[Audited],
    policies: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Differences of runs from the corrected one, which comes first, on the same images.

    Args:
        runs: runs on the same samples and negatives.
        policies: threshold policies whose numbers are compared, besides the headline.
        resamples: bootstrap resamples over images, the same for all runs.
        seed: seed of the bootstrap.

    Returns:
        One row per number: `model, dataset, map_variant, threshold_policy, departure, kind, metric,
        condition, corrected, value, difference, ci_low, ci_high, threshold, n`, fractions; the
        interval is of the difference.
    """
    base = runs[0]
    samples = Samples.of(base.run)
    bootstrap = ImageBootstrap(samples.image_groups, resamples=resamples, seed=seed)
    facts = read_provenance(base.run / RECORDS_FILE)
    reference: Mapping[tuple[str, ...], tuple[Number, float]] = {}
    rows: list[dict[str, Any]] = []
    measured = []
    with progress_bar("effects and intervals", len(runs)) as advance:
        for run in runs:
            measured.append(_numbers(run, policies, samples, bootstrap))
            advance(1)
    for run, found in zip(runs, measured, strict=True):
        reference = reference or found
        for key, (number, threshold) in found.items():
            if key not in reference:
                continue
            low, high = interval(number.resampled - reference[key][0].resampled)
            variant, policy, metric, condition = key
            rows.append(
                {
                    "model": facts["model"],
                    "dataset": facts["dataset"],
                    "map_variant": variant,
                    "threshold_policy": policy,
                    "departure": run.departure,
                    "kind": run.kind,
                    "metric": metric,
                    "condition": condition,
                    "corrected": reference[key][0].value,
                    "value": number.value,
                    "difference": number.value - reference[key][0].value,
                    "ci_low": low,
                    "ci_high": high,
                    "threshold": threshold,
                    "n": number.n,
                }
            )
    return pd.DataFrame(rows)


def _numbers(
    run: Audited, policies: Sequence[str], samples: Samples, bootstrap: ImageBootstrap
) -> dict[tuple[str, ...], tuple[Number, float]]:
    """Numbers and thresholds by (map variant, policy, metric, condition)."""
    scores = Scores(run.scores / SCORES_FILE, samples.ids)
    found: dict[tuple[str, ...], tuple[Number, float]] = {}
    for part in scores.parts():
        if part.threshold_policy in policies:
            for number in numbers_of(scores, part, audit_metrics(), bootstrap):
                key = (part.map_variant, part.threshold_policy, number.metric.name)
                found[*key, number.condition] = number, scores.threshold(part)
    for variant in dict.fromkeys(part.map_variant for part in scores.parts()):
        for number in _headline(run, scores, variant, bootstrap):
            key = (variant, HEADLINE, number.metric.name)
            found[*key, number.condition] = number, float("nan")
    return found


def _headline(
    run: Audited, scores: Scores, variant: str, bootstrap: ImageBootstrap
) -> list[Number]:
    if run.pooled:
        return pooled_numbers(scores, variant, bootstrap)
    (part,) = (p for p in scores.parts() if p[:2] == (variant, "half_image"))
    return numbers_of(scores, part, [SuccessRate(), AUC()], bootstrap)
