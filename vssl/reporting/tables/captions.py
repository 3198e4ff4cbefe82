"""Captions of tables: settings, reasons of gaps, differences of the runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import pandas as pd

from vssl.core.negatives import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.records.conditions import condition_settings
from vssl.records.schema import NO_POLICY
from vssl.records.summary import PAIR
from vssl.reporting.collection import Group, ReportRun
from vssl.reporting.published import REPRODUCTION_MARGIN, short_source
from vssl.reporting.tables.columns import FALSE_ALARMS, subset_name
from vssl.reporting.tables.model import Column, Row, as_shown, by_source, caption, labels_by
from vssl.types import NATURAL, POSITIVE

_PUBLISHED = (
    "Published figures are of the authors' checkpoints on these training sets and whole test sets;"
    " which of them a run's checkpoint is, its file does not say; differences are ours minus the"
    f" published, in points, and up to {100 * REPRODUCTION_MARGIN:.2g} and half of the last"
    " digit printed are what a reproduction on the same images may differ by (our interval is over"
    " images)"
)


def caption_of(
    group: Group, columns: Sequence[Column], rows: Sequence[Row], absent: Sequence[Column]
) -> tuple[str, tuple[str, ...]]:
    """Caption and details of a table; `absent` columns have no number in any run."""
    cells = [cell for row in rows for cell in row.cells if cell]
    first, settings = caption(_rows_behind(group, columns))
    parts = list(settings)
    thresholds = by_source(
        (row.name, source)
        for row in rows
        for source in {
            c.number["threshold_source"] for c in row.cells if c and c.threshold is not None
        }
    )
    if len(thresholds) > 1:
        parts.append(f"Thresholds differ in their source: {', '.join(thresholds)}.")
    parts += disagreements(group)
    if FALSE_ALARMS in {column.metric for column in columns}:
        parts.append("FA: false alarms, the share of negatives in which anything is marked.")
    if any(cell.rank for cell in cells):
        first = f"{first[:-1]}; best bold, second underlined."
        parts.append(
            "No mark have baselines, models that mark nothing, and what a model that knows nothing"
            " reaches (0, AUROC 50, FPR95 95, else 100 where lower is better)."
        )
    policies = [name for name in dict.fromkeys(c.policy for c in columns) if name != NO_POLICY]
    for policy in policies:
        parts += _at_the_top(group, policy)
    parts += _without_marks(group, policies)
    figures = [cell.figure for cell in cells if cell.figure]
    sources = dict.fromkeys(short_source(each["source"], each["tier"]) for each in figures)
    if sources:
        parts.append(f"{_PUBLISHED}; sources: {', '.join(sources)}.")
    missing = ", ".join(row.label for row in rows if row.reason)
    gaps = [f"no finished run of {missing}"] if missing else []
    gaps += [*_gaps(group, columns, rows), *absences(group, absent)]
    parts += _subset_sizes(group, columns)
    if gaps:
        parts.append(f"Gaps: {'; '.join(gaps)}.")
    return first, tuple(parts)


def _rows_behind(group: Group, columns: Sequence[Column]) -> pd.DataFrame:
    """The summary rows behind a table."""
    summary = pd.concat([run.summary for run in group.runs], ignore_index=True)
    places = {column.place for column in columns}
    if any(c.condition != POSITIVE for c in columns):  # pIA: the draws of every negative
        places |= {("pia", name, c.policy) for name in NEGATIVE_TYPES for c in columns}
    keys = pd.MultiIndex.from_frame(summary[["metric", "condition", "threshold_policy"]])
    return summary[keys.isin(list(places))]


def disagreements(group: Group) -> Iterator[str]:
    """Settings of the negatives in which the runs of a table differ."""
    settings: dict[str, dict[str, str]] = defaultdict(dict)
    choices: dict[tuple[tuple[str, int], ...], dict[str, str]] = defaultdict(dict)
    for run in group.runs:
        known = condition_settings(run.provenance)
        for name, count in run.draws.items():
            if name != POSITIVE:
                for key, value in ({"draws": 0} | known.get(name, {}) | {"draws": count}).items():
                    settings[f"{key} of {name}"][run.label] = str(value)
        sha256 = str(run.provenance.get("negatives_manifest_sha256"))
        choices[tuple(run.draws.items())][run.label] = sha256
    for setting, values in settings.items():
        if len(set(values.values())) > 1:
            yield f"Runs differ in {setting}: {', '.join(f'{k} {v}' for k, v in values.items())}."
    for alike in choices.values():
        if len(set(alike.values())) > 1:
            yield f"The negatives of {', '.join(alike)} were not drawn alike (seed or manifest)."


def marks_nothing(run: ReportRun, policy: str, variant: str) -> bool:
    """Whether a run marks 0.0 % of the images under their own sound."""
    area = run.number("pia", POSITIVE, policy, variant) if policy != NO_POLICY else None
    return area is not None and as_shown(area["value"]) == 0


def _without_marks(group: Group, policies: Sequence[str]) -> Iterator[str]:
    """Runs that mark nothing, so that their numbers on negatives mean nothing."""
    found = {
        policy: ", ".join(
            run.name(variant)
            for run in group.runs
            for variant in run.variants
            if not run.is_baseline and marks_nothing(run, policy, variant)
        )
        for policy in policies
    }
    for names, own in labels_by((policy, names) for policy, names in found.items()).items():
        if names:
            yield (
                f"0.0 % of the images, even under their own sound, are marked at {', '.join(own)}"
                f" by {names}, so that these numbers get no mark."
            )


def _at_the_top(group: Group, policy: str) -> Iterator[str]:
    """Runs whose threshold is the top of their maps' range, so that no pixel lies above it."""
    found = []
    for run in group.runs:
        top = (run.provenance.get("value_range") or (None, None))[1]
        if run.provenance.get("map_transform", "none") != "none":  # stretched to [0, 1]
            top = 1.0
        threshold = run.threshold(policy)
        if threshold is not None and top is not None and threshold >= float(top):
            found.append(run.label)
    if found:
        yield (
            f"{', '.join(found)}: {policy} is at the top of the maps' range, so that nothing"
            " lies above it."
        )


def _gaps(group: Group, columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[str]:
    """Reasons of empty cells, each with its rows."""
    runs = {run.label: run for run in group.runs}
    reasons = labels_by(
        (row.name, why_missing(runs[row.label], column))
        for row in rows
        if not row.reason and not row.note
        for column, cell in zip(columns, row.cells, strict=True)
        if cell is None
    )
    for reason, names in reasons.items():
        everyone = 1 < len(names) == sum(not row.reason for row in rows)
        yield f"{'all runs' if everyone else ', '.join(names)}: {reason}"


def absences(group: Group, absent: Sequence[Column]) -> list[str]:
    """Reasons of columns that no run has a number for, each once."""
    texts = []
    for column in absent:
        for reason in sorted({why_missing(run, column) for run in group.runs}):
            unscored = reason.startswith(column.bottom)
            texts.append(f"{column.header}: no run has it" if unscored else f"all runs: {reason}")
    return list(dict.fromkeys(texts))


def _subset_sizes(group: Group, columns: Sequence[Column]) -> Iterator[str]:
    """The subsets of a table, each with its number of samples."""
    sizes = []
    for key in dict.fromkeys(column.subset for column in columns if column.subset):
        first = next(run.subsets[key] for run in group.runs if key in run.subsets)
        sizes.append(f"{subset_name(*key, whole=True)}, {first.summary['n'].max()} samples")
    if sizes:
        yield f"Subsets: {'; '.join(sizes)}."


def why_missing(run: ReportRun, column: Column) -> str:
    """The reason why a run has no number for a column."""
    policy, condition = column.policy, column.condition
    unscored = f"{column.bottom} was not scored (vssl-rescore adds it)"
    if policy not in set(run.summary["threshold_policy"]):
        if policy == NO_POLICY:
            return unscored
        if policy.startswith("universal") and not set(run.negatives) - {NATURAL}:
            return "no negatives, from which a universal threshold is learnt"
        return f"{policy} was not scored (vssl-rescore threshold={policy} adds it)"
    needed = NEGATIVE_TYPES if condition == ALL_NEGATIVES else condition.split(PAIR)
    lacking = [name for name in needed if name not in run.conditions]
    return f"no {', '.join(lacking)} among its negatives" if lacking else unscored
