"""--dry-run: the state of every job and an estimate, and not a file more than before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.running import run
from tests.sweeping import QUICK
from vssl.commands.dry_run import dry_run
from vssl.reporting.jobs import Job, list_jobs


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.fixture
def arguments(is3_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of a command that starts in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return [*QUICK, f"data={is3_folder.name}", f"data.root={is3_folder}", "output_root=out"]


def test_every_job_of_a_sweep_is_listed(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "out" / "center" / "is3" / "silence" / "corrected" / "x"
    run(short, "model=center", *arguments)
    timing = json.loads((short / "run.json").read_text())["timing"]
    assert timing["samples"] == 6
    assert timing["device"] == "cpu"
    before = files(tmp_path)
    capsys.readouterr()
    with pytest.raises(SystemExit, match="1"):
        dry_run(["-m", "model=center,ezvsl,random", "seed=0,1", *arguments])
    assert files(tmp_path) == before
    seconds = timing["records_seconds"] + timing["scoring_seconds"]
    about = f"about {seconds:.1f} s"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"[1/6] center is3 silence corrected: to do, {about}"
    assert lines[1] == f"[2/6] center is3 silence corrected seed 1: to do, {about}"
    assert "[3/6] ezvsl is3 silence corrected: cannot run: weights/ezvsl.pth: no such" in lines[2]
    assert lines[4] == "[5/6] random is3 silence corrected: to do, ?"
    assert lines[6].startswith("6 jobs, 2 cannot run; one after the other: about ")
    assert lines[6].endswith(" + ? for 2 of unknown length")


def test_what_is_finished_needs_no_time(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "run", "model=center", *arguments)
    capsys.readouterr()
    dry_run(["model=center", *arguments, "output_dir=run"])
    assert capsys.readouterr().out.splitlines() == [
        "[1/1] center is3 silence corrected: finished",
        "1 job, 0 cannot run; one after the other: nothing to do",
    ]
    dry_run(["model=center", *arguments, "output_dir=run", "bootstrap.resamples=30"])
    assert "[1/1] center is3 silence corrected: finished, would be scored anew, about" in (
        capsys.readouterr().out
    )
    dry_run(["model=center", *arguments, "output_dir=run", "force=true"])
    assert "to do, about" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed=1", "holds a finished run with another configuration"),
        ("data.root=nowhere", "nowhere: no such folder"),
        ("negatives.manifest=none.csv", "none.csv: no such file"),
        ("metrics=[f_loc]", "f_loc combines ciou and pia"),
        ("trainer=gpu", "trainer.accelerator=gpu: no GPU can be used"),
        ("model.precision=8", "model.precision"),
    ],
)
def test_what_cannot_run_says_why(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    change: str, message: str,
) -> None:  # fmt: skip
    if change == "seed=1":
        run(tmp_path / "run", "model=center", *arguments)
    with pytest.raises(SystemExit, match="1"):
        dry_run(["model=center", *arguments, "output_dir=run", change])
    assert "cannot run: " in (shown := capsys.readouterr().out)
    assert message in shown


def test_nothing_is_made_for_the_embedded_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    dry_run(["data=synthetic", "paths.cache=cache", "output_root=out"])
    assert "audio_blind synthetic all corrected: to do, ?" in capsys.readouterr().out
    assert files(tmp_path) == set()


def test_jobs_that_are_not_done_are_listed_with_their_reason() -> None:
    jobs = [
        Job(0, "one", "finished", seconds=3),
        Job(1, "two", "failed", "no such\nfile"),
        Job(2, "three", "not done", "it never started"),
    ]
    assert list_jobs(jobs) == (
        "**3 jobs: 1 finished, 1 failed, 1 not done**\n\n"
        "- two: failed: no such file\n- three: not done: it never started\n"
    )
