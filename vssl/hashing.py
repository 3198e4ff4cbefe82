"""The hash by which files are known: in records, run identities and checks of weights."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


def file_sha256(path: Path) -> str:
    """sha256 of a file, 64 hexadecimal digits; read once per process unless the file changes."""
    state = path.stat()
    return _file_sha256(path.resolve(), state.st_size, state.st_mtime_ns)


@cache  # all files of a test set, hashed again as inputs of the run
def _file_sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
