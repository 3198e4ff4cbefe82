"""The tables and the picture over several runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.helpers.running import run
from vssl.reporting.jobs import FAILED, FINISHED, Job
from vssl.reporting.sweep import report_sweep
from vssl.runs.join import join_runs

OVERVIEW = {
    "positives": "object_area",
    "marked": "fixed",
    "equal": "false_alarm_10",
    "universal": "universal_q3",
}
DRAWS = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")


@pytest.fixture
def evaluated(vggss_folder: Path, tmp_path: Path) -> Callable[..., Job]:
    """Evaluates a run: the job that it is of a sweep."""

    def make(name: str, *options: str) -> Job:
        folder = tmp_path / "out" / name
        few = ("threshold=fixed", "metrics=[ciou,pia]")
        run(folder, "data=vggss", f"data.root={vggss_folder}", *few, *options)
        return Job(0, name, FINISHED, folder=str(folder))

    return make


@pytest.fixture
def report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """Reports on a sweep's jobs: the text of sweep.md, and what the terminal had."""

    def make(*jobs: Job) -> tuple[str, str]:
        output = tmp_path / "out"
        join = partial(join_runs, below=output / "joined")
        report_sweep(jobs, output, overview=OVERVIEW, join=join)
        said = capsys.readouterr()
        assert "could not" not in said.err
        return (output / "sweep.md").read_text(), said.out

    return make


def test_runs_are_told_apart_by_what_differs(
    evaluated: Callable[..., Job], report: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    text, _ = report(
        evaluated("f", "model=random", "negatives=silence", "seed=3"),  # fewer sounds than others
        evaluated("a", "model=center", "negatives=silence"),
        evaluated("b", "model=center", "negatives=noise", DRAWS[0]),
        evaluated("c", "model=center", "negatives=offscreen", DRAWS[1]),
        evaluated("d", "model=random", "negatives=all", *DRAWS, "seed=1"),
        evaluated("e", "model=random", "negatives=all", *DRAWS, "seed=2"),
        evaluated("g", "model=audio_blind", "negatives=all", *DRAWS),
    )
    random = [f"random {name}" for name in ("all seed 1", "all seed 2", "silence seed 3")]
    for name in ("center", "audio_blind", *random):
        assert f"| {name} |" in text, name
    assert re.search(r"one row, joined/center-\w+, for runs that .*: [abc], [abc], [abc]\n", text)
    table = pd.read_parquet(tmp_path / "out" / "sweep.parquet")
    assert table["config_hash"].nunique() == 7
    assert set(table["run"]) == set("abcdefg")
    # one column for each row of the tables; four sounds
    with Image.open(tmp_path / "out" / "sweep_vggss_corrected.png") as picture:
        shape = picture.width / picture.height
    assert shape == pytest.approx((1.9 * 5 + 1.4) / (1.95 * 4 + 0.9), abs=0.01)


def test_a_small_sweep_leaves_a_large_ones_tables(
    evaluated: Callable[..., Job], report: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    large = [evaluated(name, f"model={name}", "negatives=silence") for name in ("center", "random")]
    report(*large)
    small = evaluated("oracle", "model=oracle", "negatives=silence")
    text, said = report(small, Job(1, "another", FAILED, "out of luck"))
    assert "**2 jobs: 1 finished, 1 failed**" in text
    assert "The tables are of 3 runs: 1 of this sweep" in text
    for name in ("center", "random", "oracle"):
        assert f"| {name} |" in text
        assert (f"\n {name} " in said) == (name == "oracle"), "the terminal has this sweep's alone"
    runs = pd.read_csv(tmp_path / "out" / "sweep.csv")["run"]
    assert list(runs.unique()) == ["center", "random", "oracle"]
    # of negatives that are there already: shown now, and named in the file
    text, said = report(evaluated("again", "model=oracle", "negatives=none"))
    assert "\n oracle none " in said
    assert "- in no table: again: differs from" in text
    assert "| oracle none |" not in text
    # none was done: what was there stays, but for a run that is gone, which is said
    shutil.rmtree(tmp_path / "out" / "random")
    text, _ = report(Job(0, "another", FAILED, "out of luck"))
    assert "- in no table: random: no run is there any more." in text
    assert set(pd.read_csv(tmp_path / "out" / "sweep.csv")["run"]) == {"center", "oracle", "again"}
