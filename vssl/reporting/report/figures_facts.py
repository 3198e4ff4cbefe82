"""What every figure says below itself: test set, protocol, N, coverage, seed, draws, thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from vssl.reporting.report.collection import Group, ReportRun
from vssl.types import POSITIVE


def facts(group: Group, runs: Sequence[ReportRun]) -> str:
    """The facts of a figure's runs that no figure goes without; what differs is named by run."""
    parts = [
        f"Test set {group.dataset}, protocol {group.protocol}",
        f"N = {_common(runs, lambda r: str(r.provenance['evaluated']))} samples (coverage"
        f" {_common(runs, lambda r: _percent(r.provenance['coverage']))},"
        f" list {group.manifest_hash[:8]})",
        f"draws: {_common(runs, _draws)}",
        f"seed {_common(runs, lambda r: str(r.provenance['seed']))}",
    ]
    return f"{'; '.join(parts)}."


def thresholds_of(runs: Sequence[ReportRun], policies: Sequence[str], variant: str) -> str:
    """Values of threshold policies by run, and what they rest on.

    Runs without a policy are left to `Gaps`.
    """
    values, sources = [], {}
    for run in runs:
        known = {p: run.threshold(p, variant) for p in policies}
        texts = [f"{p} {value:.4g}" for p, value in known.items() if value is not None]
        if texts:
            values.append(f"{run.label} {', '.join(texts)}")
            sources[run.label] = ", ".join(_sources(run, list(known), variant))
    if not values:
        return ""
    different = dict.fromkeys(sources.values())
    if len(different) == 1:
        rest = next(iter(different))
    else:
        rest = "; ".join(
            f"{', '.join(label for label, s in sources.items() if s == source)}: {source}"
            for source in different
        )
    return f"Thresholds: {'; '.join(values)}. They rest on: {rest}."


class Gaps:
    """What is missing in a figure: reasons, with the runs that each holds for."""

    def __init__(self) -> None:
        self._labels: dict[str, dict[str, None]] = {}

    def add(self, label: str, reason: str) -> None:
        """Note a reason for a run, by its label."""
        self._labels.setdefault(reason, {})[label] = None

    @property
    def text(self) -> str:
        """One sentence; empty where nothing is missing."""
        texts = [f"{', '.join(labels)}: {reason}" for reason, labels in self._labels.items()]
        return f"Gaps: {'; '.join(texts)}." if texts else ""


def paragraph(*parts: str) -> str:
    """Sentences as one text; empty ones are left out."""
    return " ".join(part for part in parts if part)


def variant_words(variant: str) -> str:
    """A map variant behind a title: nothing for the models' own maps."""
    return "" if variant == "av" else ", object-guided maps (OGL)"


def _sources(run: ReportRun, policies: Sequence[str], variant: str) -> list[str]:
    rows = run.summary
    chosen = rows["threshold_policy"].isin(list(policies)) & (rows["map_variant"] == variant)
    return [str(name) for name in pd.unique(rows.loc[chosen, "threshold_source"])]


def _draws(run: ReportRun) -> str:
    drawn = [f"{name} x {count}" for name, count in run.draws.items() if name != POSITIVE]
    return ", ".join(drawn) or "positives only"


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _common(runs: Sequence[ReportRun], value: Callable[[ReportRun], str]) -> str:
    by_value: dict[str, list[str]] = {}
    for run in runs:
        by_value.setdefault(value(run), []).append(run.label)
    if len(by_value) == 1:
        return next(iter(by_value))
    return " / ".join(f"{text} ({', '.join(labels)})" for text, labels in by_value.items())
