"""Terminal output of commands and jobs, and their end with an error."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from vssl.core.progress import close_bars


def quieten_libraries() -> None:
    """Silence warnings of libraries about which users can do nothing."""
    os.environ.setdefault("WANDB_SILENT", "true")
    logging.raiseExceptions = False  # a full disk has one error, not one for each line of the log
    # of Lightning 2.6 with torch 2.13, about its own code
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")


def fail(message: str, *, status: int = 1) -> NoReturn:
    """Print an error and end the command."""
    close_bars()
    Console(stderr=True, soft_wrap=True).print(Text("error: ", style="bold red") + Text(message))
    sys.exit(status)
