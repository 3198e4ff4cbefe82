"""One job of a sweep, in a process of its own.

`python -m vssl.commands.job FILE` is how Lightning starts the further processes of a job that runs
on several devices; the first one is started by `vssl.commands.job_process`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig

from vssl.errors import UsageError
from vssl.reporting.jobs import FAILED, FINISHED, INTERRUPTED

_log = logging.getLogger(__name__)
_MODULE = "vssl.commands.job"


@dataclass(frozen=True)
class JobFile:
    """What a job's processes are told, as a file.

    Attributes:
        config: the composed configuration.
        whole: the same with Hydra's part, as `HydraConfig` holds it.
        folder: the run's folder.
        working_directory: where relative paths of the configuration start.
        progress: whether it may draw a progress bar.
    """

    config: DictConfig
    whole: DictConfig
    folder: Path
    working_directory: str
    progress: bool

    def write(self, path: Path) -> None:
        """Write it for the job's processes."""
        path.write_bytes(pickle.dumps(self))

    @staticmethod
    def read(path: Path) -> JobFile:
        """Read what `write` wrote."""
        job: JobFile = pickle.loads(path.read_bytes())
        return job


def reason_of(error: BaseException) -> str:
    """Why a job failed: the message of an error that users can mend, the kind of all others."""
    text = str(error) or "no further word"
    return text if isinstance(error, UsageError) else f"{type(error).__name__}: {text}"


def reason_file(path: Path) -> Path:
    """Where further processes of a job say why they failed."""
    return path.with_suffix(".reason")


def run_and_tell(sender: Connection, work: Callable[..., None], arguments: Sequence[Any]) -> None:
    """Call a function in a process that was made for it, and send how that ended.

    Args:
        sender: where to send `(state, reason)`, see `vssl.reporting.jobs.Job`.
        work: the function.
        arguments: of the function.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        _end_when(parent.join)
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C goes to the sweep alone, which passes it on once
    multiprocessing.set_start_method(None, force=True)  # loader processes start as in a single run
    # the process that it was forked from ignores them
    signal.signal(signal.SIGINT, signal.default_int_handler)
    outcome = _outcome(work, arguments)
    with contextlib.suppress(BrokenPipeError):  # a sweep that was interrupted waits for nothing
        sender.send(outcome)
    sender.close()


def _outcome(work: Callable[..., None], arguments: Sequence[Any]) -> tuple[str, str]:
    try:
        work(*arguments)
    except (KeyboardInterrupt, SystemExit):  # Lightning makes the latter of the former
        return INTERRUPTED, ""
    except Exception as error:
        _log.info("failed", exc_info=True)  # to the run's log only
        return FAILED, reason_of(error)
    return FINISHED, ""


def run_job(path: Path, environment: Mapping[str, str]) -> None:
    """Run a job in the first of its processes.

    Args:
        path: the job's file.
        environment: the process's environment.
    """
    os.environ.clear()
    os.environ.update(environment)
    # what Lightning starts as the job's further processes
    sys.argv[:] = [_MODULE, str(path)]
    sys.modules["__main__"].__spec__ = importlib.util.find_spec(_MODULE)
    _run(path)


def _run(path: Path) -> None:
    """Evaluate what a job file asks for, as a single run would."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.utils import configure_log, setup_globals

    from vssl.commands.app import quieten_libraries
    from vssl.commands.evaluate import evaluate

    job = JobFile.read(path)
    os.chdir(job.working_directory)
    setup_globals()
    HydraConfig.instance().cfg = cast(Any, job.whole)
    hydra: Any = HydraConfig.get()
    configure_log(hydra.job_logging, hydra.verbose)
    for handler in logging.getLogger().handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.WARNING)
    for name in ("pytorch_lightning", "lightning_fabric"):  # they print where no log is set up yet
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    quieten_libraries()
    if not job.progress:
        job.config.trainer.enable_progress_bar = False
    evaluate(job.config, job.folder, quiet=True, wait=True)


def _end_when(other_ends: Callable[[], object]) -> None:
    """Kill this process and all it started when another one, which it works for, has ended."""

    def watch() -> None:
        other_ends()
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _parent_ended() -> None:
    first = os.getppid()
    while os.getppid() == first:
        time.sleep(0.5)


def _run_further_process() -> None:
    """Another process of a job on several devices; Lightning adds arguments that a job knows."""
    path = Path(sys.argv[1])
    _end_when(_parent_ended)
    try:
        _run(path)
    except Exception as error:
        _log.info("failed", exc_info=True)
        reason_file(path).write_text(reason_of(error), encoding="utf-8")
        sys.exit(1)


if __name__ == "__main__":
    _run_further_process()
