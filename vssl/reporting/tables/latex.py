r"""Tables as LaTeX (booktabs, to be read by `\input`) that fit the page."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence

from vssl.reporting.tables.model import MISSING, Cell, Column, Row, Table
from vssl.reporting.tables.render import grouped

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "–": "--",
        "\N{MINUS SIGN}": "$-$",
        "×": r"$\times$",
        "≥": r"$\geq$",
        "≤": r"$\leq$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "∞": r"$\infty$",
    }
)
_PAGES = (345, 505)  # points of a text's width: article's, and a two-column IEEE or ICASSP page's
_TALLEST = 380  # points of a float besides its caption
_LABEL_SHARE = 0.35  # of a text's width, at most, for the rows' names
_EM, _TINY_EM = 8.0, 6.8  # points of an em of scriptsize and tiny, as letters count in `_width`
_LINE, _TINY_LINE = 8, 7  # points between lines
_ABOVE = 36  # points of a header with its rules
_LEAST, _LEAST_OF_WORDS, _MOST = 0.8, 4.0, 3.5  # points on both sides of a column
_EMS = {
    "_": 0.0,  # of a subscript, which is small
    **dict.fromkeys("ijl.,:;'!|", 0.28),
    **dict.fromkeys("frtsI()[]- ", 0.38),
    **dict.fromkeys("cezaog0123456789–↑↓", 0.5),
    **dict.fromkeys("mw%MW", 0.9),
}
"""Widths of letters of Computer Modern, or a little more; capitals have 0.75, others 0.56."""


def escape(text: str) -> str:
    r"""A text as LaTeX prints it; AUC_N, F_LOC and F_AUC get their subscript.

    >>> print(escape("rcgrad_raw & 95 % – F_LOC, AUC_N"))
    rcgrad\_raw \& 95 \% -- F$_{\mathrm{LOC}}$, AUC$_{\mathrm{N}}$
    >>> print(escape(r"$1 #2 {x} \^<"))
    \$1 \#2 \{x\} \textbackslash{}\textasciicircum{}\textless{}
    """
    escaped = text.translate(_ESCAPES)
    for name, below in (("AUC", "N"), ("F", "LOC"), ("F", "AUC")):
        escaped = escaped.replace(rf"{name}\_{below}", rf"{name}$_{{\mathrm{{{below}}}}}$")
    return escaped


def latex_tables(
    tables: Sequence[Table], *, label: str, made_by: str, intervals: bool = False
) -> str:
    """Return some tables as LaTeX, each a `table*` environment labelled `tab:<label>_<table>`.

    With `intervals`, 95 % intervals follow below the numbers. A table that is too wide continues
    below, and one that is too high in a further `table*`; where that is needed on article's page
    alone, the file has both forms. Details are comments above a table.
    """
    head = (
        f"% Made by {made_by}. Needs \\usepackage{{booktabs}};"
        " read it with \\input{<this file>}.\n"
    )
    return head + "\n".join(_latex_table(table, label, intervals=intervals) for table in tables)


def _latex_table(table: Table, label: str, *, intervals: bool) -> str:
    details = [f"% {each}" for each in table.details]
    table = table.with_thresholds()
    narrow, wide = (_floats(table, label, page, intervals=intervals) for page in _PAGES)
    forms = wide
    if narrow != wide:
        forms = [rf"\ifdim\textwidth<{_PAGES[1] - 5}pt", *narrow, r"\else", *wide, r"\fi"]
    return "\n".join([*details, *forms, ""])


def _floats(table: Table, label: str, page: float, *, intervals: bool) -> list[str]:
    """Lines of a table's environments, none wider or higher than the page."""
    cells = [cell for row in table.rows for cell in row.cells if cell]
    below = max((len(_lines_below(cell, intervals=intervals)) for cell in cells), default=0)
    longest = max(_width(name) for name in (table.label, *(row.name for row in table.rows)))
    names = min(longest, _LABEL_SHARE * page)
    with_below = _LINE + _TINY_LINE * below + 3 * bool(below)
    row_height = max(with_below, _LINE * math.ceil(longest / names))
    most = int((_TALLEST - _ABOVE) // row_height)
    stop = "" if table.title.endswith("?") else "."
    name = f"tab:{label}_{table.name}"
    first = f"p{{{names:.0f}pt}}" if longest > names else "l"
    lines = [
        r"\begin{table*}",
        r"  \centering",
        rf"  \caption{{{escape(f'{table.title}{stop} {table.caption}')}}}",
        rf"  \label{{{name}}}",
    ]
    left = _TALLEST
    parts = _parts(table, page - names, intervals=intervals)
    for start, (part, space) in itertools.product(range(0, len(table.rows), most), parts):
        rows = table.rows[start : start + most]
        height = _ABOVE + row_height * len(rows)
        if height > left:
            lines += [r"\end{table*}", r"\begin{table*}", r"  \centering"]
            lines += [rf"  Table~\ref{{{name}}}, continued"]
            left = _TALLEST
        left -= height
        lines += [rf"  \par\smallskip\scriptsize\setlength{{\tabcolsep}}{{{space:.1f}pt}}"]
        lines += [f"  {line}" for line in _tabular(table, rows, part, first, intervals)]
    return [*lines, r"\end{table*}"]


def _tabular(
    table: Table, rows: Sequence[Row], part: Sequence[int], first: str, intervals: bool
) -> Iterator[str]:
    """Lines of some rows and columns; `first` is the form of the rows' names."""
    columns = [table.columns[at] for at in part]
    forms = first + "".join("l" if column.text else "r" for column in columns)
    yield rf"\begin{{tabular}}{{@{{}}{forms}@{{}}}}"
    yield r"  \toprule"
    yield from (f"  {line}" for line in _header(table.label, columns))
    yield r"  \midrule"
    for group, row in grouped(rows):
        if group is not None:
            yield r"  \midrule"
        name = escape(row.name)
        if first != "l":
            name = "\\raggedright " + re.sub(r"(\\_|[+-])", r"\1\\allowbreak{}", name)
        cells = [
            name,
            *(_latex_cell(row.cells[at], table.columns[at], intervals=intervals) for at in part),
        ]
        if row.bold:
            cells = [f"\\textbf{{{cell}}}" for cell in cells]
        space = "[2pt]" if any("\\tiny" in cell for cell in cells) else ""
        yield f"  {' & '.join(cells)} \\\\{space}"
    yield r"  \bottomrule"
    yield r"\end{tabular}"


def _parts(table: Table, room: float, *, intervals: bool) -> list[tuple[list[int], float]]:
    """Neighbouring columns that fit in so many points, and the space on both sides of each.

    Columns below one heading stay together if they fit.
    """
    least = _LEAST_OF_WORDS if any(column.text for column in table.columns) else _LEAST
    parts: list[tuple[list[int], float]] = [([], room)]
    for top, same in itertools.groupby(
        range(len(table.columns)), key=lambda at: table.columns[at].top
    ):
        widths = {at: _column_width(table, at, intervals) + 2 * least for at in same}
        widest = max(sum(widths.values()), _width(top) + 8)
        pieces = [([*widths], widest)] if widest <= room else [([a], w) for a, w in widths.items()]
        for piece, width in pieces:
            part, left = parts[-1]
            if part and width > left:
                parts.append((piece, room - width))
            else:
                parts[-1] = part + piece, left - width
    spaces = (least + left / (2 * len(part) + 1) for part, left in parts)
    return [(part, max(least, min(_MOST, s))) for (part, _), s in zip(parts, spaces, strict=True)]


def _column_width(table: Table, at: int, intervals: bool) -> float:
    column = table.columns[at]
    widths = [_width(f"{column.bottom or column.header} {column.arrow}")]
    for cell in (row.cells[at] for row in table.rows):
        if cell is not None:
            below = _lines_below(cell, intervals=intervals)
            widths += [_width(cell.shown), *(_width(line, _TINY_EM) for line in below)]
    return max(widths)


def _width(text: str, em: float = _EM) -> float:
    """Points that a text takes at most."""
    return em * sum(
        _EMS.get(sign, 0.75 if sign.isupper() or sign in "+<>" else 0.56) for sign in text
    )


def _header(label: str, columns: Sequence[Column]) -> list[str]:
    """The header: a line of what neighbouring columns share, if any do, a rule, and the rest."""
    names = [label, *(f"{c.bottom or c.header} {c.arrow}".strip() for c in columns)]
    last = f"{' & '.join(map(escape, names))} \\\\"
    if not any(column.top for column in columns):
        return [last]
    shared, rules, at = [""], "", 2
    for top, own in itertools.groupby(column.top for column in columns):
        count = len(list(own))
        shared.append(f"\\multicolumn{{{count}}}{{c}}{{{escape(top)}}}" if top else "")
        rules += f"\\cmidrule(lr){{{at}-{at + count - 1}}}" if top else ""
        at += count
    return [f"{' & '.join(shared)} \\\\", rules, last]


def _latex_cell(cell: Cell | None, column: Column, *, intervals: bool) -> str:
    if cell is None:
        return "--"
    if cell.text is not None:
        shown = escape(cell.text) if column.text else _number(cell.text)
    elif cell.value is None:
        return MISSING
    else:
        shown = _number(cell.shown)
        shown = {1: f"\\textbf{{{shown}}}", 2: f"\\underline{{{shown}}}"}.get(cell.rank or 0, shown)
    below = [_number(line) for line in _lines_below(cell, intervals=intervals)]
    if not below:
        return shown
    small = "".join(f"\\\\[-1pt]{{\\tiny {line}}}" for line in below)
    return f"\\begin{{tabular}}[t]{{@{{}}r@{{}}}}{shown}{small}\\end{{tabular}}"


def _lines_below(cell: Cell, *, intervals: bool) -> list[str]:
    """Small lines below a number: the interval, and the published figure; below a text its own."""
    published = cell.beside_published and f"publ. {cell.beside_published}"
    interval = cell.interval if intervals or cell.text is not None else ""
    return [line for line in (interval, published) if line]


def _number(text: str) -> str:
    """A number whose hyphen is a minus sign."""
    return escape(re.sub(r"(?<![0-9A-Za-df-z])-(?=\d)", "\N{MINUS SIGN}", text))
