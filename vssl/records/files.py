"""Names of the files of a run, and text files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA_VERSION = "4"
"""Of records, scores and summary, kept in their metadata; bumped when a column changes."""

READABLE_VERSIONS = ("2", "3", "4")
"""Schema versions that can be read: 2 lacks the summary's column `sounding_object`, 2 and 3 its
intervals that include the spread of sounds and of fitted thresholds."""

RECORDS_VERSION = "2"
"""The schema version in which the records' own columns changed last."""

RECORDS_FILE = "records.parquet"
SCORES_FILE = "scores.parquet"
SUMMARY_FILE = "summary.parquet"
SUBSETS_FILE = "subsets.parquet"
THRESHOLDS_FILE = "thresholds.json"
"""What fitted thresholds rest on."""
MANIFEST_FILE = "negatives_manifest.csv"
LEFT_OUT_FILE = "left_out.csv"
RELEASED_FILE = "released_metrics.json"
SHARDS_FOLDER = "shards"
"""Records of a run that is not finished."""
RUN_FILE = "run.json"
"""Written last: a folder that has it holds a finished run."""


def partial_path(path: Path) -> Path:
    """Where this process writes a file until it is complete; cleared by a later run if left."""
    return path.with_name(f"{path.name}.{os.getpid()}.partial")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A place to write a file to, which then stands under its own name whole or not at all."""
    partial = partial_path(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
