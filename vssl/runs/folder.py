"""A run's folder: who may write in it, and whether it holds a finished run."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.core.files import write_text, written_to
from vssl.records import files
from vssl.records.files import read_run_file

_log = logging.getLogger(__name__)

FINISHED_RUN, UNSCORED_RUN, NO_RUN = "finished", "finished, would be scored anew", "to do"
_RESULTS = (
    *(files.RUN_FILE, files.SUMMARY_FILE, files.SUBSETS_FILE, files.SCORES_FILE),
    *(files.RELEASED_FILE, files.RECORDS_FILE, files.TRUTH_FILE, files.MANIFEST_FILE),
    *(files.LEFT_OUT_FILE, files.NOTES_FILE, files.INPUTS_FILE),
)


def is_first_process() -> bool:
    """Whether this is the first process of a run on several devices, or the only one."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


@contextmanager
def alone_in(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other runs out of a folder, or wait for them, and clear what a killed one left.

    Raises:
        UsageError: when another run is writing there, and it is not waited for.
        OSError: with the folder's name where it had none, when reading or writing fails.
    """
    if not is_first_process():  # which holds the lock for all
        yield
        return
    lock = FileLock(folder / files.LOCK_FILE)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        if not wait:
            raise UsageError(
                f"{folder}: another run is writing there. Wait for it, or set another output_dir."
            ) from error
        _log.warning("another run is writing in %s: this job waits for it", folder)
        lock.acquire()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    try:
        for left in (*folder.glob("*.partial"), *folder.glob(f"{files.SHARDS_FOLDER}/*.partial")):
            left.unlink(missing_ok=True)
        with written_to(folder):
            yield
    finally:
        lock.release()


def finished_run(settings: RunSettings, folder: Path) -> dict[str, Any] | None:
    """Read the finished run in a folder; None when there is none, or it is to be replaced.

    Raises:
        UsageError: for another run, one on other input than there is now, or what is left of one.
    """
    if settings.force or not (folder / files.RUN_FILE).is_file():
        return None
    from vssl.runs.inputs import changed_inputs  # noqa: PLC0415 torch, --help

    run, other = read_run_file(folder), ""
    if run["config_hash"] != settings.identity_hash:
        other = "with another configuration or other weights"
    elif what := changed_inputs(folder):
        other = f"on other input than there is now: {what}"
    if other:
        raise UsageError(
            f"{folder}: holds a finished run {other}. Set another output_dir, or force=true to"
            " replace it."
        )
    return run


def run_state(settings: RunSettings, folder: Path) -> str:
    """Return what is left to do for a run: `FINISHED_RUN`, `UNSCORED_RUN` or `NO_RUN`.

    A run with `data.missing=skip` or `data.silent=skip` is never finished here: which samples it
    leaves out shows only a look at the data.

    Raises:
        UsageError: as `finished_run` does.
    """
    done = finished_run(settings, folder)
    if done is None:
        return NO_RUN
    scored = done.get("scoring_hash") == settings.scoring.hash
    return FINISHED_RUN if scored and not settings.data.leaves_out else UNSCORED_RUN


def write_run_file(settings: RunSettings, folder: Path, *, timing: Mapping[str, Any]) -> None:
    """Mark a run as finished.

    `timing` has `records_seconds` for `recorded` of `samples`, `scoring_seconds` and `device`.
    """
    from vssl.records.store import read_provenance  # noqa: PLC0415 pandas, --help

    run = {
        "config_hash": settings.identity_hash,
        "scoring_hash": settings.scoring.hash,
        "command": sys.argv[1:],
        "working_directory": str(Path.cwd()),
        "config": settings.config,
        "identity": settings.identity,
        "timing": dict(timing),
        "provenance": read_provenance(folder / files.RECORDS_FILE),
        **files.file_hashes(folder),
    }
    write_text(folder / files.RUN_FILE, json.dumps(run, indent=1, default=str))
    # not before: a run that was stopped while it was scored joins them again
    shutil.rmtree(folder / files.SHARDS_FOLDER, ignore_errors=True)


def discard_results(folder: Path) -> None:
    """Remove all results of the run in a folder, which is about to be replaced."""
    for name in _RESULTS:
        (folder / name).unlink(missing_ok=True)


def mark_rescored(folder: Path) -> None:
    """Let a later vssl-evaluate know that its scores were changed."""
    path = folder / files.RUN_FILE
    if path.is_file():
        run = read_run_file(folder)
        write_text(path, json.dumps({**run, "scoring_hash": None}, indent=1))


class RunLog(logging.FileHandler):
    """The log of a run, in its folder; nothing is kept where it cannot be opened.

    A finished run on a read-only disk is taken as it is; any other names the folder in its error.
    """

    def _open(self) -> Any:
        try:
            return super()._open()
        except OSError:
            return Path(os.devnull).open(self.mode, encoding=self.encoding)
