"""The threshold study as tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from vssl.records.files import write_text
from vssl.records.study import ThresholdStudy
from vssl.reporting.tables import percent

_HEADERS = ("fit on", "threshold", "F_LOC ↑", "regret ↓", "cIoU ↑", "pIA ↓", "F_AUC ↑")
NOTE = (
    "best: the threshold with the highest F_LOC on the run that is scored, which no user could"
    " choose; regret: best F_LOC minus this one, in points, the best chosen anew in every resample;"
    " pIA: mean over the negative types; percentages with 95 % bootstrap intervals over images"
)


def write_study(study: ThresholdStudy, output: Path, *, resamples: int) -> None:
    """Print the study's table; write curves and thresholds as parquet and csv, the table as .md.

    Args:
        study: the study.
        output: folder.
        resamples: bootstrap resamples behind the intervals.
    """
    console, texts = Console(), []
    if not console.is_terminal:
        console.width = 132
    keys = ["run", "map_variant"]
    for (run, variant), rows in study.thresholds.groupby(keys, sort=False):
        first = rows.iloc[0]
        guided = ", object-guided maps" if variant == "ogl" else ""
        title = f"{first['model']} on {first['dataset']}{guided}, protocol {first['protocol']}"
        title += (
            f", N = {first['n']} (coverage {100 * first['coverage']:.4g} %), seed {first['seed']}"
        )
        lines = [_line(row) for row in rows.to_dict("records")]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        for place, header in enumerate(("threshold policy", *_HEADERS)):
            table.add_column(header, justify="left" if place < 2 else "right", no_wrap=place != 1)
        for line in lines:
            table.add_row(*line)
        console.print(f"\n[bold]{title}[/bold]  {run}", soft_wrap=True)
        console.print(table)
        head = " | ".join(("threshold policy", *_HEADERS))
        texts += [f"**{title}** `{run}`", "", f"| {head} |", "| --- | --- |" + " ---: |" * 6]
        texts += [f"| {' | '.join(line)} |" for line in lines] + [""]
    note = f"{NOTE} ({resamples} resamples)"
    console.print(f"[dim]{note}[/dim]", soft_wrap=True)
    output.mkdir(parents=True, exist_ok=True)
    for name, frame in (("curves", study.curves), ("thresholds", study.thresholds)):
        frame.to_parquet(output / f"{name}.parquet")
        write_text(output / f"{name}.csv", frame.to_csv(index=False))
    write_text(output / "thresholds.md", "\n".join([*texts, note, ""]))
    console.print(f"curves and tables: {output}", soft_wrap=True)


def _line(row: Mapping[Any, Any]) -> list[str]:
    def between(name: str) -> str:
        low, high = (percent(float(row[f"{name}_ci_{end}"])) for end in ("low", "high"))
        return f"{percent(float(row[name]))} [{low}–{high}]"

    return [
        str(row["threshold_policy"]),
        str(row["fit_on"]),
        f"{row['threshold']:.4f}",
        between("f_loc"),
        between("regret"),
        percent(float(row["ciou"])),
        percent(float(row["pia"])),
        percent(float(row["f_auc"])),
    ]
