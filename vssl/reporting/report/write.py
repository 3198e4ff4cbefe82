"""A group's tables as files: Markdown and LaTeX to read, csv to go on with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vssl.records.files import write_text
from vssl.reporting.comparison import points
from vssl.reporting.report.captions import why_missing
from vssl.reporting.report.collection import Group
from vssl.reporting.report.latex import latex_tables
from vssl.reporting.report.paper import DEFAULT_POLICY, build_tables
from vssl.reporting.report.tables import Cell, Column, Row, Table
from vssl.reporting.tables import MISSING, percent

GAP = "–"
"""What stands in a cell that has no number; a number that is undefined is `n/a`."""

_WHOLE = ("n", "n_undefined", "draws", "seed", "rank")


def write_tables(
    group: Group,
    output: Path,
    *,
    policy: str = DEFAULT_POLICY,
    intervals: bool = False,
    expected: Sequence[str] = (),
) -> tuple[Table, ...]:
    """Write `paper_<group>.md`, `.csv` and `.tex`.

    The csv has one row for each cell, fractions, with all settings as columns.

    Args:
        group: runs of one test set, protocol and list of ids.
        output: folder, made where it is missing; runs are named relative to it.
        policy: threshold policy of positives and negatives.
        intervals: whether LaTeX has 95 % intervals below the numbers; the others always have.
        expected: models that have a row even without a run.

    Returns:
        The tables that were written.
    """
    tables = build_tables(group, policy=policy, expected=expected)
    output.mkdir(parents=True, exist_ok=True)
    texts = [markdown_table(table) for table in tables]
    write_text(output / f"paper_{group.name}.md", "\n".join(texts))
    latex = latex_tables(tables, label=group.name, intervals=intervals)
    write_text(output / f"paper_{group.name}.tex", latex)
    frame = long_form(group, tables, output)
    write_text(output / f"paper_{group.name}.csv", frame.to_csv(index=False, lineterminator="\n"))
    return tables


def long_form(group: Group, tables: Sequence[Table], output: Path) -> pd.DataFrame:
    """One row for each cell of some tables; a gap has no value, but its reason under `gap`.

    Args:
        group: the runs.
        tables: of the group.
        output: what the folders of the runs are relative to.
    """
    runs = {run.label: run for run in group.runs}
    rows: list[dict[str, Any]] = []
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                gap = row.reason
                if cell is None and not gap and not row.note:
                    gap = why_missing(runs[row.label], column)
                if cell is not None or not row.note:
                    rows.append(_long_row(group, table, row, column, cell, output, gap))
    frame = pd.DataFrame(rows)
    return frame.astype(dict.fromkeys(_WHOLE, "Int64"))


def _long_row(
    group: Group,
    table: Table,
    row: Row,
    column: Column,
    cell: Cell | None,
    output: Path,
    gap: str,
) -> dict[str, Any]:
    facts, run = row.facts, row.facts.get("run")
    return {
        "table": table.name,
        "run_label": row.label,
        "model": facts.get("model"),
        "map_variant": row.variant,
        "baseline": row.baseline,
        "dataset": group.dataset,
        "protocol": group.protocol,
        "threshold_policy": column.policy,
        "threshold": cell.threshold if cell else None,
        "threshold_source": cell.threshold_source if cell else None,
        "condition": column.condition,
        "metric": column.metric,
        "higher_is_better": column.higher_is_better,
        "value": cell.value if cell else None,
        "ci_low": cell.low if cell else None,
        "ci_high": cell.high if cell else None,
        "std_over_draws": cell.std if cell else None,
        "n": cell.n if cell else None,
        "n_undefined": cell.n_undefined if cell else None,
        "draws": cell.draws if cell else None,
        "rank": cell.rank if cell else None,
        "seed": facts.get("seed"),
        "coverage": facts.get("coverage"),
        "manifest_hash": group.manifest_hash,
        "config_hash": facts.get("config_hash"),
        "weights_sha256": facts.get("weights_sha256"),
        "run": Path(os.path.relpath(run, output)).as_posix() if run else None,
        "published": cell.published if cell else None,
        "training_set": cell.training_set if cell else None,
        "source": cell.source if cell else None,
        "tier": cell.tier if cell else None,
        "difference": cell.difference if cell else None,
        "margin": cell.margin if cell else None,
        "within": cell.within if cell else None,
        "gap": gap,
    }


def markdown_table(table: Table) -> str:
    """A table as Markdown: best bold, second underlined, intervals below; percentages."""
    thresholds = any(row.threshold is not None for row in table.rows)
    arrows = [
        f"{column.header} {'↑' if column.higher_is_better else '↓'}" for column in table.columns
    ]
    headers = ["model", *(["threshold"] if thresholds else []), *arrows]
    lines = [
        f"**{table.title}**",
        "",
        "| " + " | ".join(headers) + " |",
        "| --- |" + " ---: |" * (len(headers) - 1),
    ]
    for row in _with_rule(table.rows):
        if row is None:
            lines.append("| *baselines* |" + " |" * (len(headers) - 1))
            continue
        threshold = "" if row.threshold is None else f"{row.threshold:.4f}"
        cells = [_markdown_cell(cell) for cell in row.cells]
        texts = [row.name.replace("|", "\\|"), *([threshold] if thresholds else []), *cells]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join([*lines, "", f"{table.caption[:1].upper()}{table.caption[1:]}", ""])


def _with_rule(rows: Sequence[Row]) -> Iterator[Row | None]:
    """The rows, with None where baselines begin below others."""
    before: Row | None = None
    for row in rows:
        if row.baseline and before is not None and not before.baseline:
            yield None
        yield row
        before = row


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None:
        return GAP
    if cell.value is None:
        return MISSING
    text = percent(cell.value)
    marked = {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(cell.rank or 0, text)
    below = []
    if cell.low is not None and cell.high is not None:
        below.append(f"{percent(cell.low)}–{percent(cell.high)}")
    if cell.published is not None and cell.difference is not None:
        below.append(f"published {100 * cell.published:.2f}, {points(cell.difference)}")
    return marked + "".join(f"<br><sub>{line}</sub>" for line in below)
