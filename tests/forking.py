"""Commands in processes of their own, forked from one that has imported the libraries.

A new interpreter takes seconds to import torch and Lightning, longer than most commands of the
tests run. Here one process for each worker of pytest imports them, does nothing else, and forks for
each command. What a command meets is as in a new interpreter: its own environment, working
directory, output files, exit handlers and `__main__`. Only the imports are there already; tests of
these need a new interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn


class Forked:
    """A command that runs, with the methods of `subprocess.Popen` that tests need.

    Args:
        script: the Python file to run.
        arguments: its arguments.
        cwd: its working directory.
        environment: its environment variables; None takes those of this process.
    """

    def __init__(
        self,
        script: Path,
        arguments: Sequence[str],
        *,
        cwd: Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.args = [str(script), *arguments]
        self.returncode: int | None = None
        self._files = contextlib.ExitStack()
        self._outputs = [
            self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            for _ in ("stdout", "stderr")
        ]
        told, theirs = socket.socketpair()
        self._told = self._files.enter_context(told)
        job = {
            "arguments": self.args,
            "cwd": str(cwd),
            "environment": dict(os.environ) if environment is None else environment,
        }
        with theirs:
            descriptors = [theirs.fileno(), *(output.fileno() for output in self._outputs)]
            socket.send_fds(_server(), [json.dumps(job).encode()], descriptors)
        self._lines = self._files.enter_context(self._told.makefile())
        self.pid = int(self._lines.readline())

    def send_signal(self, number: int) -> None:
        """Send a signal, which a process that has ended does not notice."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait until it has ended; what it wrote on stdout and stderr."""
        with self._files:
            self._told.settimeout(timeout)
            try:
                self.returncode = int(self._lines.readline())
            except TimeoutError:
                self.kill()
                raise subprocess.TimeoutExpired(self.args, timeout) from None
            stdout, stderr = map(_text, self._outputs)
        return stdout, stderr


def _text(file: Any) -> str:
    file.seek(0)
    text: str = file.read().decode()
    return text


@functools.cache
def _server() -> socket.socket:
    """Starts the process that forks; ends it with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[1],
        )  # fmt: skip

    def end() -> None:
        ours.close()
        process.wait(timeout=60)

    atexit.register(end)
    return ours


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for each request until there are no more; returns jobs in the processes to run them."""
    importlib.import_module("vssl.commands.preload")
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, 2**20, 3)
        if not message:
            return None
        if os.fork() == 0:
            requests.close()
            job: dict[str, Any] = json.loads(message)
            _watch(*descriptors)
            return job
        for descriptor in descriptors:
            os.close(descriptor)
        _reap()


def _watch(told: int, *outputs: int) -> None:
    """Fork once more: returns in the new process, and its parent tells how it ended."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(reading, 1)  # nothing happens before its number is known
        for number, descriptor in enumerate(outputs, start=1):
            os.dup2(descriptor, number)
        for descriptor in (told, reading, writing, *outputs):
            os.close(descriptor)
        return
    os.write(told, f"{pid}\n".encode())
    os.write(writing, b".")
    _, status = os.waitpid(pid, 0)
    os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _reap() -> None:
    """Take notice of watching processes that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _run(job: dict[str, Any]) -> NoReturn:
    """Run a script as the interpreter does, but for the seconds in which that frees all modules."""
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = job["arguments"]
    folders = job["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [str(Path(sys.argv[0]).parent), *(folder for folder in folders if folder)]
    status = 1
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _job = _serve(socket.socket(fileno=int(sys.argv[1])))
    if _job is not None:
        _run(_job)
