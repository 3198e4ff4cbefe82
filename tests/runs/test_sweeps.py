"""Sweeps: whatever happens to a job, the others are done and all are accounted for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_module

from tests.helpers.running import KEY, command, records, run
from tests.helpers.sweeping import QUICK, all_records, prepare, processes_in, start, sweep, wait_for
from vssl.config.compose import register_resolvers
from vssl.core.devices import usable_cores
from vssl.runs.sweep import set_up_launcher

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands start."""
    folder = tmp_path / "place"
    folder.mkdir()
    prepare(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def of(data: Path) -> tuple[str, ...]:
    return (f"data={data.name}", f"data.root={data}")


def test_failed_and_killed_jobs_cost_the_others_nothing(
    is3_folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several at once under joblib, then with `fail_fast` under the basic launcher."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    jobs = ("model=killed,counting,ezvsl", *of(is3_folder))
    several = sweep(place, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *jobs)
    assert several.returncode == 1
    for count in ("3 jobs: ", "1 killed", "1 finished", "1 failed"):
        assert count in several.stderr.splitlines()[-1]
    assert "[2/3] counting is3 silence corrected: finished in" in several.stderr
    assert "counting" in several.stdout
    assert "Traceback" not in several.stderr
    assert int((place / "threads").read_text()) == max(1, len(usable_cores()) // 2)
    out = place / "out"
    listed = (out / "sweep.md").read_text()
    assert "killed by SIGKILL, as happens when memory runs out" in listed
    assert "weights/ezvsl.pth: no such file" in listed
    assert not list(out.glob(".sweep-*"))
    (path,) = out.glob("*/*/*/*/*/run.json")
    assert json.loads(path.read_text())["timing"]["samples"] == 6

    stopped = sweep(place, "fail_fast=true", "seed=0,1", *jobs)
    assert stopped.returncode == 1
    assert "6 jobs: 1 killed, 5 not done" in stopped.stderr
    listed = (out / "sweep.md").read_text()
    assert listed.count("not done: fail_fast=true, and a job before it was not done") == 5


def test_jobs_that_wait_for_a_device_are_done(is3_folder: Path, place: Path) -> None:
    done = sweep(place, "hydra/launcher=submitit_local", "model=random", *of(is3_folder))
    assert done.returncode == 0, done.stderr
    assert "1 job: 1 finished" in done.stderr
    assert "random" in done.stdout
    table = pd.read_parquet(place / "out" / "sweep.parquet")
    written = pd.read_csv(place / "out" / "sweep.csv")
    pd.testing.assert_frame_equal(table, written, check_dtype=False)


def test_two_sweeps_in_one_folder_share_the_work(is3_folder: Path, place: Path) -> None:
    jobs = ("model=slow", *of(is3_folder))
    first = start(place, *jobs)
    wait_for((place / "running").exists)
    second = start(place, *jobs, "trainer.accelerator=cpu")
    (folder,) = (place / "out").glob("slow/*/*/*/*")
    wait_for(lambda: "waits for it" in (folder / "vssl-evaluate.log").read_text())
    (place / "go").touch()
    for process in (first, second):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert "1 job: 1 finished" in errors
    assert "already evaluated, nothing to do" in (folder / "vssl-evaluate.log").read_text()
    assert "1 job: 1 already evaluated" in sweep(place, *jobs).stderr
    assert len(all_records(place)) == 1
    assert not list((place / "out").glob(".sweep-*"))


def test_an_interrupted_sweep_says_what_was_done(is3_folder: Path, place: Path) -> None:
    jobs = ("model=center,slow,random", *of(is3_folder))
    process = start(place, *jobs)
    wait_for((place / "running").exists)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "3 jobs: 1 finished, 1 interrupted, 1 not done" in errors
    assert errors.rstrip().endswith("error: interrupted")
    assert "Traceback" not in errors
    assert "1 interrupted" in (place / "out" / "sweep.md").read_text()
    (folder,) = (place / "out").glob("slow/*/*/*/*")
    assert {path.name for path in folder.iterdir()} <= {".lock", "vssl-evaluate.log"}
    wait_for(lambda: not processes_in(place), seconds=120)


def test_an_interrupt_while_libraries_are_imported_is_said_in_a_line(
    is3_folder: Path, place: Path
) -> None:
    """As a terminal sends it: to all processes of the sweep at once."""
    process = start(place, "model=center,random", *of(is3_folder), start_new_session=True)
    wait_for(lambda: list((place / "out").glob(".sweep-*")))
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.rstrip().endswith("error: interrupted")
    wait_for(lambda: not processes_in(place), seconds=120)


def test_a_killed_sweep_ends_its_job_and_goes_on_from_its_last_shard(
    is3_folder: Path, place: Path, tmp_path: Path
) -> None:
    jobs = ("model=paced", *of(is3_folder), "loader.batch_size=1", "shard_seconds=0")
    seen = place / "seen"

    def count() -> int:
        lines = seen.read_text().splitlines() if seen.is_file() else []
        return sum(line != "fixed" for line in lines)  # that is the fingerprint's image

    process = start(place, *jobs)
    wait_for(lambda: count() > 2)
    process.kill()
    process.communicate(timeout=300)
    wait_for(lambda: not processes_in(place), seconds=120)
    last = sweep(place, *jobs, new=True)
    assert last.returncode == 0, last.stderr
    # What a killed job had recorded is not done again. It loses the sample that it was at, and at
    # most the one before, whose shard a thread was still writing.
    assert 6 <= count() <= 8
    (found,) = all_records(place).values()
    summary = run(tmp_path / "whole", "model=random", *QUICK, *of(is3_folder))
    pd.testing.assert_frame_equal(found, records(tmp_path / "whole").sort_values(KEY))
    (written,) = (place / "out" / "paced").rglob("summary.parquet")
    pd.testing.assert_series_equal(pd.read_parquet(written)["value"], summary["value"])
    left = [path.name for path in (place / "out").rglob("*")]
    assert not [
        name for name in left if name.startswith((".sweep-", "shards")) or "partial" in name
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_disk_has_clear_errors(is3_folder: Path, place: Path) -> None:
    small = place / "out"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(small)], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        done = sweep(place, "model=center", *of(is3_folder))
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(small.glob("*/*/*/*/*/run.json"))
        assert not [path for path in small.rglob("*") if "partial" in path.name]
    finally:
        # this process keeps the lock of the sweep open
        subprocess.run(["umount", "--lazy", str(small)], check=True)


@pytest.mark.parametrize("mode", [("-m",), ()])
def test_a_read_only_folder_is_one_clear_error(place: Path, mode: tuple[str, ...]) -> None:
    """A file in the place of the folder: nobody, not even root, can write below it."""
    (place / "out").write_text("")
    refused = command("vssl-evaluate", *mode, *QUICK, "output_root=out", cwd=place)
    assert refused.returncode == 1
    assert refused.stderr.count("error: ") == 1
    assert "out" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("launcher", "expected"),
    [
        ("basic", {}),
        ("joblib", {"n_jobs": 1}),
        ("submitit_local", {"timeout_min": 10080}),
        ("submitit_slurm", {"timeout_min": 1440, "gpus_per_node": 1, "tasks_per_node": 1}),
        # what the user sets stays
        ("submitit_slurm hydra.launcher.timeout_min=90", {"timeout_min": 90, "cpus_per_task": 8}),
    ],
)
def test_launchers_compose_with_settings_for_sweeps(
    launcher: str, expected: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    register_resolvers()
    with initialize_config_module("vssl.conf", version_base="1.3"):
        overrides = f"hydra/launcher={launcher} metrics=pia threshold=fixed".split()
        config = compose("evaluate", overrides=overrides, return_hydra_config=True)
    set_up_launcher(config.hydra, config.hydra.callbacks.sweep.launchers)
    assert {key: config.hydra.launcher[key] for key in expected} == expected
