"""Differences of runs as tables and files.

`rows` are those of `compare_runs`, `facts` those of `comparison_facts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from vssl.analysis.compare import (
    LEVEL,
    NO_FAMILY,
    PRIMARY,
    SECONDARY,
    ComparedRun,
    common_samples,
    enough_exchanges,
)
from vssl.core.environment import environment
from vssl.core.files import write_text
from vssl.core.hashing import ids_hash
from vssl.metrics.base import metric_classes
from vssl.records.schema import NO_POLICY
from vssl.records.store import parquet_writer
from vssl.reporting.tables.latex import latex_tables
from vssl.reporting.tables.model import (
    MISSING,
    Cell,
    Row,
    Table,
    by_source,
    coverage_text,
    defined,
    points,
    text_columns,
    text_table,
)
from vssl.reporting.tables.render import markdown_table

ComparisonFacts = Mapping[str, Any]

_COMPARED_FIELDS = (
    ("string", False, "reference run reference_model model metric condition map_variant"),
    ("string", False, "threshold_policy"),
    # fractions; null where undefined
    ("double", True, "reference_value value difference ci_low ci_high ci90_low ci90_high"),
    ("double", True, "ci_low_at_threshold ci_high_at_threshold"),
    ("double", True, "p p_holm sd_besides_images"),  # null without a test
    ("string", False, "family verdict"),
    ("int64", False, "exchanges n_images n_undefined"),
    ("bool", False, "higher_is_better"),
    ("double", True, "reference_threshold threshold"),
    ("string", True, "reference_threshold_source threshold_source"),
    ("string", False, "not_comparable"),  # why not; empty where they are
)
COMPARISON = pa.schema(
    [
        pa.field(name, pa.type_for_alias(kind), nullable)
        for kind, nullable, names in _COMPARED_FIELDS
        for name in names.split()
    ]
)
"""Columns of `comparison.parquet` and `comparison.csv`; see `records.compare.compare_runs`."""

_WORDS = ("run", "metric", "condition", "threshold", "family", "verdict")


def comparison_facts(
    runs: Sequence[ComparedRun],
    reasons: Sequence[Sequence[str]],
    *,
    thresholds: Sequence[str],
    variant: str,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Collect the settings of a comparison, for its file and the caption of its table.

    The first of `runs` is the reference, with which others are not comparable for `reasons`.
    `settings` are `resamples`, `permutations`, `seed` of both, and `margin` of ties, a fraction.
    """
    common = common_samples(runs)
    images = len({runs[0].samples.image_groups[runs[0].rows[name]] for name in common})
    models = Counter({str(run.folder): str(run.facts["model"]) for run in runs}.values())
    known = []
    for run, why in zip(runs, reasons, strict=True):
        model = run.facts["model"]
        known.append({
            "folder": str(run.folder),
            "label": model if models[model] == 1 else f"{model} ({run.folder})",
            **{key: run.facts[key] for key in ("model", "dataset", "protocol", "config_hash")},
            "coverage": run.facts["coverage"],
            "samples": len(run.rows),
            "thresholds": {
                policy: {
                    "value": defined(run.scores.threshold(run.parts[variant, policy])),
                    "source": run.parts[variant, policy].threshold_source,
                }
                for policy in thresholds
            },
            "not_comparable": list(why),
        })  # fmt: skip
    return {
        "map_variant": variant,
        "samples": len(common),
        "images": images,
        "manifest_hash": ids_hash(common),
        **settings,
        "exact": settings["permutations"] == 2**images,
        "correction": "Holm",
        "environment": environment(),
        "runs": known,
    }


def comparison_table(rows: pd.DataFrame, facts: ComparisonFacts) -> Table:
    """Make a table of differences, with their settings and why runs are not comparable."""
    labels = {run["folder"]: run["label"] for run in facts["runs"]}
    first, *others = (run["label"] for run in facts["runs"])
    maps = {"av": "", "ogl": ", object-guided maps"}[facts["map_variant"]]
    against = f"{', '.join(dict.fromkeys(others))} against {first}"
    title = f"{against} on {_each_once('dataset', facts)}{maps}"
    records = rows.to_dict("records")
    lines = [{"run": labels[row["run"]], **_difference_texts(row)} for row in records]
    caption, details = comparison_caption(rows, facts)
    below = {"caption": caption, "details": details, "warnings": tuple(_warnings(rows, facts))}
    return text_table(title, lines, text=_WORDS, **below)


def latex_comparison(rows: pd.DataFrame, facts: ComparisonFacts) -> str:
    """One LaTeX table for each compared run: its primary row in bold, and its secondary rows.

    Rows in no family are left out, and the caption says so. Without any other row they are shown.
    """
    labels = {run["folder"]: run["label"] for run in facts["runs"]}
    shown = rows[rows["family"] != NO_FAMILY]
    left_out = "Rows that stand in no family are in comparison.csv."
    if shown.empty:
        shown, left_out = rows, ""
    caption, details = comparison_caption(rows, facts)
    first, *others = pd.unique(shown["threshold_policy"])
    words = ["threshold"] * bool(others)
    headers = (*words, "reference", "run's", "difference", "p", "p (Holm)", "verdict")
    under = "" if others else f" ({first})"
    tables = [
        Table(
            f"{labels[run]} against {facts['runs'][0]['label']}{under}",
            text_columns(*headers, text=_WORDS),
            tuple(_latex_row(row, headers) for row in own.to_dict("records")),
            f"{caption} {left_out}".strip(),
            details,
            label="metric and condition",
            name=str(number),
        )
        for number, (run, own) in enumerate(shown.groupby("run", sort=False), start=1)
    ]
    return latex_tables(tables, label="comparison", made_by="vssl-compare")


def _latex_row(row: Mapping[Any, Any], headers: Sequence[str]) -> Row:
    """A row whose interval stands below the difference."""
    texts = _difference_texts(row, labels=True)
    below = {"difference": texts["95 % interval"]}
    cells = (Cell(text=texts[name], below=below.get(name, "")) for name in headers)
    primary = row["family"] == PRIMARY
    name = f"{texts['metric']} {texts['condition']}"
    return Row(name, tuple(cells), group=row["threshold_policy"], bold=primary)


def _difference_texts(row: Mapping[Any, Any], *, labels: bool = False) -> dict[str, str]:
    """Texts of a difference, by header; the metric by its label or its name."""
    kind = metric_classes().get(row["metric"])
    unit = kind.unit if kind else "%"
    low, high, difference = (
        points(row[key]) if unit == "%" or pd.isna(row[key]) else f"{row[key]:+.4g}"
        for key in ("ci_low", "ci_high", "difference")
    )
    name = kind.label if kind and labels else row["metric"]
    name += "" if unit == "%" else f" ({unit})"
    return {
        "metric": f"{name} {'↑' if row['higher_is_better'] else '↓'}",
        "condition": row["condition"],
        "threshold": row["threshold_policy"],
        "reference": Cell(defined(row["reference_value"]), unit=unit).shown,
        "run's": Cell(defined(row["value"]), unit=unit).shown,
        "difference": difference,
        "95 % interval": MISSING if low == MISSING else f"{low} to {high}",
        "p": _p_text(row["p"]),
        "p (Holm)": _p_text(row["p_holm"]),
        "images": str(row["n_images"]),
        "family": row["family"],
        "verdict": row["verdict"],
    }


def _p_text(value: float) -> str:
    """A p value with four decimals, or in scientific notation below 1e-4; `n/a` without one."""
    return MISSING if pd.isna(value) else f"{value:.4f}" if value >= 1e-4 else f"{value:.1e}"


def write_comparison(rows: pd.DataFrame, facts: ComparisonFacts, output: Path) -> None:
    """Write `comparison.parquet`, with the facts as provenance, and `.csv`, `.md` and `.tex`."""
    output.mkdir(parents=True, exist_ok=True)
    runs = {run["folder"]: run for run in facts["runs"]}
    complete = rows.assign(
        not_comparable=["; ".join(runs[run]["not_comparable"]) for run in rows["run"]]
    )
    for column, prefix in (("run", ""), ("reference", "reference_")):
        places = zip(rows[column], rows["threshold_policy"], strict=True)
        known = [runs[folder]["thresholds"].get(policy, {}) for folder, policy in places]
        complete[f"{prefix}threshold"] = [each.get("value") for each in known]
        complete[f"{prefix}threshold_source"] = [each.get("source") for each in known]
    complete = complete[COMPARISON.names]
    table = pa.Table.from_pandas(complete, schema=COMPARISON, preserve_index=False)
    with parquet_writer(output / "comparison.parquet", COMPARISON, dict(facts)) as write:
        write(table)
    write_text(output / "comparison.csv", complete.to_csv(index=False))
    write_text(output / "comparison.md", markdown_table(comparison_table(rows, facts)))
    write_text(output / "comparison.tex", latex_comparison(rows, facts))


def _each_once(key: str, facts: ComparisonFacts) -> str:
    return ", ".join(dict.fromkeys(str(run[key]) for run in facts["runs"]))


def _warnings(rows: pd.DataFrame, facts: ComparisonFacts) -> list[str]:
    lines = [f"{run['folder']}: {why}" for run in facts["runs"] for why in run["not_comparable"]]
    lines = ["NOT COMPARABLE, compared all the same:", *lines] if lines else []
    tried, exact = facts["permutations"], facts["exact"]
    smallest = 2 / tried if exact else 1 / (tried + 1)  # exchanging all images turns the sign only
    for family in (PRIMARY, SECONDARY):
        tests = int((rows["family"] == family).sum())
        if tests * smallest > LEVEL:
            advice = (
                "It takes more images, or fewer rows (--metric, --condition, --threshold)."
                if exact
                else f"Give --permutations {enough_exchanges(tests)}, or leave it out."
            )
            lines.append(
                f"NO {family.upper()} ROW CAN DIFFER SIGNIFICANTLY, whatever the difference: the"
                f" smallest p that {tried} exchanges can give, {_p_text(smallest)}, times {tests}"
                f" rows is above {LEVEL}. {advice}"
            )
    return lines


def comparison_caption(rows: pd.DataFrame, facts: ComparisonFacts) -> tuple[str, tuple[str, ...]]:
    """Describe a comparison in a sentence, and its settings in one sentence each."""
    runs = facts["runs"]
    coverage = coverage_text(run["coverage"] for run in runs)
    extra = [(run, run["samples"] - facts["samples"]) for run in runs]
    left = [f"{run['label']} {count} of {run['samples']}" for run, count in extra if count > 0]
    with_unit = {name for name, kind in metric_classes().items() if kind.unit != "%"}
    other_units = ""
    if rows["metric"].isin(with_unit).any():
        other_units = " (of a metric with a unit in that unit, of which 0.01 is a point)"
    tried = f"all {facts['permutations']}" if facts["exact"] else f"{facts['permutations']} random"
    first = (
        f"N = {facts['samples']} samples of {facts['images']} images that all runs have, protocol"
        f" {_each_once('protocol', facts)}; differences from {runs[0]['label']} in percentage"
        f" points{other_units} with 95 % intervals; {tried} exchanges, seed {facts['seed']}."
    )
    parts = [
        f"Data {_each_once('dataset', facts)}, map variant {facts['map_variant']}, list"
        f" {facts['manifest_hash'][:8]}; coverage of the runs {coverage}.",
        f"Samples left out, as not all runs have them: {', '.join(left)}." if left else "",
        f"Intervals of the difference: {facts['resamples']} bootstrap resamples of the images"
        " and of sounds that images share, the same for both runs, and of thresholds that are"
        " learnt, fitted anew.",
        f"p: two-sided, {tried} exchanges of images between the two runs.",
        "To every exchanged difference is added, at random, what the interval has beside chance"
        " over images."
        if (rows["sd_besides_images"] > 0).any()
        else "",
        *_families(rows),
        f"Verdict: higher or lower where the corrected p is {LEVEL} at most; tied where the 90 %"
        f" interval lies within {100 * facts['margin']:g}"
        f" point{'' if facts['margin'] == 0.01 else 's'} of 0 (two one-sided tests, Schuirmann"
        " 1987, each row for itself); not shown is neither.",
    ]
    for policy in [name for name in runs[0]["thresholds"] if name != NO_POLICY]:
        named = []
        for run in runs:
            value, source = (run["thresholds"][policy][key] for key in ("value", "source"))
            named.append((run["label"] + ("" if value is None else f" {value:.4f}"), source))
        parts.append(f"{policy}: {', '.join(by_source(named))}.")
    if left and any("fit on" in part for part in parts):
        parts.append("Thresholds were fitted on all samples of their run.")
    undefined = int(rows["n_undefined"].max())
    if undefined:
        parts.append(f"Up to {undefined} undefined values are left out of a difference.")
    return first, tuple(part for part in parts if part)


def _families(rows: pd.DataFrame) -> list[str]:
    """Say over which rows each family is corrected."""
    first, second = (rows[rows["family"] == name] for name in (PRIMARY, SECONDARY))
    found = ["No primary row (--primary names one)."]
    if len(first):
        key = "/".join(first.iloc[0][["condition", "metric", "threshold_policy"]])
        others = f"Holm over the {len(first)} runs" if len(first) > 1 else "not corrected"
        found = [f"Primary: {key}, {others}."]
    if len(second):
        metrics, policies, conditions = (
            ", ".join(dict.fromkeys(second[name]))
            for name in ("metric", "threshold_policy", "condition")
        )
        runs = second["run"].nunique()
        of_runs = f" of {runs} runs" if runs > 1 else ""
        found.append(
            f"Secondary: Holm over {len(second)} rows{of_runs}: {metrics}; under {policies}; at"
            f" {conditions} (of a metric with a row at condition all only that one, as the others"
            " repeat it)."
        )
    return found
