"""The audit as tables: corrected values, and what each departure changes, in points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from vssl.records.audit import CORRECTED, HEADLINE
from vssl.records.files import write_text
from vssl.records.numbers import NEGATIVE_TYPES
from vssl.reporting.tables import MISSING, percent

LeftOut = Mapping[tuple[str, str], Mapping[str, str]]

_COLUMNS = (
    ("F_LOC ↑", "f_loc", "all"),
    ("F_AUC ↑", "f_auc", "all"),
    ("cIoU ↑", "ciou", "positive"),
    *((f"pIA {name} ↓", "pia", name) for name in NEGATIVE_TYPES),
    *((f"AUC_N {name} ↑", "auc_n", name) for name in NEGATIVE_TYPES),
)
_HEADLINE = (("CIoU ↑", "success_rate", "positive"), ("AUC ↑", "auc", "positive"))


def write_audit(table: pd.DataFrame, left_out: LeftOut, output: Path, *, resamples: int) -> None:
    """Print the audit, and write audit.parquet, audit.csv (fractions) and audit.md.

    Args:
        table: from `records.audit.effects`.
        left_out: for each model and test set, departures without numbers and why.
        output: folder.
        resamples: bootstrap resamples behind the intervals.
    """
    console, texts = Console(), []
    if not console.is_terminal:
        console.width = 200
    for (model, data), of_model in table.groupby(["model", "dataset"], sort=False):
        for (variant, policy), rows in of_model.groupby(
            ["map_variant", "threshold_policy"], sort=False
        ):
            guided = ", object-guided maps" if variant == "ogl" else ""
            title = f"{model} on {data}{guided}, {_policy(str(policy), rows)}"
            columns = _HEADLINE if policy == HEADLINE else _COLUMNS
            cells = _cells(rows, columns)
            _show(console, title, [c[0] for c in columns], cells)
            texts.append(_markdown(title, [c[0] for c in columns], cells))
        counted = f"N = {of_model['n'].max()} samples; differences from the corrected protocol in"
        counted += f" points, with 95 % bootstrap intervals over images ({resamples} resamples)"
        reasons: dict[str, list[str]] = {}
        for departure, why in left_out[str(model), str(data)].items():
            reasons.setdefault(why, []).append(departure)
        notes = [f"{', '.join(names)}: {why}" for why, names in reasons.items()]
        text = "; ".join([counted, *notes])
        console.print(f"[dim]{text}[/dim]\n", soft_wrap=True)
        texts.append(text + "\n")
    output.mkdir(parents=True, exist_ok=True)
    table.to_parquet(output / "audit.parquet")
    write_text(output / "audit.csv", table.to_csv(index=False))
    write_text(output / "audit.md", "\n".join(texts))
    console.print(f"tables: {output / 'audit.md'}, audit.csv and audit.parquet beside it",
                  soft_wrap=True)  # fmt: skip


def _policy(policy: str, rows: pd.DataFrame) -> str:
    if policy == HEADLINE:
        return "headline CIoU (share of cIoU >= 0.5) and AUC at half_image"
    thresholds = rows.groupby("departure", sort=False)["threshold"].first().dropna()
    if thresholds.empty:
        return f"threshold {policy} (of each map)"
    low, high = thresholds.min(), thresholds.max()
    shown = f"{low:.4f}" if low == high else f"{low:.4f} to {high:.4f}, learnt from each run"
    return f"threshold {policy} ({shown})"


def _cells(
    rows: pd.DataFrame, columns: tuple[tuple[str, str, str], ...]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each departure: its name, and value or difference with interval for each column."""
    lines = []
    for departure, group in rows.groupby("departure", sort=False):
        line = []
        for _, metric, condition in columns:
            chosen = group[(group["metric"] == metric) & (group["condition"] == condition)]
            if chosen.empty:
                line.append(("", ""))
                continue
            row = chosen.iloc[0]
            if departure == CORRECTED:
                line.append((percent(row["value"]), ""))
            else:
                low, high = row["ci_low"], row["ci_high"]
                interval = "" if low == high == 0 else f"{_points(low)} to {_points(high)}"
                line.append((_points(row["difference"]), interval))
        lines.append((str(departure), line))
    return lines


def _points(value: float) -> str:
    """A difference in points: `0` where nothing changes at all."""
    if pd.isna(value):
        return MISSING
    return (
        "0" if value == 0 else f"{100 * value:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0")
    )


def _show(
    console: Console,
    title: str,
    headers: list[str],
    lines: list[tuple[str, list[tuple[str, str]]]],
) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("departure", no_wrap=True)
    for header in headers:
        table.add_column(header.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for name, cells in lines:
        table.add_row(name, *(f"{v}\n[dim]{ci}[/dim]" if ci else v for v, ci in cells))
    console.print(f"\n[bold]{title}[/bold]", soft_wrap=True)
    console.print(table)


def _markdown(
    title: str, headers: list[str], lines: list[tuple[str, list[tuple[str, str]]]]
) -> str:
    text = [
        f"**{title}**",
        "",
        "| departure | " + " | ".join(headers) + " |",
        "| --- |" + " ---: |" * len(headers),
    ]
    for name, cells in lines:
        shown = [f"{v} [{ci}]" if ci else v for v, ci in cells]
        text.append("| " + " | ".join([name, *shown]) + " |")
    return "\n".join([*text, ""])
