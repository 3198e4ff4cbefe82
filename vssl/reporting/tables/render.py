r"""Tables in the terminal, as Markdown, and as LaTeX (booktabs, to be read by `\input`)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from vssl.reporting.tables.model import GAP, MISSING, Cell, Column, Row, Table

_TERMINAL_WIDTH = 132  # characters from which intervals are shown
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
_SUBSCRIPT = re.compile("(AUC_N|F_LOC|F_AUC)")


def show_table(console: Console, table: Table) -> None:
    """Print a table: each number with its interval below it, where the terminal is wide enough.

    A narrow terminal gets numbers without intervals, and the caption says so. Columns of numbers
    that do not fit follow below; texts are wrapped. Output to a file is never cut. A table without
    columns is not shown.
    """
    if not table.columns:
        return
    texts, count = any(column.text for column in table.columns), len(table.columns)
    if not console.is_terminal:
        natural = _width(console, _terminal_grid(table, 0, count)) if texts else 0
        console.width = max(_TERMINAL_WIDTH, natural)
    wide = console.width >= _TERMINAL_WIDTH
    console.print(Text(f"\n{table.title}", style="bold"), soft_wrap=True)
    for line in table.warnings:
        console.print(Text(line, style="bold red"), soft_wrap=True)
    first = 0
    while first < count:
        last, grid = count, _terminal_grid(table, first, count, intervals=wide)
        while not texts and last > first + 1 and _width(console, grid) > console.width:
            last -= 1
            grid = _terminal_grid(table, first, last, intervals=wide)
        console.print(grid)
        first = last
    intervals = any(cell and cell.interval for row in table.rows for cell in row.cells)
    note = f"Intervals are shown from {_TERMINAL_WIDTH} columns on."
    note = "" if wide or not intervals else note
    below = " ".join(part for part in (table.complete_caption, note) if part)
    if below:
        console.print(Text(below, style="dim"))


def _terminal_grid(table: Table, first: int, last: int, *, intervals: bool = True) -> Grid:
    """Some neighbouring columns for the terminal."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    texts = any(column.text for column in table.columns)
    grid.add_column(Text(table.label), no_wrap=not texts)
    for column in table.columns[first:last]:
        justify = "left" if column.text else "right"
        header = Text("\n".join(column.lines))
        grid.add_column(header, justify=justify, no_wrap=not column.text)  # type: ignore[arg-type]
    for row in table.rows:
        cells = [Text(GAP if cell is None else cell.shown) for cell in row.cells[first:last]]
        for text, cell in zip(cells, row.cells[first:last], strict=True):
            if intervals and cell is not None and cell.interval:
                text.append(f"\n{cell.interval}", style="dim")
        grid.add_row(Text(row.name), *cells)
    return grid


def _width(console: Console, grid: Grid) -> int:
    """Width of a table in characters, without a limit."""
    return Measurement.get(console, console.options.update(max_width=10_000), grid).maximum


def markdown_table(table: Table, *, below: str = " [{}]") -> str:
    """Return a table as Markdown: best bold, second underlined.

    `below` is the form of intervals and published figures behind a number.
    """
    table = table.with_thresholds()
    headers = [table.label, *(" ".join(column.lines).strip() for column in table.columns)]
    marks = ["---", *("---" if column.text else "---:" for column in table.columns)]
    lines = [f"| {' | '.join(headers)} |", f"| {' | '.join(marks)} |"]
    for group, row in _grouped(table.rows):
        if group:
            lines.append(f"| *{group}* |" + " |" * len(table.columns))
        cells = [row.name.replace("|", "\\|"), *(_markdown_cell(cell, below) for cell in row.cells)]
        lines.append(f"| {' | '.join(cells)} |")
    above = [*(f"{line}  " for line in table.warnings), *([""] if table.warnings else [])]
    caption = [table.caption, ""] if table.caption else []
    details = [*(f"- {each}" for each in table.details), ""] if table.details else []
    return "\n".join([f"**{table.title}**", "", *above, *lines, "", *caption, *details])


def _markdown_cell(cell: Cell | None, below: str) -> str:
    if cell is None:
        return GAP
    text = cell.shown.replace("|", "\\|")
    marked = {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(cell.rank or 0, text)
    published = cell.beside_published and f"published {cell.beside_published}"
    return marked + "".join(below.format(line) for line in (cell.interval, published) if line)


def _grouped(rows: Sequence[Row]) -> Iterator[tuple[str | None, Row]]:
    """The rows; each first row of a later group with the group's name, others with None."""
    before = rows[0].group if rows else ""
    for row in rows:
        yield None if row.group == before else row.group, row
        before = row.group


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

    With `intervals`, 95 % intervals follow below the numbers. Details are comments above a table.
    """
    head = (
        f"% Made by {made_by}. Needs \\usepackage{{booktabs}};"
        " read it with \\input{<this file>}.\n"
    )
    return head + "\n".join(_latex_table(table, label, intervals=intervals) for table in tables)


def _latex_table(table: Table, label: str, *, intervals: bool) -> str:
    texts = any(column.text for column in table.columns)
    size, space = ("scriptsize", "3pt") if texts else ("footnotesize", "3.5pt")
    if not texts and len(table.columns) + intervals > _MANY:
        size, space = "scriptsize", "0.8pt" if intervals else "1.5pt"
    table = table.with_thresholds()
    marks = "".join("l" if column.text else "r" for column in table.columns)
    stop = "" if table.title.endswith("?") else "."
    lines = [
        *(f"% {each}" for each in table.details),
        r"\begin{table*}",
        r"  \centering",
        f"  \\caption{{{escape(f'{table.title}{stop} {table.caption}')}}}",
        f"  \\label{{tab:{label}_{table.name}}}",
        r"  \par\smallskip",
        f"  \\{size}\\setlength{{\\tabcolsep}}{{{space}}}",
        f"  \\begin{{tabular}}{{@{{}}l{marks}@{{}}}}",
        r"    \toprule",
        *(f"    {line}" for line in _latex_header(table)),
        r"    \midrule",
    ]
    for group, row in _grouped(table.rows):
        if group is not None:
            lines.append(r"    \midrule")
        cells = [escape(row.name)]
        cells += [
            _latex_cell(cell, column, intervals=intervals)
            for cell, column in zip(row.cells, table.columns, strict=True)
        ]
        if row.bold:
            cells = [f"\\textbf{{{cell}}}" for cell in cells]
        room = "[2pt]" if any("\\tiny" in cell for cell in cells) else ""
        lines.append(f"    {' & '.join(cells)} \\\\{room}")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table*}", ""])


def _latex_header(table: Table) -> list[str]:
    """The header: a line of what neighbouring columns share, if any do, a rule, and the rest."""
    names = [table.label, *(f"{c.bottom or c.header} {c.arrow}".strip() for c in table.columns)]
    last = f"{' & '.join(map(escape, names))} \\\\"
    if not any(column.top for column in table.columns):
        return [last]
    shared, rules, at = [""], "", 2
    for top, own in itertools.groupby(column.top for column in table.columns):
        count = len(list(own))
        shared.append(f"\\multicolumn{{{count}}}{{c}}{{{escape(top)}}}" if top else "")
        rules += f"\\cmidrule(lr){{{at}-{at + count - 1}}}" if top else ""
        at += count
    return [f"{' & '.join(shared)} \\\\", rules, last]


def _latex_cell(cell: Cell | None, column: Column, *, intervals: bool) -> str:
    if cell is None:
        return "--"
    if cell.text is not None:
        text = escape(cell.text)
        return text if column.text else _signs(text)
    if cell.value is None:
        return MISSING
    marked = {1: f"\\textbf{{{cell.shown}}}", 2: f"\\underline{{{cell.shown}}}"}.get(
        cell.rank or 0, cell.shown
    )
    published = cell.beside_published and f"publ. {_signs(cell.beside_published)}"
    below = [line for line in (escape(cell.interval) if intervals else "", published) if line]
    if not below:
        return marked
    small = "".join(f"\\\\[-1pt]{{\\tiny {line}}}" for line in below)
    return f"\\begin{{tabular}}[t]{{@{{}}r@{{}}}}{marked}{small}\\end{{tabular}}"


def _signs(number: str) -> str:
    return number.replace("-", "$-$").replace("+", "$+$")
