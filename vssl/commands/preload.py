"""Imported where the jobs of a sweep are forked from: what takes long is done once for all of them.

Nothing here may start a thread: it would be missing in the processes that are forked.
"""

import atexit
import gc
import os

from vssl.commands.libraries import import_libraries
from vssl.commands.loops import load_loops


def _end_at_once(forking: int) -> None:
    """End the process that forks as soon as the command has ended.

    Its output is the command's, and who reads that waits for both.
    """
    if os.getpid() == forking:
        os._exit(0)


import_libraries()
load_loops()
gc.freeze()
atexit.register(_end_at_once, os.getpid())
