"""--dry-run: the state of every job, and not a file more than before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.running import run
from tests.helpers.sweeping import QUICK
from vssl.runs.dry_run import dry_run


@pytest.fixture
def arguments(is3_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of a command that starts in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return [*QUICK, f"data={is3_folder.name}", f"data.root={is3_folder}", "output_root=out"]


def test_every_job_of_a_sweep_is_listed(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SystemExit, match="1"):
        dry_run(["-m", "model=center,ezvsl,random", "seed=0,1", *arguments])
    assert set(tmp_path.rglob("*")) == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[1/6] center is3 silence corrected: to do"
    assert lines[1] == "[2/6] center is3 silence corrected seed 1: to do"
    assert "[3/6] ezvsl is3 silence corrected: cannot run: weights/ezvsl.pth: no such" in lines[2]
    assert lines[6] == "6 jobs, 2 cannot run"


def test_what_is_finished_is_known(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "run", "model=center", *arguments)
    capsys.readouterr()
    for change, state in (
        ("force=false", "finished"),
        ("bootstrap.resamples=30", "finished, would be scored anew"),
        ("force=true", "to do"),
    ):
        dry_run(["model=center", *arguments, "output_dir=run", change])
        assert capsys.readouterr().out.splitlines() == [
            f"[1/1] center is3 silence corrected: {state}",
            "1 job, 0 cannot run",
        ]
    with pytest.raises(SystemExit, match="1"):
        dry_run(["model=center", *arguments, "output_dir=run", "seed=1"])
    assert "holds a finished run with another configuration" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.root=nowhere", "nowhere: no such folder"),
        ("negatives.manifest=none.csv", "none.csv: no such file"),
        ("trainer=gpu", "trainer.accelerator=gpu: no GPU can be used"),
    ],
)
def test_what_cannot_run_says_why(
    arguments: list[str], capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    with pytest.raises(SystemExit, match="1"):
        dry_run(["model=center", *arguments, "output_dir=run", change])
    assert "cannot run: " in (shown := capsys.readouterr().out)
    assert message in shown


def test_nothing_is_made_for_the_embedded_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    dry_run(["data=synthetic", "paths.cache=cache", "output_root=out"])
    assert "audio_blind synthetic all corrected: to do" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
