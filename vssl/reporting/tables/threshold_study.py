"""The threshold study as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

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
    run_name,
    run_title,
    text_columns,
)
from vssl.reporting.tables.render import write_shown

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


def write_study(study: ThresholdStudy, output: Path, *, resamples: int) -> None:
    """Print the study's tables; write curves and thresholds as parquet and csv, tables as .md."""
    shown = list(_tables(study.thresholds)), f"{NOTE} ({resamples} resamples)"
    frames = {"curves": study.curves, "thresholds": study.thresholds}
    write_shown([shown], output, "thresholds", frames)


def _tables(thresholds: pd.DataFrame) -> Iterator[Table]:
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
