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

_log = logging.getLogger(__name__)


def score_run(
    config: DictConfig,
    folder: Path,
    policies: Sequence[ThresholdPolicy] | None = None,
    *,
    keep: bool = False,
) -> pd.DataFrame:
    """Score a run's records and write scores and summary.

    Args:
        config: with `threshold`, `metrics`, `calibration` and `bootstrap`.
        folder: the run's folder.
        policies: threshold policies; None builds those of the configuration.
        keep: whether scores of other policies in the folder stay.

    Returns:
        The summary.

    Raises:
        UsageError: when the records, the calibration run or a policy cannot be used.
    """
    from vssl.commands.build import build_metrics, build_policies
    from vssl.metrics.base import SampleMetric
    from vssl.records.aggregate import summarize
    from vssl.records.files import RECORDS_FILE, SCORES_FILE, SUMMARY_FILE
    from vssl.records.score import fit_policies, score_records
    from vssl.records.store import read_provenance

    provenance = read_provenance(folder / RECORDS_FILE)
    if policies is None:
        has_negatives = len(provenance["pairings"]) > 1
        policies = build_policies(config, model=provenance["model"], negatives=has_negatives)
    calibration = Path(config.calibration).expanduser() if config.calibration else None
    fitted = fit_policies(policies, folder, calibration=calibration)
    metrics = build_metrics(config)
    sample_metrics = [m for m in metrics if isinstance(m, SampleMetric)]
    scores = folder / SCORES_FILE
    kept = _other_rows(scores, {f.policy.name for f in fitted}) if keep else None
    score_records(folder, fitted, sample_metrics, output=scores, keep=kept)
    return summarize(folder, scores, metrics, output=folder / SUMMARY_FILE, **config.bootstrap)


def _other_rows(scores: Path, replaced: set[str]) -> Any:
    """Rows of an earlier scores file whose policy is not scored anew; None without a file."""
    import pyarrow.parquet as pq

    if not scores.is_file():
        return None
    table = pq.read_table(scores)
    return table.filter([n not in replaced for n in table.column("threshold_policy").to_pylist()])


def announce(folder: Path, *, quiet: bool = False) -> pd.DataFrame:
    """Show a run's table, one row per threshold policy, and say where its files are."""
    import pandas as pd
    from rich.console import Console

    from vssl.records.files import SUMMARY_FILE
    from vssl.reporting.tables import COLUMNS, show_table, with_threshold

    summary = pd.read_parquet(folder / SUMMARY_FILE)
    if quiet:
        _log.info("done: %s", folder)
        return summary
    first = summary.iloc[0]
    title = f"{first['model']} on {first['dataset']}, protocol {first['protocol']}"
    console = Console()
    rows = with_threshold(summary, "threshold_policy")
    show_table(console, rows, COLUMNS, label=["threshold_policy"], title=title)
    console.print(f"records, scores, summary and manifest: {folder}", soft_wrap=True)
    return summary
