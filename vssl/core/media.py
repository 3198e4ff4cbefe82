"""Checks and errors that pictures, sounds and videos share as files."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vssl.core.errors import UsageError

STREAMED = 0x7FFF_F000
"""Sizes from here on are placeholders, by programs that stream into a pipe."""


def require_file(path: Path, error: type[UsageError]) -> None:
    """Check that a path is a regular file; to open a pipe would block."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as fault:
        raise error(f"{path}: no such file") from fault
    except (OSError, ValueError) as fault:  # ValueError: a name that no file can have
        raise error(f"{path}: not readable ({reason_of(fault)})") from fault
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise error(f"{path}: no such file, there is {kind} of that name")


def is_there(path: Path) -> bool:
    """Whether a file exists; a name that is too long does not."""
    try:
        return path.is_file()
    except OSError:
        return False


@contextmanager
def decoding(path: Path, error: type[UsageError], fault: str) -> Iterator[None]:
    """Turn any exception of a decoder into `error`, with the file, `fault` and the reason.

    Decoders raise anything on odd files, from ValueError to MemoryError: only their calls belong
    inside.
    """
    try:
        yield
    except error:
        raise
    except UsageError as raised:  # of another part, with the file's name
        raise error(str(raised)) from raised
    except Exception as raised:
        raise error(f"{path}: {fault} ({reason_of(raised)})") from raised


def reason_of(error: BaseException) -> str:
    """Return an error's message, without error numbers and file names."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
