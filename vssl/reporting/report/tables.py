"""The paper's tables, and those around them, as cells: text, csv and page are made of the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A number of a table. Fractions throughout.

    Attributes:
        value: None where it is undefined.
        low: lower end of the 95 % interval.
        high: upper end.
        n: samples.
        rank: 1 for the best of its column among models, 2 for the second, otherwise None.
        published: the published figure, where there is one and only one.
        source: of the published figure; empty where there is none.
        run: folder of the run, absolute.
        std: standard deviation over draws; None for a single draw.
        draws: number of draws.
        n_undefined: rows left out of the mean.
        training_set: of the published figure.
        tier: of its source: A an official README or code, B a maintainer's reply.
        margin: what a reproduction of the published figure may differ by.
        within: whether it does; None where that is not judged.
        threshold: None where every map has its own, or none is involved.
        threshold_source: what it was learnt from.
        competes: whether it can be the best: not where the model marks nothing, or where one that
            knows nothing would do as well.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int | None
    rank: int | None
    published: float | None
    source: str
    run: str
    std: float | None = None
    draws: int | None = None
    n_undefined: int = 0
    threshold: float | None = None
    threshold_source: str = ""
    training_set: str = ""
    tier: str = ""
    margin: float | None = None
    within: bool | None = None
    competes: bool = True

    @property
    def difference(self) -> float | None:
        """Ours minus the published."""
        if self.value is None or self.published is None:
            return None
        return self.value - self.published


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: unique within the table: `<metric>/<condition>/<policy>`.
        header: for people, without the arrow.
        higher_is_better: which way is better.
        percent: whether people read it times 100.
        metric: metric.
        condition: audio condition, pair of them, or `all`.
        policy: threshold policy.
        top: what neighbouring columns share, for a header of two lines; the header says it too.
        bottom: the rest of the header.
    """

    key: str
    header: str
    higher_is_better: bool
    percent: bool
    metric: str = ""
    condition: str = ""
    policy: str = ""
    top: str = ""
    bottom: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        label: of the run; for a model without run its name.
        variant: map variant.
        cells: one for each column; None is a gap, whose reason is in the caption.
        baseline: stands below a rule, and competes with nobody.
        reason: why the whole row is a gap; empty where it is not.
        note: what tells rows of one run apart: what a published figure's model was trained on.
        facts: of the run, for the csv: model, seed, coverage, hashes.
    """

    label: str
    variant: str
    cells: tuple[Cell | None, ...]
    baseline: bool = False
    reason: str = ""
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What people read: the label, `+ OGL` behind it for object-guided maps, and the note."""
        guided = f"{self.label} + OGL" if self.variant == "ogl" else self.label
        return f"{guided} ({self.note})" if self.note else guided

    @property
    def threshold(self) -> float | None:
        """The threshold that the row's cells share; None where there is none, or several."""
        found = {cell.threshold for cell in self.cells if cell and cell.threshold is not None}
        return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Table:
    """A table over the runs of a group.

    Attributes:
        name: `paper`, `field`, `separation`, `listening`, `altered` or `published`.
        title: what it shows.
        caption: data, protocol, N, coverage, draws, seed, thresholds and their source, interval,
            and the reasons of gaps.
        columns: its columns.
        rows: the paper's models, other models, baselines.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
