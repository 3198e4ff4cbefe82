"""Whole runs on small test sets: the same whatever cannot matter, resumable, replayable."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock

from tests.running import FAST, HEARS, KEY, composed, maps, records, run
from vssl.commands.evaluate import evaluate
from vssl.errors import UsageError
from vssl.models.baselines import Constant
from vssl.records.aggregate import summary_key
from vssl.records.files import MANIFEST_FILE, SUMMARY_FILE
from vssl.records.store import read_provenance
from vssl.types import ImageBatch

DRAWS = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")
FEW = ("threshold=fixed", "subsets=[]", "bootstrap.resamples=10")
# the records are what counts
QUICK = (*FEW, "metrics=pia")


class TooHigh(Constant):
    """A user's model whose maps leave the range that it declares."""

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        return super().localize(batch, audio_features) + 0.5


def on(folder: Path) -> tuple[str, ...]:
    return (f"data={folder.name}", f"data.root={folder}", *DRAWS)


def test_every_row_is_there_once_with_its_facts(is3_folder: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", "model=random", *on(is3_folder), *QUICK)
    found = records(tmp_path / "run")
    assert len(found) == 6 * (1 + 1 + 2 + 2)
    assert not found.duplicated(KEY).any()
    entries = {
        Path(e["image"]).stem: e
        for e in json.loads((is3_folder / "IS3_annotation.json").read_text())
    }
    for _, row in found.iterrows():
        assert [list(b) for b in row["boxes"]] == [entries[row["sample_id"]]["gt_box"]]
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


@pytest.mark.parametrize(
    ("model", "tolerance"),
    # sums over another batch may be rounded in another order
    [(("model=random",), 0), (HEARS, 1e-6)],
    ids=["random", "hears"],
)
def test_batch_size_and_workers_cannot_matter(
    vggss_folder: Path, tmp_path: Path, model: tuple[str, ...], tolerance: float
) -> None:
    options = (*model, *on(vggss_folder), *QUICK)
    run(tmp_path / "whole", *options)
    expected = records(tmp_path / "whole")
    for number, change in enumerate(
        (
            ["loader.batch_size=1"],
            ["loader.batch_size=4", "loader.audio_batch_size=3"],
            ["loader.num_workers=4"],
        )
    ):
        run(tmp_path / str(number), *options, *change)
        found = records(tmp_path / str(number))
        pd.testing.assert_frame_equal(found[KEY], expected[KEY])
        np.testing.assert_allclose(maps(found), maps(expected), atol=tolerance)


def test_a_finished_run_is_taken_and_another_is_protected(
    vggss_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    first = run(folder, "model=random", *on(vggss_folder), "threshold=fixed")
    written = (folder / "records.parquet").stat().st_mtime_ns
    with caplog.at_level("INFO"):
        again = run(folder, "model=random", *on(vggss_folder), "threshold=fixed")
    assert "already evaluated" in caplog.text
    pd.testing.assert_frame_equal(first, again)

    more = run(folder, "model=random", *on(vggss_folder), "threshold=standard")
    assert (folder / "records.parquet").stat().st_mtime_ns == written
    assert set(more["threshold_policy"]) > set(first["threshold_policy"])

    with pytest.raises(UsageError, match=r"another configuration.*force=true"):
        run(folder, "model=center", *on(vggss_folder))
    run(folder, "model=center", *on(vggss_folder), "force=true")
    assert read_provenance(folder / "records.parquet")["model"] == "center"


def test_a_manifest_is_written_and_replayed(is3_folder: Path, tmp_path: Path) -> None:
    options = (*HEARS, *on(is3_folder), *QUICK)
    run(tmp_path / "first", *options, "seed=7")
    manifest = tmp_path / "first" / MANIFEST_FILE
    rows = pd.read_csv(manifest, keep_default_na=False)
    assert list(rows.columns) == ["sample_id", "condition", "draw", "audio_source_id", "seed"]
    assert len(rows) == 6 * (1 + 2 + 2)
    run(tmp_path / "again", *options, f"negatives.manifest={manifest}")
    assert (tmp_path / "again" / MANIFEST_FILE).read_text() == manifest.read_text()
    chosen = [records(tmp_path / name)["audio_source_id"] for name in ("first", "again")]
    pd.testing.assert_series_equal(*chosen)
    first, again = (maps(records(tmp_path / name)) for name in ("first", "again"))
    np.testing.assert_array_equal(first, again)


def test_the_csv_logger_has_every_number_of_the_summary(vggss_folder: Path, tmp_path: Path) -> None:
    csv = ("logger=csv", f"logger.csv.save_dir={tmp_path / 'run'}")
    summary = run(tmp_path / "run", "model=random", *on(vggss_folder), *csv)
    (logged,) = pd.read_csv(tmp_path / "run" / "csv" / "metrics.csv").to_dict("records")
    rows = summary.dropna(subset="value").to_dict("records")
    values = {summary_key(row): row["value"] for row in rows}
    assert {key: logged[key] for key in values} == values


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
    vggss_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A user's own model that gives NaN for one image."""
    module = tmp_path / "mine.py"
    module.write_text(
        "import torch\n"
        "from vssl.models.baselines import Constant\n"
        "class Broken(Constant):\n"
        "    def localize(self, batch, audio_features):\n"
        "        maps = super().localize(batch, audio_features).clone()\n"
        "        for n, name in enumerate(batch.sample_ids):\n"
        "            if name == 'clip2_000010':\n"
        "                maps[n, :, 0, 0] = torch.nan\n"
        "        return maps\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    broken = ("model=constant", "model._target_=mine.Broken")
    summary = run(tmp_path / "run", *broken, *on(vggss_folder), *FEW)
    assert "6 similarity maps hold NaN" in caplog.text
    ciou = summary[(summary["metric"] == "ciou") & (summary["threshold_policy"] == "fixed")]
    positive = ciou[ciou["condition"] == "positive"].iloc[0]
    assert (positive["n"], positive["n_undefined"]) == (5, 1)


def test_what_is_skipped_is_in_the_coverage_and_checked_again(
    vggss_folder: Path, tmp_path: Path
) -> None:
    lost = vggss_folder / "audio" / "clip3_000010.wav"
    kept = lost.read_bytes()
    lost.unlink()
    with pytest.raises(UsageError, match=r"(?s)1 missing audio files.*data\.missing=skip"):
        run(tmp_path / "run", "model=random", *on(vggss_folder))
    skipping = ("model=random", *on(vggss_folder), *QUICK, "data.missing=skip")
    assert set(run(tmp_path / "run", *skipping)["coverage"]) == {5 / 6}
    listed = pd.read_csv(tmp_path / "run" / "left_out.csv")
    assert "clip3_000010" in set(listed["sample_id"])
    run(tmp_path / "run", *skipping)
    lost.write_bytes(kept)
    with pytest.raises(UsageError, match=r"other samples than are whole.*force=true"):
        run(tmp_path / "run", *skipping)


def test_universal_thresholds_transfer_between_test_sets(
    vggss_folder: Path, is3_folder: Path, tmp_path: Path
) -> None:
    run(tmp_path / "vggss_run", "model=random", *on(vggss_folder), *QUICK)
    calibrated = ("threshold=universal_q3", f"calibration={tmp_path / 'vggss_run'}")
    transferred = run(
        tmp_path / "is3_run", "model=random", *on(is3_folder), *QUICK[1:], *calibrated
    )
    found = records(tmp_path / "vggss_run")
    expected = max(
        np.quantile(found.loc[found["audio_condition"] == c, "similarity_max"], 0.75)
        for c in ("silence", "noise", "offscreen")
    )
    transferred = transferred[transferred["threshold_policy"] == "universal_q3"]
    assert transferred["threshold"].unique() == pytest.approx(expected, abs=1e-6)
    assert transferred["threshold_source"].str.contains("fit on vggss").all()


def test_positives_only(vggss_folder: Path, tmp_path: Path) -> None:
    data = (f"data={vggss_folder.name}", f"data.root={vggss_folder}", *FEW[1:])
    summary = run(tmp_path / "run", "model=random", *data, "negatives=none")
    assert set(summary["condition"]) == {"positive"}
    assert set(summary["threshold_policy"]) == {"none", "fixed", "half_image", "object_area"}
    with pytest.raises(UsageError, match=r"learnt from negatives.*negatives=all"):
        evaluate(
            composed(*FAST, "model=random", "negatives=none", "threshold=universal_q3"),
            tmp_path / "none",
        )


def test_provenance_says_where_numbers_come_from(vggss_folder: Path, tmp_path: Path) -> None:
    summary = run(tmp_path / "run", "model=random", *on(vggss_folder), *FEW, "seed=3")
    for name in ("records.parquet", "scores.parquet", SUMMARY_FILE):
        facts = read_provenance(tmp_path / "run" / name)
        named = {name: facts[name] for name in ("model", "dataset", "protocol", "seed")}
        assert list(named.values()) == ["random", "vggss", "corrected", 3]
        assert facts["environment"]["torch"] == torch.__version__
        assert len(facts["manifest_hash"]) == 64
    assert set(summary["seed"]) == {3}
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
    run(folder, "model=random", *on(vggss_folder), *QUICK)
    assert not list(folder.rglob("*shard*"))
    assert not list(folder.rglob("*.partial"))


def test_two_runs_in_one_folder_are_refused(vggss_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with (
        FileLock(folder / ".lock"),
        pytest.raises(UsageError, match="another run is writing there"),
    ):
        run(folder, "model=random", *on(vggss_folder))


def test_a_model_outside_its_declared_range_leaves_nothing_also_of_a_former_run(
    vggss_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    run(folder, "model=center", *on(vggss_folder), *QUICK)
    too_high = ("model=constant", "model._target_=tests.test_runs.TooHigh", "force=true")
    with pytest.raises(UsageError, match=r"value_range \[0.0, 1.0\].*1.5"):
        run(folder, *too_high, *on(vggss_folder))
    left = {path.name for path in folder.iterdir()}
    assert left == {".lock", "inputs.json"}, "no half file, no run.json"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (("model=center",), "is a run of center, but constant is scored"),
        (("model=constant", "protocol.antialias=false"), "with other switches"),
    ],
)
def test_an_unfit_calibration_is_refused_before_the_run(
    vggss_folder: Path, tmp_path: Path, other: tuple[str, ...], message: str
) -> None:
    run(tmp_path / "other", *other, *on(vggss_folder), *QUICK)
    calibration = f"calibration={tmp_path / 'other'}"
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "run", "model=constant", *on(vggss_folder), calibration)
    assert list((tmp_path / "run").iterdir()) == []


def test_mixed_protocols_are_named(vggss_folder: Path, tmp_path: Path) -> None:
    mixed = ("model=center", *on(vggss_folder), "protocol.antialias=false")
    summary = run(tmp_path / "run", *mixed, *QUICK)
    assert set(summary["protocol"]) == {"corrected+antialias=False"}
    with pytest.raises(UsageError, match="Did you mean `released`"):
        run(tmp_path / "other", "model=center", *on(vggss_folder), "protocol.upsampling=relased")


def test_metrics_that_lack_their_parts_are_refused(vggss_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="f_loc combines ciou and pia; add both"):
        run(tmp_path / "run", "model=center", *on(vggss_folder), "metrics=[ciou,f_loc]")


def test_one_image_has_no_interval(vggss_folder: Path, tmp_path: Path) -> None:
    annotation = vggss_folder / "vggss.json"
    annotation.write_text(json.dumps(json.loads(annotation.read_text())[:1]))
    data = ("data=vggss", f"data.root={vggss_folder}", "data.missing=skip", "negatives=silence")
    summary = run(tmp_path / "run", "model=center", *data)
    assert summary["ci_low"].isna().all()
    assert summary["value"].notna().all()
