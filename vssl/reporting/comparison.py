"""Differences of runs as a table, for the terminal, as Markdown, and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vssl.records.compare import (
    LEVEL,
    PRIMARY,
    SECONDARY,
    ComparedRun,
    common_samples,
    enough_exchanges,
)
from vssl.records.files import write_text
from vssl.records.fingerprint import environment, ids_hash
from vssl.records.schema import NO_POLICY
from vssl.records.store import AtomicParquetWriter
from vssl.reporting.tables import MISSING, percent

Facts = Mapping[str, Any]

_TEXTS = ("reference", "run", "reference_model", "model", "metric", "condition", "map_variant")
_NUMBERS = ("reference_value", "value", "difference", "ci_low", "ci_high", "ci90_low", "ci90_high")
_ENDS = ("ci_low_at_threshold", "ci_high_at_threshold")
_COUNTS = ("exchanges", "n_images", "n_undefined")
_TESTS = ("p", "p_holm", "sd_besides_images")
COMPARISON = pa.schema(
    [
        *(pa.field(n, pa.string(), nullable=False) for n in (*_TEXTS, "threshold_policy")),
        *(
            pa.field(n, pa.float64()) for n in (*_NUMBERS, *_ENDS)
        ),  # fractions; null where undefined
        *(pa.field(n, pa.float64()) for n in _TESTS),  # null where there is no test
        *(pa.field(n, pa.string(), nullable=False) for n in ("family", "verdict")),
        *(pa.field(n, pa.int64(), nullable=False) for n in _COUNTS),
        pa.field("higher_is_better", pa.bool_(), nullable=False),
        *(pa.field(n, pa.float64()) for n in ("reference_threshold", "threshold")),
        *(pa.field(n, pa.string()) for n in ("reference_threshold_source", "threshold_source")),
        pa.field("not_comparable", pa.string(), nullable=False),  # why not; empty where they are
    ]
)
"""Columns of `comparison.parquet` and `comparison.csv`; see `records.compare.compare_runs`."""

_HEADERS = (
    *("run", "metric", "condition", "threshold"),
    *("reference", "run's", "difference", "95 % interval", "p", "p (Holm)", "images"),
    *("family", "verdict"),
)
_TEXTS_SHOWN = ("run", "metric", "condition", "threshold", "family", "verdict")
_WIDE = 170


def comparison_facts(
    runs: Sequence[ComparedRun],
    *,
    thresholds: Sequence[str],
    variant: str,
    resamples: int,
    permutations: int,
    seed: int,
    margin: float,
    reasons: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """What a comparison rests on; kept in its file, and said below its table.

    Args:
        runs: the reference, and the others.
        thresholds: threshold policies.
        variant: map variant.
        resamples: bootstrap resamples.
        permutations: exchanges that were tried.
        seed: of both.
        margin: of ties, a fraction.
        reasons: for each run, why it is not comparable with the reference.
    """
    common = common_samples(runs)
    images = len({runs[0].samples.image_groups[runs[0].rows[name]] for name in common})
    return {
        "map_variant": variant,
        "samples": len(common),
        "images": images,
        "manifest_hash": ids_hash(common),
        "resamples": resamples,
        "permutations": permutations,
        "exact": permutations == 2**images,
        "seed": seed,
        "margin": margin,
        "correction": "Holm",
        "environment": environment(),
        "runs": [
            {
                "folder": str(run.folder),
                "label": _label(run, runs),
                **{key: run.facts[key] for key in ("model", "dataset", "protocol", "config_hash")},
                "coverage": run.facts["coverage"],
                "samples": len(run.rows),
                "thresholds": {policy: _threshold(run, variant, policy) for policy in thresholds},
                "not_comparable": list(why),
            }
            for run, why in zip(runs, reasons, strict=True)
        ],
    }


def _label(run: ComparedRun, runs: Sequence[ComparedRun]) -> str:
    """The model, with the folder behind it where two runs are of one model."""
    model = str(run.facts["model"])
    alike = {other.folder for other in runs if other.facts["model"] == model}
    return model if len(alike) == 1 else f"{model} ({run.folder})"


def _threshold(run: ComparedRun, variant: str, policy: str) -> dict[str, Any]:
    """Value (None where every map has its own) and source of a policy's threshold."""
    part = run.parts[variant, policy]
    value = run.scores.threshold(part)
    return {"value": None if pd.isna(value) else value, "source": part.threshold_source}


def show_comparison(console: Console, rows: pd.DataFrame, facts: Facts) -> None:
    """Print the differences, what they rest on, and why runs are not comparable.

    Args:
        console: where to.
        rows: of `compare_runs`.
        facts: of `comparison_facts`.
    """
    if not console.is_terminal:
        console.width = _WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for header in _HEADERS:
        table.add_column(header, justify="left" if header in _TEXTS_SHOWN else "right")
    for cells in _cells(rows, facts):
        table.add_row(*(Text(cell) for cell in cells))
    console.print(Text(f"\n{_title(facts)}", style="bold"), soft_wrap=True)
    for line in _warnings(rows, facts):
        console.print(Text(line, style="bold red"), soft_wrap=True)
    console.print(table)
    console.print(Text(comparison_caption(rows, facts), style="dim"))


def write_comparison(rows: pd.DataFrame, facts: Facts, output: Path) -> None:
    """Write `comparison.parquet`, `comparison.csv` (fractions) and `comparison.md` (percentages).

    Args:
        rows: of `compare_runs`.
        facts: of `comparison_facts`; kept as the parquet file's provenance.
        output: folder, made where it is missing.
    """
    output.mkdir(parents=True, exist_ok=True)
    runs = {run["folder"]: run for run in facts["runs"]}
    keys = list(zip(rows["reference"], rows["run"], rows["threshold_policy"], strict=True))
    own = [runs[run]["thresholds"].get(policy, {}) for _, run, policy in keys]
    first = [runs[run]["thresholds"].get(policy, {}) for run, _, policy in keys]
    complete = rows.assign(
        threshold=[t.get("value") for t in own],
        threshold_source=[t.get("source") for t in own],
        reference_threshold=[t.get("value") for t in first],
        reference_threshold_source=[t.get("source") for t in first],
        not_comparable=["; ".join(runs[run]["not_comparable"]) for _, run, _ in keys],
    )[COMPARISON.names]
    table = pa.Table.from_pandas(complete, schema=COMPARISON, preserve_index=False)
    with AtomicParquetWriter(output / "comparison.parquet", COMPARISON, dict(facts)) as writer:
        writer.write(table)
    write_text(output / "comparison.csv", complete.to_csv(index=False))
    write_text(output / "comparison.md", markdown_comparison(rows, facts))


def markdown_comparison(rows: pd.DataFrame, facts: Facts) -> str:
    """The table as Markdown, with its title, its caption, and why runs are not comparable."""
    marks = [" --- " if header in _TEXTS_SHOWN else " ---: " for header in _HEADERS]
    lines = ["| " + " | ".join(_HEADERS) + " |", "|" + "|".join(marks) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in _cells(rows, facts)]
    warnings = "\n".join(f"{line}  " for line in _warnings(rows, facts))
    before = [f"**{_title(facts)}**", "", *([warnings, ""] if warnings else [])]
    return "\n".join([*before, *lines, "", comparison_caption(rows, facts), ""])


def _cells(rows: pd.DataFrame, facts: Facts) -> list[list[str]]:
    labels = {run["folder"]: run["label"] for run in facts["runs"]}
    return [
        [
            labels[row["run"]],
            f"{row['metric']} {'↑' if row['higher_is_better'] else '↓'}",
            row["condition"],
            row["threshold_policy"],
            percent(row["reference_value"]),
            percent(row["value"]),
            points(row["difference"]),
            _interval(row["ci_low"], row["ci_high"]),
            p_text(row["p"]),
            p_text(row["p_holm"]),
            str(row["n_images"]),
            row["family"],
            row["verdict"],
        ]
        for row in rows.to_dict("records")
    ]


def points(difference: float) -> str:
    """A difference of fractions in percentage points, with its sign; `n/a` where undefined."""
    rounded = round(100 * difference, 1) + 0.0  # no negative zero
    return MISSING if pd.isna(difference) else f"{rounded:+.1f}"


def _interval(low: float, high: float) -> str:
    return MISSING if pd.isna(low) else f"{points(low)} to {points(high)}"


def p_text(value: float) -> str:
    """A p value to four decimals, or where it is smaller its size; `n/a` where there is none."""
    return MISSING if pd.isna(value) else f"{value:.4f}" if value >= 1e-4 else f"{value:.1e}"


def _title(facts: Facts) -> str:
    first, *others = (run["label"] for run in facts["runs"])
    maps = {"av": "", "ogl": ", object-guided maps"}[facts["map_variant"]]
    return f"{', '.join(dict.fromkeys(others))} against {first} on {_said('dataset', facts)}{maps}"


def _said(key: str, facts: Facts) -> str:
    return ", ".join(dict.fromkeys(str(run[key]) for run in facts["runs"]))


def _warnings(rows: pd.DataFrame, facts: Facts) -> list[str]:
    lines = [f"{run['folder']}: {why}" for run in facts["runs"] for why in run["not_comparable"]]
    lines = ["NOT COMPARABLE, compared all the same:", *lines] if lines else []
    tried, exact = facts["permutations"], facts["exact"]
    smallest = 2 / tried if exact else 1 / (tried + 1)  # exchanging all images turns the sign only
    for family in (PRIMARY, SECONDARY):
        tests = int((rows["family"] == family).sum())
        if tests * smallest > LEVEL:
            mend = (
                "It takes more images, or fewer rows (--metric, --condition, --threshold)."
                if exact
                else f"Give --permutations {enough_exchanges(tests)}, or leave it out."
            )
            lines.append(
                f"NO {family.upper()} ROW CAN DIFFER SIGNIFICANTLY, whatever the difference: the"
                f" smallest p that {tried} exchanges can give, {p_text(smallest)}, times {tests}"
                f" rows is above {LEVEL}. {mend}"
            )
    return lines


def comparison_caption(rows: pd.DataFrame, facts: Facts) -> str:
    """What a comparison rests on, in one paragraph.

    Args:
        rows: of `compare_runs`.
        facts: of `comparison_facts`.
    """
    runs = facts["runs"]
    coverage = ", ".join(dict.fromkeys(f"{100 * run['coverage']:.4g} %" for run in runs))
    left = [
        f"{run['label']} {run['samples'] - facts['samples']} of {run['samples']}"
        for run in runs
        if run["samples"] > facts["samples"]
    ]
    tried = f"all {facts['permutations']}" if facts["exact"] else f"{facts['permutations']} random"
    parts = [
        f"data {_said('dataset', facts)}",
        f"protocol {_said('protocol', facts)}",
        f"map variant {facts['map_variant']}",
        f"N = {facts['samples']} samples of {facts['images']} images that all runs have"
        f" (list {facts['manifest_hash'][:8]}; coverage of the runs {coverage})",
        *([f"samples left out, as not all runs have them: {', '.join(left)}"] if left else []),
        f"differences from the reference {runs[0]['label']} in percentage points",
        f"95 % intervals of the difference: {facts['resamples']} bootstrap resamples of the images"
        " and of sounds that images share, the same for both runs, and of thresholds that are"
        " learnt, fitted anew",
        f"p: two-sided, {tried} exchanges of images between the two runs",
        *([more] if (more := _besides(rows)) else []),
        *_families(rows),
        _verdicts(facts),
        f"seed {facts['seed']}",
    ]
    for policy in runs[0]["thresholds"]:
        if policy != NO_POLICY:
            parts.append(f"{policy}: {_thresholds(policy, facts)}")
    if left and any("fit on" in part for part in parts):
        parts.append("thresholds were fitted on all samples of their run")
    undefined = int(rows["n_undefined"].max())
    if undefined:
        parts.append(f"up to {undefined} undefined values are left out of a difference")
    return "; ".join(parts)


def _besides(rows: pd.DataFrame) -> str:
    if not (rows["sd_besides_images"] > 0).any():
        return ""
    return (
        "to every exchanged difference is added, at random, what the interval has beside chance"
        " over images"
    )


def _families(rows: pd.DataFrame) -> list[str]:
    """What is corrected for what."""
    first, second = (rows[rows["family"] == name] for name in (PRIMARY, SECONDARY))
    found = ["no primary row (--primary names one)"]
    if len(first):
        key = "/".join(first.iloc[0][["condition", "metric", "threshold_policy"]])
        others = f"Holm over the {len(first)} runs" if len(first) > 1 else "not corrected"
        found = [f"primary: {key}, {others}"]
    if len(second):
        metrics, policies, conditions = (
            ", ".join(dict.fromkeys(second[name]))
            for name in ("metric", "threshold_policy", "condition")
        )
        runs = second["run"].nunique()
        of_runs = f" of {runs} runs" if runs > 1 else ""
        found.append(
            f"secondary: Holm over {len(second)} rows{of_runs}: {metrics}; under {policies}; at"
            f" {conditions} (of a metric with a row at condition all only that one, as the others"
            " repeat it)"
        )
    return found


def _verdicts(facts: Facts) -> str:
    margin = f"{100 * facts['margin']:g} point{'' if facts['margin'] == 0.01 else 's'}"
    return (
        f"verdict: higher or lower where the corrected p is {LEVEL} at most; tied where the 90 %"
        f" interval lies within {margin} of 0 (two one-sided tests, Schuirmann 1987, each row for"
        " itself); not shown is neither"
    )


def _thresholds(policy: str, facts: Facts) -> str:
    """Each run's threshold, and what it rests on."""
    by_source: dict[str, list[str]] = {}
    for run in facts["runs"]:
        threshold = run["thresholds"][policy]
        value = "" if threshold["value"] is None else f" {threshold['value']:.4f}"
        by_source.setdefault(threshold["source"], []).append(f"{run['label']}{value}")
    return ", ".join(
        f"{', '.join(dict.fromkeys(names))} ({source})" for source, names in by_source.items()
    )
