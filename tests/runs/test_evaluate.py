"""Whole runs on small test sets: the same whatever cannot matter, resumable, replayable."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock

from tests.helpers.drawn import draw_vggss
from tests.helpers.running import FAST, HEARS, KEY, maps, records, run, run_settings
from vssl.core.errors import UsageError
from vssl.models.baselines import Constant
from vssl.records.files import MANIFEST_FILE, SUMMARY_FILE
from vssl.records.store import read_provenance
from vssl.records.truth import GroundTruth
from vssl.runs.evaluate import evaluate
from vssl.runs.record import log_size
from vssl.runs.score import score_run
from vssl.types import ImageBatch

DRAWS = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")


class TooHigh(Constant):
    """A user's model whose maps leave the range that it declares."""

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        return super().localize(batch, audio_features) + 0.5


class Broken(Constant):
    """A user's model that gives NaN for one image."""

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        maps = super().localize(batch, audio_features).clone()
        maps[[name == "clip2_000010" for name in batch.sample_ids], :, 0, 0] = torch.nan
        return maps


def on(folder: Path) -> tuple[str, ...]:
    return (f"data={folder.name}", f"data.root={folder}", *DRAWS, "bootstrap.resamples=20")


MODELS = {
    "random": ("model=random",),
    "hears": HEARS,
    "center": ("model=center",),
    "switched": ("model=constant", "protocol.antialias=false"),
}
FEW = ("threshold=fixed", "metrics=pia", "subsets=[]")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of some models, to compare with and to learn from, and their test set as `data`."""
    root = tmp_path_factory.mktemp("others")
    data = draw_vggss(root / "vggss")
    for name, options in MODELS.items():
        run(root / name, *options, *on(data), *FEW)
    return {"data": data, **{name: root / name for name in MODELS}}


def test_every_row_is_there_once_with_its_facts(is3_folder: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", "model=random", *on(is3_folder), *FEW)
    found = records(tmp_path / "run")
    assert len(found) == 6 * (1 + 1 + 2 + 2)
    assert not found.duplicated(KEY).any()
    entries = {
        Path(e["image"]).stem: e
        for e in json.loads((is3_folder / "IS3_annotation.json").read_text())
    }
    truth = GroundTruth.of(tmp_path / "run")
    assert truth.ids == found["sample_id"].drop_duplicates().to_list()
    boxes = [entries[name]["gt_box"] for name in truth.ids]
    assert truth.objects(truth.ids) == [([box], [1.0], [], []) for box in boxes]
    for _, row in found.iterrows():
        assert row["category"] == row["sample_id"].rsplit("_", 1)[1]
        assert row["image_group"] == row["sample_id"].rsplit("_", 1)[0]
        assert len(row["similarity_map"]) == row["map_height"] * row["map_width"] == 196
        assert row["similarity_max"] == max(row["similarity_map"])
        assert row["similarity_min"] == min(row["similarity_map"])
        if row["audio_condition"] == "offscreen":
            assert row["audio_source_id"].rsplit("_", 1)[1] not in row["image_group"].split("_")
        elif row["audio_condition"] == "positive":
            assert row["audio_source_id"] == row["sample_id"]
        else:
            assert pd.isna(row["audio_source_id"])


def test_batch_size_and_workers_cannot_matter(others: dict[str, Path], tmp_path: Path) -> None:
    change = ("loader.batch_size=4", "loader.audio_batch_size=3", "loader.num_workers=2")
    for model in ("random", "hears"):
        run(tmp_path / model, *MODELS[model], *on(others["data"]), *FEW, *change)
        one, two = records(others[model]), records(tmp_path / model)
        pd.testing.assert_frame_equal(one[KEY], two[KEY])
        # sums over another batch may be rounded in another order
        np.testing.assert_allclose(maps(one), maps(two), atol=0 if model == "random" else 1e-6)


def test_a_finished_run_is_taken_and_another_is_protected(
    vggss_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    few = ("metrics=pia", "subsets=[]")
    first = run(folder, "model=random", *on(vggss_folder), *few, "threshold=fixed")
    written = (folder / "records.parquet").stat().st_mtime_ns
    with caplog.at_level("INFO"):
        again = run(folder, "model=random", *on(vggss_folder), *few, "threshold=fixed")
    assert "already evaluated" in caplog.text
    pd.testing.assert_frame_equal(first, again)

    more = run(folder, "model=random", *on(vggss_folder), *few, "threshold=[fixed,universal_q3]")
    assert (folder / "records.parquet").stat().st_mtime_ns == written
    assert set(more["threshold_policy"]) > set(first["threshold_policy"])

    with pytest.raises(UsageError, match=r"another configuration.*force=true"):
        run(folder, "model=center", *on(vggss_folder))
    run(folder, "model=center", *on(vggss_folder), *few, "force=true")
    assert read_provenance(folder / "records.parquet")["model"] == "center"


def test_a_manifest_is_written_and_replayed(is3_folder: Path, tmp_path: Path) -> None:
    run(tmp_path / "first", *HEARS, *on(is3_folder), *FEW, "seed=7")
    manifest = tmp_path / "first" / MANIFEST_FILE
    rows = pd.read_csv(manifest, keep_default_na=False)
    assert list(rows.columns) == ["sample_id", "condition", "draw", "audio_source_id", "seed"]
    assert len(rows) == 6 * (1 + 2 + 2)
    run(tmp_path / "again", *HEARS, *on(is3_folder), *FEW, f"negatives.manifest={manifest}")
    assert (tmp_path / "again" / MANIFEST_FILE).read_text() == manifest.read_text()
    chosen = [records(tmp_path / name)["audio_source_id"] for name in ("first", "again")]
    pd.testing.assert_series_equal(*chosen)
    first, again = (maps(records(tmp_path / name)) for name in ("first", "again"))
    np.testing.assert_array_equal(first, again)


def test_the_oracle_is_perfect_and_a_deaf_model_is_not(is3_folder: Path, tmp_path: Path) -> None:
    oracle = run(tmp_path / "oracle", "model=oracle", *on(is3_folder), "threshold=standard")
    value = oracle.set_index(["threshold_policy", "condition", "metric"])["value"]
    assert value["half_image", "positive", "ciou"] == 1
    for policy in ("fixed", "universal_max", "universal_max10", "universal_q3"):
        assert value[policy, "positive", "ciou"] == 1
        assert value[policy, "all", "f_loc"] == 1
        assert value[policy, "all", "f_auc"] == 1
    # with a threshold for each map there is no F_LOC: it wants one for positives and negatives
    assert ("half_image", "all", "f_loc") not in value.index
    # strict masks mark one pixel fewer than the object has
    assert value["object_area", "positive", "ciou"] == pytest.approx(1, abs=1e-3)

    # the little pictures are smoother than photographs: their edges are fainter
    low = ("threshold=fixed", "threshold.fixed.value=0.1")
    blind = run(tmp_path / "blind", "model=audio_blind", *on(is3_folder), *low)
    area = blind[blind["metric"] == "pia"].set_index("condition")["value"]
    assert area["positive"] > 0
    assert np.allclose(area, area["positive"])


def test_undefined_maps_are_counted_and_never_zero(
    vggss_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = "model._target_=tests.runs.test_evaluate.Broken"
    broken = ("model=constant", target, "threshold=fixed")
    summary = run(tmp_path / "run", *broken, *on(vggss_folder))
    assert "6 similarity maps hold NaN" in caplog.text
    ciou = summary[(summary["metric"] == "ciou") & (summary["threshold_policy"] == "fixed")]
    positive = ciou[ciou["condition"] == "positive"].iloc[0]
    assert (positive["n"], positive["n_undefined"]) == (5, 1)


def test_what_is_skipped_is_counted_and_checked_again(vggss_folder: Path, tmp_path: Path) -> None:
    lost = vggss_folder / "audio" / "clip3_000010.wav"
    kept = lost.read_bytes()
    lost.unlink()
    options = ("model=center", *on(vggss_folder), *FEW)
    with pytest.raises(UsageError, match=r"(?s)1 missing audio files.*data\.missing=skip"):
        run(tmp_path / "run", *options)
    for _ in range(2):
        summary = run(tmp_path / "run", *options, "data.missing=skip")
    assert set(summary["coverage"]) == {5 / 6}
    listed = pd.read_csv(tmp_path / "run" / "left_out.csv")
    assert "clip3_000010" in set(listed["sample_id"])
    lost.write_bytes(kept)
    with pytest.raises(UsageError, match=r"other samples than are whole.*force=true"):
        run(tmp_path / "run", *options, "data.missing=skip")


def test_provenance_says_where_numbers_come_from(others: dict[str, Path]) -> None:
    for name in ("records.parquet", "scores.parquet", SUMMARY_FILE):
        facts = read_provenance(others["random"] / name)
        names = ("model", "dataset", "protocol", "seed")
        assert [facts[name] for name in names] == ["random", "vggss", "corrected", 0]
        assert facts["environment"]["torch"] == torch.__version__
        assert len(facts["manifest_hash"]) == 64
    summary = pd.read_parquet(others["switched"] / SUMMARY_FILE)
    assert set(summary["protocol"]) == {"corrected+antialias=False"}
    assert (summary["ci_low"].dropna() <= summary["value"][summary["ci_low"].notna()] + 1e-12).all()


def test_what_a_killed_run_left_is_cleared(vggss_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "shards").mkdir(parents=True)
    left = (
        "scores.parquet.8.partial",
        "shards/000000-a.parquet.77.partial",
        "shards/000000-b.parquet",
    )
    for name in left:
        (folder / name).write_bytes(b"half")
    run(folder, "model=random", *on(vggss_folder), *FEW)
    assert not list(folder.rglob("*shard*"))
    assert not list(folder.rglob("*.partial"))


@pytest.mark.parametrize(("free", "level"), [(60e9, logging.INFO), (40e9, logging.WARNING)])
def test_large_records_are_announced(
    free: float, level: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    caplog.set_level(logging.INFO)
    log_size(tmp_path, (14, 14), 5158 * 22)
    assert not caplog.records, "they are small"
    log_size(tmp_path, (224, 224), 5158 * 22)
    (entry,) = caplog.records
    assert entry.levelno == level
    free_gb = f"{free / 1e9:.1f} GB free"
    expected = f"similarity maps of up to 22.8 GB, twice while they are joined; {tmp_path} has"
    assert entry.getMessage() == f"{expected} {free_gb}"


def test_two_runs_in_one_folder_are_refused(vggss_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with (
        FileLock(folder / ".lock"),
        pytest.raises(UsageError, match="another run is writing there"),
    ):
        run(folder, "model=random", *on(vggss_folder))


def test_a_failed_repetition_leaves_no_scores_of_the_former_run(
    vggss_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    run(folder, "model=center", *on(vggss_folder), *FEW)
    too_high = ("model=constant", "model._target_=tests.runs.test_evaluate.TooHigh", "force=true")
    with pytest.raises(ValueError, match=r"value_range \[0.0, 1.0\].*1.5"):
        run(folder, *too_high, *on(vggss_folder))
    left = {path.name for path in folder.iterdir()}
    assert left == {".lock", "inputs.json"}, "no half file, no run.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("calibration={center}", "is a run of center, but constant is scored"),
        ("calibration={switched}", "with other switches"),
        ("metrics=[ciou,f_loc]", "f_loc combines ciou and pia; add both"),
    ],
)
def test_what_cannot_be_is_refused_before_the_run(
    others: dict[str, Path], tmp_path: Path, change: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "run", "model=constant", *on(others["data"]), change.format(**others))
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {".lock", "inputs.json"}


def test_a_device_is_held_only_while_the_networks_run(
    vggss_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []

    @contextmanager
    def device() -> Iterator[None]:
        events.append("taken")
        yield
        # the shards are joined when it is given back
        events.append("records" if (tmp_path / "records.parquet").is_file() else "shards")

    def scored(*given: Any, **options: Any) -> Any:
        events.append("scored")
        return score_run(*given, **options)

    monkeypatch.setattr("vssl.runs.evaluate.score_run", scored)
    for options in ("subsets=[]", "subsets=[category]"):  # the second only scores
        settings = run_settings(*FAST, "model=center", *on(vggss_folder), *FEW[:2], options)
        evaluate(settings, tmp_path, quiet=True, device=device())
    assert events == ["taken", "shards", "scored", "scored"]
