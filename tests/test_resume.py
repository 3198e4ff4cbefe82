"""Runs that were stopped go on: the records are those of a run that nothing disturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from tests.conftest import draw_vggss
from tests.running import HEARS, Loudness, records, run
from vssl.models.lvs import LVS
from vssl.records.files import RUN_FILE, SHARDS_FOLDER
from vssl.types import ImageBatch

OFTEN = ("shard_seconds=0", "loader.batch_size=2", "loader.audio_batch_size=4")
# the records are what counts here
QUICK = ("threshold=fixed", "metrics=pia", "subsets=[]", "bootstrap.resamples=10")
DRAWS = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")


class StopError(Exception):
    """What stops a run."""


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


class Stopping:
    """Lets a model encode some batches of images, then stops it; counts what it encoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, model: type) -> None:
        self.allowed: float = float("inf")
        self.images: list[int] = []
        self.sounds: list[int] = []
        self.error: type[BaseException] = StopError
        encode_image, encode_audio = model.encode_image, model.encode_audio

        def image(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 1:  # a single one is the fingerprint
                if len(self.images) >= self.allowed:
                    raise self.error
                self.images.append(len(images))
            return encode_image(network, images)

        def audio(network: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
            self.sounds.append(len(inputs))
            return encode_audio(network, inputs)

        monkeypatch.setattr(model, "encode_image", image)
        monkeypatch.setattr(model, "encode_audio", audio)


@pytest.fixture
def loudness(monkeypatch: pytest.MonkeyPatch) -> Stopping:
    return Stopping(monkeypatch, Loudness)


def same(found: Path, wanted: Path) -> None:
    pd.testing.assert_frame_equal(records(found), records(wanted))


def stop(folder: Path, options: tuple[str, ...], stopping: Stopping, allowed: int) -> None:
    """Let a run be stopped; what follows is counted anew and not stopped."""
    stopping.allowed = allowed
    with pytest.raises((stopping.error, SystemExit)):
        run(folder, *options)
    assert not (folder / RUN_FILE).exists()
    stopping.allowed = np.inf


@pytest.mark.parametrize(
    ("allowed", "error"), [(0, StopError), (1, KeyboardInterrupt), (2, StopError)]
)
def test_a_stopped_run_goes_on(
    test_set: Path,
    whole: Path,
    tmp_path: Path,
    loudness: Stopping,
    allowed: int,
    error: type[BaseException],
) -> None:
    options = (*HEARS, *on(test_set))
    loudness.error = error
    stop(tmp_path / "run", options, loudness, allowed)
    run(tmp_path / "run", *options)
    assert loudness.images == [2, 2, 2], "an image was encoded twice, or never"
    same(tmp_path / "run", whole)
    assert not (tmp_path / "run" / SHARDS_FOLDER).exists()


def test_a_network_gives_the_same_bits_after_a_stop(
    shared: Path,
    tmp_path: Path,
    seeded_checkpoint: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = (
        *("model=lvs", f"model.weights={seeded_checkpoint('lvs')}"),
        *("data=vggss", f"data.root={shared / 'data' / 'vggss_mini'}", *DRAWS, *QUICK),
        *("shard_seconds=0", "loader.batch_size=5"),
    )
    stopping = Stopping(monkeypatch, LVS)
    run(tmp_path / "whole", *options)
    whole = list(stopping.images)
    stopping.images.clear()
    stop(tmp_path / "run", options, stopping, 2)
    run(tmp_path / "run", *options)
    assert stopping.images == whole
    same(tmp_path / "run", tmp_path / "whole")


def test_only_the_sounds_that_are_needed_are_encoded_again(
    test_set: Path, tmp_path: Path, loudness: Stopping
) -> None:
    options = (*HEARS, *(o for o in on(test_set) if "draws" not in o), "negatives=none")
    options += ("loader.audio_batch_size=1",)
    run(tmp_path / "whole", *options)
    sounds = len(loudness.sounds)
    stop(tmp_path / "run", options, loudness, 2 + len(loudness.images))
    loudness.sounds.clear()
    run(tmp_path / "run", *options)
    assert len(loudness.sounds) == sounds - 4
    same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "again"), [("seed=1", [2, 2, 2]), ("loader.batch_size=3", [3, 3])]
)
def test_shards_of_other_records_are_not_used(
    test_set: Path,
    tmp_path: Path,
    loudness: Stopping,
    change: str,
    again: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop(tmp_path / "run", (*HEARS, *on(test_set)), loudness, 2)
    loudness.images.clear()
    run(tmp_path / "run", *HEARS, *on(test_set), change)
    assert loudness.images == again
    assert "2 shards of a stopped run are not used" in caplog.text
    run(tmp_path / "whole", *HEARS, *on(test_set), change)
    same(tmp_path / "run", tmp_path / "whole")


def test_damaged_shards_are_done_again(
    test_set: Path,
    whole: Path,
    tmp_path: Path,
    loudness: Stopping,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop(tmp_path / "run", (*HEARS, *on(test_set)), loudness, 2)
    first, second = sorted((tmp_path / "run" / SHARDS_FOLDER).glob("*.parquet"))
    first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    second.write_bytes(b"no parquet at all")
    loudness.images.clear()
    run(tmp_path / "run", *HEARS, *on(test_set))
    assert loudness.images == [2, 2, 2]
    assert caplog.text.count("a damaged shard") == 2
    same(tmp_path / "run", whole)


@pytest.mark.parametrize(
    "stage", ["vssl.records.shards.Shards.join", "vssl.commands.score.score_run"]
)
def test_a_run_stopped_after_its_last_shard_keeps_its_records(
    test_set: Path,
    whole: Path,
    tmp_path: Path,
    loudness: Stopping,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    options = (*HEARS, *on(test_set))
    with monkeypatch.context() as patch:
        patch.setattr(stage, _stop)
        with pytest.raises(StopError):
            run(tmp_path / "run", *options)
    loudness.images.clear()
    run(tmp_path / "run", *options)
    assert loudness.images == []
    same(tmp_path / "run", whole)
    assert not (tmp_path / "run" / SHARDS_FOLDER).exists()


def test_shards_of_other_code_are_not_used(
    test_set: Path, whole: Path, tmp_path: Path, loudness: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ordinary loop: a model fails, its similarity is mended, the same command is given."""
    options = (*HEARS, *on(test_set))
    similarity = Loudness.similarity
    with monkeypatch.context() as patch:
        patch.setattr(Loudness, "similarity", lambda self, *given: similarity(self, *given) / 2)
        stop(tmp_path / "run", options, loudness, 2)
    run(tmp_path / "run", *options)
    same(tmp_path / "run", whole)


def _stop(*_: object, **__: object) -> None:
    raise StopError


def test_baselines_go_on_too(
    test_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vssl.models.baselines import Random

    options = ("model=random", *on(test_set))
    run(tmp_path / "whole", *options)
    localize, calls = Random.localize, []

    def stopping(self: Random, batch: ImageBatch, audio: torch.Tensor) -> torch.Tensor:
        if batch.sample_ids != ("fixed",):  # the fingerprint's
            calls.append(batch.sample_ids)
            if len(calls) == 2:
                raise StopError
        return localize(self, batch, audio)

    monkeypatch.setattr(Random, "localize", stopping)
    with pytest.raises(StopError):
        run(tmp_path / "run", *options)
    run(tmp_path / "run", *options)
    assert calls == [calls[0], calls[1], calls[1], calls[3]]
    same(tmp_path / "run", tmp_path / "whole")


def test_records_come_in_the_samples_order_whatever_the_shards(
    test_set: Path, whole: Path, tmp_path: Path, loudness: Stopping
) -> None:
    options = (*HEARS, *on(test_set))
    run(tmp_path / "one", *options, "shard_seconds=3600", "loader.batch_size=6")
    same(tmp_path / "one", whole)
    groups = [
        pq.ParquetFile(folder / "records.parquet").num_row_groups
        for folder in (whole, tmp_path / "one")
    ]
    assert groups == [1, 1]
