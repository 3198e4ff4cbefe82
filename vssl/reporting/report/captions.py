"""What a table rests on, why some of its cells are gaps, and where its runs differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from vssl.records.conditions import condition_settings
from vssl.records.localization import AUDIO_VISUAL
from vssl.records.numbers import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.records.schema import NO_POLICY
from vssl.records.summary import PAIR
from vssl.reporting.published import TOLERANCE, short_source
from vssl.reporting.report.collection import Group, ReportRun
from vssl.reporting.report.columns import FALSE_ALARMS
from vssl.reporting.report.tables import Column, Row
from vssl.reporting.tables import as_shown, caption
from vssl.types import POSITIVE

_PUBLISHED = (
    "published figures are of the authors' checkpoints on these training sets and whole test sets;"
    " which of them a run's checkpoint is, its file does not say; differences are ours minus the"
    f" published, in points, and up to {100 * TOLERANCE:.2g} and half of the last digit printed are"
    " what a reproduction on the same images may differ by (our interval is over images)"
)


def caption_of(
    group: Group, columns: Sequence[Column], rows: Sequence[Row], absent: Sequence[Column]
) -> str:
    """What a table rests on, in one paragraph.

    Args:
        group: the runs.
        columns: the table's.
        rows: the table's.
        absent: columns that were left out because no run has a number for them.
    """
    parts = [caption(_shown(group, columns)), *_threshold_sources(rows), *_disagreements(group)]
    if any(column.metric == FALSE_ALARMS for column in columns):
        parts.append("FA: false alarms, the share of negatives in which anything is marked")
    if any(cell and cell.rank for row in rows for cell in row.cells):
        parts.append(
            "best bold, second underlined, but neither baselines nor models that mark nothing nor"
            " what one that knows nothing reaches (0, AUROC 50, FPR95 95, else 100 where lower is"
            " better)"
        )
    parts += _tops(group, columns)
    parts += _without_marks(group, columns)
    sources = {
        short_source(cell.source, cell.tier): None
        for row in rows
        for cell in row.cells
        if cell and cell.published is not None
    }
    if sources:
        parts.append(f"{_PUBLISHED}; sources: {', '.join(sources)}")
    gaps = [*_missing_models(rows), *_gaps(group, columns, rows)]
    gaps += [f"{column.header}: no run has it" for column in absent]
    if gaps:
        parts.append(f"gaps: {'; '.join(gaps)}")
    return "; ".join(parts) + "."


def _shown(group: Group, columns: Sequence[Column]) -> pd.DataFrame:
    """The summary rows behind a table; where it has none, all that its runs have."""
    summary = pd.concat([run.summary for run in group.runs], ignore_index=True)
    places = {(c.metric, c.condition, c.policy) for c in columns}
    if any(c.condition != POSITIVE for c in columns):  # pIA: the draws of every negative
        places |= {("pia", name, c.policy) for name in NEGATIVE_TYPES for c in columns}
    keys = zip(*(summary[n] for n in ("metric", "condition", "threshold_policy")), strict=True)
    chosen = summary[[key in places for key in keys]]
    return chosen if len(chosen) else summary


def _threshold_sources(rows: Sequence[Row]) -> Iterator[str]:
    """Whose thresholds rest on what, where that differs."""
    by_source: dict[str, list[str]] = {}
    for row in rows:
        for source in {c.threshold_source for c in row.cells if c and c.threshold is not None}:
            by_source.setdefault(source, []).append(row.name)
    if len(by_source) > 1:
        yield "thresholds differ in their source: " + ", ".join(
            f"{', '.join(names)} ({source})" for source, names in by_source.items()
        )


def _disagreements(group: Group) -> Iterator[str]:
    """In which settings of their negatives the runs of a table differ."""
    settings: dict[str, dict[str, str]] = {}
    for run in group.runs:
        known = condition_settings(run.provenance)
        for name, count in run.draws.items():
            if name == POSITIVE:
                continue
            own = {"draws": str(count)}
            own |= {k: str(v) for k, v in known.get(name, {}).items() if k != "draws"}
            for key, value in own.items():
                settings.setdefault(f"{key} of {name}", {})[run.label] = value
    for setting, values in settings.items():
        if len(set(values.values())) > 1:
            yield f"runs differ in {setting}: {', '.join(f'{k} {v}' for k, v in values.items())}"
    choices: dict[tuple[tuple[str, int], ...], dict[str, str]] = {}
    for run in group.runs:
        sha256 = str(run.provenance.get("negatives_manifest_sha256"))
        choices.setdefault(tuple(run.draws.items()), {})[run.label] = sha256
    for alike in choices.values():
        if len(set(alike.values())) > 1:
            yield f"the negatives of {', '.join(alike)} were not drawn alike (seed or manifest)"


def marks_nothing(run: ReportRun, policy: str, variant: str) -> bool:
    """Whether a run marks nothing of the images under their own sound, as far as people see."""
    area = run.number("pia", POSITIVE, policy, variant) if policy != NO_POLICY else None
    return area is not None and as_shown(area["value"]) == 0


def _without_marks(group: Group, columns: Sequence[Column]) -> Iterator[str]:
    """Runs that mark nothing, whose numbers on negatives say nothing."""
    for policy in dict.fromkeys(column.policy for column in columns):
        found = [
            run.label if variant == AUDIO_VISUAL else f"{run.label} + OGL"
            for run in group.runs
            for variant in run.variants
            if not run.is_baseline and marks_nothing(run, policy, variant)
        ]
        if found:
            yield (
                f"0.0 % of the images, even under their own sound, are marked at {policy} by"
                f" {', '.join(found)}, so that its numbers get no mark"
            )


def _tops(group: Group, columns: Sequence[Column]) -> Iterator[str]:
    """Runs whose threshold is the top of their maps' range, so that nothing can lie above it."""
    policies = dict.fromkeys(c.policy for c in columns if c.policy != NO_POLICY)
    for policy in policies:
        found = []
        for run in group.runs:
            threshold, top = run.threshold(policy), _top(run)
            if threshold is not None and top is not None and threshold >= top:
                found.append(run.label)
        if found:
            yield (
                f"{', '.join(found)}: {policy} is at the top of the maps' range, so that nothing"
                " lies above it"
            )


def _top(run: ReportRun) -> float | None:
    """The largest value that a map of a run can have; None where that has no bound."""
    if run.provenance.get("map_transform", "none") != "none":  # stretched to [0, 1]
        return 1.0
    top = (run.provenance.get("value_range") or (None, None))[1]
    return None if top is None else float(top)


def _missing_models(rows: Sequence[Row]) -> Iterator[str]:
    missing = [row.label for row in rows if row.reason]
    if missing:
        yield f"no finished run of {', '.join(missing)}"


def _gaps(group: Group, columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[str]:
    """Why cells of rows that have a run are empty: each reason with the rows that it holds for."""
    runs = {run.label: run for run in group.runs}
    reasons: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.reason or row.note:
            continue
        for column, cell in zip(columns, row.cells, strict=True):
            if cell is None:
                why = why_missing(runs[row.label], column)
                reasons.setdefault(why, {})[row.name] = None
    for reason, names in reasons.items():
        everyone = 1 < len(names) == sum(not row.reason for row in rows)
        yield f"{'all runs' if everyone else ', '.join(names)}: {reason}"


def why_missing(run: ReportRun, column: Column) -> str:
    """Why a run has no number for a column."""
    if column.policy not in set(run.summary["threshold_policy"]):
        if column.policy == NO_POLICY:
            return f"{column.bottom} was not scored (vssl-rescore adds it)"
        if column.policy.startswith("universal") and not run.negatives:
            return "no negatives, from which a universal threshold is learnt"
        return f"{column.policy} was not scored (vssl-rescore threshold={column.policy} adds it)"
    needed = NEGATIVE_TYPES if column.condition == ALL_NEGATIVES else column.condition.split(PAIR)
    lacking = [name for name in needed if name not in run.conditions]
    if lacking:
        return f"no {', '.join(lacking)} among its negatives"
    return f"{column.bottom} was not scored (vssl-rescore adds it)"
