"""A comparison of finished runs, with its table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from vssl.analysis.comparable import departures, lacks
from vssl.analysis.compare import DEFAULT_PRIMARY, ComparedRun, common_samples, compare_runs
from vssl.config.build import build_metrics
from vssl.config.compose import composed_config, whole_group
from vssl.config.settings import ScoringSettings
from vssl.core.checks import check_choice
from vssl.core.errors import UsageError
from vssl.core.files import output_folder
from vssl.metrics.base import CombinedMetric
from vssl.records.files import run_in
from vssl.records.schema import NO_POLICY
from vssl.records.score import AnyMetric
from vssl.reporting.tables.comparison import comparison_facts, comparison_table, write_comparison
from vssl.reporting.tables.render import show_table
from vssl.runs.learnt import policies_of


def show_comparison(
    folders: Sequence[Path],
    *,
    metrics: Sequence[str],
    thresholds: Sequence[str],
    conditions: Sequence[str] = (),
    primary: str | None = None,
    margin: float = 0.01,
    variant: str = "av",
    resamples: int = 1000,
    permutations: int | None = None,
    seed: int = 0,
    anyway: bool = False,
    output: Path | None = None,
) -> None:
    """Compare runs with the first of them, print the table, and write it into `output`.

    `metrics` are names, `primary` is `[condition/]metric/policy`; otherwise as `compare_runs`.

    Raises:
        UsageError: with every reason why the runs cannot be compared, or, without `anyway`, should
            not be; when there is nothing to compare.
    """
    if len(folders) < 2:
        raise UsageError("give two runs or more, or --published to see one beside the literature")
    asked, policies = [*dict.fromkeys(metrics)], [*dict.fromkeys(thresholds)]
    if primary is not None:
        parts = primary.split("/")
        if not all(parts) or len(parts) not in (2, 3):
            raise UsageError(
                f"--primary {primary}: expected metric/policy or condition/metric/policy, e.g."
                f" {DEFAULT_PRIMARY}."
            )
        *_, metric, policy = parts
        asked += {metric} - {*asked}
        policies += {policy} - {*policies, NO_POLICY}
    measured = _metrics(asked)
    with output_folder(output.absolute()) if output else nullcontext():
        runs = [ComparedRun.of(run_in(folder)) for folder in folders]
        faults = [
            f"{run.folder}: {lack}"
            for run in runs
            for lack in lacks(run, measured, policies, variant)
        ]
        if not common_samples(runs):
            faults.append("there is no sample that all runs have")
        reasons = [list(departures(runs[0], run, policies, variant)) for run in runs]
        doubts = [f"{run.folder}: {why}" for run, r in zip(runs, reasons, strict=True) for why in r]
        if faults or (doubts and not anyway):
            lines = ["these runs cannot be compared:", *dict.fromkeys([*faults, *doubts])]
            hint = (
                "" if faults else "\n--anyway compares them all the same; the table says why not."
            )
            raise UsageError("\n  ".join(lines) + hint)
        for n, run in enumerate(runs):
            fitted = policies_of(run.folder, run.scores)
            fitted = [f for f in fitted if f.policy.name in policies and f.variant == variant]
            runs[n] = replace(run, fitted=fitted)
        rows = compare_runs(
            runs, measured, asked=asked, thresholds=policies,
            conditions=[*dict.fromkeys(conditions)], primary=primary, margin=margin,
            variant=variant, resamples=resamples, permutations=permutations, seed=seed,
        )  # fmt: skip
        if rows.empty:
            raise UsageError(
                f"no number of {', '.join(asked)} under {', '.join(policies)} in these runs:"
                " metrics of negatives want negatives, F_LOC and F_AUC one threshold for all maps."
            )
        settings = {"resamples": resamples, "seed": seed, "margin": margin}
        settings["permutations"] = int(rows["exchanges"].iloc[0])
        facts = comparison_facts(
            runs, reasons, thresholds=policies, variant=variant, settings=settings
        )
        console = Console(highlight=False)
        show_table(console, comparison_table(rows, facts))
        absent = [name for name in asked if name not in set(rows["metric"])]
        if absent:
            console.print(f"no number in these runs: {', '.join(absent)}", soft_wrap=True)
        if output is not None:
            write_comparison(rows, facts, output)
            console.print(f"comparison.parquet, .csv, .md and .tex: {output}", soft_wrap=True)


def _metrics(asked: Sequence[str]) -> list[AnyMetric]:
    """The metrics of some names, and those that combined ones rest on."""
    config = composed_config("rescore", [whole_group("metrics")])
    metrics = build_metrics(ScoringSettings.of(config))
    for name in asked:
        check_choice(name, [metric.name for metric in metrics], name="--metric")
    needed = set(asked)
    for metric in metrics:
        if isinstance(metric, CombinedMetric) and metric.name in asked:
            needed |= {metric.positive, metric.negative}
    return [metric for metric in metrics if metric.name in needed]
