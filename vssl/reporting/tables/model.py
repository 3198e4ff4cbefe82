"""Tables: texts and numbers in rows, made once for terminal, Markdown, LaTeX, csv and page.

Numbers are fractions; they become percentages where they are shown.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from vssl.records.schema import NO_POLICY
from vssl.records.summary import PAIR, conditions_of
from vssl.thresholds.chosen import CHOSEN_ON
from vssl.types import SoundingObject

MISSING = "n/a"  # a number that is undefined
GAP = "–"  # a missing number
BASELINES_GROUP = "baselines"  # of rows that compete with nobody

_CALIBRATION_RUN = r", run [0-9a-f]+(?=\)$)"  # of a calibration, in the source of a threshold


@dataclass(frozen=True)
class Column:
    """A column of a table: its header, and where its numbers are in a summary."""

    words: tuple[str, ...]  # of the header; one line each in the terminal
    metric: str = ""  # empty for texts
    condition: str = ""  # audio condition, pair of them, or `all`; empty: the row's
    policy: str = ""  # threshold policy; empty: the row's
    higher_is_better: bool | None = None  # None where no way is better
    arrow_first: bool = False  # whether the arrow follows the first word
    top: str = ""  # shared by neighbouring columns, for a header of two lines
    bottom: str = ""  # the rest of such a header
    text: bool = False  # whether it holds words: aligned left, and may be wrapped
    unit: str = "%"  # of its numbers; fractions are shown in percent, all else as it is
    chance: float | None = None  # what knowing nothing reaches; None for the worst that can be
    subset: tuple[str, str] | None = None  # kind and name of the subset that it is of

    @property
    def header(self) -> str:
        """The header in a line, without arrow."""
        return " ".join(self.words).strip()

    @property
    def arrow(self) -> str:
        """Up where higher is better, down where lower is, else empty."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    @property
    def place(self) -> tuple[str, str, str]:
        """Metric, condition and policy."""
        return self.metric, self.condition, self.policy

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
        if self.condition:
            chosen &= summary["condition"] == self.condition
        if self.policy:
            chosen &= summary["threshold_policy"] == self.policy
        return chosen


@dataclass(frozen=True)
class Cell:
    """A number of a table, a fraction, or a text in its place."""

    value: float | None = None  # None where it is undefined
    low: float | None = None  # ends of the 95 % interval
    high: float | None = None
    text: str | None = None  # shown in place of the number
    below: str = ""  # shown below such a text
    rank: int | None = None  # 1 for the best of its column among models, 2 for the second
    competes: bool = True  # not where the model marks nothing, or no knowledge does as well
    unit: str = "%"  # the column's
    number: Mapping[Any, Any] = field(default_factory=dict)  # what its row in the summary defines
    figure: Mapping[Any, Any] = field(default_factory=dict)
    """The published figure, a row of `published.beside_published`; empty for none or several."""

    @property
    def threshold(self) -> float | None:
        """The number's threshold; None where every map has its own, or none is involved."""
        threshold: float | None = self.number.get("threshold")
        return threshold

    @property
    def shown(self) -> str:
        """The text, or the number."""
        return self.in_unit(self.value) if self.text is None else self.text

    def in_unit(self, value: float | None) -> str:
        """A value in the cell's unit: a fraction in percent, another with four digits."""
        if self.unit == "%" or value is None:
            return percent(value)
        return f"{value:.4g}"

    @property
    def interval(self) -> str:
        """The 95 % interval, or the text below; empty without either."""
        if self.low is None or self.high is None:
            return self.below
        return f"{self.in_unit(self.low)}–{self.in_unit(self.high)}"

    @property
    def beside_published(self) -> str:
        """The published figure and the difference in points; empty without a figure."""
        if self.value is None or not self.figure:
            return ""
        return f"{100 * self.figure['published']:.2f}, {points(self.figure['difference'])}"


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    label: str  # in the first column
    cells: tuple[Cell | None, ...]  # by column; None is a gap, whose reason is in the details
    variant: str = "av"  # map variant
    note: str = ""  # tells rows of one run apart: the training set of a published figure's model
    group: str = ""  # rows of another group follow a rule
    bold: bool = False
    reason: str = ""  # why the whole row is a gap
    facts: Mapping[str, Any] = field(default_factory=dict)  # of the run, for the csv

    @property
    def baseline(self) -> bool:
        """Whether it is a baseline, whose numbers are never marked as best."""
        return self.group == BASELINES_GROUP

    @property
    def name(self) -> str:
        """The label, `+ OGL` behind it for object-guided maps, and the note."""
        guided = f"{self.label} + OGL" if self.variant == "ogl" else self.label
        return f"{guided} ({self.note})" if self.note else guided

    @property
    def threshold(self) -> float | None:
        """The threshold that the row's cells share; None for none or several."""
        found = {cell.threshold for cell in self.cells if cell and cell.threshold is not None}
        return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Table:
    """A table, and what it rests on."""

    title: str
    columns: tuple[Column, ...]  # without the first, which holds the rows' names
    rows: tuple[Row, ...]
    caption: str = ""  # a sentence: N, coverage, seed, interval
    details: tuple[str, ...] = ()  # sentences: data, draws, thresholds, reasons of gaps
    label: str = "model"  # header of the first column
    name: str = ""  # in files and labels
    warnings: tuple[str, ...] = ()  # shown above

    @property
    def complete_caption(self) -> str:
        """Caption and details in one text."""
        return " ".join(part for part in (self.caption, *self.details) if part)

    def with_thresholds(self) -> Table:
        """The table with a first column of the rows' thresholds, if its columns share a policy."""
        if len({column.policy for column in self.columns} - {NO_POLICY}) > 1:
            return self
        texts = ["" if row.threshold is None else f"{row.threshold:.4f}" for row in self.rows]
        if not any(texts):
            return self
        cells = [Cell(text=text) for text in texts]
        rows = [replace(r, cells=(c, *r.cells)) for r, c in zip(self.rows, cells, strict=True)]
        return replace(self, columns=(Column(("threshold",)), *self.columns), rows=tuple(rows))


def text_columns(*headers: str, text: Sequence[str] = ()) -> tuple[Column, ...]:
    """Columns with headers of one line, of which some hold words."""
    return tuple(Column((header,), text=header in text) for header in headers)


def text_row(label: str, *texts: str) -> Row:
    """A row of texts."""
    return Row(label, tuple(Cell(text=text) for text in texts))


def text_table(
    title: str, lines: Sequence[Mapping[str, str]], *, text: Sequence[str] = (), **more: Any
) -> Table:
    """A table of texts: each row's by header, its name first; some columns hold words."""
    label, *headers = lines[0]
    rows = tuple(text_row(*line.values()) for line in lines)
    return Table(title, text_columns(*headers, text=text), rows, label=label, **more)


def run_name(row: pd.Series) -> str:
    """A run's model, test set and map variant, from a row of its numbers."""
    guided = ", object-guided maps" if row["map_variant"] == "ogl" else ""
    return f"{row['model']} on {row['dataset']}{guided}"


def run_title(row: pd.Series) -> str:
    """A run's name, how much of which test it saw, and its folder."""
    return (
        f"{run_name(row)}, protocol {row['protocol']}, N = {row['n']}"
        f" (coverage {coverage_text([row['coverage']])}), seed {row['seed']} ({row['run']})"
    )


def as_shown(value: float) -> float:
    """A fraction as the percentage that people read, with one decimal; what rounds to 0 is 0."""
    return round(100 * value, 1) + 0.0


def percent(value: float | None) -> str:
    """A fraction as a percentage with one decimal, `n/a` where undefined."""
    return MISSING if value is None or pd.isna(value) else f"{as_shown(value):.1f}"


def points(difference: float) -> str:
    """A difference of fractions in percentage points, with its sign; `n/a` where undefined."""
    return MISSING if pd.isna(difference) else f"{as_shown(difference):+.1f}"


def coverage_text(coverages: Iterable[float]) -> str:
    """Shares of listed samples that were evaluated, each once, in percent."""
    return ", ".join(dict.fromkeys(f"{100 * coverage:.4g} %" for coverage in coverages))


def labels_by(texts: Iterable[tuple[str, Any]]) -> dict[Any, list[str]]:
    """Labels of runs by their text, each once."""
    found: dict[Any, list[str]] = defaultdict(list)
    for label, text in dict.fromkeys(texts):
        found[text].append(label)
    return found


def by_source(thresholds: Iterable[tuple[str, str]]) -> list[str]:
    """Names of thresholds, those with one source together, each group with the source behind."""
    names = labels_by(thresholds)
    return [f"{', '.join(own)} ({source})" for source, own in names.items()]


def defined(value: Any) -> float | None:
    """A number, None where it is undefined."""
    return None if pd.isna(value) else float(value)


def number_cell(
    row: Mapping[Any, Any] | pd.Series,
    value: str = "value",
    low: str = "ci_low",
    high: str = "ci_high",
    unit: str = "%",
) -> Cell:
    """A number and its interval, from the columns of these names."""
    return Cell(defined(row[value]), defined(row[low]), defined(row[high]), unit=unit)


def one_row(rows: pd.DataFrame) -> Mapping[Any, Any] | None:
    """The one row of a summary that belongs in a cell; None for no row.

    Raises:
        ValueError: for several rows, of which the table would have to choose.
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
    """Make a table of summaries' numbers, one row for each name in the summary column `label`.

    Columns without numbers are left out.
    """
    columns, order = used_columns(summary, columns), list(conditions_of(summary))
    # rows behind the table, for its caption: of its metrics, and of the conditions it names
    behind = summary["metric"].isin([column.metric for column in columns])
    named = [column.condition for column in columns]
    if "" not in named and "all" not in named:  # else all conditions count
        single = [part for name in named for part in name.split(PAIR)]
        behind &= summary["condition"].isin([*named, *single])
    summary = summary[behind]
    rows = []
    for name, group in summary.groupby(label, sort=False) if columns else ():
        found = {column: one_row(group[column.chosen(group)]) for column in columns}
        cells = (
            Cell(text="") if number is None else number_cell(number, unit=column.unit)
            for column, number in found.items()
        )
        rows.append(Row(str(name), tuple(cells)))
    below, details = caption(summary, order=order) if columns else ("", ())
    return Table(title, tuple(columns), tuple(rows), below, details, label=label)


def used_columns(summary: pd.DataFrame, columns: Sequence[Column]) -> list[Column]:
    """The columns for which the summary has numbers."""
    return [column for column in columns if column.chosen(summary).any()]


def shared_threshold(summary: pd.DataFrame, policy: str) -> float | None:
    """A run's threshold under a policy; None where maps have their own, or it was not scored."""
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


def fitted_sources(summary: pd.DataFrame) -> list[str]:
    """Where learnt thresholds come from; of those that differ in the calibration run alone, one."""
    fitted = [s for s in pd.unique(summary["threshold_source"]) if s.startswith("fit on")]
    named = [re.sub(_CALIBRATION_RUN, ", another run for each model", source) for source in fitted]
    alike = Counter(named)
    pairs = zip(named, fitted, strict=True)
    return list(dict.fromkeys(one if alike[one] > 1 else own for one, own in pairs))


def extent(summary: pd.DataFrame) -> str:
    """How many samples are behind the rows of a table, how much of the test set, and the seed."""
    coverage, seeds = coverage_text(summary["coverage"]), _each_once(summary["seed"])
    return f"N = {summary['n'].max()} samples (coverage {coverage}), seed {seeds}"


def _each_once(values: pd.Series) -> str:
    return ", ".join(str(value) for value in pd.unique(values))


def caption(summary: pd.DataFrame, *, order: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
    """Say what the rows of a table rest on: a sentence, and details with one sentence each.

    The first has N, coverage, seed and interval; the others data, protocol, draws and thresholds.
    `order` is that of the audio conditions; the default is their order in the rows.
    """
    data, protocol = _each_once(summary["dataset"]), _each_once(summary["protocol"])
    draws = summary.groupby("condition")["draws"].max()
    conditions = conditions_of(summary).besides_positive(*SoundingObject)
    conditions = [c for c in order if c in conditions] or conditions
    per_type = ", ".join(f"{condition} x {draws[condition]}" for condition in conditions)
    sources = fitted_sources(summary)
    undefined = int(summary["n_undefined"].max())
    parts = [
        f"Data {data}, protocol {protocol}, list {_each_once(summary['manifest_hash'].str[:8])}.",
        f"Draws: {per_type}." if per_type else "Positives only.",
        "Intervals are over images, shared sounds and learnt thresholds.",
    ]
    if sources:
        parts.append(f"Learnt thresholds: {', '.join(sources)}.")
    constant = summary[summary["threshold_source"] == "constant"]
    pairs = constant[["threshold_policy", "threshold"]].drop_duplicates()
    parts += [f"Threshold {name}: {value:.4g}." for name, value in pairs.itertuples(index=False)]
    chosen = summary[summary["threshold_source"].str.startswith(CHOSEN_ON)]
    pairs = chosen[["threshold_policy", "threshold_source"]].drop_duplicates()
    parts += [f"Threshold {name}: {source}." for name, source in pairs.itertuples(index=False)]
    if undefined:
        parts.append(f"Up to {undefined} undefined values are left out of a mean.")
    return f"{extent(summary)}; percentages with 95 % intervals.", tuple(parts)
