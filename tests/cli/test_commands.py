"""The console scripts, as commands in processes of their own."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.running import HEARS, KEY, command, guided_by, maps, records, run, start
from tests.helpers.sweeping import prepare, wait_for

ROOT = Path(__file__).resolve().parents[2]
QUICK = (
    *("logger=none", "loader.num_workers=0", "bootstrap.resamples=20", "subsets=[]"),
    *("negatives.noise.draws=1", "negatives.offscreen.draws=1"),
)


def of(folder: Path) -> tuple[str, ...]:
    return (f"data={folder.name}", f"data.root={folder}", *QUICK)


def test_help_names_groups_and_options(tmp_path: Path) -> None:
    shown = command("vssl-evaluate", "--help", cwd=tmp_path)
    assert shown.returncode == 0
    for text in ("model: acl, audio_blind, center", "protocol: corrected, jsa, released", "seed=0"):
        assert text in shown.stdout
    assert "vssl-evaluate -m model=lvs,ezvsl data=vggss,is3" in shown.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("modle=lvs", ["modle", "Did you mean model?", "What exists: bootstrap"]),
        ("data=is3 data.rooot=x", ["Did you mean data.root?", "What exists in data"]),
        ("model=ezvls", ["`model` to be one of acl, ", "got `ezvls`. Did you mean `ezvsl`?"]),
        ("model=mine", ["FOLDER/model/mine.yaml, is found with --config-dir FOLDER."]),
        ("negatives=[silense]", ["`negatives` to be one of all, ", "Did you mean `silence`?"]),
        ("model=ezvsl", ["weights/ezvsl.pth: no such file", "model.weights=FILE", "github.com"]),
        ("data=is3 data.root=.", ["holds no annotation file (IS3_annotation.json"]),
    ],
)
def test_mistakes_get_one_clear_error(arguments: str, expected: list[str], tmp_path: Path) -> None:
    given = (*arguments.split(), "logger=none", "output_dir=run")
    failed = command("vssl-evaluate", *given, cwd=tmp_path)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    for text in expected:
        assert text in failed.stderr
    assert failed.stderr.count("error: ") == 1


def test_rescore_makes_new_numbers_without_data(vggss_folder: Path, tmp_path: Path) -> None:
    done = command(
        "vssl-evaluate", "model=random", *of(vggss_folder), "threshold=fixed", "output_dir=run",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shutil.rmtree(vggss_folder)
    again = command("vssl-rescore", "run=run", "threshold=universal_q3", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "universal_q3" in again.stdout
    summary = pd.read_parquet(tmp_path / "run" / "summary.parquet")
    assert set(summary["threshold_policy"]) == {"none", "fixed", "universal_q3"}
    scores = pd.read_parquet(tmp_path / "run" / "scores.parquet")
    assert not scores.duplicated([*KEY, "threshold_policy"]).any()

    other = command("vssl-rescore", "run=run", "threshold=fixed", "metrics=pia", cwd=tmp_path)
    assert other.returncode == 1
    assert "rescore all of its policies: threshold=[universal_q3,fixed]" in other.stderr
    assert "Traceback" not in other.stderr

    missing = command("vssl-rescore", "run=elsewhere", cwd=tmp_path)
    assert missing.returncode == 1
    assert "elsewhere/records.parquet: no such file" in missing.stderr
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_of_a_job_give_the_records_of_one(
    shared: Path, prior_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """13 samples: an odd number, which padding samplers get wrong.

    As within a job of Slurm, whose tasks must not be taken for the processes of this job.
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    options = (
        *(*HEARS, *guided_by(prior_file), "data=vggss"),
        *(f"data.root={shared / 'data' / 'vggss_mini'}", *QUICK, "threshold=fixed", "metrics=pia"),
    )
    facts = {"NTASKS": 1, "JOB_ID": 7, "PROCID": 0, "LOCALID": 0, "NODEID": 0, "JOB_NAME": "vssl"}
    with monkeypatch.context() as slurm:
        for name, value in facts.items():
            slurm.setenv(f"SLURM_{name}", str(value))
        sweep = ("-m", *options, "trainer=ddp_sim", "output_root=out")
        done = command("vssl-evaluate", *sweep, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "out").glob("*/*/*/*/*")
    run(tmp_path / "alone", *options)
    one, two = records(tmp_path / "alone"), records(folder)
    pd.testing.assert_frame_equal(one[KEY], two[KEY])
    # another composition of batches may round differently
    np.testing.assert_allclose(maps(one), maps(two), atol=5e-6)
    seen = [np.stack(found["object_map"].to_list()) for found in (one, two)]
    np.testing.assert_allclose(*seen, atol=5e-6)
    assert not (folder / "shards").exists()


@pytest.mark.slow
def test_an_interrupt_leaves_no_half_file(
    is3_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = tmp_path / "run"
    options = ("--config-dir=conf", "model=stuck", "loader.batch_size=1", "shard_seconds=0")
    process = start(
        "vssl-evaluate", *options, *of(is3_folder), f"output_dir={folder}", cwd=tmp_path
    )
    wait_for(lambda: list(folder.glob("shards/*.parquet")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0, errors
    assert not list(folder.glob("*.parquet"))
    assert not list(folder.rglob("*.partial"))
    assert not (folder / "run.json").exists()
