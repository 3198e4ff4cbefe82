"""Atomic writes of files, and the text of a csv file."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def partial_path(path: Path) -> Path:
    """Return where this process writes a file until it is complete."""
    return path.with_name(f"{path.name}.{os.getpid()}.partial")


@contextmanager
def written_to(place: Path) -> Iterator[None]:
    """Add the place to an OSError without a file name, as a full disk raises."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            text = error.strerror or str(error)
            raise OSError(error.errno or errno.EIO, text, str(place)) from error
        raise


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Check that a folder can be written, before the work whose results go there."""
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
    """Yield a path to write to. It is renamed to `path` in the end, or removed after an error."""
    partial = partial_path(path)
    try:
        with written_to(path):
            yield partial
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, atomically."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def csv_text(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, delimiter: str = ","
) -> str:
    """Text of a csv file: a header, and a line for each row, which has a value for each column."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
