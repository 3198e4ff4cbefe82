"""Names of the files of a run, and text files that are written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vssl.errors import UsageError

SCHEMA_VERSION = "4"
"""Of records, scores and summary, kept in their metadata; bumped when a column changes."""

READABLE_VERSIONS = ("2", "3", "4")
"""Schema versions that can be read: 2 lacks the summary's column `sounding_object`, 2 and 3 its
intervals that include the spread of sounds and of fitted thresholds, and records' `audio_path`."""

RECORDS_VERSION = "2"
"""The schema version from which records are as good as today's; a part of a run's identity."""

RECORDS_FILE = "records.parquet"
SCORES_FILE = "scores.parquet"
SUMMARY_FILE = "summary.parquet"
SUBSETS_FILE = "subsets.parquet"
THRESHOLDS_FILE = "thresholds.json"
"""What fitted thresholds rest on."""
MANIFEST_FILE = "negatives_manifest.csv"
LEFT_OUT_FILE = "left_out.csv"
NOTES_FILE = "data_notes.csv"
INPUTS_FILE = "inputs.json"
"""What a run's records rest on: every file of the test set, as it was."""
RELEASED_FILE = "released_metrics.json"
SHARDS_FOLDER = "shards"
"""Records of a run that is not finished."""
LOCK_FILE = ".lock"
"""Locked while a run writes in the folder."""
ANEW = "Evaluate again with force=true."
"""What mends the files of a run that are damaged."""
RUN_FILE = "run.json"
"""Written last: a folder that has it holds a finished run."""


def read_run_file(folder: Path) -> dict[str, Any]:
    """Content of a finished run's `run.json`; UsageError when it is missing or damaged."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise UsageError(f"{path}: no such file. Is {folder} the folder of a finished run?")
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        whole = isinstance(run["config_hash"], str)
        whole &= all(isinstance(run[part], dict) for part in ("identity", "config", "provenance"))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: cannot be read ({error!r}). {ANEW}") from error
    if not whole:
        raise UsageError(f"{path}: cannot be read, it is not what vssl wrote. {ANEW}")
    return dict(run)


def recorded_sha256(folder: Path) -> str | None:
    """sha256 of a run's records as its `run.json` has it; None where it has none."""
    path = folder / RUN_FILE
    try:
        known = json.loads(path.read_text(encoding="utf-8")).get("records_sha256")
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{path}: cannot be read ({error!r}). {ANEW}") from error
    return None if known is None else str(known)


def partial_path(path: Path) -> Path:
    """Where this process writes a file until it is complete; cleared by a later run if left."""
    return path.with_name(f"{path.name}.{os.getpid()}.partial")


@contextmanager
def written_to(place: Path) -> Iterator[None]:
    """Give an OSError of writing the name of the place where it has none, as on a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            text = error.strerror or str(error)
            raise OSError(error.errno or errno.EIO, text, str(place)) from error
        raise


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Do work whose results go into a folder; OSError before it when nothing can be written."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK):
        read_only = hasattr(os, "statvfs") and os.statvfs(there).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number), str(there))
    with written_to(folder):
        yield


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A place to write a file to, which then stands under its own name whole or not at all."""
    partial = partial_path(path)
    try:
        with written_to(path):
            yield partial
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
