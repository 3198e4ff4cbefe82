"""The error that users can mend."""

from __future__ import annotations


class UsageError(ValueError):
    """A fault in what the user gave: a file, a folder, an option.

    Its message names the file, the key and the mend; commands print it without a traceback.
    """
