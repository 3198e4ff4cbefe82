"""How loops are compiled: by numba, when first called."""

from __future__ import annotations

from typing import Any

import numba


def compiled(function: Any = None, **options: Any) -> Any:
    """`numba.njit` that keeps what it compiles on disk, where there is a place for it."""
    if function is None:
        return lambda decorated: compiled(decorated, **options)
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(nogil=True, **options)(function)
