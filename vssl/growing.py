"""Arrays that grow row by row in a file, so that their length takes no memory."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class GrowingArray:
    """Rows of one shape and type, appended to a file that is gone when the context ends.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._row: tuple[int, ...] | None = None
        self._type = np.dtype(np.float32)

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def append(self, rows: Array) -> None:
        """Append rows `[N, ...]`.

        Raises:
            ValueError: for rows of another shape or type than those before.
        """
        if self._row is None:
            self._row, self._type = rows.shape[1:], rows.dtype
        if (rows.shape[1:], rows.dtype) != (self._row, self._type):
            raise ValueError(
                f"Expected rows of {list(self._row)} {self._type}, but got"
                f" {list(rows.shape[1:])} {rows.dtype}."
            )
        self._file.write(np.ascontiguousarray(rows).tobytes())
        self.rows += len(rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole."""
        return (self.rows, *(self._row or ()))

    def read(self) -> Iterator[Array]:
        """The rows, one at a time."""
        self._file.flush()
        row = self._row or ()
        size = int(np.prod(row, dtype=np.int64)) * self._type.itemsize
        with self.path.open("rb") as file:
            for _ in range(self.rows):
                yield np.frombuffer(file.read(size), self._type).reshape(row)

    def save(self, archive: zipfile.ZipFile, name: str) -> None:
        """Write the whole as a member of a .npz archive."""
        self._file.flush()
        header = {"descr": self._type.str, "fortran_order": False, "shape": self.shape}
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            with self.path.open("rb") as file:
                shutil.copyfileobj(file, member)


def save_arrays(path: Path, arrays: Mapping[str, Array | GrowingArray]) -> None:
    """Write a compressed .npz archive, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                if isinstance(array, GrowingArray):
                    array.save(archive, name)
                    continue
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
