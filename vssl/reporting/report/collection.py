"""The finished runs below some folders, in groups that may stand in one table."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from vssl.errors import UsageError
from vssl.records.conditions import sounding_objects
from vssl.records.files import (
    LOCK_FILE,
    RECORDS_FILE,
    RUN_FILE,
    SCORES_FILE,
    SHARDS_FOLDER,
    SUMMARY_FILE,
    read_run_file,
)
from vssl.records.join import JOINED_FROM
from vssl.records.schema import SUMMARY
from vssl.records.store import RecordsError, check_pages, check_records, read_provenance
from vssl.records.summary import read_summary
from vssl.reporting.joining import Join, rows_of_runs
from vssl.reporting.names import BASELINES, PAPER_MODELS, run_names
from vssl.types import POSITIVE, SoundingObject, SoundingObjects

_LOG_FILE = "vssl-evaluate.log"
_OF_RUNS = (SHARDS_FOLDER, "csv", "wandb")
"""Folders of runs, in which there are no other runs."""


@dataclass(frozen=True, eq=False)
class ReportRun:
    """A finished run.

    Attributes:
        folder: where it is, absolute.
        label: unique within its group: the model, and what else tells runs apart.
        model: name of the model.
        dataset: name of the test set.
        protocol: name of the protocol.
        provenance: of `records.parquet`.
        summary: of `summary.parquet` (`records.schema.SUMMARY`), fractions.
        sources: folders of the runs that it was joined from; none for a run as it was evaluated.
    """

    folder: Path
    label: str
    model: str
    dataset: str
    protocol: str
    provenance: dict[str, Any]
    summary: pd.DataFrame
    sources: tuple[Path, ...] = ()

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """Map variants: `("av",)` or `("av", "ogl")`."""
        return tuple(str(name) for name in pd.unique(self.summary["map_variant"]))

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """Audio conditions in the order of the run: positive first."""
        return tuple(self.draws)

    @cached_property
    def sounding(self) -> SoundingObjects:
        """Which object of the picture sounds, by audio condition."""
        return sounding_objects(self.provenance)

    @cached_property
    def negatives(self) -> tuple[str, ...]:
        """Audio conditions under which nothing in the picture sounds."""
        return self._conditions(SoundingObject.NONE)

    @cached_property
    def altered(self) -> tuple[str, ...]:
        """Audio conditions besides the positive under which the own object sounds."""
        return self._conditions(SoundingObject.OWN)

    @cached_property
    def others(self) -> tuple[str, ...]:
        """Audio conditions under which another object of the picture sounds."""
        return self._conditions(SoundingObject.OTHER)

    def _conditions(self, sounding: SoundingObject) -> tuple[str, ...]:
        names = (name for name in self.conditions if name != POSITIVE)
        return tuple(name for name in names if self.sounding[name] == sounding)

    @cached_property
    def draws(self) -> dict[str, int]:
        """Number of draws of each audio condition, in the order of the run."""
        return dict(Counter(str(name) for name, _ in self.provenance["pairings"]))

    @property
    def is_baseline(self) -> bool:
        """Whether its numbers are known beforehand, so that it competes with no model."""
        return self.model in BASELINES

    @property
    def weights_sha256(self) -> str:
        """Of the checkpoint; empty for a model without."""
        return str((self.provenance.get("weights") or {}).get("sha256") or "")

    def threshold(self, policy: str, variant: str = "av") -> float | None:
        """The threshold of a policy; None where every map has its own, or the policy is missing."""
        rows = self.summary
        chosen = (rows["threshold_policy"] == policy) & (rows["map_variant"] == variant)
        values = rows.loc[chosen, "threshold"].dropna()
        return None if values.empty else float(values.iloc[0])

    def number(
        self, metric: str, condition: str, policy: str, variant: str = "av"
    ) -> pd.Series | None:
        """The one row of the summary that holds a number; None where it is not there.

        Args:
            metric: e.g. `ciou`.
            condition: audio condition, pair of them, or `all`.
            policy: threshold policy, `none` for numbers that involve no threshold.
            variant: map variant.

        Raises:
            RecordsError: when there are several.
        """
        place = self._places.get((metric, condition, policy, variant))
        return None if place is None else self.summary.iloc[place]

    @cached_property
    def _places(self) -> dict[tuple[str, str, str, str], int]:
        columns = ("metric", "condition", "threshold_policy", "map_variant")
        keys = list(zip(*(self.summary[name] for name in columns), strict=True))
        places = {key: place for place, key in enumerate(keys)}
        if len(places) < len(keys):
            twice = next(key for key, count in Counter(keys).items() if count > 1)
            raise RecordsError(
                f"{self.folder / SUMMARY_FILE}: has {' '.join(twice)} more than once. Score the run"
                " again with vssl-rescore."
            )
        return places


@dataclass(frozen=True)
class Group:
    """Runs that may stand in one table: one test set, one protocol, one list of ids.

    Attributes:
        dataset: name of the test set.
        protocol: name of the protocol.
        manifest_hash: of the list of evaluated ids.
        name: safe in a file's name, and unique, e.g. `vggss_corrected`.
        runs: the paper's models first, baselines last.
        annotation_sha256: of the ground truth.
    """

    dataset: str
    protocol: str
    manifest_hash: str
    name: str
    runs: tuple[ReportRun, ...]
    annotation_sha256: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A folder whose run is in no table.

    Attributes:
        folder: where it is.
        reason: why, and the mend.
    """

    folder: Path
    reason: str


@dataclass(frozen=True)
class Collection:
    """What is below some folders.

    Attributes:
        groups: runs by what may stand in one table.
        left_out: what is in none.
    """

    groups: tuple[Group, ...]
    left_out: tuple[LeftOut, ...]


def collect(folders: Sequence[Path], *, join: Join | None = None) -> Collection:
    """Find the finished runs in and below some folders.

    Runs of one configuration count once, the newest. Runs that differ in nothing but their
    negatives are joined, or only the widest counts. All others are in `left_out`, each with its
    reason.

    Args:
        folders: folders of runs, or above them.
        join: makes one run of several that differ in their negatives; None joins nothing.

    Returns:
        Groups by test set, protocol, list of ids and ground truth, in the order of their names.

    Raises:
        UsageError: when a folder does not exist.
    """
    left_out: list[LeftOut] = []
    found: list[_Found] = []
    for folder in _run_folders(folders):
        try:
            run = _read(folder)
            hash(run.test)  # whose parts an edited provenance may lack
            found.append(run)
        except UsageError as error:
            reason = str(error).removeprefix(f"{folder}: ").replace(f"{folder}{os.sep}", "")
            left_out.append(LeftOut(folder, reason))
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # of edited files
            left_out.append(LeftOut(folder, f"its files are not as vssl wrote them ({error!r})."))
    kept = list(_without_repetitions(_without_joined(found), left_out))
    by_test: dict[tuple[str, ...], list[_Found]] = {}
    for run in kept:
        by_test.setdefault(run.test, []).append(run)
    names = _group_names(list(by_test))
    groups = [
        Group(test[0], test[1], test[2], names[test], _named(runs, left_out, join), test[3])
        for test, runs in by_test.items()
    ]
    order = sorted(left_out, key=lambda each: each.folder)
    return Collection(tuple(sorted(groups, key=lambda group: group.name)), tuple(order))


@dataclass(frozen=True)
class _Found:
    """A finished run as read, before it has a label."""

    folder: Path
    run: Mapping[str, Any]
    provenance: dict[str, Any]
    summary: pd.DataFrame
    written: float

    @property
    def test(self) -> tuple[str, str, str, str]:
        """What must be the same for runs to stand in one table."""
        keys = ("dataset", "protocol", "manifest_hash", "annotation_sha256")
        dataset, protocol, manifest, annotation = (str(self.provenance[key]) for key in keys)
        return dataset, protocol, manifest, annotation


def _run_folders(folders: Iterable[Path]) -> Iterator[Path]:
    """Every folder that holds a run, or what is left of one, once; links are followed."""
    seen: set[Path] = set()
    for given in folders:
        if not given.is_dir():
            raise UsageError(f"{given}: no such folder. Give folders of finished runs.")
        for place, below, files in os.walk(given.resolve(), followlinks=True):
            folder = Path(place).resolve()
            if folder in seen:
                below.clear()
                continue
            seen.add(folder)
            if {RUN_FILE, RECORDS_FILE, _LOG_FILE} & set(files) or SHARDS_FOLDER in below:
                yield folder
            below[:] = sorted(set(below) - set(_OF_RUNS))


def _read(folder: Path) -> _Found:
    """A finished run.

    Raises:
        UsageError: when it is not finished, or its files cannot be used.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        raise UsageError(_why_unfinished(folder))
    run, written = read_run_file(folder), path.stat().st_mtime
    own_hash = run["config_hash"]
    provenance = check_records(folder)
    if (folder / SCORES_FILE).is_file():
        if read_provenance(folder / SCORES_FILE) != provenance:
            raise UsageError(f"{SCORES_FILE} is not of the records beside it. Evaluate again.")
        check_pages(folder / SCORES_FILE)
    for name in (RECORDS_FILE, SUMMARY_FILE):
        of_file = str(read_provenance(folder / name).get("config_hash"))
        if of_file != own_hash:
            raise UsageError(
                f"{name} is of another run ({of_file[:8]}) than {RUN_FILE} ({own_hash[:8]})."
                " Evaluate again with force=true."
            )
    summary = read_summary(folder / SUMMARY_FILE)
    lacking = [name for name in SUMMARY.names if name not in summary]
    if lacking or summary.empty:
        what = f"lacks {', '.join(lacking)}" if lacking else "holds no number"
        raise UsageError(f"{SUMMARY_FILE} {what}. Score the run again with vssl-rescore.")
    return _Found(folder, run, provenance, summary, written)


def _why_unfinished(folder: Path) -> str:
    if _is_locked(folder):
        return "is being evaluated now."
    if (folder / RECORDS_FILE).is_file():
        return f"has records, but no {RUN_FILE}: it was stopped before it was scored. {_GO_ON}"
    if (folder / SHARDS_FOLDER).is_dir():
        return f"was stopped while its records were written. {_GO_ON}"
    return f"failed before its first record; {_LOG_FILE} says why."


def _is_locked(folder: Path) -> bool:
    """Whether a run is writing there now; taken for no where that cannot be found out."""
    path = folder / LOCK_FILE
    try:
        if path.is_file():
            with FileLock(path, blocking=False):
                pass
    except Timeout:
        return True
    except OSError:
        pass
    return False


_GO_ON = "The same vssl-evaluate command goes on from there."


def _without_repetitions(found: Sequence[_Found], left_out: list[LeftOut]) -> Iterator[_Found]:
    """Of runs of one configuration and test the newest; the others are left out."""
    newest: dict[tuple[Any, ...], _Found] = {}
    for run in sorted(found, key=lambda each: (each.written, each.folder)):
        newest[run.test, run.run["config_hash"]] = run
    for run in found:
        chosen = newest[run.test, run.run["config_hash"]]
        if run is chosen:
            yield run
            continue
        same = run.run.get("scoring_hash") == chosen.run.get("scoring_hash")
        scored = "" if same else ", which was also scored otherwise (thresholds or metrics)"
        reason = f"the same configuration was evaluated again in {chosen.folder}{scored}; the newer"
        left_out.append(LeftOut(run.folder, f"{reason} one is shown."))


def _without_joined(found: Sequence[_Found]) -> list[_Found]:
    """The runs but those that were joined from others that are here too: these are joined anew."""
    there = {str(run.folder) for run in found}
    return [
        run
        for run in found
        if not (made := {each["run"] for each in run.provenance.get(JOINED_FROM) or ()})
        or not made <= there
    ]


def _named(
    found: Sequence[_Found], left_out: list[LeftOut], join: Join | None
) -> tuple[ReportRun, ...]:
    """The runs of a group, named; those that differ only in their negatives are joined."""
    by_folder = {run.folder: run for run in found}
    rows = rows_of_runs(
        {run.folder: run.run["identity"] for run in found},
        {run.folder: run.provenance for run in found},
        join,
    )
    left_out += [LeftOut(folder, reason) for folder, reason in rows.left_out.items()]
    kept = [by_folder[f] if f in by_folder else _read(f) for f in rows.sources]
    summaries = [run.summary.assign(run=str(run.folder)) for run in kept]
    joined = pd.concat(summaries, ignore_index=True)
    labels = dict(zip(joined["run"], run_names(joined), strict=True))
    runs = [
        ReportRun(
            folder=run.folder,
            label=labels[str(run.folder)],
            model=str(run.provenance["model"]),
            dataset=str(run.provenance["dataset"]),
            protocol=str(run.provenance["protocol"]),
            provenance=run.provenance,
            summary=run.summary,
            sources=made if len(made := rows.sources[run.folder]) > 1 else (),
        )
        for run in kept
    ]
    return tuple(sorted(runs, key=_order))


def _order(run: ReportRun) -> tuple[int, int, str]:
    """The paper's models in its order, each before its kin (`rcgrad_raw`); baselines last."""
    if run.is_baseline:
        return 2, BASELINES.index(run.model), run.label
    for place, name in enumerate(PAPER_MODELS):
        if run.model == name or run.model.startswith(f"{name}_"):
            return 0, place, run.label
    return 1, 0, run.label


def _group_names(tests: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Names that are safe in a file's name: as short as tells the groups apart."""

    def safe(*parts: str) -> str:
        return "_".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)

    names = {test: safe(*test[:2]) for test in tests}
    for place in (2, 3):
        count = Counter(names.values())
        for test in tests:
            if count[names[test]] > 1:
                names[test] = safe(names[test].replace("_", "-"), test[place][:8])
    count = Counter()
    for test in tests:  # names that differ only in what is not safe
        count[names[test]] += 1
        if count[names[test]] > 1:
            names[test] = f"{names[test]}_{count[names[test]]}"
    return names
