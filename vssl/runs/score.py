"""Scoring as both commands do it: policies fitted, scores and summary written, a table shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa
import torch

from vssl.config.build import build_metrics, build_policies
from vssl.config.settings import ScoringSettings
from vssl.core.errors import UsageError
from vssl.records.aggregate import summarize, summarize_subsets
from vssl.records.binarize import HOST
from vssl.records.conditions import true_negatives
from vssl.records.files import RECORDS_FILE, SCORES_FILE, SUBSETS_FILE, SUMMARY_FILE
from vssl.records.fit import fit_policies
from vssl.records.refit import ResampledRun
from vssl.records.schema import NO_POLICY
from vssl.records.score import score_columns, score_records
from vssl.records.scores import Samples, Scores
from vssl.records.store import check_records, read_columns, read_provenance
from vssl.runs.folder import alone_in, mark_rescored
from vssl.runs.learnt import note_learnt, policies_of
from vssl.thresholds.base import ThresholdPolicy

_log = logging.getLogger(__name__)


def score_run(
    settings: ScoringSettings,
    folder: Path,
    policies: Sequence[ThresholdPolicy] | None = None,
    *,
    keep: bool = False,
    device: torch.device = HOST,
) -> pd.DataFrame:
    """Score a run's records on a device; write and return the summary.

    Without `policies` they are those of the settings. `keep` lets scores of other policies in the
    folder stay. Subsets by the samples' flags come besides those of the settings.

    Raises:
        UsageError: when the records, the calibration run or a policy cannot be used.
    """
    provenance = read_provenance(folder / RECORDS_FILE)
    if policies is None:
        negatives = bool(true_negatives(provenance))
        policies = build_policies(settings, model=provenance["model"], negatives=negatives)
    calibration = settings.calibration_run
    fitted = fit_policies(policies, folder, calibration=calibration)
    metrics = build_metrics(settings)
    scores = folder / SCORES_FILE
    columns = score_columns(folder / RECORDS_FILE, metrics)
    replaced = {NO_POLICY, *(f.policy.name for f in fitted)}
    samples = Samples.of(folder)
    kept = _other_rows(folder, samples, replaced, columns) if keep and scores.is_file() else ()
    score_records(folder, fitted, metrics, output=scores, keep=kept, device=device)
    note_learnt(folder, settings.threshold, fitted, calibration)
    opened = Scores(scores, samples.ids)
    if keep:
        fitted = [*fitted, *policies_of(folder, opened, known=fitted)]
    (folder / SUBSETS_FILE).unlink(missing_ok=True)
    resampled = ResampledRun.of(
        folder, samples, opened, metrics, fitted, device=device, **settings.bootstrap
    )
    summary = summarize(folder, resampled, metrics, output=folder / SUMMARY_FILE)
    flags = dict.fromkeys(kind for flags in samples.flags for kind in flags)
    kinds = list(dict.fromkeys([*(settings.subsets or ()), *flags]))
    if kinds:
        summarize_subsets(folder, resampled, metrics, kinds, output=folder / SUBSETS_FILE)
    return summary


def rescore(
    settings: ScoringSettings,
    folder: Path,
    *,
    device: torch.device = HOST,
    before: Callable[[], object] | None = None,
) -> None:
    """Score a finished run anew; the scores of other policies stay.

    `before` is called first, while no other run may write in the folder.

    Raises:
        UsageError: as `score_run`, when a file was changed, or another run is writing there.
    """
    check_records(folder)
    with alone_in(folder):
        if before is not None:
            before()
        score_run(settings, folder, keep=True, device=device)
        mark_rescored(folder)


def _other_rows(
    folder: Path, samples: Samples, replaced: set[str], columns: list[str]
) -> Iterable[pa.Table]:
    """Rows of an earlier scores file, of the same records, whose policy is not scored anew."""
    scores = folder / SCORES_FILE
    if read_provenance(scores) != read_provenance(folder / RECORDS_FILE):
        raise UsageError(
            f"{scores}: is not of the records beside it. Evaluate again with vssl-evaluate."
        )
    there = read_columns(scores, ["threshold_policy"]).column(0).unique().to_pylist()
    policies = [name for name in there if name not in replaced]
    if not policies:  # so that a damaged file can be scored again
        return ()
    earlier = Scores(scores, samples.ids)
    if differing := sorted({*earlier.columns} ^ {*columns}):
        everything = ",".join(map(str, [*policies, *sorted(replaced - {NO_POLICY})]))
        raise UsageError(
            f"{scores}: rows of {', '.join(policies)} stay, and were scored with other metrics"
            f" (columns {', '.join(differing)}). Give the metrics of the run, e.g."
            f" metrics=[all,NAME], or rescore all of its policies: threshold=[{everything}]."
        )
    kept = (part for part in earlier.parts() if part.threshold_policy in policies)
    return chain.from_iterable(map(earlier.rows, kept))
