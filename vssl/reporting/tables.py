"""Summaries as tables: their columns, captions, and Markdown. Here fractions become percentages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from vssl.records.numbers import NEGATIVE_TYPES
from vssl.records.schema import NO_POLICY
from vssl.records.summary import PAIR, conditions_of
from vssl.types import POSITIVE, SoundingObject

MISSING = "n/a"
_SHOWN = ("condition", "metric", "threshold_policy", "value", "ci_low", "ci_high")
_OTHER_RUN = r", run [0-9a-f]+(?=\)$)"  # of a calibration, in the source of a threshold


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        header: first and second line of the header.
        condition: audio condition, or `all`; None takes the one condition of the row.
        metric: metric.
        policy: threshold policy; None takes the one policy of the row.
    """

    header: tuple[str, str]
    condition: str | None
    metric: str
    policy: str | None = None

    def chosen(self, summary: pd.DataFrame) -> pd.Series[bool]:
        """Which of the summary's rows belong in this column."""
        chosen = summary["metric"] == self.metric
        if self.condition is not None:
            chosen &= summary["condition"] == self.condition
        if self.policy is not None:
            chosen &= summary["threshold_policy"] == self.policy
        return chosen


def _conditions(summary: pd.DataFrame, *sounding: SoundingObject) -> list[str]:
    """The audio conditions besides the positive under which some object sounds, in order."""
    return conditions_of(summary).besides_positive(*sounding)


def _negatives(summary: pd.DataFrame) -> list[str]:
    """The true negatives of a summary, in the order of the run."""
    return _conditions(summary, SoundingObject.NONE)


def paper_columns(summary: pd.DataFrame) -> list[Column]:
    """The paper's numbers for the negatives that a summary has, and false alarms.

    F_LOC and F_AUC stand for all three negatives together, or where some are absent for each.
    """
    negatives = _negatives(summary)
    together = ["all"] if (summary["condition"] == "all").any() else negatives
    return [
        Column(("cIoU", "↑"), "positive", "ciou"),
        Column(("success", "rate ↑"), "positive", "success_rate"),
        Column(("AUC", "↑"), "positive", "auc"),
        *(Column(("pIA", f"{c} ↓"), c, "pia") for c in negatives),
        *(Column(("F_LOC", "↑" if c == "all" else f"{c} ↑"), c, "f_loc") for c in together),
        *(Column(("F_AUC", "↑" if c == "all" else f"{c} ↑"), c, "f_auc") for c in together),
        *(Column(("false alarms", f"{c} ↓"), c, "false_alarm_rate") for c in negatives),
    ]


def listening_columns(summary: pd.DataFrame) -> list[Column]:
    """Whether the map follows the sound: between an image's sounds, and between its objects.

    With the other object's sound, cIoU with the own object should be low.
    """
    others = _conditions(summary, SoundingObject.OTHER)
    return [
        Column(("swap", "delta ↑"), "positive", "swap_delta"),
        Column(("IIoU", "↑"), "positive", "iiou"),
        Column(("IAUC", "↑"), "positive", "iauc"),
        *(Column(("cIoU", f"{c} ↓"), c, "ciou") for c in others),
        *(
            Column(("agreement", f"own, {c} ↓"), f"{POSITIVE}{PAIR}{c}", "agreement")
            for c in (*_negatives(summary), *others)
        ),
        *(Column(("detection", f"AP, {c} ↑"), c, "detection_ap") for c in ("all",)),
        *(Column(("max-F1", f"{c} ↑"), c, "max_f1") for c in ("all",)),
    ]


def altered_columns(summary: pd.DataFrame) -> list[Column]:
    """Whether the map withstands what is done to the own object's sound; empty where none is."""
    altered = _conditions(summary, SoundingObject.OWN)
    if not altered:
        return []
    return [
        *(Column(("cIoU ↑", c), c, "ciou") for c in (POSITIVE, *altered)),
        *(
            Column(("agreement", f"own, {c} ↑"), f"{POSITIVE}{PAIR}{c}", "agreement")
            for c in altered
        ),
    ]


def separation_columns(summary: pd.DataFrame) -> list[Column]:
    """AUROC and FPR at 95 % TPR for every type of negatives, and for all together."""
    together = ["all"] if (summary["condition"] == "all").any() else []
    return [
        Column((title, c), c, metric)
        for title, metric in (("AUROC ↑", "auroc"), ("FPR95 ↓", "fpr95"))
        for c in (*_negatives(summary), *together)
    ]


SEPARATION_COLUMNS = (
    Column(("AUROC", "↑"), None, "auroc"),
    Column(("AP", "↑"), None, "ap"),
    Column(("FPR at", "95 % TPR ↓"), None, "fpr95"),
    Column(("overlap", "↓"), None, "overlap"),
)
"""How well map maxima tell positives from negatives; one row for each type of negatives."""


def overview_columns(
    *, positives: str, marked: str, equal: str, universal: str
) -> tuple[Column, ...]:
    """Columns that set four ways of testing side by side.

    Args:
        positives: policy under which positives are scored, as the field does.
        marked: policy under which false alarms are counted and sounds are compared.
        equal: policy for a stated rate of false alarms.
        universal: policy under which F_LOC is shown.
    """
    return (
        Column(("cIoU ↑", positives), "positive", "ciou", positives),
        *(
            Column((f"FA {marked}", f"{c} ↓"), c, "false_alarm_rate", marked)
            for c in NEGATIVE_TYPES
        ),
        Column(("swap ↑", marked), "positive", "swap_delta", marked),
        Column(("AUROC", "↑"), "all", "auroc", NO_POLICY),
        Column(("cIoU ↑", equal), "positive", "ciou", equal),
        Column(("F_LOC ↑", universal), "all", "f_loc", universal),
    )


def area_columns(marked: str) -> tuple[Column, ...]:
    """Columns of how much is marked under every sound, where nothing else was measured."""
    conditions = (POSITIVE, *NEGATIVE_TYPES)
    return tuple(Column((f"pIA {marked}", c), c, "pia", marked) for c in conditions)


def as_shown(value: float) -> float:
    """A fraction as the percentage that people read, with one decimal; what rounds to 0 is 0."""
    return round(100 * value, 1) + 0.0


def percent(value: float) -> str:
    """A fraction as a percentage with one decimal, `n/a` where undefined."""
    return MISSING if pd.isna(value) else f"{as_shown(value):.1f}"


def cell(rows: pd.DataFrame) -> tuple[str, str]:
    """Value and interval of the one row of a summary, as text; empty where there is none.

    Raises:
        ValueError: when there are several rows: the table would have to choose.
    """
    if rows.empty:
        return "", ""
    if len(rows) > 1:
        raise ValueError(
            f"Expected one number per cell, but got {len(rows)}:\n{rows.to_string()}"
            " Are two runs of one model mixed?"
        )
    row = rows.iloc[0]
    if pd.isna(row["value"]):
        return MISSING, ""
    return percent(row["value"]), f"{percent(row['ci_low'])}–{percent(row['ci_high'])}"


def table_rows(
    summary: pd.DataFrame, label: str, columns: Sequence[Column]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Rows of a table: a label and a (value, interval) pair for each column.

    Args:
        summary: rows of one or several summaries.
        label: summary column that names the rows.
        columns: what to show.
    """
    shown = summary[list(dict.fromkeys([label, *_SHOWN]))]  # of many columns, picking rows is slow
    rows = []
    for name, group in shown.groupby(label, sort=False):
        rows.append((str(name), [cell(group[column.chosen(group)]) for column in columns]))
    return rows


def shared_threshold(summary: pd.DataFrame, policy: str) -> float | None:
    """A run's threshold under a policy; None where every map has its own, or none is there."""
    values = summary.loc[summary["threshold_policy"] == policy, "threshold"].dropna()
    return None if values.empty else float(values.iloc[0])


def with_threshold(summary: pd.DataFrame, label: str) -> pd.DataFrame:
    """The summary with the threshold's value behind the label, where all maps share one."""
    texts = [
        str(name) if pd.isna(value) else f"{name} {value:.4f}"
        for name, value in zip(summary[label], summary["threshold"], strict=True)
    ]
    return summary.assign(**{label: texts})


def with_variant(summary: pd.DataFrame, label: str) -> pd.DataFrame:
    """The summary with `+ OGL` behind the label of object-guided maps."""
    guided = summary["map_variant"] == "ogl"
    texts = summary[label].astype(str)
    return summary.assign(**{label: texts.where(~guided, texts + " + OGL")})


def used_columns(summary: pd.DataFrame, columns: Sequence[Column]) -> list[Column]:
    """The columns for which the summary has numbers."""
    return [column for column in columns if column.chosen(summary).any()]


def caption(summary: pd.DataFrame, *, order: Sequence[str] = ()) -> str:
    """What every table says: data, protocol, N, coverage, draws, seed, thresholds, interval.

    Args:
        summary: rows behind the table.
        order: audio conditions in the order of the run; nothing takes that of the rows.
    """

    def values(column: str) -> str:
        return ", ".join(str(v) for v in pd.unique(summary[column]))

    coverage = ", ".join(f"{100 * c:.4g} %" for c in pd.unique(summary["coverage"]))
    lists = ", ".join(h[:8] for h in pd.unique(summary["manifest_hash"]))
    covered = f"coverage {coverage}, list {lists}"
    draws = summary.groupby("condition")["draws"].max()
    conditions = _conditions(summary, *SoundingObject)
    conditions = [c for c in order if c in conditions] or conditions
    per_type = ", ".join(f"{condition} x {draws[condition]}" for condition in conditions)
    sources = _fitted_sources(summary)
    undefined = int(summary["n_undefined"].max())
    parts = [
        f"data {values('dataset')}",
        f"protocol {values('protocol')}",
        f"N = {summary['n'].max()} samples ({covered})",
        f"draws: {per_type}" if per_type else "positives only",
        f"seed {values('seed')}",
        "percentages with 95 % intervals over images, shared sounds and learnt thresholds",
    ]
    if sources:
        parts.append(f"universal thresholds: {', '.join(sources)}")
    constant = summary[summary["threshold_source"] == "constant"]
    pairs = constant[["threshold_policy", "threshold"]].drop_duplicates()
    parts += [f"{name} threshold {value:.4g}" for name, value in pairs.itertuples(index=False)]
    if undefined:
        parts.append(f"up to {undefined} undefined values are left out of a mean")
    return "; ".join(parts)


def _fitted_sources(summary: pd.DataFrame) -> list[str]:
    """What fitted thresholds rest on; runs that differ only in whose own run that is are one."""
    sources = [s for s in pd.unique(summary["threshold_source"]) if s.startswith("fit on")]
    said = [re.sub(_OTHER_RUN, ", another run for each model", source) for source in sources]
    alike = Counter(said)
    named = (one if alike[one] > 1 else own for one, own in zip(said, sources, strict=True))
    return list(dict.fromkeys(named))


def markdown_table(
    summary: pd.DataFrame, columns: Sequence[Column], *, label: str, title: str
) -> str:
    """The same table as Markdown, intervals in brackets."""
    shown = used_columns(summary, columns)
    headers = [label.replace("_", " "), *(" ".join(c.header) for c in shown)]
    lines = [
        f"**{title}**",
        "",
        "| " + " | ".join(headers) + " |",
        "| --- |" + " ---: |" * len(shown),
    ]
    for name, cells in table_rows(summary, label, shown):
        texts = [f"{value} [{ci}]" if ci else value for value, ci in cells]
        lines.append("| " + " | ".join([name, *texts]) + " |")
    return "\n".join([*lines, "", caption(summary), ""])
