"""The audit as tables: corrected values, and what each departure changes, in points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from vssl.analysis.protocol_audit import CORRECTED, HEADLINE, THRESHOLD, TOGETHER
from vssl.core.negatives import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.pia import ImageArea
from vssl.reporting.tables.columns import metric_column
from vssl.reporting.tables.model import Cell, Column, Row, Table, percent, points, run_name
from vssl.reporting.tables.render import write_shown
from vssl.types import POSITIVE

_POLICY_COLUMNS = (
    metric_column(FLoc, ALL_NEGATIVES),
    metric_column(FAuc, ALL_NEGATIVES),
    metric_column(ConsensusIoU, POSITIVE),
    *(metric_column(metric, c, detail=c) for metric in (ImageArea, AUCN) for c in NEGATIVE_TYPES),
)
_HEADLINE_COLUMNS = (
    metric_column(SuccessRate, POSITIVE, name="CIoU"),
    metric_column(AUC, POSITIVE),
)


def write_audit(
    effects: pd.DataFrame,
    left_out: Mapping[tuple[str, str], Mapping[str, str]],
    output: Path,
    *,
    resamples: int,
) -> None:
    """Print an audit (`protocol_audit.effects`); write audit.parquet, .csv (fractions) and .md.

    `left_out` says for each model and test set which departures have no numbers, and why.
    """
    sections = []
    for names, of_model in effects.groupby(["model", "dataset"], sort=False):
        by_policy = of_model.groupby(["map_variant", "threshold_policy"], sort=False)
        reasons = defaultdict(list)
        for departure, why in left_out[names].items():  # type: ignore[index]
            reasons[why].append(departure)
        note = (
            f"N = {of_model['n'].max()} samples; differences from the corrected protocol in points,"
            f" with 95 % bootstrap intervals over images ({resamples} resamples)"
        )
        note += "".join(f"; {', '.join(names)}: {why}" for why, names in reasons.items())
        sections.append(([_effects_table(rows) for _, rows in by_policy], note))
    write_shown(sections, output, "audit", {"audit": effects})


def _effects_table(effects: pd.DataFrame) -> Table:
    """The effects under one policy."""
    first = effects.iloc[0]
    policy = first["threshold_policy"]
    columns = _HEADLINE_COLUMNS if policy == HEADLINE else _POLICY_COLUMNS
    rows = tuple(
        Row(str(departure), tuple(_effect_cell(group, column) for column in columns))
        for departure, group in effects.groupby("departure", sort=False)
    )
    thresholds = effects.groupby("departure", sort=False)["threshold"].first().dropna()
    if policy == HEADLINE:
        rule = "headline CIoU (share of cIoU >= 0.5) and AUC at half_image"
        rules = [name for name in pd.unique(effects["departure"]) if name.startswith(THRESHOLD)]
        if rules:
            rule += f", and at {rules[0].split()[1]} under {rules[0]} and {TOGETHER}"
    elif thresholds.empty:
        rule = f"threshold {policy} (of each map)"
    else:
        low, high = thresholds.min(), thresholds.max()
        several = f"{low:.4f} to {high:.4f}, learnt from each run"
        rule = f"threshold {policy} ({f'{low:.4f}' if low == high else several})"
    return Table(f"{run_name(first)}, {rule}", columns, rows, label="departure")


def _effect_cell(effects: pd.DataFrame, column: Column) -> Cell:
    """A departure's difference with its interval; the corrected protocol's value."""
    chosen = effects[column.chosen(effects)]
    if chosen.empty:
        return Cell(text="")
    row = chosen.iloc[0]
    if row["departure"] == CORRECTED:
        return Cell(text=percent(row["value"]))
    low, high = row["ci_low"], row["ci_high"]
    interval = "" if low == high == 0 else f"{_effect_points(low)} to {_effect_points(high)}"
    return Cell(text=_effect_points(row["difference"]), below=interval)


def _effect_points(value: float) -> str:
    """A difference in points: `0` where nothing changes at all."""
    return "0" if value == 0 else points(value).replace("+0.0", "0.0")
