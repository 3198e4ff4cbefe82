"""Several runs side by side: tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from vssl.records.files import SUMMARY_FILE, write_text
from vssl.reporting.figures import draw_comparison
from vssl.reporting.tables import (
    COLUMNS,
    markdown_table,
    overview_columns,
    show_table,
    with_threshold,
)

LEGEND = """\
{positives}: how the field tests, on positives only; this threshold is told how large the object \
is. pIA is the share of the image that is marked at the threshold `{marked}`: a model that listens \
marks less when the sound's source is not there. {universal}: one threshold for everything, learnt \
from what the model's maps reach on negatives; F_LOC is high only for a model that finds what \
sounds and marks nothing otherwise."""


def report_sweep(folders: Sequence[Path], output: Path, *, overview: Mapping[str, str]) -> None:
    """Print an overview of all runs; write it with one table per threshold policy and a picture.

    Writes `sweep.md`, `sweep.csv` (the joined summaries, fractions) and, for each data set and
    protocol, `sweep_<data>_<protocol>.png`.

    Args:
        folders: finished runs.
        output: where to write.
        overview: threshold policies `positives`, `marked` and `universal` of the overview.
    """
    summaries = {folder: pd.read_parquet(folder / SUMMARY_FILE) for folder in folders}
    summary = pd.concat(summaries.values(), ignore_index=True)
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "sweep.csv", summary.to_csv(index=False))
    console, texts = Console(), []
    for (data, protocol), group in summary.groupby(["dataset", "protocol"], sort=False):
        title = f"{data}, protocol {protocol}"
        columns = overview_columns(**overview)
        label = ["model"]
        policies = [p for p in pd.unique(group["threshold_policy"]) if p in overview.values()]
        shown = group[group["threshold_policy"].isin(policies)]
        show_table(console, shown, columns, label=label, title=title)
        texts.append(markdown_table(shown, columns, label=label, title=title))
        for policy, rows in group.groupby("threshold_policy", sort=False):
            of_policy = f"{title}, threshold {policy}"
            named = with_threshold(rows, "model")
            texts.append(markdown_table(named, COLUMNS, label=label, title=of_policy))
        picture = output / f"sweep_{data}_{protocol}.png"
        same = [f for f, s in summaries.items() if _test(s) == (data, protocol)]
        draw_comparison(same, picture)
        console.print(f"picture: {picture}", soft_wrap=True)
    legend = LEGEND.format(**overview)
    write_text(output / "sweep.md", "\n".join([*texts, legend, ""]))
    console.print(f"tables: {output / 'sweep.md'}, {output / 'sweep.csv'}", soft_wrap=True)
    console.print(f"\nHow to read it. {legend}")


def _test(summary: pd.DataFrame) -> tuple[str, str]:
    """Data set and protocol of a run."""
    first = summary.iloc[0]
    return first["dataset"], first["protocol"]
