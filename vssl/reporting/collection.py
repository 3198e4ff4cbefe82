"""The finished runs below some folders, in groups that may share a table."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from filelock import FileLock, Timeout

from vssl.core.errors import UsageError
from vssl.core.hashing import text_hash
from vssl.records.conditions import NATURAL_NEGATIVES, sounding_objects
from vssl.records.files import (
    LOCK_FILE,
    RECORDS_FILE,
    RUN_FILE,
    SCORES_FILE,
    SHARDS_FOLDER,
    SUBSETS_FILE,
    SUMMARY_FILE,
    read_run_file,
)
from vssl.records.join import JOINED_FROM, condition_draws
from vssl.records.localization import AUDIO_VISUAL
from vssl.records.schema import SUMMARY
from vssl.records.store import RecordsError, check_pages, check_records, read_provenance
from vssl.records.summary import read_summary
from vssl.reporting.joining import Join, rows_of_runs
from vssl.reporting.run_labels import BASELINES, label_runs, paper_place
from vssl.reporting.tables.model import shared_threshold
from vssl.types import NATURAL, SoundingObject, SoundingObjects

_LOG_FILE = "vssl-evaluate.log"
_OF_RUNS = (SHARDS_FOLDER, "csv", "wandb")  # folders inside a run that hold no other run


@dataclass(frozen=True, eq=False)
class ReportRun:
    """A finished run."""

    folder: Path  # absolute
    label: str  # unique within its group: the model, and what else tells runs apart
    provenance: dict[str, Any]  # of `records.parquet`
    summary: pd.DataFrame  # of `summary.parquet` (`records.schema.SUMMARY`), fractions
    run_file: Mapping[str, Any] = field(default_factory=dict)  # content of its `run.json`
    sources: tuple[Path, ...] = ()  # folders of the runs that it was joined from

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.provenance["model"])

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """Map variants: `("av",)` or `("av", "ogl")`."""
        return tuple(str(name) for name in pd.unique(self.summary["map_variant"]))

    @cached_property
    def draws(self) -> dict[str, int]:
        """Number of draws of each recorded audio condition, in the order of the run."""
        return condition_draws(self.provenance)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Audio conditions in the order of the run, positive first and `natural` last."""
        return (*self.draws, *([NATURAL] if NATURAL in self.sounding else []))

    @cached_property
    def sounding(self) -> SoundingObjects:
        """Which object of the picture sounds, by audio condition."""
        sounding = sounding_objects(self.provenance)
        if self.provenance.get(NATURAL_NEGATIVES):
            sounding[NATURAL] = SoundingObject.NONE
        return sounding

    @property
    def negatives(self) -> tuple[str, ...]:
        """Audio conditions under which nothing in the picture sounds."""
        return tuple(self.sounding.besides_positive(SoundingObject.NONE))

    @property
    def test(self) -> tuple[str, ...]:
        """Facts that runs of one table share."""
        keys = ("dataset", "protocol", "manifest_hash", "annotation_sha256")
        return tuple(str(self.provenance[key]) for key in keys)

    @property
    def is_baseline(self) -> bool:
        """Whether it is a baseline, which competes with no model."""
        return self.model in BASELINES

    def name(self, variant: str) -> str:
        """The label, with `+ OGL` behind it for object-guided maps."""
        return self.label if variant == AUDIO_VISUAL else f"{self.label} + OGL"

    def threshold(self, policy: str, variant: str = "av") -> float | None:
        """The threshold of a policy; None where every map has its own, or the policy is missing."""
        return shared_threshold(self.summary[self.summary["map_variant"] == variant], policy)

    def number(
        self, metric: str, condition: str, policy: str, variant: str = "av"
    ) -> pd.Series | None:
        """The row of the summary that holds a number; None if the summary lacks it.

        Raises:
            RecordsError: for several rows.
        """
        place = self._places.get((metric, condition, policy, variant))
        return None if place is None else self.summary.iloc[place]

    @cached_property
    def subsets(self) -> dict[tuple[str, str], ReportRun]:
        """The run on each of its subsets, by the kind and name of the subset."""
        path = self.folder / SUBSETS_FILE
        if not path.is_file():
            return {}
        parts = read_summary(path).groupby(["subset_kind", "subset"], sort=False)
        return {
            (str(kind), str(name)): replace(self, summary=rows.reset_index(drop=True))
            for (kind, name), rows in parts
        }

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


class Group(NamedTuple):
    """Runs that may share a table: one test set, protocol, list of ids and ground truth."""

    dataset: str
    protocol: str
    manifest_hash: str  # of the list of evaluated ids
    name: str  # unique, and safe in a file's name, e.g. `vggss_corrected`
    runs: tuple[ReportRun, ...]  # the paper's models first, baselines last


class Collection(NamedTuple):
    """Runs below some folders: groups that may share a table, and runs in none."""

    groups: tuple[Group, ...]
    left_out: Mapping[Path, str]  # folders, with the reason and what helps


def collect(folders: Sequence[Path], *, join: Join | None = None) -> Collection:
    """Find the finished runs in and below some folders, and group them, in the order of names.

    Runs of one configuration count once, the newest. Runs that differ in nothing but their
    negatives are joined, or without `join` only the widest counts. All others are in `left_out`,
    each with its reason.

    Raises:
        UsageError: when a folder does not exist.
    """
    left_out: dict[Path, str] = {}
    by_test: dict[tuple[str, ...], list[ReportRun]] = {}
    found = list(_finished(folders, left_out))
    for run in _without_repetitions(_without_joined(found), left_out):
        by_test.setdefault(run.test, []).append(run)
    names = _group_names(by_test)
    groups = [
        Group(test[0], test[1], test[2], names[test], _group_runs(runs, left_out, join))
        for test, runs in by_test.items()
    ]
    groups.sort(key=lambda group: group.name)
    return Collection(tuple(groups), dict(sorted(left_out.items())))


def _finished(folders: Iterable[Path], left_out: dict[Path, str]) -> Iterator[ReportRun]:
    for folder in _run_folders(folders):
        try:
            run = _read_finished(folder)
            hash((run.model, run.test))  # which an edited provenance may lack
            yield run
        except UsageError as error:
            reason = str(error).removeprefix(f"{folder}: ")
            left_out[folder] = reason.replace(f"{folder}{os.sep}", "")
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # of edited files
            left_out[folder] = f"its files are not as vssl wrote them ({error!r})."


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


def _read_finished(folder: Path) -> ReportRun:
    """Read a finished run; refuse one that is not, or whose files cannot be used."""
    if not (folder / RUN_FILE).is_file():
        raise UsageError(_why_unfinished(folder))
    run = read_run_file(folder)
    own_hash = run["config_hash"]
    provenance = check_records(folder)
    if (folder / SCORES_FILE).is_file():
        if read_provenance(folder / SCORES_FILE) != provenance:
            raise UsageError(f"{SCORES_FILE} is not of the records beside it. Evaluate again.")
        check_pages(folder / SCORES_FILE)
    with_subsets = [SUBSETS_FILE] * (folder / SUBSETS_FILE).is_file()
    for name in (RECORDS_FILE, SUMMARY_FILE, *with_subsets):
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
    return ReportRun(folder, "", provenance, summary, run)


def _why_unfinished(folder: Path) -> str:
    try:
        if (folder / LOCK_FILE).is_file():
            with FileLock(folder / LOCK_FILE, blocking=False):
                pass
    except Timeout:
        return "is being evaluated now."
    except OSError:  # taken for not locked
        pass
    go_on = "The same vssl-evaluate command goes on from there."
    if (folder / RECORDS_FILE).is_file():
        return f"has records, but no {RUN_FILE}: it was stopped before it was scored. {go_on}"
    if (folder / SHARDS_FOLDER).is_dir():
        return f"was stopped while its records were written. {go_on}"
    return f"failed before its first record; {_LOG_FILE} says why."


def _without_repetitions(
    runs: Sequence[ReportRun], left_out: dict[Path, str]
) -> Iterator[ReportRun]:
    """Of runs of one configuration and test the newest; the others are left out."""

    def age(run: ReportRun) -> tuple[float, Path]:
        try:
            return (run.folder / RUN_FILE).stat().st_mtime, run.folder
        except OSError:  # it is evaluated again just now
            return 0.0, run.folder

    newest = {(run.test, run.run_file["config_hash"]): run for run in sorted(runs, key=age)}
    for run in runs:
        chosen = newest[run.test, run.run_file["config_hash"]]
        if run is chosen:
            yield run
            continue
        same = run.run_file.get("scoring_hash") == chosen.run_file.get("scoring_hash")
        scored = "" if same else ", which was also scored otherwise (thresholds or metrics)"
        left_out[run.folder] = (
            f"the same configuration was evaluated again in {chosen.folder}{scored}; the newer one"
            " is shown."
        )


def _without_joined(runs: Sequence[ReportRun]) -> list[ReportRun]:
    """The runs without those that were joined from others found here: these are joined anew."""
    found = {str(run.folder) for run in runs}
    made = [{each["run"] for each in run.provenance.get(JOINED_FROM) or ()} for run in runs]
    return [run for run, own in zip(runs, made, strict=True) if not own or not own <= found]


def _group_runs(
    runs: Sequence[ReportRun], left_out: dict[Path, str], join: Join | None
) -> tuple[ReportRun, ...]:
    """The runs of a group, named; those that differ only in their negatives are joined."""
    by_folder = {run.folder: run for run in runs}
    facts = {run.folder: (run.run_file["identity"], run.provenance) for run in runs}
    made, others = rows_of_runs(facts, join)
    left_out |= others
    kept = [by_folder.get(folder) or _read_finished(folder) for folder in made]
    summaries = [run.summary.assign(run=str(run.folder)) for run in kept]
    joined = pd.concat(summaries, ignore_index=True)
    labels = dict(zip(joined["run"], label_runs(joined), strict=True))
    named = []
    for run, sources in zip(kept, made.values(), strict=True):
        several = sources if len(sources) > 1 else ()
        named.append(replace(run, label=labels[str(run.folder)], sources=several))

    def order(run: ReportRun) -> tuple[bool, int, str]:
        """Models as in the paper, each before its kin (`rcgrad_raw`); baselines last."""
        place = BASELINES.index(run.model) if run.is_baseline else paper_place(run.model)
        return run.is_baseline, place, run.label

    return tuple(sorted(named, key=order))


def _group_names(tests: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Names that are safe in a file's name; those that would be alike have a hash behind."""
    names = {
        test: "_".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in test[:2])
        for test in tests
    }
    count = Counter(names.values())
    return {
        test: name if count[name] == 1 else f"{name}_{text_hash(str(test))[:8]}"
        for test, name in names.items()
    }
