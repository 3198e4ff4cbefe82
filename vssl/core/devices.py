"""GPUs and cores for jobs side by side on one machine; one job has a device at a time."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from filelock import FileLock, Timeout

from vssl.core.errors import UsageError

_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

JOBS_PER_GPU = 3
"""Jobs at once for each GPU: one uses it, while files of another are checked, or maps scored."""
_AT_ONCE = 32  # items that a thread takes at once, as each costs a future
_LONG_WAIT = 300  # attempts, a minute: with several jobs for each GPU, all wait now and then


@dataclass(frozen=True)
class DeviceRequest:
    """A number of GPUs, of processor cores or of places for jobs, out of those named."""

    kind: Literal["GPU", "core", "place"]
    names: tuple[str, ...]
    count: int


def request_for(trainer: Any) -> DeviceRequest:
    """Return what a job with a group `trainer` needs of the GPUs and cores of this process.

    Raises:
        UsageError: for an invalid device, more GPUs than there are, or several machines.
    """
    if trainer.get("num_nodes", 1) != 1:
        raise UsageError(
            "trainer.num_nodes: a job of a sweep runs on one machine, as one process of the sweep"
            " starts it. Run it alone on several."
        )
    gpus, cores = usable_gpus(), usable_cores()
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
        return DeviceRequest("GPU", tuple(gpus), chosen)
    return DeviceRequest("GPU", tuple(gpus[index] for index in chosen), len(chosen))


def chosen_devices(devices: Any) -> list[int] | int:
    """Return the indices of devices, or their number; -1 is all.

    Raises:
        UsageError: unless it is a number from 1, `auto`, or a list of different devices.
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
    """Return the GPUs that this process may use, found without initialising CUDA.

    They are those that `CUDA_VISIBLE_DEVICES` leaves visible. It holds indices, counted as by
    `nvidia-smi`, or names. As in CUDA, everything after an index that does not exist is ignored.
    """
    given, listed = os.environ.get("CUDA_VISIBLE_DEVICES"), _listed_gpus()
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


@cache
def _listed_gpus() -> tuple[str, ...]:
    """The GPUs of this machine; to ask the driver takes up to two seconds."""
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # there is no such program
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return tuple(name for name in asked.stdout.split() if name.startswith("GPU-"))
    return ()


def usable_cores() -> list[str]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return [str(core) for core in sorted(os.sched_getaffinity(0))]
    return [str(core) for core in range(os.cpu_count() or 1)]


def each(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    advance: Callable[[int], object] = lambda count: None,
) -> Iterator[_Result]:
    """Apply a function to items in order, in threads; `advance` is told how many are done."""

    def several(part: Sequence[_Item]) -> list[_Result]:
        return [work(item) for item in part]

    known = list(items)
    parts = [known[n : n + _AT_ONCE] for n in range(0, len(known), _AT_ONCE)]
    with ThreadPoolExecutor(len(usable_cores())) as pool:
        for results in pool.map(several, parts):
            yield from results
            advance(len(results))


def jobs_here() -> int:
    """Return how many jobs run at once: several for each GPU, else one with all cores."""
    return max(1, JOBS_PER_GPU * len(usable_gpus()))


@contextlib.contextmanager
def acquire_devices(
    request: DeviceRequest, *, who: str, folder: Path | None = None
) -> Iterator[list[str]]:
    """Wait for devices, yield their names, and release them.

    A device is a file lock, which ends with the process that holds it. Only the holder of the lock
    `<kind>s` takes devices, so that jobs that need several do not wait for each other. The locks
    are in `folder`, by default one for each user of the machine.
    """
    if folder is None:
        user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
        folder = Path(tempfile.gettempdir()) / f"vssl-devices-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
    files = {n: folder / f"{request.kind}-{n.replace('/', '_')}.lock" for n in request.names}
    locks = {name: FileLock(path) for name, path in files.items()}
    turn = FileLock(folder / f"{request.kind}s.lock")
    taken: list[str] = []
    try:
        for attempt in itertools.count():
            if _is_taken(turn):
                free = (name for name in locks if name not in taken and _is_taken(locks[name]))
                taken += itertools.islice(free, request.count - len(taken))
            if len(taken) == request.count:
                break
            if attempt == _LONG_WAIT:
                others = [path for name, path in files.items() if name not in taken]
                _log.warning(
                    "%s: waits for %d free %s(s) of %d; longest held by %s. If a sweep that is gone"
                    " left that process behind, end it with kill -9",
                    who, request.count, request.kind, len(locks), _oldest_holder(others),
                )  # fmt: skip
            time.sleep(0.2)
        turn.release(force=True)
        for name in taken:
            note = f"process {os.getpid()}, {who}, since {datetime.now():%d %b %H:%M}"
            files[name].with_suffix(".txt").write_text(note, encoding="utf-8")
        yield taken
    finally:
        for lock in (turn, *locks.values()):
            lock.release(force=True)


def _oldest_holder(files: Sequence[Path]) -> str:
    """Who took one of some locks first."""
    notes = [path.with_suffix(".txt") for path in files if path.with_suffix(".txt").is_file()]
    first = min(notes, key=lambda note: note.stat().st_mtime, default=None)
    return "an unknown process" if first is None else first.read_text(encoding="utf-8")


def _is_taken(lock: FileLock) -> bool:
    """Take a lock if it is free."""
    with contextlib.suppress(Timeout):
        lock.acquire(blocking=False)
    return lock.is_locked
