"""Feature tables: encodings of all inputs of a run, kept on disk for the next one.

A table is all or nothing: its file gets its name when the last row is written. A lost or damaged
file costs time, never a number.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch

_log = logging.getLogger(__name__)
_KEEP_FREE_BYTES = 2 * 2**30
_ABANDONED_SECONDS = 3600
_CHECK_BYTES = 4  # crc32 of the values, behind them


class FeatureTable:
    """Encodings of a list of `length` inputs, read from an earlier run or kept for a later one.

    Without a path nothing is read or kept. `values` are `[length, ...]` float32, memory-mapped;
    None if they are not known.
    """

    def __init__(
        self,
        path: Path | None = None,
        length: int = 0,
        *,
        limit_bytes: float = 0,
        keep: bool = True,
    ) -> None:
        self.values = None if path is None else _read_table(path, length)
        self._path = path if keep and self.values is None else None
        self._length = length
        self._limit = limit_bytes
        self._file: BinaryIO | None = None
        self._added = self._check = 0

    def rows(self, index: torch.Tensor, encode: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Look up the encodings `[B, ...]` of the inputs at `index` `[B]`, or make and add them."""
        if self.values is not None:
            return torch.from_numpy(self.values[index.numpy()])
        encoded = encode()
        self.add(index, encoded)
        return encoded

    def add(self, index: torch.Tensor, values: torch.Tensor) -> None:
        """Append rows, which must continue the rows before; a table with gaps is not kept."""
        if self._path is None or int(index[0]) != self._added or values.dtype != torch.float32:
            return
        rows = np.ascontiguousarray(values.cpu().numpy())
        try:
            if self._file is None:
                _make_room(self._path.parent, self._length * rows[:1].nbytes, self._limit)
                self._file = self._path.with_name(f"{uuid.uuid4().hex}.partial").open("wb")
                shape = (self._length, *rows.shape[1:])
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(self._file, header)
            self._file.write(rows.data)
        except OSError as error:
            self._give_up(error)
        self._check = zlib.crc32(rows.data, self._check)
        self._added += len(rows)

    def close(self) -> None:
        """Keep the table if every row was added, else leave nothing behind."""
        if self._file is None:
            return
        partial = Path(self._file.name)
        try:
            with self._file as file:
                file.write(self._check.to_bytes(_CHECK_BYTES, "little"))
            if self._path is not None and self._added == self._length:
                partial.replace(self._path)
        except OSError as error:
            self._give_up(error)
        partial.unlink(missing_ok=True)

    def _give_up(self, error: OSError) -> None:
        if self._path is not None:  # warn once
            _log.warning(
                "the feature table %s is not kept (%s); results do not depend on it",
                self._path, error.strerror or error,
            )  # fmt: skip
        self._path = None


@dataclass(frozen=True)
class RunTables:
    """The feature tables of a run: encoded images and object maps by sample, and encoded sounds.

    Each table of sounds comes with the places of its rows among the distinct audio inputs.
    """

    images: FeatureTable = field(default_factory=FeatureTable)
    objects: FeatureTable = field(default_factory=FeatureTable)
    sounds: Sequence[tuple[range, FeatureTable]] = ()

    def known_sounds(self) -> set[int]:
        """Places of the distinct audio inputs whose vectors are known."""
        known = [places for places, table in self.sounds if table.values is not None]
        return {place for places in known for place in places}

    def close(self) -> None:
        """Keep the complete tables."""
        for table in (self.images, self.objects, *(table for _, table in self.sounds)):
            table.close()


def table_path(folder: Path, kind: str, *facts: object) -> Path:
    """File of a table; `facts` are everything that its values depend on."""
    return folder / f"{kind}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:24]}.npy"


def _read_table(path: Path, length: int) -> npt.NDArray[np.float32] | None:
    """Read the values of a table; None if it is missing or damaged (then it is removed)."""
    try:
        values: np.memmap = np.load(path, mmap_mode="r", allow_pickle=False)
        with path.open("rb") as file:
            file.seek(-_CHECK_BYTES, os.SEEK_END)
            end, check = file.tell(), int.from_bytes(file.read(), "little")
        whole = end == values.offset + values.nbytes and check == zlib.crc32(values.data)
        if values.dtype != np.float32 or len(values) != length or not whole:
            raise ValueError("not the table that was written")
    except FileNotFoundError:
        return None
    except Exception as error:  # NumPy's parser of headers raises what Python's parsers raise
        _log.warning("%s: a damaged feature table, its content is made anew (%s)", path, error)
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    with contextlib.suppress(OSError):  # another user's file
        os.utime(path)  # what was used lately is kept
    return values


def _make_room(folder: Path, size: int, limit: float) -> None:
    """Remove the least recently used tables to fit `size` bytes; OSError if they cannot fit."""
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < size + _KEEP_FREE_BYTES:
        raise OSError(f"it would leave less than {_KEEP_FREE_BYTES / 2**30:g} GB of the disk free")
    if size > limit:
        raise OSError(f"{size / 1e9:.3g} GB, but cache.gigabytes={limit / 1e9:g}")
    files = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # removed by another job
            files.append((path, path.stat()))
    total = size + sum(stat.st_size for _, stat in files)
    for path, stat in sorted(files, key=lambda each: each[1].st_mtime):
        age = time.time() - stat.st_mtime
        if age > _ABANDONED_SECONDS if path.suffix == ".partial" else total > limit:
            with contextlib.suppress(OSError):
                path.unlink()
            total -= stat.st_size
