"""Several runs side by side: tables and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from vssl.records.score import SUMMARY_FILE
from vssl.records.store import write_text
from vssl.reporting.figures import draw_comparison
from vssl.reporting.tables import markdown_table, show_table

TITLES = {
    "object_area": "told the object's size (object_area): how the field tests",
    "half_image": "half of the image is marked (half_image): how the field tests",
    "fixed": "one fixed threshold (fixed)",
    "universal_q3": "one threshold learnt from negatives (universal_q3): how it should be tested",
}
"""What a policy means, for a table's title; others are titled by their name."""


def report_sweep(folders: Sequence[Path], output: Path, *, policies: Sequence[str]) -> None:
    """Print one table per data set, protocol and threshold policy; write them and a picture.

    Writes `sweep.md`, `sweep.csv` (the joined summaries, fractions) and, for each data set,
    `sweep_<data>_<protocol>.png`.

    Args:
        folders: finished runs.
        output: where to write.
        policies: threshold policies that get a table.
    """
    summary = pd.concat([pd.read_parquet(f / SUMMARY_FILE) for f in folders], ignore_index=True)
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "sweep.csv", summary.to_csv(index=False))
    console, texts = Console(), []
    runs = {f: pd.read_parquet(f / SUMMARY_FILE, columns=["dataset", "protocol"]) for f in folders}
    for (data, protocol), group in summary.groupby(["dataset", "protocol"], sort=False):
        for policy in policies:
            rows = group[group["threshold_policy"] == policy]
            if rows.empty:
                continue
            title = f"{data}, {TITLES.get(policy, policy)}"
            show_table(console, rows, label="model", title=title)
            texts.append(markdown_table(rows, label="model", title=title))
        picture = output / f"sweep_{data}_{protocol}.png"
        same = [f for f, run in runs.items() if tuple(run.iloc[0]) == (data, protocol)]
        draw_comparison(same, picture)
        console.print(f"picture: {picture}", soft_wrap=True)
    write_text(output / "sweep.md", "\n".join(texts))
    console.print(f"tables: {output / 'sweep.md'}, {output / 'sweep.csv'}", soft_wrap=True)
