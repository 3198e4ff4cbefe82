"""What pictures, sounds and videos share as files: how they are opened, and how they fail."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vssl.core.errors import UsageError

STREAMED = 0x7FFF_F000
"""Sizes from here on are what programs write that stream into a pipe and cannot know them."""


def require_file(path: Path, error: type[UsageError]) -> None:
    """Refuse whatever is no regular file; to open a pipe would wait for another end."""
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
    """Whether a file is there; one whose name is longer than can be is not."""
    try:
        return path.is_file()
    except OSError:
        return False


@contextmanager
def decoding(path: Path, error: type[UsageError], fault: str) -> Iterator[None]:
    """Turn whatever a decoder raises into one error that names the file.

    Decoders raise what they like on odd files, from ValueError to MemoryError. Nothing but their
    calls belongs inside. `fault` is said of the file; the decoder's reason follows.
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
    """The words of an error, without the numbers and names of files that some add."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
