"""The tables and the picture over several runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.running import run
from vssl.reporting.jobs import FINISHED, Job
from vssl.reporting.sweep import report_sweep

OVERVIEW = {"positives": "object_area", "marked": "fixed", "universal": "universal_q3"}
DRAWS = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")


@pytest.fixture
def report(vggss_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> object:
    """Evaluates runs, and reports on them: the text of sweep.md."""

    def make(*runs: tuple[str, ...]) -> str:
        jobs = []
        for number, options in enumerate(runs):
            folder = tmp_path / str(number)
            run(folder, "data=vggss", f"data.root={vggss_folder}", *options)
            jobs.append(Job(number, str(number), FINISHED, folder=str(folder)))
        report_sweep(jobs, tmp_path / "out", overview=OVERVIEW)
        assert "could not" not in capsys.readouterr().err
        return (tmp_path / "out" / "sweep.md").read_text()

    return make


def test_runs_are_told_apart_by_what_differs(report: object, tmp_path: Path) -> None:
    assert callable(report)
    text = report(
        ("model=center", "negatives=silence"),
        ("model=center", "negatives=noise", DRAWS[0]),
        ("model=center", "negatives=all", *DRAWS),
        ("model=random", "negatives=all", *DRAWS, "seed=1"),
        ("model=random", "negatives=all", *DRAWS, "seed=2"),
        ("model=audio_blind", "negatives=all", *DRAWS),
    )
    for name in (
        *("center silence", "center noise", "center all", "random seed 1", "random seed 2"),
        "audio_blind",
    ):
        assert f"| {name} |" in text, name
    assert "center silence seed" not in text
    joined = pd.read_parquet(tmp_path / "out" / "sweep.parquet")
    assert joined["config_hash"].nunique() == 6
    # one column for each run that differs in more than its negatives; four sounds
    with Image.open(tmp_path / "out" / "sweep_vggss_corrected.png") as picture:
        shape = picture.width / picture.height
    assert shape == pytest.approx((1.9 * 4 + 1.4) / (1.95 * 4 + 0.9), abs=0.01)


def test_the_first_run_may_have_fewer_sounds(report: object, tmp_path: Path) -> None:
    assert callable(report)
    report(("model=center", "negatives=silence"), ("model=random", "negatives=all", *DRAWS))
    assert (tmp_path / "out" / "sweep_vggss_corrected.png").is_file()
