r"""Tables as LaTeX: booktabs, best bold, second underlined; to be read by `\input`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from vssl.reporting.comparison import points
from vssl.reporting.report.tables import Cell, Column, Row, Table
from vssl.reporting.tables import MISSING, percent

_GAP = "--"
_MANY = 10  # columns that fill a page at the usual size
_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "∞": r"$\infty$",
}
_SUBSCRIPTS = ("AUC_N", "F_LOC", "F_AUC")
_SUBSCRIPT = re.compile("(" + "|".join(_SUBSCRIPTS) + ")")
_HEAD = """\
% Made by vssl-report. Needs \\usepackage{booktabs}; read it with \\input{<this file>}.
"""


def escape(text: str) -> str:
    r"""A text as LaTeX prints it; AUC_N, F_LOC and F_AUC get their subscript.

    >>> print(escape("rcgrad_raw: 95 % of F_LOC"))
    rcgrad\_raw: 95 \% of F$_{\mathrm{LOC}}$
    """
    parts = _SUBSCRIPT.split(text)
    return "".join(
        _subscript(part) if part in _SUBSCRIPTS else _plain(part) for part in parts if part
    )


def _plain(text: str) -> str:
    return "".join(_ESCAPES.get(sign, sign) for sign in text)


def _subscript(name: str) -> str:
    letter, _, below = name.partition("_")
    return f"{letter}$_{{\\mathrm{{{below}}}}}$"


def latex_tables(tables: Sequence[Table], *, label: str, intervals: bool = False) -> str:
    """Some tables, each in a `table` environment of its own.

    Args:
        tables: of one group.
        label: what the tables' labels begin with: `tab:<label>_<table>`.
        intervals: whether 95 % intervals stand below the numbers.
    """
    return _HEAD + "\n".join(_table(table, label, intervals=intervals) for table in tables)


def _table(table: Table, label: str, *, intervals: bool) -> str:
    thresholds = any(row.threshold is not None for row in table.rows)
    first = 1 + thresholds
    size, space = "footnotesize", "3.5pt"
    if len(table.columns) + intervals > _MANY:
        size, space = "scriptsize", "0.8pt" if intervals else "1.5pt"
    lines = [
        r"\begin{table*}",
        r"  \centering",
        f"  \\caption{{{escape(_caption(table, label, intervals))}}}",
        f"  \\label{{tab:{label}_{table.name}}}",
        r"  \par\smallskip",
        f"  \\{size}\\setlength{{\\tabcolsep}}{{{space}}}",
        f"  \\begin{{tabular}}{{@{{}}l{'r' * (thresholds + len(table.columns))}@{{}}}}",
        r"    \toprule",
        *(f"    {line}" for line in _header(table.columns, first, thresholds=thresholds)),
        r"    \midrule",
    ]
    before: Row | None = None
    for row in table.rows:
        if row.baseline and before is not None and not before.baseline:
            lines.append(r"    \midrule")
        threshold = "" if row.threshold is None else f"{row.threshold:.4f}"
        cells = [_cell(cell, intervals=intervals) for cell in row.cells]
        texts = [escape(row.name), *([threshold] if thresholds else []), *cells]
        below = "[2pt]" if any("\\tiny" in cell for cell in cells) else ""
        lines.append(f"    {' & '.join(texts)} \\\\{below}")
        before = row
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table*}", ""])


def _caption(table: Table, label: str, intervals: bool) -> str:
    stop = "" if table.title.endswith("?") else "."
    text = f"{table.title}{stop} {table.caption[:1].upper()}{table.caption[1:]}"
    return text if intervals else f"{text} The intervals are in paper_{label}.csv."


def _header(columns: Sequence[Column], first: int, *, thresholds: bool) -> list[str]:
    """Two lines, a rule between them: what neighbouring columns share, and the rest."""
    groups = [(top, len(list(own))) for top, own in itertools.groupby(c.top for c in columns)]
    shared = [""] * first
    rules, at = [], first + 1
    for top, count in groups:
        shared.append(f"\\multicolumn{{{count}}}{{c}}{{{escape(top)}}}")
        rules.append(f"\\cmidrule(lr){{{at}-{at + count - 1}}}")
        at += count
    names = [
        f"{escape(column.bottom)} {escape('↑' if column.higher_is_better else '↓')}"
        for column in columns
    ]
    start = ["model", *(["threshold"] if thresholds else [])]
    return [f"{' & '.join(shared)} \\\\", "".join(rules), f"{' & '.join([*start, *names])} \\\\"]


def _cell(cell: Cell | None, *, intervals: bool) -> str:
    if cell is None:
        return _GAP
    if cell.value is None:
        return MISSING
    text = percent(cell.value)
    marked = {1: f"\\textbf{{{text}}}", 2: f"\\underline{{{text}}}"}.get(cell.rank or 0, text)
    below = []
    if intervals and cell.low is not None and cell.high is not None:
        below.append(f"{percent(cell.low)}--{percent(cell.high)}")
    if cell.published is not None and cell.difference is not None:
        difference = points(cell.difference).replace("-", "$-$").replace("+", "$+$")
        below.append(f"publ. {100 * cell.published:.2f}, {difference}")
    if not below:
        return marked
    small = "".join(f"\\\\[-1pt]{{\\tiny {line}}}" for line in below)
    return f"\\begin{{tabular}}[t]{{@{{}}r@{{}}}}{marked}{small}\\end{{tabular}}"
