"""Which devices a job takes, and that no two jobs have one at the same time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vssl.core.devices import DeviceRequest, acquire_devices, request_for, visible_gpus
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
    ],
)
def test_visible_gpus(given: str | None, expected: list[str]) -> None:
    environment = {} if given is None else {"CUDA_VISIBLE_DEVICES": given}
    assert visible_gpus(environment, LISTED) == expected


def test_indices_stand_for_themselves_where_no_names_are_known() -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "3,1"}, []) == ["3", "1"]


@pytest.mark.parametrize(
    ("accelerator", "devices", "gpus", "expected"),
    [
        ("auto", 1, LISTED, DeviceRequest("gpu", tuple(LISTED), 1)),
        ("auto", 1, [], DeviceRequest("core", tuple(CORES), 1)),
        ("cpu", 1, LISTED, DeviceRequest("core", tuple(CORES), 1)),
        ("cpu", 2, [], DeviceRequest("core", tuple(CORES), 2)),
        ("cpu", 8, [], DeviceRequest("core", tuple(CORES), 3)),
        ("gpu", "2", LISTED, DeviceRequest("gpu", tuple(LISTED), 2)),
        ("gpu", -1, LISTED, DeviceRequest("gpu", tuple(LISTED), 3)),
        ("gpu", [0, 2], LISTED, DeviceRequest("gpu", (LISTED[0], LISTED[2]), 2)),
        ("gpu", "2,", LISTED, DeviceRequest("gpu", (LISTED[2],), 1)),
    ],
)
def test_requests(
    accelerator: str, devices: object, gpus: list[str], expected: DeviceRequest
) -> None:
    trainer = OmegaConf.create({"accelerator": accelerator, "devices": devices})
    assert request_for(trainer, gpus=gpus, cores=CORES) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"devices": 4}, "trainer.devices=4: only 3 GPUs are visible"),
        ({"devices": [0, 3]}, "only 3 GPUs are visible"),
        ({"devices": 1, "num_nodes": 2}, "a job of a sweep runs on one machine"),
    ],
)
def test_impossible_requests(settings: dict[str, object], message: str) -> None:
    trainer = OmegaConf.create({"accelerator": "gpu", **settings})
    with pytest.raises(UsageError, match=message):
        request_for(trainer, gpus=LISTED, cores=CORES)


def test_a_device_is_lent_to_one_at_a_time_and_several_without_deadlock(tmp_path: Path) -> None:
    """Jobs that need one, two and all of three devices, all at once."""
    held: set[str] = set()
    most, guard, done = [0], threading.Lock(), []

    def job(count: int) -> None:
        with acquire_devices(
            DeviceRequest("gpu", ("a", "b", "c"), count), who="job", folder=tmp_path
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
