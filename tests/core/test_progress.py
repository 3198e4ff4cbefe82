"""Progress bars: on a terminal with rate and remaining time, nothing anywhere else."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.running import run

QUICK = (
    "model=audio_blind", "data=synthetic", "data.scenes=2", "negatives.noise.draws=1",
    "negatives.offscreen.draws=1",
)  # fmt: skip

NESTED = """
import logging, sys, time
from vssl.core.progress import progress_bar
logging.basicConfig(stream=sys.stderr, level="INFO", format="LOGGED %(message)s")
with progress_bar("outer", 2) as outer:
    for turn in range(2):
        with progress_bar("inner", 40) as inner:
            for item in range(40):
                time.sleep(0.02)
                inner(1)
            logging.info("turn %d", turn)
        outer(1)
"""
FAILING = """
import time
from vssl.cli.app import run_app
from vssl.core.errors import UsageError
from vssl.core.progress import progress_bar
def main():
    with progress_bar("step", 9) as advance:
        time.sleep(0.3)
        advance(1)
        raise {error}
run_app(main, "rescore")
"""


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, Callable[[], str]]]:
    """A pseudo-terminal: what to write to, and a function that closes it and tells what it got."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while piece := os.read(ours, 65536):
                shown.append(piece)

    reader = threading.Thread(target=read)
    reader.start()

    def content() -> str:
        os.close(theirs)
        reader.join(timeout=30)
        return b"".join(shown).decode()

    yield theirs, content
    os.close(ours)


def on_terminal(*command: str, cwd: Path, timeout: float = 120) -> tuple[str, str, int]:
    """Run with stderr on a pseudo-terminal: what it shows, stdout, and the exit status."""
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    with terminal() as (theirs, content):
        done = subprocess.run(
            command, cwd=cwd, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment,
            timeout=timeout, check=False,
        )  # fmt: skip
        return content(), done.stdout, done.returncode


def plain(shown: str) -> str:
    """Text without the terminal's control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def test_a_terminal_shows_rate_and_remaining_time_and_logs_above_the_bars(tmp_path: Path) -> None:
    shown, stdout, status = on_terminal(sys.executable, "-c", NESTED, cwd=tmp_path)
    assert (status, stdout) == (0, "")
    text = plain(shown)
    assert re.search(r"inner .* \d+/40 +[\d.]+/s +0:00:0\d left, 0:00:0\d", text)
    assert "outer" in text
    for turn in range(2):
        assert f"LOGGED turn {turn}" in text.replace("\r", "\n").split("\n")
    assert shown.endswith("\x1b[?25h") or "\x1b[?25h" in shown.rsplit("inner", 1)[1]  # cursor back


def test_nothing_is_drawn_without_a_terminal_or_where_bars_are_off(tmp_path: Path) -> None:
    off = "from vssl.core.progress import show_progress; show_progress(False)\n"
    shown, _, _ = on_terminal(sys.executable, "-c", off + NESTED, cwd=tmp_path)
    assert shown.split() == ["LOGGED", "turn", "0", "LOGGED", "turn", "1"]
    done = subprocess.run(
        [sys.executable, "-c", NESTED], cwd=tmp_path, capture_output=True, text=True, check=True,
        timeout=60, env={**os.environ, "FORCE_COLOR": "1"},
    )  # fmt: skip
    assert done.stdout == ""
    assert done.stderr == "LOGGED turn 0\nLOGGED turn 1\n"


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [('UsageError("mend it")', 1, "error: mend it"), ("KeyboardInterrupt", 130, "interrupted")],
)
def test_bars_are_gone_before_the_message(
    tmp_path: Path, error: str, status: int, message: str
) -> None:
    shown, _, found = on_terminal(sys.executable, "-c", FAILING.format(error=error), cwd=tmp_path)
    assert found == status
    last = shown.rsplit("step", 1)[1]
    assert message in plain(last)
    assert "\x1b[?25h" in last  # the cursor is back


def test_an_evaluation_shows_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal() as (theirs, content), monkeypatch.context() as shown:
        shown.setenv("TERM", "xterm")
        shown.setenv("COLUMNS", "120")
        shown.delenv("NO_COLOR", raising=False)
        shown.setattr(sys, "stderr", os.fdopen(theirs, "w", buffering=1, closefd=False))
        run(tmp_path, *QUICK, "trainer.enable_progress_bar=true", "subsets=[category]", show=True)
        text = plain(content())
    for step in ("checking synthetic", "images", "scoring", "summary and intervals", "subsets"):
        assert re.search(rf"{step}[a-z ]* ━", text), step
