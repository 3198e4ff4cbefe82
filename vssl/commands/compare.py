"""vssl-compare: how runs differ from each other, and from what was published."""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vssl.commands.app import add_resampling_options, given_path, run_app, whole_number
from vssl.commands.run_folder import run_in
from vssl.errors import UsageError
from vssl.records.files import MANIFEST_FILE, RECORDS_FILE, output_folder, write_text

if TYPE_CHECKING:
    from vssl.records.compare import ComparedRun
    from vssl.records.fit import FittedPolicy
    from vssl.records.score import AnyMetric

THRESHOLDS = ("universal_q3",)
METRICS = ("ciou", "success_rate", "auc", "pia", "auc_n", "f_loc", "f_auc", "auroc")


def main() -> None:
    """Console script."""
    run_app(_main, "rescore")


def _main() -> None:
    parser = _parser()
    options = parser.parse_intermixed_args()
    if options.published:
        from vssl.reporting.published import report_published

        kept = ("runs", "published", "output")
        others = [n for n, v in vars(options).items() if v != parser.get_default(n)]
        if not set(others) <= set(kept):
            names = ", ".join(f"--{name}" for name in others if name not in kept)
            raise UsageError(f"--published shows summaries as they are; leave out {names}")
        report_published(options.runs, options.output)
    else:
        with output_folder(options.output.absolute()) if options.output else nullcontext():
            _compare(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vssl-compare",
        description="Paired differences of runs from the first of them, on the images that all"
        " have: 95 % bootstrap interval, two-sided permutation test of a primary row and, with"
        " Holm's correction, of the others, and whether runs are tied within a margin. Or, with"
        " --published, runs beside published figures.",
        epilog="example: vssl-compare outputs/A outputs/B --primary f_loc/universal_q3 --output"
        " DIR; vssl-compare outputs/A --published",
    )

    def option(name: str, text: str, **more: Any) -> None:
        parser.add_argument(f"--{name}", help=text, **more)

    parser.add_argument(
        "runs", nargs="+", type=given_path, metavar="RUN",
        help="folder of a run, or one above the only finished run below it",
    )  # fmt: skip
    names = {"action": "append", "metavar": "NAME"}
    option("threshold", f"threshold policy, repeatable ({', '.join(THRESHOLDS)})", **names)
    option("metric", f"metric, repeatable ({', '.join(METRICS)})", **names)
    option("condition", "audio condition, repeatable (all that there are)", **names)
    option("primary", "row that is corrected for no other, [condition/]metric/policy; asks for that"
           " metric and policy too (all/f_loc/universal_q3 where it is among the rows)",
           metavar="ROW")  # fmt: skip
    option("margin", "points within which runs are tied (1)", default=1.0, type=_points,
           metavar="POINTS")  # fmt: skip
    option("variant", "map variant, av or ogl (av)", default="av", metavar="NAME")
    add_resampling_options(parser)
    exchanges = {"type": whole_number(1), "metavar": "N"}
    option("permutations", "random exchanges (10000, or as many as Holm needs)", **exchanges)
    option("anyway", "compare runs that are not comparable, and say so", action="store_true")
    option("published", "show runs beside published figures", action="store_true")
    option("output", "write the table there too", type=given_path, metavar="DIR")
    return parser


def _points(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return value


def _compare(options: argparse.Namespace) -> None:
    """Compare runs, print the table, and write it where asked.

    Raises:
        UsageError: with every reason why the runs cannot or should not be compared.
    """
    from rich.console import Console

    from vssl.records.compare import ComparedRun, Endpoint, common_samples, compare_runs
    from vssl.records.schema import NO_POLICY
    from vssl.reporting.comparison import comparison_facts, show_comparison, write_comparison
    from vssl.reporting.comparison_latex import latex_comparison

    if len(options.runs) < 2:
        raise UsageError("give two runs or more, or --published to see one beside the literature")
    asked, policies = (list(dict.fromkeys(given or default)) for given, default in
                       ((options.metric, METRICS), (options.threshold, THRESHOLDS)))  # fmt: skip
    primary = None if options.primary is None else Endpoint.parse(options.primary)
    if primary is not None:
        asked = list(dict.fromkeys([*asked, primary.metric]))
        policies = list(dict.fromkeys([*policies, *({primary.policy} - {NO_POLICY})]))
    metrics = _metrics(asked)
    runs = [ComparedRun.of(run_in(folder)) for folder in options.runs]
    faults = [
        f"{run.folder}: {lack}"
        for run in runs
        for lack in _lacks(run, metrics, policies, options.variant)
    ]
    if not common_samples(runs):
        faults.append("there is no sample that all runs have")
    reasons = [list(_differs(runs[0], run, policies, options.variant)) for run in runs]
    every = [f"{run.folder}: {why}" for run, r in zip(runs, reasons, strict=True) for why in r]
    if faults or (every and not options.anyway):
        lines = ["these runs cannot be compared:", *dict.fromkeys([*faults, *every])]
        hint = "" if faults else "\n--anyway compares them all the same; the table says why not."
        raise UsageError("\n  ".join(lines) + hint)
    settings: dict[str, Any] = {
        "thresholds": policies,
        "margin": options.margin / 100,
        **{name: getattr(options, name) for name in ("variant", "resamples", "seed")},
    }
    runs = [replace(run, fitted=_fitted(run, policies, options.variant)) for run in runs]
    rows = compare_runs(
        runs,
        metrics,
        asked=asked,
        conditions=list(dict.fromkeys(options.condition or ())),
        primary=primary,
        permutations=options.permutations,
        **settings,
    )
    if rows.empty:
        raise UsageError(
            f"no number of {', '.join(asked)} under {', '.join(policies)} in these runs: metrics of"
            " negatives want negatives, F_LOC and F_AUC one threshold for all maps."
        )
    tried = int(rows["exchanges"].iloc[0])
    facts = comparison_facts(runs, **settings, permutations=tried, reasons=reasons)
    console = Console(highlight=False)
    show_comparison(console, rows, facts)
    absent = [name for name in asked if name not in set(rows["metric"])]
    if absent:
        console.print(f"no number in these runs: {', '.join(absent)}", soft_wrap=True)
    if options.output is not None:
        write_comparison(rows, facts, options.output)
        write_text(options.output / "comparison.tex", latex_comparison(rows, facts))
        console.print(f"comparison.parquet, .csv, .md and .tex: {options.output}", soft_wrap=True)


def _fitted(run: ComparedRun, policies: Sequence[str], variant: str) -> list[FittedPolicy]:
    """The policies behind a run's scores that are compared, as far as they can be fitted again."""
    from vssl.commands.learnt import policies_of

    return [
        each
        for each in policies_of(run.folder, run.scores)
        if each.policy.name in policies and each.variant == variant
    ]


def _metrics(asked: Sequence[str]) -> list[AnyMetric]:
    """The metrics of some names, and those that combined ones rest on."""
    from vssl.checks import check_choice
    from vssl.commands.build import build_metrics
    from vssl.commands.identity import composed_config
    from vssl.metrics.base import CombinedMetric

    metrics = build_metrics(composed_config("rescore", ["metrics=all"]))
    for name in asked:
        check_choice(name, [metric.name for metric in metrics], name="--metric")
    needed = set(asked)
    for metric in metrics:
        if isinstance(metric, CombinedMetric) and metric.name in asked:
            needed |= {metric.positive, metric.negative}
    return [metric for metric in metrics if metric.name in needed]


def _lacks(
    run: ComparedRun, metrics: Sequence[AnyMetric], thresholds: Sequence[str], variant: str
) -> Iterator[str]:
    """What a run would need to be compared, and how it gets it."""
    from vssl.metrics.base import CombinedMetric, PairMetric
    from vssl.metrics.ciou import ConsensusIoU
    from vssl.metrics.sets import SetMetric
    from vssl.records.schema import NO_POLICY, pair_column

    variants = list(dict.fromkeys(variant for variant, _ in run.parts))
    if variant not in variants:
        yield (
            f"has no map variant {variant}, but {', '.join(variants)}; ogl is there after"
            " vssl-evaluate with prior=object_guided"
        )
        return
    there = [policy for of, policy in run.parts if of == variant and policy != NO_POLICY]
    for policy in thresholds:
        if (variant, policy) not in run.parts:
            yield (
                f"has no scores under threshold {policy}, but under {', '.join(there)};"
                f" vssl-rescore run={run.folder} threshold={policy} adds them"
            )
    columns = run.scores.columns
    absent = []
    for metric in metrics:
        if isinstance(metric, CombinedMetric):
            continue
        needed = {metric.column}
        if isinstance(metric, SetMetric) and metric.by_threshold:
            needed.add(ConsensusIoU.column)
        if isinstance(metric, PairMetric):
            start = pair_column(metric.column, "")
            needed = set() if any(c.startswith(start) for c in columns) else needed
        if not needed <= set(columns):
            absent.append(metric.name)
    if absent:
        yield (
            f"has no scores for {', '.join(absent)}; vssl-rescore run={run.folder} threshold=all"
            " metrics=all adds them"
        )


def _differs(
    reference: ComparedRun, run: ComparedRun, thresholds: Sequence[str], variant: str
) -> Iterator[str]:
    """Why a run should not be compared with the reference. Another model is no reason."""
    from vssl.records.compare import common_samples

    first, own = reference.facts, run.facts
    common = common_samples([reference, run])
    if first["dataset"] != own["dataset"]:
        yield f"other data set: {own['dataset']} (reference: {first['dataset']})"
    if first["annotation_sha256"] != own["annotation_sha256"]:
        boxes, others = _objects(reference), _objects(run)
        count = sum(boxes[name] != others[name] for name in common)
        if count:
            yield f"other ground truth: of {count} of the {len(common)} common samples"
    yield from _other_negatives(reference, run, common)
    changed = _changed(first["protocol_switches"], own["protocol_switches"])
    if changed:
        yield f"other protocol: {changed}"
    for policy in thresholds:
        one, two = (r.parts.get((variant, policy)) for r in (reference, run))
        if one is None or two is None:
            continue
        # the runs behind two models' thresholds differ, if only by the model
        sources = {
            re.sub(r", run \w+\)$", ", another run)", p.threshold_source) for p in (one, two)
        }
        values = [r.scores.threshold(p) for r, p in ((run, two), (reference, one))]
        if len(sources) > 1:
            yield (
                f"other calibration of threshold {policy}: {two.threshold_source}"
                f" (reference: {one.threshold_source})"
            )
        elif sources == {"constant"} and values[0] != values[1]:
            yield f"other threshold {policy}: {values[0]:g} (reference: {values[1]:g})"


def _other_negatives(
    reference: ComparedRun, run: ComparedRun, common: Sequence[str]
) -> Iterator[str]:
    """How the negatives of two runs differ on the samples that both have."""
    from vssl.records.conditions import condition_settings
    from vssl.types import POSITIVE

    first, own = reference.facts, run.facts
    one, two = (
        Counter(name for name, _ in facts["pairings"] if name != POSITIVE) for facts in (first, own)
    )
    if one != two:
        texts = [", ".join(f"{name} x {n}" for name, n in c.items()) or "none" for c in (two, one)]
        yield f"other negatives: {texts[0]} (reference: {texts[1]})"
    both = one.keys() & two.keys()
    changed = _changed(*(
        {f"{name}.{key}": value for name, options in condition_settings(facts).items()
         if name in both for key, value in options.items() if key != "draws"}
        for facts in (first, own)
    ))  # fmt: skip
    if changed:
        yield f"other negatives: {changed}"
    if first["negatives_manifest_sha256"] != own["negatives_manifest_sha256"]:
        choices = [_choices(each, set(common)) for each in (reference, run)]
        rows = choices[0].keys() & choices[1].keys()
        samples = {row[0] for row in rows if choices[0][row] != choices[1][row]}
        if samples:
            yield (
                f"other negatives: drawn otherwise for {len(samples)} of the {len(common)} common"
                f" samples; vssl-evaluate negatives.manifest={reference.folder / MANIFEST_FILE}"
                " replays the reference's"
            )


def _choices(run: ComparedRun, names: set[str]) -> dict[tuple[str, str, int], str]:
    """What was drawn for some samples: a clip, or the seed of what is made."""
    from vssl.negatives.manifest import read_manifest
    from vssl.negatives.silence import Silence

    return {
        (row.sample_id, row.condition, row.draw): row.audio_source_id or f"seed {row.seed}"
        for row in read_manifest(run.folder / MANIFEST_FILE)
        if row.sample_id in names and row.condition != Silence.name
    }


def _changed(first: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """The entries that differ, the reference's behind them."""
    names = [name for name in {**first, **own} if first.get(name) != own.get(name)]
    return ", ".join(f"{n}={own.get(n)} (reference: {first.get(n)})" for n in names)


def _objects(run: ComparedRun) -> dict[str, Any]:
    """Boxes and their weights by sample."""
    from vssl.records.store import read_columns
    from vssl.types import POSITIVE

    columns = ["sample_id", "boxes", "box_weights"]
    positive = [("audio_condition", "=", POSITIVE)]
    rows = read_columns(run.folder / RECORDS_FILE, columns, positive).to_pylist()
    return {row["sample_id"]: (row["boxes"], row["box_weights"]) for row in rows}


if __name__ == "__main__":
    main()
