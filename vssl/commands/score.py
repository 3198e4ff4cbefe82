"""Scoring as both commands do it: policies fitted, scores and summary written, a table shown."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    import pandas as pd

    from vssl.thresholds.base import ThresholdPolicy

from vssl.commands.run_folder import run_in
from vssl.errors import UsageError
from vssl.records.files import RECORDS_FILE, SCORES_FILE, SUBSETS_FILE, SUMMARY_FILE

_log = logging.getLogger(__name__)


def score_run(
    config: DictConfig,
    folder: Path,
    policies: Sequence[ThresholdPolicy] | None = None,
    *,
    keep: bool = False,
) -> pd.DataFrame:
    """Score a run's records; write and return the summary.

    Args:
        config: with `threshold`, `metrics`, `calibration`, `bootstrap` and `subsets`.
        folder: the run's folder.
        policies: threshold policies; None builds those of the configuration.
        keep: whether scores of other policies in the folder stay.

    Raises:
        UsageError: when the records, the calibration run or a policy cannot be used.
    """
    from vssl.commands.build import build_metrics, build_policies
    from vssl.commands.learnt import note_learnt, policies_of
    from vssl.records.aggregate import summarize, summarize_subsets
    from vssl.records.conditions import true_negatives
    from vssl.records.fit import fit_policies
    from vssl.records.refit import ResampledRun
    from vssl.records.schema import NO_POLICY
    from vssl.records.score import score_columns, score_records
    from vssl.records.scores import Samples, Scores
    from vssl.records.store import read_provenance

    provenance = read_provenance(folder / RECORDS_FILE)
    if policies is None:
        negatives = bool(true_negatives(provenance))
        policies = build_policies(config, model=provenance["model"], negatives=negatives)
    calibration = run_in(Path(config.calibration).expanduser()) if config.calibration else None
    fitted = fit_policies(policies, folder, calibration=calibration)
    metrics = build_metrics(config)
    scores = folder / SCORES_FILE
    columns = score_columns(folder / RECORDS_FILE, metrics)
    replaced = {NO_POLICY, *(f.policy.name for f in fitted)}
    kept = _other_rows(folder, replaced, columns) if keep else None
    score_records(folder, fitted, metrics, output=scores, keep=kept)
    note_learnt(folder, config, fitted, calibration)
    samples = Samples.of(folder)
    opened = Scores(scores, samples.ids)
    if keep:
        fitted = [*fitted, *policies_of(folder, opened, known=fitted)]
    (folder / SUBSETS_FILE).unlink(missing_ok=True)
    resampled = ResampledRun.of(folder, samples, opened, metrics, fitted, **config.bootstrap)
    summary = summarize(folder, scores, metrics, output=folder / SUMMARY_FILE, resampled=resampled)
    if config.subsets:
        kinds, output = list(config.subsets), folder / SUBSETS_FILE
        summarize_subsets(folder, resampled, metrics, kinds, output=output, **config.bootstrap)
    return summary


def policies_named(names: Sequence[str]) -> list[ThresholdPolicy]:
    """Threshold policies by the names of their files in `conf/threshold/`, once each."""
    from hydra.utils import instantiate

    from vssl.commands.identity import composed_config

    wanted = ",".join(dict.fromkeys(names))
    config = composed_config("rescore", [f"threshold=[{wanted}]"])
    return [instantiate(each) for each in config.threshold.values()]


def _other_rows(folder: Path, replaced: set[str], columns: list[str]) -> Any:
    """Rows of an earlier scores file whose policy is not scored anew; None without a file.

    Raises:
        UsageError: when they are of other records, or hold other metric columns.
    """
    import pyarrow.compute as pc

    from vssl.records.schema import SCORE_KEY
    from vssl.records.store import column_names, read_columns, read_provenance

    scores = folder / SCORES_FILE
    if not scores.is_file():
        return None
    if read_provenance(scores) != read_provenance(folder / RECORDS_FILE):
        raise UsageError(
            f"{scores}: is not of the records beside it. Evaluate again with vssl-evaluate."
        )
    there = column_names(scores)[len(SCORE_KEY) :]
    kept = read_columns(scores, filters=~pc.field("threshold_policy").isin(sorted(replaced)))
    if len(kept) and set(there) != set(columns):
        raise UsageError(
            f"{scores}: other policies were scored with the columns {', '.join(there)}, but"
            f" {', '.join(columns)} are asked for. Rescore all of them: threshold=all."
        )
    return kept


def announce(folder: Path, *, quiet: bool = False) -> pd.DataFrame:
    """Show a run's tables, and say where its files are.

    Rows are threshold policies (the paper's numbers, following the sound, altered sound) or types
    of negatives (separation by map maxima).
    """
    from rich.console import Console

    from vssl.records.schema import NO_POLICY
    from vssl.records.summary import conditions_of, read_summary
    from vssl.reporting import columns
    from vssl.reporting.renderers import show_table
    from vssl.reporting.tables import summary_table, with_threshold, with_variant

    summary = read_summary(folder / SUMMARY_FILE)
    if quiet:
        _log.info("done: %s", folder)
        return summary
    first = summary.iloc[0]
    title = f"{first['model']} on {first['dataset']}, protocol {first['protocol']}"
    console = Console()
    sounding = conditions_of(summary)
    label = "threshold policy"
    named = with_variant(summary.assign(**{label: summary["threshold_policy"]}), label)
    rows = with_threshold(named[named["threshold_policy"] != NO_POLICY], label)
    listening = [*columns.listening_columns(sounding), *columns.DETECTION_COLUMNS]
    for question, shown in (
        ("", columns.headline_columns(summary)),
        (": does the map follow the sound?", listening),
        (": does the map withstand altered sound?", columns.altered_overview(sounding)),
    ):
        show_table(console, summary_table(rows, shown, label=label, title=f"{title}{question}"))
    rows = with_variant(summary.assign(negatives=summary["condition"]), "negatives")
    rows = rows[rows["condition"] != "positive"]
    question = f"{title}: do map maxima tell positives from negatives?"
    table = summary_table(rows, columns.SEPARATION_COLUMNS, label="negatives", title=question)
    show_table(console, table)
    console.print(f"records, scores, summary and manifest: {folder}", soft_wrap=True)
    return summary
