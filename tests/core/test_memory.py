"""Memory that is freed and taken again, measured by the pages that the system had to give."""

from __future__ import annotations

import subprocess
import sys

import pytest

MEASURE = """
import resource, sys
import numpy as np
from vssl.core.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def use():
    for megabytes in (40, 3, 60):
        np.ones(megabytes * 2**18, np.float32)

use()
before = pages()
for _ in range(5):
    use()
print(pages() - before)
"""


def pages_fetched(how: str) -> int:
    """Pages that five rounds over 103 MB fetch after a first one."""
    line = [sys.executable, "-c", MEASURE, how]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is meant")
def test_freed_memory_is_used_again() -> None:
    plain, kept = pages_fetched("plain"), pages_fetched("kept")
    if plain < 1000:
        pytest.skip("this system's pages are so large, or its allocator such, that nothing is lost")
    assert kept < plain / 20
