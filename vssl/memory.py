"""What becomes of memory that the process no longer uses."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc

# of glibc's mallopt
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_KEPT_BYTES = 2**31 - 1  # the largest that mallopt takes


def keep_freed_memory() -> None:
    """Let freed memory wait for its next use instead of going back to the system.

    A network's activations and a batch's maps are tens of megabytes that are taken and given back
    with every batch; fetching them from the system anew, page by page, takes up to a sixth of a
    run's time. The process does not grow larger than it was at its largest. Under other C libraries
    than glibc nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def end_quickly() -> None:
    """Let the system take back a process's memory as a whole when it ends.

    The interpreter would look through all objects for unused cycles first, several times, which
    takes a second once torch and Lightning are imported.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
