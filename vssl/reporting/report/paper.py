"""The tables of a group: the paper's, the field's, separation, listening, altered, published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from vssl.errors import UsageError
from vssl.reporting.names import PAPER_MODELS
from vssl.reporting.published import NO_SOURCE, beside_published, read_published
from vssl.reporting.report.captions import caption_of, marks_nothing
from vssl.reporting.report.collection import Collection, Group, ReportRun
from vssl.reporting.report.columns import (
    FALSE_ALARMS,
    altered_columns,
    field_columns,
    listening_columns,
    paper_columns,
    published_columns,
    separation_columns,
)
from vssl.reporting.report.tables import Cell, Column, Row, Table
from vssl.reporting.tables import as_shown
from vssl.types import SoundingObjects

Figure = dict[str, Any]  # a row of `published.beside_published`

DEFAULT_POLICY = "universal_q3"
_NO_RUN = "no finished run"
_PLACE = ("metric", "condition", "threshold_policy", "map_variant")
_KNOWS_NOTHING = {"auroc": 0.5, "fpr95": 0.95, "swap_delta": 0.0}
"""What a model without knowledge reaches, where that is neither 0 nor, if low is good, 1."""


def check_policy(collection: Collection, policy: str) -> None:
    """Refuse a policy that cannot stand over positives and negatives.

    Raises:
        UsageError: when no run has it, or every map has a threshold of its own under it.
    """
    runs = [run for group in collection.groups for run in group.runs]
    shared: set[str] = set()
    own: set[str] = set()
    for run in runs:
        has = run.summary.groupby("threshold_policy")["threshold"].count()
        shared |= {str(name) for name in has[has > 0].index}
        own |= {str(name) for name in has[has == 0].index}
    if policy in shared:
        return
    if policy in own:
        raise UsageError(
            f"--policy {policy}: gives every map a threshold of its own, so that it says nothing"
            f" of negatives. One threshold for all maps have: {', '.join(sorted(shared))}."
        )
    raise UsageError(
        f"--policy {policy}: no run was scored with it. There are"
        f" {', '.join(sorted(shared)) or 'none with one threshold for all maps'};"
        f" vssl-rescore run=RUN threshold={policy} adds it."
    )


def build_tables(
    group: Group, *, policy: str = DEFAULT_POLICY, expected: Sequence[str] = ()
) -> tuple[Table, ...]:
    """All tables of a group.

    Args:
        group: runs of one test set, protocol and list of ids.
        policy: threshold policy of the paper's table and of listening, one for all maps.
        expected: models that have a row without numbers where they have no run.

    Returns:
        `paper`, `field`, `separation`, `listening`, `altered` where runs have other sounds of the
        own object, and `published` where there are figures.
    """
    published = read_published()
    published = published[published["source"] != NO_SOURCE]
    figures = {run.folder: _figures(run, published) for run in group.runs}
    about = f"{group.dataset}, protocol {group.protocol}"
    sounding = SoundingObjects((c, run.sounding[c]) for run in group.runs for c in run.conditions)
    listening, absent = _used(group, listening_columns(policy, sounding))
    paper, unscored = _used(group, paper_columns(policy), only=FALSE_ALARMS)
    altered = altered_columns(policy, sounding)
    wanted = {
        "paper": (
            f"{about}: positives and negatives at one threshold ({policy})",
            paper,
        ),
        "field": (f"{about}: as the field tests, positives only", field_columns()),
        "separation": (
            f"{about}: do map maxima tell positives from negatives?",
            separation_columns(),
        ),
        "listening": (f"{about}: does the map follow the sound? ({policy})", listening),
    }
    if altered:
        title = f"{about}: does the map withstand altered sound? ({policy})"
        wanted["altered"] = (title, altered)
    left_out = {"listening": absent, "paper": unscored}
    tables = [
        _table(group, name, title, columns, figures, left_out.get(name, ()), expected)
        for name, (title, columns) in wanted.items()
    ]
    return (*tables, *_published_table(group, figures, f"{about}: beside published figures"))


def _table(
    group: Group,
    name: str,
    title: str,
    columns: Sequence[Column],
    figures: Mapping[Path, Sequence[Figure]],
    absent: Sequence[Column],
    expected: Sequence[str],
) -> Table:
    rows = [
        Row(
            run.label,
            variant,
            tuple(_cell(run, column, variant, figures[run.folder]) for column in columns),
            baseline=run.is_baseline,
            facts=_facts(run),
        )
        for run in group.runs
        for variant in run.variants
    ]
    rows = ranked(_with_missing_models(rows, columns, expected), columns)
    caption = caption_of(group, columns, rows, absent)
    return Table(name, title, caption, tuple(columns), tuple(rows))


def _cell(run: ReportRun, column: Column, variant: str, figures: Sequence[Figure]) -> Cell | None:
    number = run.number(column.metric, column.condition, column.policy, variant)
    if number is None:
        return None
    cell = Cell(
        value=_defined(number["value"]),
        low=_defined(number["ci_low"]),
        high=_defined(number["ci_high"]),
        n=int(number["n"]),
        rank=None,
        published=None,
        source="",
        run=str(run.folder),
        std=_defined(number["std_over_draws"]),
        draws=int(number["draws"]),
        n_undefined=int(number["n_undefined"]),
        threshold=_defined(number["threshold"]),
        threshold_source=str(number["threshold_source"]),
    )
    cell = replace(cell, competes=_competes(run, column, variant, cell.value))
    place = (column.metric, column.condition, column.policy, variant)
    own = [figure for figure in figures if tuple(figure[key] for key in _PLACE) == place]
    if len(own) != 1:  # of several, none is more this checkpoint's than another
        return cell
    return replace(
        cell,
        published=float(own[0]["published"]),
        source=str(own[0]["source"]),
        training_set=str(own[0]["training_set"]),
        tier=str(own[0]["tier"]),
        margin=float(own[0]["margin"]),
        within=own[0]["within"],
    )


def _competes(run: ReportRun, column: Column, variant: str, value: float | None) -> bool:
    """Whether a number can be the best of its column."""
    if value is None or marks_nothing(run, column.policy, variant):
        return False
    sign = 1 if column.higher_is_better else -1
    without = _KNOWS_NOTHING.get(column.metric, 0.0 if column.higher_is_better else 1.0)
    return sign * as_shown(value) > sign * as_shown(without)


def _defined(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _facts(run: ReportRun) -> dict[str, Any]:
    """What the csv repeats of a run in each of its rows."""
    return {
        "model": run.model,
        "run": str(run.folder),
        "seed": run.provenance["seed"],
        "coverage": run.provenance["coverage"],
        "config_hash": run.provenance["config_hash"],
        "weights_sha256": run.weights_sha256,
    }


def _with_missing_models(
    rows: Sequence[Row], columns: Sequence[Column], expected: Sequence[str]
) -> list[Row]:
    """The rows, and rows without numbers for expected models that have no run."""
    there = {row.facts["model"] for row in rows}
    nothing = tuple(None for _ in columns)
    gaps = [
        Row(name, "av", nothing, reason=_NO_RUN, facts={"model": name})
        for name in expected
        if name not in there
    ]
    own = [row for row in rows if not row.baseline]
    return [*_in_the_papers_order([*own, *gaps]), *(row for row in rows if row.baseline)]


def _in_the_papers_order(rows: Sequence[Row]) -> list[Row]:
    def place(row: Row) -> int:
        model = str(row.facts["model"])
        kin = (i for i, name in enumerate(PAPER_MODELS) if model.startswith(f"{name}_"))
        exact = PAPER_MODELS.index(model) if model in PAPER_MODELS else None
        return exact if exact is not None else next(kin, len(PAPER_MODELS))

    return sorted(rows, key=place)  # stable: kin stay behind


def ranked(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """The rows with the best and the second of each column marked, baselines aside.

    Values that look the same, to a tenth of a percent, share a rank, and no second follows two that
    are best. Where all are tied, as where there is only one, nothing is marked; nor is what cannot
    compete (`Cell.competes`).
    """
    cells = [list(row.cells) for row in rows]
    for at, column in enumerate(columns):
        sign = 1 if column.higher_is_better else -1
        values: dict[int, float] = {}
        for number, row in enumerate(rows):
            cell = row.cells[at]
            if not row.baseline and cell is not None and cell.value is not None:
                values[number] = sign * as_shown(cell.value)
        if len(set(values.values())) < 2:
            continue
        able = {n: v for n, v in values.items() if (cell := cells[n][at]) and cell.competes}
        for number, value in able.items():
            rank = 1 + sum(other > value for other in able.values())
            cell = cells[number][at]
            if rank <= 2 and cell is not None:
                cells[number][at] = replace(cell, rank=rank)
    return [replace(row, cells=tuple(own)) for row, own in zip(rows, cells, strict=True)]


def _used(
    group: Group, columns: Sequence[Column], *, only: str = ""
) -> tuple[list[Column], list[Column]]:
    """The columns for which a run has a number, and the others; if asked, `only` of a metric."""

    def has(column: Column) -> bool:
        if only and column.metric != only:
            return True
        place = (column.metric, column.condition, column.policy)
        return any(run.number(*place, v) is not None for run in group.runs for v in run.variants)

    used = [column for column in columns if has(column)]
    return used, [column for column in columns if column not in used]


def _figures(run: ReportRun, published: pd.DataFrame) -> list[Figure]:
    """Published figures of a run's model and test set that have a source."""
    rows: list[Any] = beside_published(run.summary, published).to_dict("records")
    return [row for row in rows if row["source"] != NO_SOURCE and not pd.isna(row["published"])]


def _published_table(
    group: Group, figures: Mapping[Path, Sequence[Figure]], title: str
) -> Iterator[Table]:
    """Every published figure beside ours; nothing where there is none."""
    names = [figure["published_metric"] for known in figures.values() for figure in known]
    if not names:
        return
    columns = published_columns(names)
    rows: list[Row] = []
    for run in group.runs:
        by_row: dict[tuple[str, str], list[Figure]] = {}
        for figure in figures[run.folder]:
            note = f"published as {figure['published_variant']}, {figure['training_set']}"
            by_row.setdefault((figure["map_variant"], note), []).append(figure)
        for (variant, note), known in by_row.items():
            found = [_cell(run, column, variant, known) for column in columns]
            cells = tuple(cell if cell and cell.source else None for cell in found)
            rows.append(Row(run.label, variant, cells, note=note, facts=_facts(run)))
    caption = caption_of(group, columns, rows, ())
    yield Table("published", title, caption, tuple(columns), tuple(rows))
