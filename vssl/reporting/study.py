"""The threshold study as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from vssl.records.files import write_text
from vssl.records.study import BEST, ThresholdStudy
from vssl.reporting.tables import percent

_WIDE = 156
_HEADERS = (
    *("threshold policy", "fit on", "threshold", "F_LOC ↑", "regret ↓", "cIoU ↑"),
    *("success rate ↑", "false alarms ↓", "pIA ↓", "F_AUC ↑"),
)
_PLAIN = ("ciou", "success_rate", "false_alarm_rate", "pia", "f_auc")
_EQUAL_RATES = "false_alarm_"  # names of policies that keep false alarms to a stated rate
_EQUAL_TITLE = "at equal rates of false alarms"
_EQUAL_HEADERS = (
    *("threshold policy", "run", "fit on", "threshold"),
    *("cIoU ↑", "success rate ↑", "false alarms ↓"),
)
_TEXTS = ("threshold policy", "run", "fit on")
NOTE = (
    "best: the threshold with the highest F_LOC on the run that is scored, which no user could"
    " choose; regret: best F_LOC minus this one, in points, the best chosen anew in every resample;"
    " false alarms: share of negatives in which anything is marked, the largest over their types;"
    " pIA: mean over the types; (itself): learnt from the very negatives that it is then judged on"
    " (in-sample), so that its false alarms and F_LOC are better than on new sounds; percentages"
    " with 95 % bootstrap intervals over images, thresholds learnt anew in every resample"
)


def write_study(study: ThresholdStudy, output: Path, *, resamples: int) -> None:
    """Print the study's tables; write curves and thresholds as parquet and csv, the tables as .md.

    Args:
        study: the study.
        output: folder.
        resamples: bootstrap resamples behind the intervals.
    """
    console, texts = Console(), []
    if not console.is_terminal:
        console.width = _WIDE
    for title, run, headers, lines in _tables(study.thresholds):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        for header in headers:
            # what the numbers are of may take several lines
            table.add_column(
                header,
                justify="left" if header in _TEXTS else "right",
                no_wrap=header not in ("run", "fit on"),
            )
        for line in lines:
            table.add_row(*line)
        console.print(f"\n[bold]{title}[/bold]  {run}", soft_wrap=True)
        console.print(table)
        marks = ("---" if header in _TEXTS else "---:" for header in headers)
        texts += [f"**{title}** `{run}`" if run else f"**{title}**", ""]
        texts += [f"| {' | '.join(headers)} |", f"| {' | '.join(marks)} |"]
        texts += [f"| {' | '.join(line)} |" for line in lines] + [""]
    note = f"{NOTE} ({resamples} resamples)"
    console.print(f"[dim]{note}[/dim]", soft_wrap=True)
    output.mkdir(parents=True, exist_ok=True)
    for name, frame in (("curves", study.curves), ("thresholds", study.thresholds)):
        frame.to_parquet(output / f"{name}.parquet")
        write_text(output / f"{name}.csv", frame.to_csv(index=False))
    write_text(output / "thresholds.md", "\n".join([*texts, note, ""]))
    console.print(f"curves and tables: {output}", soft_wrap=True)


def _tables(
    thresholds: pd.DataFrame,
) -> Iterator[tuple[str, str, Sequence[str], list[list[str]]]]:
    """Title, folder, headers and lines: for every run and map variant, then for all together."""
    names = {}
    groups = thresholds.groupby(["run", "map_variant"], sort=False)
    for (run, variant), rows in groups:
        first = rows.iloc[0]
        guided = ", object-guided maps" if variant == "ogl" else ""
        names[run, variant] = f"{first['model']} on {first['dataset']}{guided}"
        title = f"{names[run, variant]}, protocol {first['protocol']}"
        title += (
            f", N = {first['n']} (coverage {100 * first['coverage']:.4g} %), seed {first['seed']}"
        )
        yield title, str(run), _HEADERS, [_line(row) for row in rows.to_dict("records")]
    alike = [*names.values()]
    names = {
        key: name if alike.count(name) == 1 else f"{name} ({key[0]})" for key, name in names.items()
    }
    equal = thresholds[thresholds["threshold_policy"].str.startswith(_EQUAL_RATES)]
    lines = [
        [
            str(policy),
            names[row["run"], row["map_variant"]],
            _fit_on(row),
            f"{row['threshold']:.4f}",
            _between(row, "ciou"),
            _between(row, "success_rate"),
            percent(float(row["false_alarm_rate"])),
        ]
        for policy, rows in equal.groupby("threshold_policy", sort=False)
        for row in rows.to_dict("records")
    ]
    if lines:
        yield _EQUAL_TITLE, "", _EQUAL_HEADERS, lines


def _line(row: Mapping[Any, Any]) -> list[str]:
    return [
        str(row["threshold_policy"]),
        _fit_on(row),
        f"{row['threshold']:.4f}",
        _between(row, "f_loc"),
        _between(row, "regret"),
        *(percent(float(row[name])) for name in _PLAIN),
    ]


def _between(row: Mapping[Any, Any], name: str) -> str:
    low, high = (percent(float(row[f"{name}_ci_{end}"])) for end in ("low", "high"))
    return f"{percent(float(row[name]))} [{low}–{high}]"


def _fit_on(row: Mapping[Any, Any]) -> str:
    itself = row["in_sample"] and row["threshold_policy"] != BEST  # which says so
    return f"{row['fit_on']} (itself)" if itself else str(row["fit_on"])
