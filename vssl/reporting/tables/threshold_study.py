"""The threshold study, and the price of choosing a threshold on the test set, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vssl.analysis.price import PRICED, QUALITY
from vssl.analysis.threshold_study import BEST, ThresholdStudy
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.metrics.false_alarm import FalseAlarmRate
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.pia import ImageArea
from vssl.reporting.tables.columns import metric_column
from vssl.reporting.tables.model import (
    Cell,
    Row,
    Table,
    defined,
    number_cell,
    points,
    run_name,
    run_title,
    text_columns,
)
from vssl.reporting.tables.render import write_shown
from vssl.types import POSITIVE

_METRICS = (FLoc, ConsensusIoU, SuccessRate, FalseAlarmRate, ImageArea, FAuc)
_HEADERS = {m.name: " ".join(metric_column(m).lines).replace("  ", " ") for m in _METRICS}
_STUDY_NUMBERS = {"f_loc": _HEADERS["f_loc"], "regret": "regret ↓", **_HEADERS}
_EQUAL_RATES = "false_alarm_"  # names of policies that keep false alarms to a stated rate
NOTE = (
    "best: the threshold with the highest F_LOC on the run that is scored, which no user could"
    " choose; regret: best F_LOC minus this one, in points, the best chosen anew in every resample;"
    " false alarms: share of negatives in which anything is marked, the largest over their types;"
    " pIA: mean over the types; (itself): learnt from the very negatives that it is then judged on"
    " (in-sample), so that its false alarms and F_LOC are better than on new sounds; percentages"
    " with 95 % bootstrap intervals over images, thresholds learnt anew in every resample"
)
_PRICE_NOTE = (
    "price: the rule chosen on the test set minus this row, in points; chosen on half of the"
    " images: every image is scored with the threshold that the other half gave, in each of"
    " {resamples} random divisions, and the interval of its price is over these; other intervals"
    " are over images, and every resample chooses or learns its threshold again"
)
_BY_CLASS = "IoU by class: of the pixels of all samples of a class together, mean over classes"


def write_study(study: ThresholdStudy, output: Path, *, resamples: int) -> None:
    """Print the study's tables; write curves and thresholds as parquet and csv, tables as .md."""
    shown = list(_study_tables(study.thresholds)), f"{NOTE} ({resamples} resamples)"
    frames = {"curves": study.curves, "thresholds": study.thresholds}
    write_shown([shown], output, "thresholds", frames)


def _study_tables(thresholds: pd.DataFrame) -> Iterator[Table]:
    """A table for every run and map variant, then one for all together."""
    names = {}
    for key, rows in thresholds.groupby(["run", "map_variant"], sort=False):
        names[key] = run_name(rows.iloc[0])
        yield Table(
            run_title(rows.iloc[0]),
            text_columns("fit on", "threshold", *_STUDY_NUMBERS.values(), text=("fit on",)),
            tuple(
                _study_row(row, [], _STUDY_NUMBERS, ("f_loc", "regret"))
                for row in rows.to_dict("records")
            ),
            label="threshold policy",
        )
    alike = [*names.values()]
    names = {
        key: name if alike.count(name) == 1 else f"{name} ({key[0]})" for key, name in names.items()
    }
    equal = thresholds[thresholds["threshold_policy"].str.startswith(_EQUAL_RATES)]
    if len(equal):
        shown = ("ciou", "success_rate", "false_alarm_rate")
        headers = ("run", "fit on", "threshold", *(_STUDY_NUMBERS[name] for name in shown))
        lines = tuple(
            _study_row(row, [names[row["run"], row["map_variant"]]], shown, shown[:2])
            for _, of_policy in equal.groupby("threshold_policy", sort=False)
            for row in of_policy.to_dict("records")
        )
        columns = text_columns(*headers, text=("run", "fit on"))
        title = "at equal rates of false alarms"
        yield Table(title, columns, lines, label="threshold policy")


def _study_row(
    row: Mapping[Any, Any], before: Sequence[str], names: Iterable[str], intervals: Sequence[str]
) -> Row:
    """A threshold's row: texts, where it was learnt, its value and some numbers."""
    itself = row["in_sample"] and row["threshold_policy"] != BEST  # which says so
    texts = [*before, f"{row['fit_on']}{' (itself)' * itself}", f"{row['threshold']:.4f}"]
    cells = [Cell(text=text) for text in texts]
    cells += [
        number_cell(row, name, f"{name}_ci_low", f"{name}_ci_high")
        if name in intervals
        else Cell(defined(row[name]))
        for name in names
    ]
    return Row(row["threshold_policy"], tuple(cells))


def write_price(rows: pd.DataFrame, output: Path, *, resamples: int) -> None:
    """Print the table of each run and rule; write price.parquet, .csv (fractions) and .md."""
    note = _PRICE_NOTE.format(resamples=resamples)
    if rows[QUALITY].notna().any() and rows["threshold_source"].str.endswith("by class").any():
        note = f"{note}; {_BY_CLASS}"
    write_shown([(list(_price_tables(rows)), note)], output, "price", {"price": rows})


def _price_tables(rows: pd.DataFrame) -> Iterator[Table]:
    """A table for every run, map variant and rule."""
    keys = ["run", "map_variant", "priced"]
    for (_, _, priced), group in rows.groupby(keys, sort=False):
        first = group.iloc[0]
        by_class = first["threshold_source"].endswith("by class")
        measures = {metric.name: metric_column(metric, POSITIVE).header for metric in PRICED}
        measures |= {QUALITY: "IoU by class"} if by_class else {}
        headers = [text for header in measures.values() for text in (header, "price")]
        yield Table(
            f"{priced}: {run_title(first)}",
            text_columns("threshold", "from", *headers, text=("from",)),
            tuple(_price_row(row, [*measures]) for row in group.to_dict("records")),
            label="threshold policy",
        )


def _price_row(row: Mapping[Any, Any], measures: list[str]) -> Row:
    value, low = row["threshold"], row.get("threshold_low", np.nan)
    text = "" if np.isnan(value) else _threshold(value)
    high = row.get("threshold_high", np.nan)
    below = "" if np.isnan(low) else f"{_threshold(low)} to {_threshold(high)}"
    cells = [Cell(text=text, below=below), Cell(text=row["threshold_source"])]
    for name in measures:
        if np.isnan(row.get(name, np.nan)):
            cells += [Cell(text=""), Cell(text="")]
            continue
        cells.append(number_cell(row, name, f"{name}_ci_low", f"{name}_ci_high"))
        price, *ends = (row[f"{name}_price{end}"] for end in ("", "_ci_low", "_ci_high"))
        alone = price == ends[0] == ends[1] == 0
        span = "" if alone else " to ".join(points(end) for end in ends)
        cells.append(Cell(text="0" if alone else points(price), below=span))
    return Row(row["threshold_policy"], tuple(cells))


def _threshold(value: float) -> str:
    """Four decimals, without a sign where they are 0."""
    return f"{round(value, 4) + 0.0:.4f}"
