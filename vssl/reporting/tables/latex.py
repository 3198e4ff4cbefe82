r"""Tables as LaTeX (booktabs, to be read by `\input`) that fit the page."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vssl.reporting.tables.model import MISSING, Cell, Column, Row, Table
from vssl.reporting.tables.render import grouped

_ESCAPES = {
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
_SUBSCRIPT = re.compile("(AUC_N|F_LOC|F_AUC)")
_PAGES = (345, 505)  # points of a text's width: article's, and a two-column IEEE or ICASSP page's
_TALLEST = 380  # points of a float besides its caption
_LABEL_SHARE = 0.35  # of a text's width, at most, for the rows' names
_EMS = {
    **dict.fromkeys("ijl.,:;'!|", 0.28),
    **dict.fromkeys("frtsI()[]-_ ", 0.38),
    **dict.fromkeys("ceza", 0.46),
    **dict.fromkeys("og0123456789–↑↓", 0.5),
    **dict.fromkeys("mw%", 0.84),
    **dict.fromkeys("MW", 1.03),
}
"""Widths of letters of Computer Modern, or a little more; capitals have 0.75, others 0.56."""

_BOLD = 1.15  # how much wider
_BEFORE_TEXT = 8  # points before a column of words


class _Size(NamedTuple):
    """A size of type in a class of 10 points: Computer Modern is wider where it is smaller."""

    name: str
    em: float  # points of an em, as its letters count in `_width`
    line: float  # points between lines
    space: float  # points beside a column


_SIZES = (
    _Size("footnotesize", 8.5, 9.5, 3.5),
    _Size("scriptsize", 8.0, 8.0, 2.0),
    _Size("scriptsize", 8.0, 8.0, 0.8),
)
_TINY = _Size("tiny", 6.8, 7.0, 0.0)


def escape(text: str) -> str:
    r"""A text as LaTeX prints it; AUC_N, F_LOC and F_AUC get their subscript.

    >>> print(escape("rcgrad_raw: 95 % of F_LOC"))
    rcgrad\_raw: 95 \% of F$_{\mathrm{LOC}}$
    """
    plain, names = _SUBSCRIPT.split(text)[::2], _SUBSCRIPT.findall(text)
    parts = ["".join(_ESCAPES.get(sign, sign) for sign in part) for part in plain]
    below = [f"{letter}$_{{\\mathrm{{{rest}}}}}$" for letter, rest in (n.split("_") for n in names)]
    return "".join(itertools.chain.from_iterable(itertools.zip_longest(parts, below, fillvalue="")))


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
    if narrow == wide:
        return "\n".join([*details, *wide, ""])
    return "\n".join(
        [*details, rf"\ifdim\textwidth<{_PAGES[1] - 5}pt", *narrow, r"\else", *wide, r"\fi", ""]
    )


def _floats(table: Table, label: str, page: float, *, intervals: bool) -> list[str]:
    """Lines of a table's environments, none wider or higher than the page."""
    cells = [cell for row in table.rows for cell in row.cells if cell]
    below = max((len(_lines_below(cell, intervals=intervals)) for cell in cells), default=0)
    for size in (*_SIZES, _SIZES[1]):  # the last where none does
        parts, names = _parts(table, size, page, intervals=intervals)
        wrapped = math.ceil(_label_width(table, size) / names)
        row_height = size.line * wrapped + _TINY.line * below + 3 * bool(below)
        above = 3 * size.line + 12
        most = int((_TALLEST - above) // row_height)
        if len(parts) == 1 and len(table.rows) <= most:
            break
    stop = "" if table.title.endswith("?") else "."
    name = f"tab:{label}_{table.name}"
    lines: list[str] = []
    room = 0.0
    for first, part in itertools.product(range(0, len(table.rows), most), parts):
        rows = table.rows[first : first + most]
        height = above + row_height * len(rows)
        if height > room:
            lines += [r"\end{table*}"] if lines else []
            caption = rf"\caption{{{escape(f'{table.title}{stop} {table.caption}')}}}"
            begin = rf"Table~\ref{{{name}}}, continued" if lines else caption
            lines += [r"\begin{table*}", r"  \centering", f"  {begin}"]
            lines += [] if begin != caption else [rf"  \label{{{name}}}"]
            room = _TALLEST
        room -= height
        lines += [rf"  \par\smallskip\{size.name}\setlength{{\tabcolsep}}{{{size.space}pt}}"]
        column = f"p{{{names:.0f}pt}}" if wrapped > 1 else "l"
        lines += [f"  {line}" for line in _tabular(table, rows, part, column, intervals)]
    return [*lines, r"\end{table*}"]


def _tabular(
    table: Table, rows: Sequence[Row], part: range, first: str, intervals: bool
) -> Iterator[str]:
    """Lines of some rows and neighbouring columns; `first` is the form of the rows' names."""
    columns = [table.columns[at] for at in part]
    marks = "".join(rf"@{{\hskip {_BEFORE_TEXT}pt}}l" if c.text else "r" for c in columns)
    yield rf"\begin{{tabular}}{{@{{}}{first}{marks}@{{}}}}"
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


def _parts(table: Table, size: _Size, page: float, *, intervals: bool) -> tuple[list[range], float]:
    """Ranges of neighbouring columns that fit a page, much the same wide, and room for the names.

    Columns below one heading stay together if they fit.
    """
    widths = [
        _column_width(table, at, size, intervals=intervals) + 2 * size.space
        for at in range(len(table.columns))
    ]
    blocks, at = [], 0
    for top, same in itertools.groupby(table.columns, key=lambda column: column.top):
        count = len(list(same))
        own = widths[at : at + count]
        wider = (_width(top, size) + 8) / count
        blocks.append([(n, max(width, wider)) for n, width in enumerate(own, at)])
        at += count
    total = sum(width for block in blocks for _, width in block)
    names = max(_LABEL_SHARE * page, page - total - 2 * size.space)
    room = page - min(_label_width(table, size), names) - 2 * size.space
    least = len(_filled(blocks, room))
    limits = (total / least + 5 * step for step in range(int(page)))
    found = (_filled(blocks, min(limit, room)) for limit in limits)
    return next(parts for parts in found if len(parts) == least), names


def _filled(blocks: Sequence[Sequence[tuple[int, float]]], room: float) -> list[range]:
    """Put blocks of columns, and columns of blocks that are too wide, into parts."""
    parts: list[range] = []
    left = 0.0
    for block in blocks:
        whole = sum(width for _, width in block)
        pieces = [block] if whole <= room else [[column] for column in block]
        for piece in pieces:
            first, last = piece[0][0], piece[-1][0] + 1
            own = sum(width for _, width in piece)
            if not parts or own > left:
                parts.append(range(first, last))
                left = room - own
            else:
                parts[-1] = range(parts[-1].start, last)
                left -= own
    return parts


def _label_width(table: Table, size: _Size) -> float:
    widths = [_width(row.name, size) * (_BOLD if row.bold else 1) for row in table.rows]
    return max([_width(table.label, size), *widths])


def _column_width(table: Table, at: int, size: _Size, *, intervals: bool) -> float:
    column = table.columns[at]
    widths = [_width(f"{column.bottom or column.header} {column.arrow}", size)]
    for row in table.rows:
        if (cell := row.cells[at]) is not None:
            widths.append(_width(cell.shown, size) * (_BOLD if row.bold or cell.rank == 1 else 1))
            widths += [_width(line, _TINY) for line in _lines_below(cell, intervals=intervals)]
    return max(widths) + (_BEFORE_TEXT if column.text else 0)


def _width(text: str, size: _Size) -> float:
    """Points that a text takes at most in Computer Modern."""
    text = _SUBSCRIPT.sub(lambda found: found[0].replace("_", ""), text)
    ems = sum(_EMS.get(sign, 0.75 if sign.isupper() or sign in "+<>" else 0.56) for sign in text)
    return size.em * ems


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
