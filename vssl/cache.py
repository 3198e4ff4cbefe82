"""Arrays kept on disk by content, so that what was decoded or encoded once is not again.

A cache is a folder of immutable files, each written whole under a name of its own: any number of
jobs, on any number of machines that share the folder, can read and write it without locks. A lost
or damaged file costs time, never a number.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

_log = logging.getLogger(__name__)
_FLUSH_BYTES = 32 * 2**20
_KEEP_FREE_BYTES = 2 * 2**30
_ABANDONED_SECONDS = 3600

# keys and check sums stand together before the values, so that a file is known by its first pages
_INDEX = np.dtype([("key", "V32"), ("check", "<u4")])

Floats = npt.NDArray[np.float32]


def content_key(data: bytes | memoryview) -> bytes:
    """Key of some content: its sha256, 32 bytes."""
    return hashlib.sha256(data).digest()


def batch_key(key: bytes, size: int) -> bytes:
    """Key of what a network makes of some content in a batch of a size.

    The last digits of a network's output depend on how many it was given at once.
    """
    return content_key(key + size.to_bytes(4, "big"))


class Shelf:
    """Float32 arrays of one kind and one shape, by content key.

    Args:
        folder: its folder; None for a shelf that stays empty and takes nothing.
        cache: the cache that bounds its size.
    """

    def __init__(self, folder: Path | None = None, cache: ArrayCache | None = None) -> None:
        self._folder = folder
        self._cache = cache
        self._places: dict[bytes, tuple[_File, int]] = {}
        self._new: dict[bytes, Floats] = {}
        self._full = False
        if folder is not None and cache is not None:
            try:
                for path in sorted(folder.glob("*.npy")) if folder.is_dir() else ():
                    self._open(path)
            except OSError as error:
                cache.give_up(f"cannot be read ({error.strerror or error})")

    def get(self, key: bytes) -> Floats | None:
        """The array of a key, the caller's own; None where there is none, or a damaged one."""
        place = self._places.get(key)
        if place is None:
            return None
        file, row = place
        value = file.read(row)
        if value is None:  # removed by another job, or not readable now
            self._places.pop(key, None)
        elif zlib.crc32(value.data) != file.checks[row]:
            self._discard(file)
            return None
        return value

    def put(self, keys: Sequence[bytes], values: Floats) -> None:
        """Keep arrays `[M, ...]` for later runs; what is there already stays."""
        if self._folder is None or self._full or values.dtype != np.float32:
            return
        for key, value in zip(keys, values, strict=True):
            if key not in self._places:
                self._new.setdefault(key, np.array(value, order="C"))
        if len(self._new) * values[:1].nbytes >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was put. A cache that cannot be written is said once, and does no harm."""
        rows, self._new = self._new, {}
        if not rows or self._folder is None or self._cache is None:
            return
        values = list(rows.values())
        index = np.empty(len(rows), dtype=_INDEX)
        index["key"] = [np.void(key) for key in rows]
        index["check"] = [zlib.crc32(value.data) for value in values]
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), *values[0].shape)}
        size = index.nbytes + sum(value.nbytes for value in values)
        try:
            self._full = not self._cache.make_room(size, beside=self._folder)
            if not self._full:
                self._folder.mkdir(parents=True, exist_ok=True)
                path = self._folder / f"{uuid.uuid4().hex}.npy"
                partial = path.with_suffix(".partial")
                try:
                    with partial.open("wb") as file:
                        np.save(file, index)
                        np.lib.format.write_array_header_1_0(file, header)
                        for value in values:
                            file.write(value.data)
                    partial.replace(path)
                finally:
                    partial.unlink(missing_ok=True)
        except OSError as error:
            self._cache.give_up(f"cannot be written ({error.strerror or error})")

    def _open(self, path: Path) -> None:
        """Take in a file; one that was cut short or is no file of this cache is removed."""
        try:
            with path.open("rb") as file:
                index = np.load(file, allow_pickle=False)
                if index.dtype != _INDEX or np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError("not a file of this cache")
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                found = _File(path, file.tell(), shape[1:], index["check"])
                size = os.fstat(file.fileno()).st_size
            if dtype != np.float32 or shape[0] != len(index) or size != found.end:
                raise ValueError("not whole")
        except OSError:  # removed by another job, or not readable now
            return
        except Exception as error:  # NumPy's parser of headers raises what Python's parsers raise
            _log.warning("%s: a damaged cache file, its content is made anew (%s)", path, error)
            with contextlib.suppress(OSError):
                path.unlink()
            return
        self._places.update((key.tobytes(), (found, n)) for n, key in enumerate(index["key"]))

    def _discard(self, damaged: _File) -> None:
        """Forget and remove a file that has a value with another check sum."""
        _log.warning("%s: a damaged cache file, its content is made anew", damaged.path)
        for key, (file, _) in list(self._places.items()):
            if file is damaged:
                self._places.pop(key, None)
        with contextlib.suppress(OSError):
            damaged.path.unlink()


class ArrayCache:
    """A folder of shelves, bounded in size: files that were not used longest go first.

    Args:
        folder: its folder; None for no cache.
        limit_bytes: most that all files together may take.
    """

    def __init__(self, folder: Path | None, *, limit_bytes: float = 0.0) -> None:
        self.folder = folder if limit_bytes > 0 else None
        self.limit_bytes = limit_bytes
        self._given_up = False
        self._said_full = False

    def shelf(self, kind: str, *facts: object) -> Shelf:
        """The shelf of a kind of arrays.

        Args:
            kind: what they are, a folder's name.
            facts: everything besides their key that their values depend on.
        """
        if self.folder is None:
            return Shelf()
        name = hashlib.sha256(repr(facts).encode()).hexdigest()[:24]
        return Shelf(self.folder / kind / name, self)

    def make_room(self, size: int, *, beside: Path) -> bool:
        """Whether `size` bytes may be written, after what was not used longest was removed.

        Args:
            size: bytes to write.
            beside: a shelf's folder that keeps its files: removing what this run needs helps none.
        """
        if self._given_up or self.folder is None:
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.folder).free < size + _KEEP_FREE_BYTES:
            self.give_up("has no room on its disk")
            return False
        files = [(path, stat) for path in self.folder.glob("*/*/*") if (stat := _stat(path))]
        total = sum(stat.st_size for _, stat in files) + size
        for path, stat in sorted(files, key=lambda each: each[1].st_mtime):
            abandoned = path.suffix == ".partial" and _age(stat) > _ABANDONED_SECONDS
            if abandoned or (total > self.limit_bytes and path.parent != beside):
                with contextlib.suppress(OSError):
                    path.unlink()
                total -= stat.st_size
        if total > self.limit_bytes and not self._said_full:
            self._said_full = True
            _log.warning(
                "the cache %s is full (cache.gigabytes=%g); results do not depend on it",
                self.folder, self.limit_bytes / 1e9,
            )  # fmt: skip
        return total <= self.limit_bytes

    def give_up(self, reason: str) -> None:
        """Write no more in this process, and say why."""
        if not self._given_up:
            _log.warning("the cache %s %s; results do not depend on it", self.folder, reason)
        self._given_up = True


@dataclass
class _File:
    """A file of a shelf: where its values begin, their shape, and their check sums."""

    path: Path
    begin: int
    shape: tuple[int, ...]
    checks: npt.NDArray[np.uint32]
    touched: bool = field(default=False)

    @property
    def end(self) -> int:
        """Size of the whole file."""
        return self.begin + len(self.checks) * self._row_bytes

    @property
    def _row_bytes(self) -> int:
        return 4 * math.prod(self.shape)

    def read(self, row: int) -> Floats | None:
        """A value; None where the file is gone or cannot be read."""
        # not mapped into memory: a file that is cut short meanwhile would kill the process
        try:
            with self.path.open("rb") as file:
                file.seek(self.begin + row * self._row_bytes)
                values = np.fromfile(file, np.float32, math.prod(self.shape))
        except OSError:
            return None
        if not self.touched:  # what was used lately is kept
            self.touched = True
            with contextlib.suppress(OSError):  # another user's file
                os.utime(self.path)
        return values.reshape(self.shape) if len(values) == math.prod(self.shape) else None


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # removed by another job
        return None


def _age(stat: os.stat_result) -> float:
    return time.time() - stat.st_mtime
