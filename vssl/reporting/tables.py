"""Summaries as tables, for the terminal and as Markdown. Here fractions become percentages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

COLUMNS = (
    ("cIoU ↑", "positive", "ciou"),
    ("success ↑", "positive", "success_rate"),
    ("AUC ↑", "positive", "auc"),
    ("pIA silence ↓", "silence", "pia"),
    ("pIA noise ↓", "noise", "pia"),
    ("pIA offscreen ↓", "offscreen", "pia"),
    ("F_LOC ↑", "all", "f_loc"),
    ("F_AUC ↑", "all", "f_auc"),
)
"""Header, audio condition and metric of each column."""

MISSING = "n/a"
_WIDE = 124


def percent(value: float) -> str:
    """A fraction as a percentage with one decimal, `n/a` for NaN."""
    return MISSING if value is None or np.isnan(value) else f"{100 * value:.1f}"


def cell(rows: pd.DataFrame) -> tuple[str, str]:
    """Value and interval of the one row of a summary, as text; empty where there is none."""
    if rows.empty:
        return "", ""
    row = rows.iloc[0]
    if pd.isna(row["value"]):
        return MISSING, ""
    return percent(row["value"]), f"{percent(row['ci_low'])}–{percent(row['ci_high'])}"


def table_rows(
    summary: pd.DataFrame, label: str, columns: Sequence[tuple[str, str, str]] = COLUMNS
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Rows of a table: a label and a (value, interval) pair for each column.

    Args:
        summary: rows of one or several summaries.
        label: summary column that names the rows, e.g. `model` or `threshold_policy`.
        columns: header, condition and metric of each column.
    """
    rows = []
    for name, group in summary.groupby(label, sort=False):
        cells = [
            cell(group[(group["condition"] == condition) & (group["metric"] == metric)])
            for _, condition, metric in columns
        ]
        rows.append((str(name), cells))
    return rows


def used_columns(summary: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The columns for which the summary has numbers."""
    present = set(zip(summary["condition"], summary["metric"], strict=True))
    return [column for column in COLUMNS if column[1:] in present]


def caption(summary: pd.DataFrame) -> str:
    """What every table says: data, protocol, N, coverage, draws, seed, interval."""

    def values(column: str) -> str:
        return ", ".join(str(v) for v in pd.unique(summary[column]))

    n = summary["n"].max()
    coverage = pd.unique(summary["coverage"])
    draws = summary.groupby("condition", sort=False)["draws"].max()
    per_type = ", ".join(f"{d} {c}" for c, d in draws.items() if c not in ("positive", "all"))
    sources = [s for s in pd.unique(summary["threshold_source"]) if s != "-"]
    undefined = int(summary["n_undefined"].max())
    parts = [
        f"data {values('dataset')}",
        f"protocol {values('protocol')}",
        f"N = {n} samples, coverage {', '.join(percent(c) for c in coverage)} %",
        f"draws: {per_type}" if per_type else "positives only",
        f"seed {values('seed')}",
        "percentages, below them 95 % bootstrap intervals over images",
    ]
    if sources:
        parts.append("thresholds: " + "; ".join(sources))
    if undefined:
        parts.append(f"up to {undefined} undefined values left out of a mean")
    return "; ".join(parts)


def show_table(console: Console, summary: pd.DataFrame, *, label: str, title: str) -> None:
    """Print a table: each value with its interval below it, where the terminal is wide enough.

    A narrow terminal gets values only, and the caption says so. Output that goes to no terminal is
    never cut.
    """
    columns = used_columns(summary)
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column(label.replace("_", " "), no_wrap=True)
    for header, _, _ in columns:
        table.add_column(header.replace(" ", "\n", 1), justify="right", no_wrap=True)
    wide = not console.is_terminal or console.width >= _WIDE
    for name, cells in table_rows(summary, label, columns):
        table.add_row(name, *(f"{v}\n[dim]{ci}[/dim]" if ci and wide else v for v, ci in cells))
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)
    note = "" if wide else f"; intervals are shown from {_WIDE} columns on"
    console.print(f"[dim]{caption(summary)}{note}[/dim]\n", soft_wrap=True)


def markdown_table(summary: pd.DataFrame, *, label: str, title: str) -> str:
    """The same table as Markdown, intervals in brackets."""
    columns = used_columns(summary)
    lines = [
        f"**{title}**",
        "",
        "| " + " | ".join([label.replace("_", " "), *(c[0] for c in columns)]) + " |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for name, cells in table_rows(summary, label, columns):
        texts = [f"{value} [{ci}]" if ci else value for value, ci in cells]
        lines.append("| " + " | ".join([name, *texts]) + " |")
    return "\n".join([*lines, "", caption(summary), ""])
