"""Joining of runs that differ only in negatives, so that a table has one row for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vssl.core.errors import UsageError
from vssl.records.join import JoinError, condition_draws, other_settings, without_negatives
from vssl.reporting.run_labels import mix_name

Facts = Mapping[str, Any]
Join = Callable[[Sequence[Path]], Path]
"""Joins runs into a new one, and returns its folder."""


def rows_of_runs(
    runs: Mapping[Path, tuple[Facts, Facts]], join: Join | None
) -> tuple[dict[Path, tuple[Path, ...]], dict[Path, str]]:
    """Join runs that differ only in negatives.

    The run with most negatives comes first; ties go to more draws. Others that add negatives are
    joined with it, unless the settings of shared negatives differ.

    `runs` are by folder the identity from `run.json`, and the provenance of the records. Without
    `join` the first run is shown for all.

    Returns:
        Folders that a table shows, with what each was joined from, or itself; and why it leaves
        others out.
    """
    sources: dict[Path, tuple[Path, ...]] = {}
    left_out: dict[Path, str] = {}
    by_rest: dict[str, list[Path]] = {}
    for folder, (identity, _) in runs.items():
        by_rest.setdefault(without_negatives(identity), []).append(folder)
    for alike in by_rest.values():
        draws = {folder: condition_draws(runs[folder][1]) for folder in alike}
        alike.sort(key=lambda f: (len(draws[f]), sum(draws[f].values())), reverse=True)
        first, *others = alike
        members = [first]
        for folder in others:
            shown = {condition for member in members for condition in draws[member]}
            known = [runs[member][1] for member in members]
            clashes = [clash for own in known for clash in other_settings(own, runs[folder][1])]
            alone = (
                f"differs from {first} in its negatives alone ({_negatives_of(draws[folder])};"
                f" the other has {_negatives_of(draws[first])})"
            )
            if join is None or not set(draws[folder]) - shown:
                left_out[folder] = f"{alone}, which is shown."
            elif clashes:
                left_out[folder] = (
                    f"{alone}, but cannot be joined with what is shown: {', '.join(clashes)}."
                )
            else:
                members.append(folder)
        joined = _join(members, join, left_out)
        sources[joined or first] = tuple(members)
    return sources, left_out


def _join(members: list[Path], join: Join | None, left_out: dict[Path, str]) -> Path | None:
    """Join the members, without those that do not fit; None if one is left."""
    while join is not None and len(members) > 1:
        try:
            return join(members)
        except JoinError as error:
            refused, reason = [error.run], str(error)
        except UsageError as error:
            refused, reason = members[1:], str(error)
        for folder in refused:
            members.remove(folder)
            left_out[folder] = (
                f"has other negatives than {members[0]}, which is shown, but cannot be joined with"
                f" it: {reason}"
            )
    return None


def _negatives_of(draws: Mapping[str, int]) -> str:
    several = [f"{condition} x {count}" for condition, count in draws.items() if count > 1]
    return ", ".join([mix_name(draws), *several])
