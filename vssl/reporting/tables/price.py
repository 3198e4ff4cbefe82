"""The price of choosing a threshold on the test set, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vssl.analysis.price import PRICED, QUALITY
from vssl.reporting.tables.columns import metric_column
from vssl.reporting.tables.model import (
    Cell,
    Row,
    Table,
    number_cell,
    points,
    run_title,
    text_columns,
)
from vssl.reporting.tables.render import write_shown
from vssl.types import POSITIVE

_NOTE = (
    "price: the rule chosen on the test set minus this row, in points; chosen on half of the"
    " images: every image is scored with the threshold that the other half gave, in each of"
    " {resamples} random divisions, and the interval of its price is over these; other intervals"
    " are over images, with thresholds chosen or learnt anew in every resample"
)
_BY_CLASS = "IoU by class: of the pixels of all samples of a class together, mean over classes"


def write_price(rows: pd.DataFrame, output: Path, *, resamples: int) -> None:
    """Print the table of each run and rule; write price.parquet, .csv (fractions) and .md."""
    note = _NOTE.format(resamples=resamples)
    if rows[QUALITY].notna().any() and rows["threshold_source"].str.endswith("by class").any():
        note = f"{note}; {_BY_CLASS}"
    write_shown([(list(_tables(rows)), note)], output, "price", {"price": rows})


def _tables(rows: pd.DataFrame) -> Iterator[Table]:
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
