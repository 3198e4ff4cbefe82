"""Libraries that few need: `pip install 'vssl[NAME]'`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vssl.core.errors import UsageError


class MissingExtraError(UsageError):
    """A library of an extra that is not installed; the message has the command that installs it."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import libraries of an extra in this context.

    Raises:
        MissingExtraError: when one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = str(error.name).partition(".")[0]
        raise MissingExtraError(f"needs {library}: pip install 'vssl[{name}]'") from error
