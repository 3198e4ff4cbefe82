"""Tables of summaries in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from vssl.records.summary import PAIR, conditions_of
from vssl.reporting.tables import Column, caption, table_rows, used_columns

_WIDE = 132


def show_table(
    console: Console,
    summary: pd.DataFrame,
    columns: Sequence[Column],
    *,
    label: str,
    title: str,
) -> None:
    """Print a table: each value with its interval below it, where the terminal is wide enough.

    A narrow terminal gets values only, and the caption says so. Columns for which there is no room
    stand below, in lines of their own. Output that goes to no terminal is never cut.

    Args:
        console: where to.
        summary: rows of one or several summaries.
        columns: what to show; columns without numbers are left out.
        label: summary column that names the rows.
        title: what the table shows.
    """
    shown = used_columns(summary, columns)
    if not shown:
        return
    order = list(conditions_of(summary))
    summary = _behind(summary, shown)
    if not console.is_terminal:
        console.width = _WIDE
    wide = console.width >= _WIDE
    rows = table_rows(summary, label, shown)

    def part(first: int, last: int) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        table.add_column(label.replace("_", " "), no_wrap=True)
        for column in shown[first:last]:
            table.add_column("\n".join(column.header), justify="right", no_wrap=True)
        for name, cells in rows:
            texts = (f"{v}\n[dim]{ci}[/dim]" if ci and wide else v for v, ci in cells[first:last])
            table.add_row(name, *texts)
        return table

    console.print(f"\n[bold]{title}[/bold]", soft_wrap=True)
    first = 0
    while first < len(shown):
        last = len(shown)
        while last > first + 1 and _width(console, part(first, last)) > console.width:
            last -= 1
        console.print(part(first, last))
        first = last
    note = "" if wide else f"; intervals are shown from {_WIDE} columns on"
    console.print(f"[dim]{caption(summary, order=order)}{note}[/dim]")


def _behind(summary: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Rows of a summary behind a table: of its metrics, and of the conditions that it names.

    Of every condition where it has numbers over all negatives, or a row for each condition.
    """
    chosen = summary["metric"].isin([column.metric for column in columns])
    named = [column.condition for column in columns]
    if None not in named and "all" not in named:
        single = [part for name in named if name for part in name.split(PAIR)]
        chosen &= summary["condition"].isin([*named, *single])
    return summary[chosen]


def _width(console: Console, table: Table) -> int:
    """Characters that a table takes where there is room."""
    return Measurement.get(console, console.options.update(max_width=10_000), table).maximum
