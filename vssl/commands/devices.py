"""Devices for jobs that run beside each other on one machine: each is lent to one job at a time."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from vssl.errors import UsageError

_log = logging.getLogger(__name__)
_LOOK_AGAIN = 0.2  # seconds


@dataclass(frozen=True)
class Request:
    """What a job needs.

    Attributes:
        kind: GPUs, or processor cores where a job uses no GPU.
        names: devices that would do, the first free ones are taken.
        count: how many of them.
    """

    kind: Literal["gpu", "core"]
    names: tuple[str, ...]
    count: int

    def environment(self, taken: Sequence[str]) -> dict[str, str]:
        """What a job's process must find in its environment before CUDA is initialised."""
        return {"CUDA_VISIBLE_DEVICES": ",".join(taken)} if self.kind == "gpu" else {}


def request_for(trainer: Any, *, gpus: Sequence[str], cores: Sequence[str]) -> Request:
    """What a job with a trainer's configuration needs.

    Args:
        trainer: the group `trainer`, with `accelerator` and `devices` as Lightning takes them.
        gpus: the GPUs that it may use.
        cores: the cores that it may use.

    Raises:
        UsageError: when it asks for what is no device, for more GPUs than there are, or for
            several machines.
    """
    if trainer.get("num_nodes", 1) != 1:
        raise UsageError(
            "trainer.num_nodes: a job of a sweep runs on one machine, as one process of the sweep"
            " starts it. Run it alone on several."
        )
    accelerator, text = str(trainer.accelerator), str(trainer.devices).strip()
    chosen, number = number_of_devices(trainer.devices)
    if accelerator in ("gpu", "cuda", "auto") and gpus:
        if chosen is not None:
            if any(index >= len(gpus) for index in chosen):
                raise UsageError(f"trainer.devices={text}: only {len(gpus)} GPUs are visible.")
            return Request("gpu", tuple(gpus[index] for index in chosen), len(chosen))
        count = len(gpus) if text in ("auto", "-1") else number
        if count > len(gpus):
            raise UsageError(f"trainer.devices={text}: only {len(gpus)} GPUs are visible.")
        return Request("gpu", tuple(gpus), count)
    return Request("core", tuple(cores), min(number, len(cores)))


def number_of_devices(devices: Any) -> tuple[list[int] | None, int]:
    """The devices that are named one by one, None where only their number is, and the number.

    The number is 1 for `auto` and -1, which stand for whatever is there.

    Raises:
        UsageError: for what is no number from 1, `auto`, or a list of different devices.
    """
    text = str(devices).strip()
    try:
        chosen = _indices(devices)
        number = 1 if text in ("auto", "-1") or chosen is not None else int(text)
    except (TypeError, ValueError):
        chosen, number = None, 0
    twice = chosen is not None and len(set(chosen)) < len(chosen)
    if number < 1 or twice or (chosen is not None and min(chosen, default=-1) < 0):
        raise UsageError(
            f"Expected `trainer.devices` to be a number from 1, auto, or a list of different GPUs,"
            f" but got {text}."
        )
    return chosen, number


def _indices(devices: Any) -> list[int] | None:
    """The devices that are named one by one; None where only their number is."""
    if isinstance(devices, str) and "," in devices:
        return [int(index) for index in devices.split(",") if index.strip()]
    if isinstance(devices, Sequence) and not isinstance(devices, str):
        return [int(index) for index in devices]
    return None


def usable_gpus() -> list[str]:
    """The GPUs that this process may use, found without initialising CUDA."""
    return visible_gpus(os.environ, _listed_gpus())


def usable_cores() -> list[str]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return [str(core) for core in sorted(os.sched_getaffinity(0))]
    return [str(core) for core in range(os.cpu_count() or 1)]


def visible_gpus(environment: Mapping[str, str], listed: Sequence[str]) -> list[str]:
    """The GPUs that an environment leaves visible.

    Args:
        environment: its `CUDA_VISIBLE_DEVICES`, where set, has indices, counted as `nvidia-smi`
            counts, or names; as in CUDA, what follows an index that does not exist is ignored.
        listed: the names of all GPUs, in order.
    """
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return list(listed)
    visible: list[str] = []
    for entry in dict.fromkeys(part.strip() for part in given.split(",")):
        if entry.isdecimal():
            if listed and int(entry) >= len(listed):
                break
            # a cgroup may show each of two jobs its own GPU as number 0: only names tell them apart
            visible.append(listed[int(entry)] if listed else entry)
        elif re.match(r"(GPU|MIG)-", entry):
            full = [name for name in listed if name.startswith(entry)]
            visible.append(full[0] if len(full) == 1 else entry)
        else:
            break
    return visible


def _listed_gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        asked = subprocess.run(
            [program, "--query-gpu=uuid", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = asked.stdout.split() if asked.returncode == 0 else []
    return [line for line in lines if line.startswith("GPU-")]


def devices_for_jobs() -> int:
    """How many jobs run at once: one for each GPU, or one, which then has all cores.

    An OmegaConf resolver, for the launchers' configuration.
    """
    return max(1, len(usable_gpus()))


@contextmanager
def lend(request: Request, *, who: str, folder: Path | None = None) -> Iterator[list[str]]:
    """Take devices, wait for them if need be, and give them back at the end.

    Locks of files are released with the process that holds them, however it ends. Whoever needs
    devices queues behind whoever came first, so several jobs with several devices cannot wait for
    each other.

    Args:
        request: what is needed.
        who: for the log.
        folder: where the locks lie; None takes one of the user's own on this machine.

    Yields:
        The names of the devices taken.
    """
    folder = _lock_folder() if folder is None else folder
    taken: list[str] = []
    with ExitStack() as locks:
        with _queue(folder / f"{request.kind}s.lock", request, who):
            said = False
            while True:
                for name in request.names:
                    if len(taken) < request.count and name not in taken:
                        lock = FileLock(folder / f"{request.kind}-{name.replace('/', '_')}.lock")
                        try:
                            locks.enter_context(lock.acquire(blocking=False))
                        except Timeout:
                            continue
                        taken.append(name)
                if len(taken) == request.count:
                    break
                if not said:
                    _say_waiting(request, who)
                    said = True
                time.sleep(_LOOK_AGAIN)
        yield taken


@contextmanager
def _queue(path: Path, request: Request, who: str) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        _say_waiting(request, who)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _say_waiting(request: Request, who: str) -> None:
    kind = "GPU" if request.kind == "gpu" else "core"
    _log.info("%s: waits for %d free %s(s) of %d", who, request.count, kind, len(request.names))


def _lock_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = Path(tempfile.gettempdir()) / f"vssl-devices-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
