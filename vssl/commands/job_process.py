"""Runs a job of a sweep, or its report, in a fresh process, and says how that ended.

The processes are forked from one that has imported the libraries, loaded the compiled loops and
done nothing else, so a job starts in a fraction of the seconds that this takes, and no job sees
what another left behind.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from vssl.commands.job import reason_file, run_and_tell, run_job
from vssl.reporting.jobs import FAILED, INTERRUPTED, KILLED

_PATIENCE = 60.0  # seconds that a job has to close its files and loggers


def begin_imports() -> BaseContext:
    """Have the libraries imported, in the process to fork from, while this one goes on.

    Returns:
        How processes start on this system; where none can be forked, each imports them itself.
    """
    context = _context()
    if context.get_start_method() == "forkserver":
        from multiprocessing import forkserver

        with _without_interrupts():
            forkserver.ensure_running()
    return context


def run_process(path: Path, environment: Mapping[str, str]) -> tuple[str, str]:
    """Run a job to its end.

    Args:
        path: the job's file.
        environment: of its process.

    Returns:
        State and reason, see `vssl.reporting.jobs.Job`.

    Raises:
        KeyboardInterrupt: after the job was interrupted too and has ended.
    """
    told = reason_file(path)
    try:
        state, reason = run_apart(run_job, path, dict(environment))
        if state == KILLED and told.is_file():
            return FAILED, told.read_text(encoding="utf-8")
        return state, reason
    finally:
        told.unlink(missing_ok=True)


def run_apart(work: Callable[..., None], *arguments: Any) -> tuple[str, str]:
    """Run a function in a fresh process.

    Args:
        work: what to run, importable by its name.
        arguments: of the function; they are pickled.

    Returns:
        How it ended, as a state of `vssl.reporting.jobs.Job` and the reason.

    Raises:
        KeyboardInterrupt: after the process was interrupted too and has ended.
    """
    context = begin_imports()
    receiver, sender = context.Pipe(duplex=False)
    process: Any = context.Process(  # type: ignore[attr-defined]
        target=run_and_tell, args=(sender, work, arguments)
    )
    try:
        process.start()
        sender.close()
        return _wait(process, receiver)
    except KeyboardInterrupt:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGINT)
            process.join(_PATIENCE)
        raise
    finally:
        if process.pid is not None:
            _end_all(process)
        receiver.close()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C is ignored meanwhile, and for ever by processes that start: it is for the sweep alone.

    The process that forks would ignore it only after its imports.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _wait(process: Any, receiver: Connection) -> tuple[str, str]:
    wait([receiver, process.sentinel])
    outcome: tuple[str, str] | None = None
    with contextlib.suppress(EOFError, OSError):
        if receiver.poll():
            outcome = receiver.recv()
    process.join(_PATIENCE if outcome else None)
    if outcome is not None and outcome[0] != INTERRUPTED:
        return outcome
    return KILLED, _how_killed(process.exitcode)


def _how_killed(status: int | None) -> str:
    if status is None or status >= 0:
        return f"it ended without a word (exit status {status}); see its log"
    name = signal.Signals(-status).name
    hint = ", as happens when memory runs out" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"


def _end_all(process: Any) -> None:
    """End the job's process and whatever it started: loader processes, processes of other GPUs."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():
        process.kill()
    process.join()


def _context() -> BaseContext:
    if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
        # joblib's workers have a default of their own, which a new process would not know
        multiprocessing.set_start_method(None, force=True)
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vssl.commands.preload"])
    return context
