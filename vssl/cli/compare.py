"""vssl-compare: how runs differ from each other, and from what was published."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from vssl.cli.app import command_parser, finite_number, run_app, whole_number
from vssl.core.errors import UsageError
from vssl.core.files import output_folder
from vssl.records.files import run_in

if TYPE_CHECKING:
    from vssl.records.score import AnyMetric

THRESHOLDS = ("universal_q3",)
METRICS = ("ciou", "success_rate", "auc", "pia", "auc_n", "f_loc", "f_auc", "auroc")


def main() -> None:
    """Console script."""
    run_app(_compare_or_set_beside_published, "rescore")


def _compare_or_set_beside_published() -> None:
    parser = _parser()
    options = parser.parse_intermixed_args()
    if options.published:
        from vssl.reporting.published import report_published

        others = [n for n, v in vars(options).items() if v != parser.get_default(n)]
        if unused := [f"--{n}" for n in others if n not in ("runs", "published", "output")]:
            names = ", ".join(unused)
            raise UsageError(f"--published shows summaries as they are; leave out {names}")
        report_published(options.runs, options.output)
    else:
        with output_folder(options.output.absolute()) if options.output else nullcontext():
            _compare(options)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "vssl-compare",
        "Paired differences of runs from the first of them, on the images that all have: 95 %"
        " bootstrap interval, two-sided permutation test of a primary row and, with Holm's"
        " correction, of the others, and whether runs are tied within a margin. Or, with"
        " --published, runs beside published figures.",
        example="vssl-compare outputs/A outputs/B --primary f_loc/universal_q3 --output DIR;"
        " vssl-compare outputs/A --published",
        runs="folder of a run, or one above the only finished run below it",
        thresholds=THRESHOLDS,
        output="write the table there too",
        config_dir=True,
        resampling=True,
    )
    option = parser.add_argument
    option("--metric", action="append", metavar="NAME",
           help=f"metric, repeatable ({', '.join(METRICS)})")  # fmt: skip
    option("--condition", action="append", metavar="NAME",
           help="audio condition, repeatable (all that there are)")  # fmt: skip
    option("--primary", metavar="ROW",
           help="row that is corrected for no other, [condition/]metric/policy; asks for that"
           " metric and policy too (all/f_loc/universal_q3 where it is there)")  # fmt: skip
    option("--margin", default=1.0, type=finite_number(above=0), metavar="POINTS",
           help="points within which runs are tied (1)")  # fmt: skip
    option("--variant", default="av", metavar="NAME", help="map variant, av or ogl (av)")
    option("--permutations", type=whole_number(1), metavar="N",
           help="random exchanges (10000, or as many as Holm needs)")  # fmt: skip
    option("--anyway", action="store_true", help="compare runs that are not comparable, and say so")
    option("--published", action="store_true", help="show runs beside published figures")
    return parser


def _compare(options: argparse.Namespace) -> None:
    """Compare runs, or refuse with every reason why they cannot or should not be compared."""
    from rich.console import Console

    from vssl.analysis.comparable import departures, lacks
    from vssl.analysis.compare import ComparedRun, Endpoint, common_samples, compare_runs
    from vssl.records.schema import NO_POLICY
    from vssl.reporting.tables.comparison import (
        comparison_facts,
        comparison_table,
        write_comparison,
    )
    from vssl.reporting.tables.render import show_table
    from vssl.runs.learnt import policies_of

    if len(options.runs) < 2:
        raise UsageError("give two runs or more, or --published to see one beside the literature")
    asked, policies = list(options.metric or METRICS), list(options.threshold or THRESHOLDS)
    primary = None if options.primary is None else Endpoint.parse(options.primary)
    if primary is not None:
        asked.append(primary.metric)
        policies += {primary.policy} - {NO_POLICY}
    asked, policies, variant = [*dict.fromkeys(asked)], [*dict.fromkeys(policies)], options.variant
    metrics = _metrics(asked)
    runs = [ComparedRun.of(run_in(folder)) for folder in options.runs]
    faults = [f"{r.folder}: {lack}" for r in runs for lack in lacks(r, metrics, policies, variant)]
    if not common_samples(runs):
        faults.append("there is no sample that all runs have")
    reasons = [list(departures(runs[0], run, policies, variant)) for run in runs]
    every = [f"{run.folder}: {why}" for run, r in zip(runs, reasons, strict=True) for why in r]
    if faults or (every and not options.anyway):
        lines = ["these runs cannot be compared:", *dict.fromkeys([*faults, *every])]
        hint = "" if faults else "\n--anyway compares them all the same; the table says why not."
        raise UsageError("\n  ".join(lines) + hint)
    for place, run in enumerate(runs):
        fitted = [
            each
            for each in policies_of(run.folder, run.scores)
            if each.policy.name in policies and each.variant == variant
        ]
        runs[place] = replace(run, fitted=fitted)
    settings = {"resamples": options.resamples, "seed": options.seed}
    settings["margin"] = options.margin / 100
    rows = compare_runs(
        runs,
        metrics,
        asked=asked,
        thresholds=policies,
        conditions=list(dict.fromkeys(options.condition or ())),
        primary=primary,
        variant=variant,
        permutations=options.permutations,
        **settings,
    )
    if rows.empty:
        raise UsageError(
            f"no number of {', '.join(asked)} under {', '.join(policies)} in these runs: metrics of"
            " negatives want negatives, F_LOC and F_AUC one threshold for all maps."
        )
    settings["permutations"] = int(rows["exchanges"].iloc[0])
    facts = comparison_facts(runs, reasons, thresholds=policies, variant=variant, settings=settings)
    console = Console(highlight=False)
    show_table(console, comparison_table(rows, facts))
    absent = [name for name in asked if name not in set(rows["metric"])]
    if absent:
        console.print(f"no number in these runs: {', '.join(absent)}", soft_wrap=True)
    if options.output is not None:
        write_comparison(rows, facts, options.output)
        console.print(f"comparison.parquet, .csv, .md and .tex: {options.output}", soft_wrap=True)


def _metrics(asked: Sequence[str]) -> list[AnyMetric]:
    """The metrics of some names, and those that combined ones rest on."""
    from vssl.config.build import build_metrics
    from vssl.config.compose import composed_config, whole_group
    from vssl.config.settings import ScoringSettings
    from vssl.core.checks import check_choice
    from vssl.metrics.base import CombinedMetric

    config = composed_config("rescore", [whole_group("metrics")])
    metrics = build_metrics(ScoringSettings.of(config))
    for name in asked:
        check_choice(name, [metric.name for metric in metrics], name="--metric")
    needed = set(asked)
    for metric in metrics:
        if isinstance(metric, CombinedMetric) and metric.name in asked:
            needed |= {metric.positive, metric.negative}
    return [metric for metric in metrics if metric.name in needed]


if __name__ == "__main__":
    main()
