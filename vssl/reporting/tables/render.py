"""Tables in the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from vssl.core.files import write_text
from vssl.reporting.tables.model import GAP, Cell, Row, Table

_TERMINAL_WIDTH = 132  # characters from which intervals are shown


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
    below = table.complete_caption
    if not wide and any(cell and cell.interval for row in table.rows for cell in row.cells):
        below = f"{below} Intervals are shown from {_TERMINAL_WIDTH} columns on.".strip()
    if below:
        console.print(Text(below, style="dim"))


def write_shown(
    sections: Iterable[tuple[Sequence[Table], str]],
    output: Path | None,
    name: str,
    frames: Mapping[str, pd.DataFrame],
) -> None:
    """Print tables with notes below.

    With `output` also write them there as `<name>.md`, and frames as parquet and csv.
    """
    console, texts = Console(highlight=False), []
    for tables, note in sections:
        for table in tables:
            show_table(console, table)
        console.print(Text(note, style="dim"), soft_wrap=True)
        texts += [*map(markdown_table, tables), note, ""]
    if output is None:
        return
    output.mkdir(parents=True, exist_ok=True)
    for stem, frame in frames.items():
        frame.to_parquet(output / f"{stem}.parquet")
        write_text(output / f"{stem}.csv", frame.to_csv(index=False))
    write_text(output / f"{name}.md", "\n".join(texts))
    files = ", ".join(f"{stem}.csv and {stem}.parquet" for stem in frames)
    console.print(f"tables: {output / f'{name}.md'}, {files} beside it", soft_wrap=True)


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
    for group, row in grouped(table.rows):
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


def grouped(rows: Sequence[Row]) -> Iterator[tuple[str | None, Row]]:
    """The rows; each first row of a later group with the group's name, others with None."""
    before = rows[0].group if rows else ""
    for row in rows:
        yield None if row.group == before else row.group, row
        before = row.group
