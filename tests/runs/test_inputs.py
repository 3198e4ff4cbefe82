"""A result rests on annotation, images and sounds: not with others behind the same names."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.helpers.drawn import draw_vggss
from tests.helpers.running import HEARS, Loudness, records, run
from tests.helpers.stopping import Stopping
from vssl.core.errors import UsageError
from vssl.records.files import INPUTS_FILE, RUN_FILE, SUMMARY_FILE
from vssl.records.store import read_provenance
from vssl.runs.dry_run import dry_run
from vssl.runs.inputs import changed_inputs

QUICK = ("threshold=fixed", "metrics=pia", "subsets=[]", "bootstrap.resamples=10")
FIRST = "clip0_000010"
MODEL = ("model=random", "logger=none", "cache=off")


def on(folder: Path) -> tuple[str, ...]:
    return (*MODEL, "data=vggss", f"data.root={folder}", "negatives=silence", *QUICK)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a test set, its copy, and a finished run on it."""
    root = tmp_path_factory.mktemp("inputs")
    shutil.copytree(draw_vggss(root / "data"), root / "as drawn")
    run(root / "run", *on(root / "data"))
    return root


@pytest.fixture
def finished(drawn: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The test set as it was drawn, and the finished run of one's own."""
    shutil.rmtree(drawn / "data", ignore_errors=True)
    shutil.copytree(drawn / "as drawn", drawn / "data")
    return drawn / "data", Path(shutil.copytree(drawn / "run", tmp_path / "run"))


def other_boxes(root: Path) -> None:
    entries = json.loads((root / "vggss.json").read_text())
    entries[0]["bbox"] = [[0.1, 0.1, 0.3, 0.3]]
    (root / "vggss.json").write_text(json.dumps(entries))


def another_annotation_before_it(root: Path) -> None:
    shutil.copy(root / "vggss.json", root / "vggss_annotations.json")


def same_size_picture(root: Path) -> None:
    path = root / "frames" / f"{FIRST}.jpg"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def other_sound(root: Path) -> None:
    soundfile.write(root / "audio" / f"{FIRST}.wav", np.zeros(32_000), 16_000)


def no_sound(root: Path) -> None:
    (root / "audio" / f"{FIRST}.wav").unlink()


def linked_elsewhere(root: Path) -> None:
    no_sound(root)
    (root / "audio" / f"{FIRST}.wav").symlink_to(root / "audio" / "clip1_000010.wav")


CHANGES: dict[Callable[[Path], None], str] = {
    other_boxes: "vggss.json is changed",
    another_annotation_before_it: "vggss_annotations.json is new",
    same_size_picture: f"frames/{FIRST}.jpg is changed",
    no_sound: f"audio/{FIRST}.wav is gone",
    linked_elsewhere: f"audio/{FIRST}.wav is changed",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_finished_run_does_not_stand_for_other_input(
    change: Callable[[Path], None],
    finished: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, folder = finished
    before = {path: path.read_bytes() for path in folder.iterdir()}
    change(data)
    message = rf"(?s){folder}: holds a finished run on other input.*{CHANGES[change]}.*force=true"
    with pytest.raises(UsageError, match=message):
        run(folder, *on(data))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(SystemExit):
        dry_run([*on(data), f"output_dir={folder}"])
    shown = capsys.readouterr().out
    assert "cannot run" in shown
    assert CHANGES[change] in shown


def test_a_replaced_run_rests_on_what_there_is_now(finished: tuple[Path, Path]) -> None:
    data, folder = finished
    known = read_provenance(folder / "records.parquet")["inputs_sha256"]
    touched(data)
    run(folder, *on(data), "force=true")
    assert read_provenance(folder / "records.parquet")["inputs_sha256"] == known
    other_sound(data)
    assert changed_inputs(folder)
    run(folder, *on(data), "force=true")
    assert changed_inputs(folder) == ""
    assert read_provenance(folder / "records.parquet")["inputs_sha256"] != known


def touched(root: Path) -> None:
    for path in root.rglob("*.*"):
        os.utime(path, (1, 1))


def moved_away(root: Path) -> None:
    root.rename(root.with_name("elsewhere"))


def more_files(root: Path) -> None:
    (root / "README").write_text("about")


@pytest.mark.parametrize("change", [touched, moved_away, more_files])
def test_what_changes_no_content_changes_nothing(
    change: Callable[[Path], None],
    finished: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, folder = finished
    change(data)
    with caplog.at_level("INFO"):
        again = run(folder, *on(data))
    assert "already evaluated" in caplog.text
    pd.testing.assert_frame_equal(pd.read_parquet(folder / SUMMARY_FILE), again)
    dry_run([*on(data), f"output_dir={folder}"])
    assert "corrected: finished" in capsys.readouterr().out


def test_runs_of_earlier_versions_stay(
    finished: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    data, folder = finished
    (folder / INPUTS_FILE).unlink()
    other_sound(data)
    with caplog.at_level("INFO"):
        run(folder, *on(data))
    assert "already evaluated" in caplog.text


@pytest.mark.parametrize("change", [touched, same_size_picture])
def test_shards_of_other_input_are_not_taken(
    change: Callable[[Path], None],
    vggss_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = (*HEARS, *on(vggss_folder)[1:], "shard_seconds=0", "loader.batch_size=2")
    stopping, kept = Stopping(monkeypatch, Loudness), change is touched
    stopping.stop(2, tmp_path / "run", *options)
    change(vggss_folder)
    capsys.readouterr()
    dry_run([*options, f"output_dir={tmp_path / 'run'}"])
    assert ("partly recorded: 4 of 6" in capsys.readouterr().out) == kept
    stopping.encoded()
    run(tmp_path / "run", *options)
    assert stopping.images == [2] * (1 if kept else 3)
    assert ("shards of a stopped run are not used" in caplog.text) == (not kept)
    run(tmp_path / "whole", *options)
    pd.testing.assert_frame_equal(records(tmp_path / "run"), records(tmp_path / "whole"))


def test_a_calibration_run_counts_by_its_content(
    vggss_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ("model=center", *on(vggss_folder)[1:], "threshold=universal_q3")
    run(tmp_path / "other", *options)
    given = f"calibration={tmp_path / 'other'}"
    run(tmp_path / "run", *options, given)
    with caplog.at_level("INFO"):
        run(tmp_path / "run", *options, given)
    assert "already evaluated, nothing to do" in caplog.text
    run(tmp_path / "other", *options, "seed=1", "force=true")
    with caplog.at_level("INFO"):
        run(tmp_path / "run", *options, given)
    assert "already evaluated, records are scored anew" in caplog.text


def test_a_damaged_run_file_is_said(finished: tuple[Path, Path]) -> None:
    data, folder = finished
    for text in ("", "{", "[]", '{"config_hash": 3}', "\0"):
        (folder / RUN_FILE).write_text(text)
        with pytest.raises(UsageError, match=r"run\.json: .*force=true"):
            run(folder, *on(data))
    run(folder, *on(data), "force=true")
