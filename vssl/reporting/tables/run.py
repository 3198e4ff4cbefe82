"""The tables of one run, as vssl-evaluate shows them."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
from rich.console import Console

from vssl.records.files import SUMMARY_FILE
from vssl.records.schema import NO_POLICY
from vssl.records.summary import conditions_of, read_summary
from vssl.reporting.tables import columns
from vssl.reporting.tables.model import summary_table, with_threshold, with_variant
from vssl.reporting.tables.render import show_table

_log = logging.getLogger(__name__)


def announce(folder: Path, *, quiet: bool = False) -> pd.DataFrame:
    """Show a run's tables, and say where its files are.

    Rows are threshold policies (the paper's numbers, following the sound, altered sound) or types
    of negatives (separation by map maxima).
    """
    summary = read_summary(folder / SUMMARY_FILE)
    if quiet:
        _log.info("done: %s", folder)
        return summary
    first = summary.iloc[0]
    title = f"{first['model']} on {first['dataset']}, protocol {first['protocol']}"
    console = Console()
    sounding = conditions_of(summary)
    label = "threshold policy"
    named = with_variant(summary.assign(**{label: summary["threshold_policy"]}), label)
    rows = with_threshold(named[named["threshold_policy"] != NO_POLICY], label)
    listening = [*columns.listening_columns(sounding), *columns.detection_columns("", ())]
    for question, shown in (
        ("", columns.headline_columns(summary)),
        (": does the map follow the sound?", listening),
        (": does the map withstand altered sound?", columns.altered_columns(sounding)),
    ):
        show_table(console, summary_table(rows, shown, label=label, title=f"{title}{question}"))
    others = columns.other_columns(summary)
    rows = with_threshold(named, label)
    show_table(console, summary_table(rows, others, label=label, title=f"{title}: other metrics"))
    rows = with_variant(summary.assign(negatives=summary["condition"]), "negatives")
    rows = rows[rows["condition"] != "positive"]
    question = f"{title}: do map maxima tell positives from negatives?"
    table = summary_table(rows, columns.SEPARATION_COLUMNS, label="negatives", title=question)
    show_table(console, table)
    console.print(f"records, scores, summary and manifest: {folder}", soft_wrap=True)
    return summary
