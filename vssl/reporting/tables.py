"""Tables: texts and numbers in rows, made once for terminal, Markdown, LaTeX, csv and page.

Numbers are fractions; they become percentages where they are shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from vssl.records.summary import PAIR, conditions_of
from vssl.types import SoundingObject

MISSING = "n/a"
"""A number that is undefined."""

GAP = "–"
"""A number that is not there."""

BASELINES_GROUP = "baselines"
"""Group of rows that compete with nobody."""

_SHOWN = ("condition", "metric", "threshold_policy", "value", "ci_low", "ci_high")
_OTHER_RUN = r", run [0-9a-f]+(?=\)$)"  # of a calibration, in the source of a threshold


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        words: of the header; each has a line of its own in the terminal.
        metric: metric of its numbers; empty for texts.
        condition: audio condition, pair of them, or `all`; None takes the one of the row.
        policy: threshold policy; None takes the one of the row.
        higher_is_better: which way is better; None where no way is.
        arrow_first: whether the arrow for that stands behind the first word.
        top: what neighbouring columns share, for a header of two lines; the words say it too.
        bottom: the rest of such a header.
        text: whether it holds words, which stand on the left and may be broken.
    """

    words: tuple[str, ...]
    metric: str = ""
    condition: str | None = None
    policy: str | None = None
    higher_is_better: bool | None = None
    arrow_first: bool = False
    top: str = ""
    bottom: str = ""
    text: bool = False

    @property
    def header(self) -> str:
        """The header in a line, without arrow."""
        return " ".join(self.words).strip()

    @property
    def arrow(self) -> str:
        """Up where higher is better, down where lower is, else empty."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    @property
    def lines(self) -> tuple[str, ...]:
        """The header's lines, with the arrow."""
        first, *others = self.words
        if self.arrow_first or not others:
            return (f"{first} {self.arrow}".strip(), *others)
        return (first, *others[:-1], f"{others[-1]} {self.arrow}".strip())

    def chosen(self, summary: pd.DataFrame) -> pd.Series[bool]:
        """Return which of a summary's rows belong in this column."""
        chosen = summary["metric"] == self.metric
        if self.condition is not None:
            chosen &= summary["condition"] == self.condition
        if self.policy is not None:
            chosen &= summary["threshold_policy"] == self.policy
        return chosen


@dataclass(frozen=True)
class Cell:
    """A number of a table, a fraction, or a text in its place.

    Attributes:
        value: None where it is undefined.
        low: lower end of the 95 % interval.
        high: upper end.
        text: is shown in place of the number.
        below: is shown below such a text.
        rank: 1 for the best of its column among models, 2 for the second, otherwise None.
        competes: whether it can be the best: not where the model marks nothing, or where one that
            knows nothing would do as well.
        n: samples.
        n_undefined: rows left out of the mean.
        std: standard deviation over draws; None for a single draw.
        draws: number of draws.
        threshold: None where every map has its own, or none is involved.
        threshold_source: data that it was learnt from.
        run: folder of the run, absolute.
        published: the published figure, where there is one and only one.
        source: of the published figure; empty where there is none.
        training_set: of the published figure.
        tier: of its source: A an official README or code, B a maintainer's reply.
        margin: how far a reproduction of the published figure may be off.
        within: whether it stays within; None where that is not judged.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    text: str | None = None
    below: str = ""
    rank: int | None = None
    competes: bool = True
    n: int | None = None
    n_undefined: int = 0
    std: float | None = None
    draws: int | None = None
    threshold: float | None = None
    threshold_source: str = ""
    run: str = ""
    published: float | None = None
    source: str = ""
    training_set: str = ""
    tier: str = ""
    margin: float | None = None
    within: bool | None = None

    @property
    def difference(self) -> float | None:
        """Ours minus the published."""
        if self.value is None or self.published is None:
            return None
        return self.value - self.published

    @property
    def shown(self) -> str:
        """The text, or the percentage."""
        return percent(self.value) if self.text is None else self.text

    @property
    def interval(self) -> str:
        """The 95 % interval in percent, or the text below; empty where there is none."""
        if self.low is None or self.high is None:
            return self.below
        return f"{percent(self.low)}–{percent(self.high)}"

    @property
    def beside_published(self) -> str:
        """The published figure and the difference in points; empty where there is none."""
        if self.published is None or self.difference is None:
            return ""
        return f"{100 * self.published:.2f}, {points(self.difference)}"


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        label: stands in the first column.
        cells: one for each column; None is a gap, whose reason is in the caption.
        variant: map variant.
        note: tells rows of one run apart: the training set of a published figure's model.
        group: a rule stands where it changes.
        bold: whether all of it stands out.
        reason: why the whole row is a gap; empty where it is not.
        facts: of the run, for the csv: model, seed, coverage, hashes.
    """

    label: str
    cells: tuple[Cell | None, ...]
    variant: str = "av"
    note: str = ""
    group: str = ""
    bold: bool = False
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def baseline(self) -> bool:
        """Whether it stands below a rule, and competes with nobody."""
        return self.group == BASELINES_GROUP

    @property
    def name(self) -> str:
        """The label, `+ OGL` behind it for object-guided maps, and the note."""
        guided = f"{self.label} + OGL" if self.variant == "ogl" else self.label
        return f"{guided} ({self.note})" if self.note else guided

    @property
    def threshold(self) -> float | None:
        """The threshold that the row's cells share; None where there is none, or several."""
        found = {cell.threshold for cell in self.cells if cell and cell.threshold is not None}
        return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: the question that it answers.
        columns: its columns but the first, which holds the rows' names.
        rows: its rows.
        caption: data, protocol, N, coverage, draws, seed, thresholds and their source, interval,
            and the reasons of gaps; stands below.
        label: header of the first column.
        name: in files and labels.
        warnings: stand above.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    label: str = "model"
    name: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def thresholds(self) -> list[str] | None:
        """Each row's threshold, where any row has one."""
        found = [row.threshold for row in self.rows]
        if all(each is None for each in found):
            return None
        return ["" if each is None else f"{each:.4f}" for each in found]


def text_columns(*headers: str, text: Sequence[str] = ()) -> tuple[Column, ...]:
    """Columns with headers of one line, of which some hold words."""
    return tuple(Column((header,), text=header in text) for header in headers)


def text_row(label: str, *texts: str, group: str = "", bold: bool = False) -> Row:
    """A row of texts."""
    return Row(label, tuple(Cell(text=text) for text in texts), group=group, bold=bold)


def as_shown(value: float) -> float:
    """A fraction as the percentage that people read, with one decimal; what rounds to 0 is 0."""
    return round(100 * value, 1) + 0.0


def percent(value: float | None) -> str:
    """A fraction as a percentage with one decimal, `n/a` where undefined."""
    return MISSING if value is None or pd.isna(value) else f"{as_shown(value):.1f}"


def points(difference: float) -> str:
    """A difference of fractions in percentage points, with its sign; `n/a` where undefined."""
    return MISSING if pd.isna(difference) else f"{as_shown(difference):+.1f}"


def defined(value: Any) -> float | None:
    """A number, None where it is undefined."""
    return None if pd.isna(value) else float(value)


def number_cell(
    row: Mapping[Any, Any] | pd.Series, value: str = "value", low: str = "ci_low", high: str = "ci_high"
) -> Cell:
    """A number and its interval, from the columns of these names."""
    return Cell(defined(row[value]), defined(row[low]), defined(row[high]))


def one_row(rows: pd.DataFrame) -> Mapping[Any, Any] | None:
    """The one row of a summary that belongs in a cell; None where there is none.

    Raises:
        ValueError: when there are several rows: the table would have to choose.
    """
    if len(rows) > 1:
        raise ValueError(
            f"Expected one number per cell, but got {len(rows)}:\n{rows.to_string()}"
            " Are two runs of one model mixed?"
        )
    return None if rows.empty else rows.iloc[0].to_dict()


def summary_table(
    summary: pd.DataFrame, columns: Sequence[Column], *, label: str, title: str
) -> Table:
    """Make a table of numbers of one or several summaries.

    Args:
        summary: rows of summaries.
        columns: columns; those without numbers are left out.
        label: summary column that names the rows.
        title: the table's.
    """
    columns, order = used_columns(summary, columns), list(conditions_of(summary))
    summary = _behind(summary, columns)
    shown = summary[list(dict.fromkeys([label, *_SHOWN]))]  # of many columns, picking rows is slow
    rows = []
    for name, group in shown.groupby(label, sort=False) if columns else ():
        found = [one_row(group[column.chosen(group)]) for column in columns]
        cells = (Cell(text="") if each is None else number_cell(each) for each in found)
        rows.append(Row(str(name), tuple(cells)))
    note = caption(summary, order=order) if columns else ""
    return Table(title, tuple(columns), tuple(rows), note, label=label)


def _behind(summary: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Rows of a summary behind a table: of its metrics, and of the conditions that it names.

    All conditions count where a column covers `all`, or has no condition of its own.
    """
    chosen = summary["metric"].isin([column.metric for column in columns])
    named = [column.condition for column in columns]
    if None not in named and "all" not in named:
        single = [part for name in named if name for part in name.split(PAIR)]
        chosen &= summary["condition"].isin([*named, *single])
    return summary[chosen]


def used_columns(summary: pd.DataFrame, columns: Sequence[Column]) -> list[Column]:
    """The columns for which the summary has numbers."""
    return [column for column in columns if column.chosen(summary).any()]


def shared_threshold(summary: pd.DataFrame, policy: str) -> float | None:
    """A run's threshold under a policy; None where every map has its own, or none is there."""
    values = summary.loc[summary["threshold_policy"] == policy, "threshold"].dropna()
    return None if values.empty else float(values.iloc[0])


def with_threshold(summary: pd.DataFrame, label: str) -> pd.DataFrame:
    """The summary with the threshold's value behind the label, where all maps share one."""
    values = summary["threshold"].map("{:.4f}".format, na_action="ignore")
    texts = summary[label].astype(str)
    return summary.assign(**{label: texts.where(values.isna(), texts + " " + values.astype(str))})


def with_variant(summary: pd.DataFrame, label: str) -> pd.DataFrame:
    """The summary with `+ OGL` behind the label of object-guided maps."""
    texts = summary[label].astype(str)
    return summary.assign(**{label: texts.mask(summary["map_variant"] == "ogl", texts + " + OGL")})


def caption(summary: pd.DataFrame, *, order: Sequence[str] = ()) -> str:
    """Say what a table rests on: data, protocol, N, coverage, draws, seed, thresholds, interval.

    Args:
        summary: rows behind the table.
        order: audio conditions in the order of the run; nothing takes that of the rows.
    """

    def values(column: str) -> str:
        return ", ".join(str(v) for v in pd.unique(summary[column]))

    coverage = ", ".join(f"{100 * c:.4g} %" for c in pd.unique(summary["coverage"]))
    lists = ", ".join(h[:8] for h in pd.unique(summary["manifest_hash"]))
    draws = summary.groupby("condition")["draws"].max()
    conditions = conditions_of(summary).besides_positive(*SoundingObject)
    conditions = [c for c in order if c in conditions] or conditions
    per_type = ", ".join(f"{condition} x {draws[condition]}" for condition in conditions)
    sources = _fitted_sources(summary)
    undefined = int(summary["n_undefined"].max())
    parts = [
        f"data {values('dataset')}",
        f"protocol {values('protocol')}",
        f"N = {summary['n'].max()} samples (coverage {coverage}, list {lists})",
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
    """Sources of fitted thresholds; runs that differ only in whose own run that is are one."""
    sources = [s for s in pd.unique(summary["threshold_source"]) if s.startswith("fit on")]
    said = [re.sub(_OTHER_RUN, ", another run for each model", source) for source in sources]
    alike = Counter(said)
    named = (one if alike[one] > 1 else own for one, own in zip(said, sources, strict=True))
    return list(dict.fromkeys(named))
