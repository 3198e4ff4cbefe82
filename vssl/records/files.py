"""Names of the files of a run, and reading its `run.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vssl.core.errors import UsageError
from vssl.core.hashing import file_sha256

SCHEMA_VERSION = "5"
"""Of a run's parquet files, kept in their metadata; bumped when a column changes."""

READABLE_VERSIONS = ("2", "3", "4", "5")
"""Schema versions that can be read: 2 lacks the summary's column `sounding_object`, 2 and 3 its
intervals that include the spread of sounds and of fitted thresholds, and records' `audio_path`. Up
to 4, the boxes stand in every row of the records, and there is no file of the ground truth."""

RECORDS_VERSION = "2"
"""The schema version from which records are as good as today's; a part of a run's identity."""

RECORDS_FILE = "records.parquet"
TRUTH_FILE = "ground_truth.parquet"
SCORES_FILE = "scores.parquet"
SUMMARY_FILE = "summary.parquet"
SUBSETS_FILE = "subsets.parquet"
THRESHOLDS_FILE = "thresholds.json"
"""The data behind fitted thresholds."""
MANIFEST_FILE = "negatives_manifest.csv"
LEFT_OUT_FILE = "left_out.csv"
NOTES_FILE = "data_notes.csv"
INPUTS_FILE = "inputs.json"
"""Every input file of the test set, with its hash."""
RELEASED_FILE = "released_metrics.json"
SHARDS_FOLDER = "shards"
"""Records of a run that is not finished."""
LOCK_FILE = ".lock"
"""Locked while a run writes in the folder."""
ANEW = "Evaluate again with force=true."
"""Advice of messages about damaged files of a run."""
RUN_FILE = "run.json"
"""Written last: a folder that has it holds a finished run."""

_HASH_KEYS = {RECORDS_FILE: "records_sha256", TRUTH_FILE: "ground_truth_sha256"}


def read_run_file(folder: Path) -> dict[str, Any]:
    """Read a finished run's `run.json`; UsageError when it is missing or damaged."""
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


def file_hashes(folder: Path) -> dict[str, str]:
    """Compute the sha256 of a run's records and ground truth, as its `run.json` has them."""
    return {key: file_sha256(folder / name) for name, key in _HASH_KEYS.items()}


def recorded_sha256(folder: Path, name: str = RECORDS_FILE) -> str | None:
    """Read the sha256 of a run's file from its `run.json`; None if it is not recorded."""
    path = folder / RUN_FILE
    try:
        known = json.loads(path.read_text(encoding="utf-8")).get(_HASH_KEYS[name])
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{path}: cannot be read ({error!r}). {ANEW}") from error
    return None if known is None else str(known)


_LISTED_RUNS = 20  # runs that an error lists


def run_in(folder: Path) -> Path:
    """Return a run's folder: the given one, or that of the only finished run below it.

    A folder without any is returned unchanged; reading from it then raises.

    Raises:
        UsageError: when there are several finished runs below it.
    """
    if (folder / RECORDS_FILE).is_file() or (folder / RUN_FILE).is_file():
        return folder
    below = sorted(path.parent for path in folder.rglob(RUN_FILE))
    if len(below) > 1:
        lines = [f"{folder}: there are {len(below)} finished runs below it; name one:"]
        lines += [str(run) for run in below[:_LISTED_RUNS]]
        lines += [f"and {len(below) - _LISTED_RUNS} more"] if len(below) > _LISTED_RUNS else []
        raise UsageError("\n  ".join(lines))
    return below[0] if below else folder
