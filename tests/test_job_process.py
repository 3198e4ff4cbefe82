"""Fresh processes: how each ended is said, and what they start from."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from vssl.commands import sweep
from vssl.commands.job_process import run_apart
from vssl.reporting.jobs import FAILED, FINISHED, KILLED


@pytest.mark.parametrize(
    ("work", "arguments", "state", "reason"),
    [
        (math.sqrt, (4,), FINISHED, ""),
        (math.sqrt, (-1,), FAILED, "ValueError: math domain error"),
        (os._exit, (3,), KILLED, "it ended without a word (exit status 3); see its log"),
        (signal.raise_signal, (signal.SIGKILL,), KILLED,
         "killed by SIGKILL, as happens when memory runs out"),
        (signal.raise_signal, (signal.SIGTERM,), KILLED, "killed by SIGTERM"),
    ],
)  # fmt: skip
def test_how_a_process_ended(
    work: Callable[..., Any], arguments: tuple[Any, ...], state: str, reason: str
) -> None:
    assert run_apart(work, *arguments) == (state, reason)


def test_output_of_a_process_is_the_commands() -> None:
    """And whoever reads it to its end waits for no process that is left."""
    script = (
        "from vssl.commands.job_process import run_apart\n"
        "if __name__ == '__main__':\n"
        "    print(run_apart(print, 'from afar')[0])\n"
    )
    line = [sys.executable, "-c", script]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "from afar\nfinished\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        (["-m", "model=center,random"], True),
        (["model=center,random", "--multirun"], True),
        (["model=center"], False),
        (["-m", "hydra/launcher=joblib", "model=center,random"], False),
    ],
)
def test_imports_begin_early_where_jobs_start_from_this_process(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], begins: bool
) -> None:
    begun: list[bool] = []
    monkeypatch.setattr(sweep, "begin_imports", lambda: begun.append(True))
    sweep.begin_early(arguments)
    assert bool(begun) == begins


IMPORTS = """
import gc, sys
from vssl.commands.libraries import import_libraries

if sys.argv[1] == "off":
    gc.disable()
assert "torch" not in sys.modules
import_libraries()
assert "torch" in sys.modules and "vssl.commands.make_records" in sys.modules
print(gc.isenabled(), gc.get_freeze_count() > 100_000)
"""


@pytest.mark.parametrize("collects", ["on", "off"])
def test_libraries_are_imported_unsearched(collects: str) -> None:
    line = [sys.executable, "-c", IMPORTS, collects]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(collects == "on"), "True"]
