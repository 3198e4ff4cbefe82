"""Runs that were stopped go on: the records are those of a run that nothing disturbed."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.helpers.drawn import draw_vggss
from tests.helpers.running import HEARS, Loudness, records, run
from tests.helpers.stopping import StopError, Stopping
from vssl.models.tiny import Tiny
from vssl.records.files import SHARDS_FOLDER

OFTEN = ("shard_seconds=0", "loader.batch_size=2", "loader.audio_batch_size=4")
# the records are what counts here
QUICK = ("threshold=fixed", "metrics=pia")
DRAWS = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")


def on(folder: Path) -> tuple[str, ...]:
    return ("data=vggss", f"data.root={folder}", *DRAWS, *OFTEN, *QUICK)


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test set of six samples."""
    return draw_vggss(tmp_path_factory.mktemp("data") / "vggss")


@pytest.fixture(scope="module")
def whole(test_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, *HEARS, *on(test_set))
    return folder


@pytest.fixture
def loudness(monkeypatch: pytest.MonkeyPatch) -> Stopping:
    return Stopping(monkeypatch, Loudness)


def same(found: Path, wanted: Path) -> None:
    pd.testing.assert_frame_equal(records(found), records(wanted))
    assert not (found / SHARDS_FOLDER).exists()


@pytest.mark.parametrize(
    ("allowed", "error"), [(0, StopError), (1, KeyboardInterrupt), (2, StopError)]
)
def test_a_stopped_run_goes_on(
    test_set: Path, whole: Path, tmp_path: Path, loudness: Stopping,
    allowed: int, error: type[BaseException],
) -> None:  # fmt: skip
    options = (*HEARS, *on(test_set))
    loudness.error = error
    loudness.stop(allowed, tmp_path, *options)
    run(tmp_path, *options)
    assert loudness.images == [2] * (3 - allowed), "an image was encoded twice, or never"
    same(tmp_path, whole)


def test_a_network_gives_the_same_bits_after_a_stop(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trained one, whose last digits depend on its batches."""
    options = (
        *("model=tiny_av", "data=vggss", f"data.root={shared / 'data' / 'vggss_mini'}", *DRAWS),
        *(*QUICK, "shard_seconds=0", "loader.batch_size=5"),
    )
    stopping = Stopping(monkeypatch, Tiny)
    run(tmp_path / "whole", *options)
    every = len(stopping.images)
    stopping.stop(2, tmp_path / "run", *options)
    run(tmp_path / "run", *options)
    assert len(stopping.images) == every - 2
    same(tmp_path / "run", tmp_path / "whole")


def test_only_the_sounds_that_are_needed_are_encoded_again(
    test_set: Path, tmp_path: Path, loudness: Stopping
) -> None:
    options = (*HEARS, "negatives=none", "loader.audio_batch_size=1")
    options += tuple(o for o in on(test_set) if "draws" not in o and "audio" not in o)
    run(tmp_path / "whole", *options)
    sounds = len(loudness.sounds)
    loudness.stop(2, tmp_path / "run", *options)
    run(tmp_path / "run", *options)
    assert len(loudness.sounds) == sounds - 4
    same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize(("change", "batches"), [("seed=1", [2, 2, 2]),
                                                 ("loader.batch_size=3", [3, 3])])  # fmt: skip
def test_shards_of_other_records_are_not_used(
    test_set: Path, tmp_path: Path, loudness: Stopping, caplog: pytest.LogCaptureFixture,
    change: str, batches: list[int],
) -> None:  # fmt: skip
    options = (*HEARS, *on(test_set))
    run(tmp_path / "whole", *options, change)
    loudness.stop(2, tmp_path / "run", *options)
    run(tmp_path / "run", *options, change)
    assert loudness.images == batches
    assert "2 shards of a stopped run are not used" in caplog.text
    same(tmp_path / "run", tmp_path / "whole")


def test_a_damaged_shard_is_done_again(
    test_set: Path, whole: Path, tmp_path: Path, loudness: Stopping,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    options = (*HEARS, *on(test_set))
    loudness.stop(2, tmp_path, *options)
    shards = sorted((tmp_path / SHARDS_FOLDER).glob("*.parquet"))
    assert len(shards) == 2
    shards[0].write_bytes(shards[0].read_bytes()[:-9])
    run(tmp_path, *options)
    assert loudness.images == [2, 2]
    assert "a damaged shard" in caplog.text
    same(tmp_path, whole)


@pytest.mark.parametrize(
    "stage", ["vssl.records.shards.Shards.join", "vssl.runs.evaluate.score_run"]
)
def test_a_run_stopped_after_its_last_shard_keeps_its_records(
    test_set: Path, whole: Path, tmp_path: Path, loudness: Stopping,
    monkeypatch: pytest.MonkeyPatch, stage: str,
) -> None:  # fmt: skip
    options = (*HEARS, *on(test_set))
    with monkeypatch.context() as patch:
        patch.setattr(stage, mock.Mock(side_effect=StopError))
        loudness.stop(3, tmp_path, *options)
    run(tmp_path, *options)
    assert loudness.images == []
    same(tmp_path, whole)


def test_shards_of_other_code_are_not_used(
    test_set: Path, whole: Path, tmp_path: Path, loudness: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ordinary loop: a model fails, its similarity is mended, the same command is given."""
    options = (*HEARS, *on(test_set))
    similarity = Loudness.similarity
    with monkeypatch.context() as patch:
        patch.setattr(Loudness, "similarity", lambda self, *given: similarity(self, *given) / 2)
        loudness.stop(2, tmp_path, *options)
    run(tmp_path, *options)
    same(tmp_path, whole)


def test_records_come_in_the_samples_order_whatever_the_shards(
    test_set: Path, whole: Path, tmp_path: Path
) -> None:
    run(tmp_path, *HEARS, *on(test_set), "shard_seconds=3600", "loader.batch_size=6")
    same(tmp_path, whole)
    for folder in (whole, tmp_path):
        assert pq.ParquetFile(folder / "records.parquet").num_row_groups == 1
