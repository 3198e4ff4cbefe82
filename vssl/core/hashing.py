"""sha256 of files, configurations and texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


def file_sha256(path: Path) -> str:
    """sha256 of a file, 64 hexadecimal digits; read once per process unless the file changes."""
    state = path.stat()
    return _file_sha256(path.absolute(), state.st_size, state.st_mtime_ns)


class FileState(NamedTuple):
    """Size of a file in bytes, time of its last change in nanoseconds, and sha256."""

    size: int
    modified: int
    sha256: str


def file_state(path: Path, known: FileState | None = None) -> FileState:
    """Read a file's state; a file whose size and time are the known ones is not read."""
    state = path.stat()
    if known is not None and known[:2] == (state.st_size, state.st_mtime_ns):
        return known
    return FileState(state.st_size, state.st_mtime_ns, _sha256(path))


@cache
def _file_sha256(path: Path, size: int, modified: int) -> str:
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def config_hash(config: Mapping[str, Any]) -> str:
    """Hash of a configuration: 64 hexadecimal digits, independent of the order of keys."""
    return text_hash(json.dumps(config, sort_keys=True, default=str, separators=(",", ":")))


def ids_hash(sample_ids: Iterable[str]) -> str:
    """Hash of the set of evaluated ids: 64 hexadecimal digits, independent of their order.

    "VGG-SS" circulates as lists of 5158, 4911, 4692, 4670 and 4655 ids; the hash tells them apart.
    """
    return text_hash("\n".join(sorted(sample_ids)))


def text_hash(text: str) -> str:
    """Hash of a text: 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def text_file_hash(path: Path) -> str:
    """Hash of a text file, the same for all line ends; of its bytes where it is not in UTF-8."""
    try:
        return text_hash(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return file_sha256(path)


def hash_text(sha256: str | Mapping[str, str] | None, *, digits: int = 64) -> str:
    """Write a file's hash, or those of several as `image 0a1b2c3d, audio 4e5f6071`; empty for None.

    `digits` is how many are written of each.
    """
    if isinstance(sha256, Mapping):
        return ", ".join(f"{name} {each[:digits]}" for name, each in sha256.items())
    return (sha256 or "")[:digits]


def content_sha256(place: Path) -> str | None:
    """sha256 over the names and contents of a folder's files, or of a file; None for nothing."""
    if place.is_file():
        return file_sha256(place)
    if not place.is_dir():
        return None
    files = {path.relative_to(place).as_posix(): path for path in place.rglob("*")}
    names = sorted(name for name, path in files.items() if path.is_file())
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(lambda name: file_sha256(files[name]), names)
        return config_hash({"files": list(zip(names, hashes, strict=True))})
