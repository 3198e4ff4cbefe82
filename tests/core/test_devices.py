"""Which devices a job takes, and that no two jobs have one at the same time."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from vssl.core import devices
from vssl.core.devices import DeviceRequest, acquire_devices, request_for
from vssl.core.errors import UsageError

LISTED = ["GPU-aaaa-1", "GPU-aabb-2", "GPU-cccc-3"]
CORES = ["0", "1", "2"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, LISTED),
        ("", []),
        ("-1", []),
        ("2,0", [LISTED[2], LISTED[0]]),
        ("0, 7, 1", [LISTED[0]]),
        ("GPU-cc", [LISTED[2]]),
        ("GPU-aa", ["GPU-aa"]),
        ("MIG-x/1,1", ["MIG-x/1", LISTED[1]]),
        ("3,1", ["3", "1"]),  # where no names are known
    ],
)
def test_usable_gpus(
    given: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    monkeypatch.setattr(devices, "_listed_gpus", lambda: [] if given == "3,1" else LISTED)
    assert devices.usable_gpus() == expected


@pytest.mark.parametrize(
    ("accelerator", "wanted", "gpus", "expected"),
    [
        ("auto", 1, LISTED, DeviceRequest("GPU", tuple(LISTED), 1)),
        ("auto", 1, [], DeviceRequest("core", tuple(CORES), 1)),
        ("cpu", 1, LISTED, DeviceRequest("core", tuple(CORES), 1)),
        ("cpu", 2, [], DeviceRequest("core", tuple(CORES), 2)),
        ("cpu", 8, [], DeviceRequest("core", tuple(CORES), 3)),
        ("gpu", "2", LISTED, DeviceRequest("GPU", tuple(LISTED), 2)),
        ("gpu", -1, LISTED, DeviceRequest("GPU", tuple(LISTED), 3)),
        ("gpu", [0, 2], LISTED, DeviceRequest("GPU", (LISTED[0], LISTED[2]), 2)),
        ("gpu", "2,", LISTED, DeviceRequest("GPU", (LISTED[2],), 1)),
    ],
)
def test_requests(
    accelerator: str, wanted: object, gpus: list[str], expected: DeviceRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(devices, "usable_gpus", lambda: gpus)
    monkeypatch.setattr(devices, "usable_cores", lambda: CORES)
    assert request_for({"accelerator": accelerator, "devices": wanted}) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"devices": 4}, "trainer.devices=4: only 3 GPUs are visible"),
        ({"devices": [0, 3]}, "only 3 GPUs are visible"),
        ({"devices": 1, "num_nodes": 2}, "a job of a sweep runs on one machine"),
    ],
)
def test_impossible_requests(
    settings: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "usable_gpus", lambda: LISTED)
    with pytest.raises(UsageError, match=message):
        request_for({"accelerator": "gpu", **settings})


def test_a_device_is_lent_to_one_at_a_time_and_several_without_deadlock(tmp_path: Path) -> None:
    """Jobs that need one, two and all of three devices, all at once."""
    held: set[str] = set()
    most, guard, done = [0], threading.Lock(), []

    def job(count: int) -> None:
        with acquire_devices(
            DeviceRequest("GPU", ("a", "b", "c"), count), who="job", folder=tmp_path
        ) as taken:
            with guard:
                assert not held & set(taken)
                held.update(taken)
                most[0] = max(most[0], len(held))
            time.sleep(0.05)
            with guard:
                held.difference_update(taken)
            done.append(len(taken))

    counts = [1, 2, 3, 2, 1, 3, 2, 1]
    threads = [threading.Thread(target=job, args=(count,), daemon=True) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == sorted(counts)
    assert most[0] > 1


def test_who_waits_long_is_told_who_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process may that outlived its sweep."""
    monkeypatch.setattr(devices, "_LONG_WAIT", 1)
    request = DeviceRequest("GPU", ("a", "b"), 1)
    taken: list[list[str]] = []

    def wait() -> None:
        with acquire_devices(request, who="[5/24] rcgrad", folder=tmp_path) as found:
            taken.append(found)

    with (
        acquire_devices(request, who="[3/24] lvs", folder=tmp_path),
        acquire_devices(request, who="[4/24] ezvsl", folder=tmp_path),
    ):
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        while not caplog.text:
            time.sleep(0.01)
        assert not taken
    thread.join(60)
    assert len(taken) == 1
    (said,) = caplog.messages
    begin = f"[5/24] rcgrad: waits for 1 free GPU(s) of 2; longest held by process {os.getpid()}"
    assert said.startswith(f"{begin}, [3/24] lvs, since ")


def test_jobs_are_several_for_a_gpu_and_the_driver_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\necho GPU-x; echo GPU-y\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices._listed_gpus.cache_clear()
    try:
        assert [devices.usable_gpus() for _ in range(3)] == [["GPU-x", "GPU-y"]] * 3
        assert devices.jobs_here() == 2 * devices.JOBS_PER_GPU
    finally:
        devices._listed_gpus.cache_clear()
    assert (tmp_path / "asked").read_text().splitlines() == ["asked"]
