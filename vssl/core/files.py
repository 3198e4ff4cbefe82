"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
