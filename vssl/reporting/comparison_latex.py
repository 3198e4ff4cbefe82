r"""Differences of runs as LaTeX tables, to be read by `\input`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from vssl.records.compare import NO_FAMILY, PRIMARY
from vssl.reporting.comparison import comparison_caption, p_text, points
from vssl.reporting.report.columns import HEADERS
from vssl.reporting.report.latex import escape
from vssl.reporting.tables import MISSING, percent

_HEAD = """\
% Made by vssl-compare. Needs \\usepackage{booktabs}; read it with \\input{<this file>}.
"""
_COLUMNS = (
    *("metric", "condition", "threshold", "reference", "run", "difference", "95 % interval"),
    *("p", "p (Holm)", "verdict"),
)


def latex_comparison(rows: pd.DataFrame, facts: Mapping[str, Any]) -> str:
    """One `table*` for each compared run: its primary row in bold, and its secondary rows.

    Rows in no family are left out, and the caption says so; where there are no others, they are
    the table.

    Args:
        rows: of `compare_runs`.
        facts: of `comparison_facts`.
    """
    labels = {run["folder"]: run["label"] for run in facts["runs"]}
    shown = rows[rows["family"] != NO_FAMILY]
    left_out = "Rows that stand in no family are in comparison.csv."
    if shown.empty:
        shown, left_out = rows, ""
    caption = comparison_caption(rows, facts)
    reference = facts["runs"][0]["label"]
    tables = []
    for number, (run, own) in enumerate(shown.groupby("run", sort=False), start=1):
        text = f"{labels[run]} against {reference}. {caption[:1].upper()}{caption[1:]}. {left_out}"
        tables.append(_table(own, text.strip(), f"tab:comparison_{number}"))
    return _HEAD + "\n".join(tables)


def _table(rows: pd.DataFrame, caption: str, label: str) -> str:
    lines = [
        r"\begin{table*}",
        r"  \centering",
        f"  \\caption{{{escape(caption)}}}",
        f"  \\label{{{label}}}",
        r"  \par\smallskip",
        r"  \scriptsize\setlength{\tabcolsep}{3pt}",
        r"  \begin{tabular}{@{}lllrrrrrrl@{}}",
        r"    \toprule",
        f"    {' & '.join(escape(name) for name in _COLUMNS)} \\\\",
        r"    \midrule",
    ]
    before = None
    for row in rows.to_dict("records"):
        if before not in (None, row["threshold_policy"]):
            lines.append(r"    \midrule")
        before = row["threshold_policy"]
        cells = _cells(row)
        if row["family"] == PRIMARY:
            cells = [f"\\textbf{{{cell}}}" for cell in cells]
        lines.append(f"    {' & '.join(cells)} \\\\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table*}", ""])


def _cells(row: Mapping[Any, Any]) -> list[str]:
    ends = [_signed(row[end]) for end in ("ci_low", "ci_high")]
    name = HEADERS.get(row["metric"], row["metric"])
    return [
        escape(f"{name} {'↑' if row['higher_is_better'] else '↓'}"),
        escape(row["condition"]),
        escape(row["threshold_policy"]),
        percent(row["reference_value"]),
        percent(row["value"]),
        _signed(row["difference"]),
        MISSING if pd.isna(row["ci_low"]) else " to ".join(ends),
        *(_exponent(p_text(row[name])) for name in ("p", "p_holm")),
        escape(row["verdict"]),
    ]


def _signed(difference: float) -> str:
    return points(difference).replace("-", "$-$").replace("+", "$+$")


def _exponent(p: str) -> str:
    return p.replace("-", "$-$")
