"""Devices for jobs that run beside each other on one machine: each is lent to one job at a time."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from vssl.core.errors import UsageError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeviceRequest:
    """What a job needs: a number of GPUs, or else processor cores, of those named."""

    kind: Literal["gpu", "core"]
    names: tuple[str, ...]
    count: int


def request_for(
    trainer: Any, *, gpus: Sequence[str] | None = None, cores: Sequence[str] | None = None
) -> DeviceRequest:
    """Return what a job with a group `trainer` needs of the GPUs and cores of this process.

    Raises:
        UsageError: for what is no device, more GPUs than there are, or several machines.
    """
    if trainer.get("num_nodes", 1) != 1:
        raise UsageError(
            "trainer.num_nodes: a job of a sweep runs on one machine, as one process of the sweep"
            " starts it. Run it alone on several."
        )
    gpus = usable_gpus() if gpus is None else gpus
    cores = usable_cores() if cores is None else cores
    chosen = chosen_devices(trainer["devices"])
    if str(trainer["accelerator"]) not in ("gpu", "cuda", "auto") or not gpus:
        number = max(chosen, 1) if isinstance(chosen, int) else 1
        return DeviceRequest("core", tuple(cores), min(number, len(cores)))
    if chosen == -1:
        chosen = len(gpus)
    if (chosen - 1 if isinstance(chosen, int) else max(chosen)) >= len(gpus):
        raise UsageError(
            f"trainer.devices={trainer['devices']}: only {len(gpus)} GPUs are visible."
        )
    if isinstance(chosen, int):
        return DeviceRequest("gpu", tuple(gpus), chosen)
    return DeviceRequest("gpu", tuple(gpus[index] for index in chosen), len(chosen))


def chosen_devices(devices: Any) -> list[int] | int:
    """Return the devices that are named one by one, else their number; -1 stands for all.

    Raises:
        UsageError: for what is no number from 1, `auto`, or a list of different devices.
    """
    text = str(devices).strip()
    if text in ("auto", "-1"):
        return -1
    if isinstance(devices, str) and "," in devices:
        devices = [index for index in devices.split(",") if index.strip()]
    with contextlib.suppress(TypeError, ValueError):
        if isinstance(devices, str) or not isinstance(devices, Sequence):
            if int(text) >= 1:
                return int(text)
        else:
            indices = [int(index) for index in devices]
            if len(set(indices)) == len(indices) and min(indices) >= 0:
                return indices
    raise UsageError(
        "Expected `trainer.devices` to be a number from 1, auto, or a list of different GPUs,"
        f" but got {text}."
    )


def usable_gpus() -> list[str]:
    """Return the GPUs that this process may use, found without initialising CUDA."""
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    listed: list[str] = []
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # there is no such program
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        listed = [name for name in asked.stdout.split() if name.startswith("GPU-")]
    return visible_gpus(os.environ, listed)


def usable_cores() -> list[str]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return [str(core) for core in sorted(os.sched_getaffinity(0))]
    return [str(core) for core in range(os.cpu_count() or 1)]


def visible_gpus(environment: Mapping[str, str], listed: Sequence[str]) -> list[str]:
    """Return which of the listed GPUs `CUDA_VISIBLE_DEVICES` leaves visible.

    It has indices, counted as `nvidia-smi` counts, or names. As in CUDA, whatever follows an index
    that does not exist is ignored.
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


def devices_for_jobs() -> int:
    """Return how many jobs run at once: one per GPU, else one with all cores. A resolver."""
    return max(1, len(usable_gpus()))


@contextlib.contextmanager
def lend(request: DeviceRequest, *, who: str, folder: Path | None = None) -> Iterator[list[str]]:
    """Yield the names of devices taken, after waiting for them if need be; release them after use.

    A device is a file lock, which is released with the process that holds it, however it ends.
    Only the holder of the lock `<kind>s` takes devices, so jobs that need several cannot wait for
    each other. The locks lie in `folder`, by default one of the user's own on this machine.
    """
    if folder is None:
        user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
        folder = Path(tempfile.gettempdir()) / f"vssl-devices-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
    turn = FileLock(folder / f"{request.kind}s.lock")
    locks = {
        name: FileLock(folder / f"{request.kind}-{name.replace('/', '_')}.lock")
        for name in request.names
    }
    taken: list[str] = []
    try:
        for attempt in itertools.count():
            if _is_taken(turn):
                free = (name for name in locks if name not in taken and _is_taken(locks[name]))
                taken += itertools.islice(free, request.count - len(taken))
            if len(taken) == request.count:
                break
            if attempt == 0:
                kind = "GPU" if request.kind == "gpu" else "core"
                _log.warning(
                    "%s: waits for %d free %s(s) of %d", who, request.count, kind, len(locks)
                )
            time.sleep(0.2)
        turn.release(force=True)
        yield taken
    finally:
        for lock in (turn, *locks.values()):
            lock.release(force=True)


def _is_taken(lock: FileLock) -> bool:
    """Take a lock if it is free."""
    with contextlib.suppress(Timeout):
        lock.acquire(blocking=False)
    return lock.is_locked
