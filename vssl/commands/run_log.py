"""The log of a run, in its folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any


class RunLog(logging.FileHandler):
    """A log file; where none can be opened, nothing is kept of the log.

    A finished run on a read-only disk is taken as it is; any other says itself, with the folder's
    name, that nothing can be written there.
    """

    def _open(self) -> Any:
        try:
            return super()._open()
        except OSError:
            return Path(os.devnull).open(self.mode, encoding=self.encoding)
