"""The tables of a group: the paper's, the field's, and those of what else its runs have."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from vssl.core.errors import UsageError
from vssl.core.files import write_text
from vssl.core.hashing import hash_text
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.records.schema import NO_POLICY
from vssl.reporting.collection import Collection, Group, ReportRun
from vssl.reporting.published import beside_published, read_published
from vssl.reporting.run_labels import paper_place
from vssl.reporting.tables import columns
from vssl.reporting.tables.captions import absences, caption_of, marks_nothing, why_missing
from vssl.reporting.tables.latex import latex_tables
from vssl.reporting.tables.model import (
    BASELINES_GROUP,
    Cell,
    Column,
    Row,
    Table,
    as_shown,
    number_cell,
)
from vssl.reporting.tables.render import markdown_table
from vssl.types import NATURAL, SoundingObject, SoundingObjects

Published = dict[Any, Any]  # a row of `published.beside_published`

EQUAL_RATES = ("false_alarm_1", "false_alarm_5", "false_alarm_10")
"""Threshold policies that let a stated share of the negatives be marked."""

_ASKED = ("paper", "field", "separation")  # the first details say why one of these lacks
_FEW_CLASSES = 12  # more have no table; subsets.parquet has them all
_PLACE = ("metric", "condition", "threshold_policy", "map_variant")
_WHOLE = ("n", "n_undefined", "draws", "seed", "rank")
_CSV = (
    *("table", "run_label", "model", "map_variant", "baseline", "dataset", "protocol"),
    *("threshold_policy", "threshold", "threshold_source", "condition", "metric"),
    *("higher_is_better", "value", "ci_low", "ci_high", "std_over_draws", "n", "n_undefined"),
    *("draws", "rank", "seed", "coverage", "manifest_hash", "config_hash", "weights_sha256", "run"),
    *("published", "training_set", "source", "tier", "difference", "margin", "within", "gap"),
)


def check_policy(collection: Collection, policy: str) -> None:
    """Refuse a policy that no run has, or under which each map has another threshold."""
    summaries = [run.summary for group in collection.groups for run in group.runs]
    thresholds = pd.concat(summaries).groupby("threshold_policy")["threshold"].count()
    if thresholds.get(policy, 0):
        return
    shared = ", ".join(sorted(map(str, thresholds[thresholds > 0].index)))
    if policy in thresholds:
        raise UsageError(
            f"--policy {policy}: gives every map a threshold of its own, so that it says nothing"
            f" of negatives. One threshold for all maps have: {shared}."
        )
    raise UsageError(
        f"--policy {policy}: no run was scored with it. There are"
        f" {shared or 'none with one threshold for all maps'};"
        f" vssl-rescore run=RUN threshold={policy} adds it."
    )


def write_tables(
    group: Group,
    output: Path,
    *,
    policy: str = "universal_q3",
    intervals: bool = False,
    expected: Sequence[str] = (),
) -> tuple[Table, ...]:
    """Write a group's tables (`build_tables`) as `paper_<group>.md`, `.csv` and `.tex`.

    The csv has one row for each cell, fractions, with all settings as columns; runs are named
    relative to `output`. With `intervals` LaTeX has them too; the others always have.
    """
    tables = build_tables(group, policy=policy, expected=expected)
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"paper_{group.name}.md"
    texts = (markdown_table(table, below="<br><sub>{}</sub>") for table in tables)
    write_text(path, "\n".join(texts))
    frame = _long_form(group, tables, output)
    write_text(path.with_suffix(".csv"), frame.to_csv(index=False, lineterminator="\n"))
    latex = latex_tables(tables, label=group.name, made_by="vssl-report", intervals=intervals)
    write_text(path.with_suffix(".tex"), latex)
    return tables


def _long_form(group: Group, tables: Sequence[Table], output: Path) -> pd.DataFrame:
    """One row for each cell; a gap has its reason in the column `gap`."""
    runs = {run.label: run for run in group.runs}
    lines: list[dict[str, Any]] = []
    for table in tables:
        for row in table.rows:
            facts = dict(row.facts)
            if "run" in facts:
                facts["run"] = Path(os.path.relpath(facts["run"], output)).as_posix()
            for column, cell in zip(table.columns, row.cells, strict=True):
                if cell is None and row.note:
                    continue
                gap = row.reason
                if cell is None and not gap:
                    gap = why_missing(runs[row.label], column)
                known = {} if cell is None else {**cell.number, **cell.figure, "rank": cell.rank}
                lines.append(known | facts | {
                    "table": "/".join(dict.fromkeys([table.name, *(column.subset or ())])),
                    "run_label": row.label, "map_variant": row.variant,
                    "baseline": row.baseline, "dataset": group.dataset, "protocol": group.protocol,
                    "threshold_policy": column.policy, "condition": column.condition,
                    "metric": column.metric, "higher_is_better": column.higher_is_better,
                    "manifest_hash": group.manifest_hash, "gap": gap,
                })  # fmt: skip
    return pd.DataFrame(lines, columns=list(_CSV)).astype(dict.fromkeys(_WHOLE, "Int64"))


def build_tables(
    group: Group, *, policy: str = "universal_q3", expected: Sequence[str] = ()
) -> tuple[Table, ...]:
    """Build all tables of a group; `policy` must have one threshold for all maps.

    A table is of what runs have: columns in which no run has a number are named in its details, and
    a table without others is left out. `other` holds metrics that no layout names. `expected`
    models without a run have rows without numbers.
    """
    published = read_published().dropna(subset="published")
    figures: dict[Path, list[Published]] = {}
    for run in group.runs:
        known = beside_published(run.summary, published).dropna(subset="published")
        figures[run.folder] = known.to_dict("records")
    sounding = SoundingObjects((c, run.sounding[c]) for run in group.runs for c in run.conditions)
    own = sounding.besides_positive(SoundingObject.NONE)
    negatives = tuple(dict.fromkeys((*NEGATIVE_TYPES, *own)))
    recorded = [name for name in own if name != NATURAL]
    everything = [(run, variant) for run in group.runs for variant in run.variants]
    joined = pd.concat([run.summary for run in group.runs])
    scored = set(joined["threshold_policy"])
    subsets = columns.subsets_by_kind(group.runs)
    if len(subsets[columns.CLASSES]) > _FEW_CLASSES:
        del subsets[columns.CLASSES]
    places = (tuple(f[key] for key in _PLACE[:3]) for own in figures.values() for f in own)
    questions = {
        "paper": f"positives and negatives at one threshold ({policy})",
        "field": "as the field tests, positives only",
        "equal_rates": "what is left at equal rates of false alarms?",
        "separation": "do map maxima tell positives from negatives?",
        "detection": f"object found and negatives rejected, as one detection ({policy})",
        "listening": f"does the map follow the sound? ({policy})",
        "altered": f"does the map withstand altered sound? ({policy})",
        "avsbench": f"as AVSBench and AVSBench-Robust test ({policy})",
        "object_size": f"by object size ({policy})",
        "flags": f"by flags of the samples ({policy})",
        "category": f"by class ({policy})",
        "published": "beside published figures",
        "other": f"other metrics ({policy})",
    }
    layouts = {
        "paper": columns.paper_columns(policy, negatives),
        "field": columns.field_columns(),
        "equal_rates": columns.equal_rate_columns(
            [name for name in EQUAL_RATES if name in scored], negatives
        ),
        "separation": columns.separation_columns(negatives),
        "detection": columns.detection_columns(policy, negatives),
        "listening": columns.listening_columns(sounding, policy),
        "altered": columns.altered_columns(sounding, policy),
        "avsbench": columns.avsbench_columns(policy, recorded),
        **{kind: columns.subset_columns(keys, policy, recorded) for kind, keys in subsets.items()},
        "published": columns.published_columns(places),
        "other": columns.other_columns(joined, policies=[policy, NO_POLICY]),
    }
    placed = {column.place for column in layouts["avsbench"]}
    layouts["other"] = [column for column in layouts["other"] if column.place not in placed]
    tables: list[Table] = []
    left_out: list[str] = []
    for name, wanted in layouts.items():
        absent = [
            column
            for column in wanted
            if all(_number(run, column, variant) is None for run, variant in everything)
        ]
        used = [column for column in wanted if column not in absent]
        if not used:
            if name in _ASKED:
                left_out.append(f"{questions[name]} ({'; '.join(absences(group, absent))})")
            continue
        if name == "published":
            rows = list(_published_rows(group, used, figures))
        else:
            rows = []
            for run, variant in everything:
                cells = [_report_cell(run, c, variant, figures[run.folder]) for c in used]
                rows.append(_report_row(run, variant, cells))
            rows = ranked(_with_missing_models(rows, used, expected), used)
        title = f"{group.dataset}, protocol {group.protocol}: {questions[name]}"
        texts = caption_of(group, used, rows, absent)
        tables.append(Table(title, tuple(used), tuple(rows), *texts, name=name))
    if tables and left_out:
        said = f"Left out: {'; '.join(left_out)}."
        tables[0] = replace(tables[0], details=(*tables[0].details, said))
    return tuple(tables)


def _published_rows(
    group: Group, columns: Sequence[Column], figures: Mapping[Path, Sequence[Published]]
) -> Iterator[Row]:
    """A row for each run, map variant, and training set of published figures."""
    for run in group.runs:
        notes: dict[tuple[str, str], list[Published]] = defaultdict(list)
        for figure in figures[run.folder]:
            note = f"published as {figure['published_variant']}, {figure['training_set']}"
            notes[figure["map_variant"], note].append(figure)
        for (variant, note), own in notes.items():
            cells = [_report_cell(run, column, variant, own) for column in columns]
            known = [cell if cell and cell.figure else None for cell in cells]
            yield replace(_report_row(run, variant, known), note=note, group="")


def _report_row(run: ReportRun, variant: str, cells: Sequence[Cell | None]) -> Row:
    facts = {
        "model": run.model,
        "run": str(run.folder),
        "weights_sha256": hash_text((run.provenance.get("weights") or {}).get("sha256")),
        **{key: run.provenance[key] for key in ("seed", "coverage", "config_hash")},
    }
    group = BASELINES_GROUP if run.is_baseline else ""
    return Row(run.label, tuple(cells), variant, group=group, facts=facts)


def _number(run: ReportRun, column: Column, variant: str) -> pd.Series | None:
    """A number of a run, or of its subset."""
    part = run if column.subset is None else run.subsets.get(column.subset)
    return None if part is None else part.number(*column.place, variant)


def _report_cell(
    run: ReportRun, column: Column, variant: str, figures: Sequence[Published]
) -> Cell | None:
    number = _number(run, column, variant)
    if number is None:
        return None
    place = (*column.place, variant)
    figures = [] if column.subset else figures  # published are numbers of whole test sets
    figures = [figure for figure in figures if place == tuple(figure[key] for key in _PLACE)]
    cell = number_cell(number, unit=column.unit)
    return replace(
        cell,
        competes=_competes(run, column, variant, cell.value),
        number=number.dropna().to_dict(),
        # of several, none is more this checkpoint's than another
        figure=figures[0] if len(figures) == 1 else {},
    )


def _competes(run: ReportRun, column: Column, variant: str, value: float | None) -> bool:
    """Whether a number can be the best of its column."""
    if value is None or marks_nothing(run, column.policy, variant):
        return False
    sign = 1 if column.higher_is_better else -1
    without = column.chance
    if without is None:
        if column.unit != "%":
            return True
        without = 0.0 if column.higher_is_better else 1.0
    return sign * as_shown(value) > sign * as_shown(without)


def _with_missing_models(
    rows: Sequence[Row], columns: Sequence[Column], expected: Sequence[str]
) -> list[Row]:
    """The rows, and rows without numbers for expected models that have no run."""
    present = {row.facts["model"] for row in rows}
    gaps = [
        Row(name, (None,) * len(columns), reason="no finished run", facts={"model": name})
        for name in expected
        if name not in present
    ]
    return sorted([*rows, *gaps], key=lambda row: (row.baseline, paper_place(row.facts["model"])))


def ranked(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Mark the best and the second of each column, baselines aside.

    Values that look the same share a rank, and no second follows two that are best. Nothing is
    marked where all are tied, for a single value, and for cells that cannot compete
    (`Cell.competes`).
    """
    cells = [list(row.cells) for row in rows]
    for at, column in enumerate(columns):
        sign = 1 if column.higher_is_better else -1
        shown = {
            number: (sign * as_shown(cell.value), cell)
            for number, row in enumerate(rows)
            if not row.baseline and (cell := row.cells[at]) and cell.value is not None
        }
        if len({value for value, _ in shown.values()}) < 2:
            continue
        able = [value for value, cell in shown.values() if cell.competes]
        for number, (value, cell) in shown.items():
            rank = 1 + sum(other > value for other in able)
            if cell.competes and rank <= 2:
                cells[number][at] = replace(cell, rank=rank)
    return [replace(row, cells=tuple(own)) for row, own in zip(rows, cells, strict=True)]
