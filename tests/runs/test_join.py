"""Runs that differ in nothing but their negatives stand in one row, as one run on all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.drawn import draw_vggss
from tests.helpers.reporting_runs import NETWORK, change_provenance, copy_run, reasons
from tests.helpers.running import guided_by, run, run_settings
from vssl.core.hashing import config_hash
from vssl.records.files import MANIFEST_FILE, RECORDS_FILE, RUN_FILE, SUMMARY_FILE, TRUTH_FILE
from vssl.records.join import JOINED_FROM, joined_identity, without_negatives
from vssl.records.schema import SUMMARY
from vssl.records.store import read_provenance
from vssl.records.summary import read_summary
from vssl.records.truth import GroundTruth
from vssl.reporting.collection import Collection, collect
from vssl.reporting.index import INDEX_FILE
from vssl.reporting.page.gallery import read_maps
from vssl.runs.join import JOINED_FOLDER, join_runs
from vssl.runs.report import make_report

DRAWS = {
    "silence": (),
    "noise": ("negatives.noise.draws=2",),
    "offscreen": ("negatives.offscreen.draws=3",),
}
FEW = (
    "threshold=[half_image,universal_q3,false_alarm_10]",
    "metrics=[ciou,pia,iiou,agreement,auroc,f_loc,false_alarm_rate]",
)
"""One threshold policy and one metric of each kind."""

Evaluate = Callable[..., None]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_vggss(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def evaluate(data: Path, prior_file: Path) -> Evaluate:
    """Evaluate one network into a folder, with more options."""
    shared = (*NETWORK, "model.name=ezvsl", "data=vggss", f"data.root={data}", *FEW)
    return lambda folder, *options: run(folder, *shared, *guided_by(prior_file), *options)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, evaluate: Evaluate) -> Path:
    """`apart/<negative>` with one type of negatives each, and `whole` with all three."""
    folder = tmp_path_factory.mktemp("runs")
    for name, draws in DRAWS.items():
        evaluate(folder / "apart" / name, f"negatives={name}", *draws)
    evaluate(folder / "whole", *(option for draws in DRAWS.values() for option in draws))
    return folder


def collected(folder: Path, output: Path) -> Collection:
    return collect([folder], join=lambda runs: join_runs(runs, output / JOINED_FOLDER))


def test_the_joined_run_is_the_run_on_all_negatives(runs: Path, tmp_path: Path) -> None:
    """Every number, threshold, interval and hash: one run on all is the independent reference."""
    collection = collected(runs / "apart", tmp_path)
    (joined,) = collection.groups[0].runs
    assert not collection.left_out
    assert {source.name for source in joined.sources} == set(DRAWS)
    assert joined.label == "ezvsl"
    whole = read_summary(runs / "whole" / SUMMARY_FILE)
    assert len(joined.summary) == len(whole)
    assert "all" in set(joined.summary["condition"])
    for column in SUMMARY.names:
        if joined.summary[column].dtype == float:
            np.testing.assert_allclose(joined.summary[column], whole[column], atol=1e-6)
        else:
            assert joined.summary[column].equals(whole[column]), column
    facts, own = (read_provenance(f / RECORDS_FILE) for f in (joined.folder, runs / "whole"))
    differ = {key for key in {*facts, *own} if facts.get(key) != own.get(key)}
    assert differ <= {JOINED_FROM}
    assert {Path(each["run"]).name for each in facts[JOINED_FROM]} == set(DRAWS)
    both = (joined.folder, runs / "whole")
    manifests = [(folder / MANIFEST_FILE).read_text() for folder in both]
    assert manifests[0] == manifests[1]
    records = [pq.read_table(folder / RECORDS_FILE) for folder in both]
    for name in ("sample_id", "audio_condition", "draw", "audio_source_id"):
        assert records[0].column(name).equals(records[1].column(name)), name
    truths = [GroundTruth.of(folder).table for folder in both]
    assert truths[0].equals(truths[1])


def test_a_report_names_the_runs_of_a_row_and_clears_away_what_it_has_not(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_report([runs / "apart"], tmp_path, page=False, figures=False)
    assert "3 finished runs" in capsys.readouterr().out
    (sources,) = json.loads((tmp_path / INDEX_FILE).read_text())["joined"].values()
    assert {Path(each).name for each in sources} == set(DRAWS)
    assert "joined from" in (tmp_path / "report.md").read_text()
    table = pd.read_csv(tmp_path / "paper_vggss_corrected.csv")
    assert table[table["metric"] == "f_loc"]["value"].notna().all()
    (joined,) = (tmp_path / JOINED_FOLDER).iterdir()
    make_report([runs / "whole"], tmp_path, page=False, figures=False)
    assert not joined.exists()


def test_what_was_scored_later_is_in_the_joined_run(runs: Path, tmp_path: Path) -> None:
    """As after vssl-rescore: summaries have more than the configuration asked for."""
    shutil.copytree(runs / "apart", tmp_path / "apart")
    for path in tmp_path.glob(f"apart/*/{RUN_FILE}"):
        known = json.loads(path.read_text())
        del known["config"]["threshold"]["false_alarm_10"]
        del known["config"]["metrics"]["false_alarm_rate"]
        path.write_text(json.dumps(known))
    (joined,) = collected(tmp_path, tmp_path).groups[0].runs
    assert "false_alarm_10" in set(joined.summary["threshold_policy"])
    rates = joined.summary[joined.summary["metric"] == "false_alarm_rate"]
    assert set(rates["condition"]) == set(DRAWS)


def test_a_joined_run_is_made_once_and_not_found_as_a_run(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "apart", tmp_path / "apart")
    joined = collected(tmp_path, tmp_path).groups[0].runs[0].folder
    written = (joined / SUMMARY_FILE).stat().st_mtime_ns
    again = collected(tmp_path, tmp_path)
    assert [run.folder for run in again.groups[0].runs] == [joined]
    assert not again.left_out
    assert (joined / SUMMARY_FILE).stat().st_mtime_ns == written
    # damage is mended: here nobody could evaluate again
    for name in (RECORDS_FILE, RUN_FILE):
        (joined / name).write_bytes((joined / name).read_bytes()[:-9])
        assert len(collected(tmp_path, tmp_path).groups[0].runs[0].sources) == len(DRAWS)
    written = (joined / SUMMARY_FILE).stat().st_mtime_ns
    # a run that changes is joined anew, one that is gone leaves the joined run alone
    path = tmp_path / "apart" / "noise" / RUN_FILE
    path.write_text(path.read_text() + "\n")
    collected(tmp_path, tmp_path)
    assert (joined / SUMMARY_FILE).stat().st_mtime_ns > written
    shutil.rmtree(tmp_path / "apart" / "noise")
    (kept,) = collected(tmp_path, tmp_path).groups[0].runs
    assert kept.folder == joined


def change_column(path: Path, name: str, values: Callable[[list[Any]], list[Any]]) -> None:
    """Change a column of a run's file, as another machine would have written it, not as damage."""
    table = pq.read_table(path)
    place, field = table.schema.get_field_index(name), table.schema.field(name)
    column = pa.array(values(table.column(name).to_pylist()), field.type)
    pq.write_table(table.set_column(place, field, [column]), path)
    change_provenance(path.parent)


def other_maps(folder: Path) -> None:
    path = folder / RECORDS_FILE
    change_column(path, "similarity_map", lambda maps: [[v + 0.01 for v in maps[0]], *maps[1:]])


def other_boxes(folder: Path) -> None:
    change_column(folder / TRUTH_FILE, "boxes", lambda boxes: [[[0, 0, 9, 9]] for _ in boxes])


def scored_otherwise(folder: Path) -> None:
    path = folder / RUN_FILE
    known = json.loads(path.read_text())
    known["config"]["bootstrap"]["resamples"] = 7
    path.write_text(json.dumps(known))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (other_maps, "its positives are others (similarity_map)"),
        (other_boxes, "its samples, or their ground truth, are others"),
        (scored_otherwise, "it was scored otherwise (bootstrap)"),
    ],
)
def test_a_run_that_does_not_fit_is_left_out_with_its_reason(
    runs: Path, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    shutil.copytree(runs / "apart", tmp_path / "apart")
    harm(tmp_path / "apart" / "silence")
    collection = collected(tmp_path, tmp_path)
    (shown,) = collection.groups[0].runs
    assert {source.name for source in shown.sources} == {"noise", "offscreen"}
    assert said in reasons(collection)["silence"]
    assert "cannot be joined" in reasons(collection)["silence"]


def test_negatives_with_other_settings_are_not_joined(
    runs: Path, tmp_path: Path, evaluate: Evaluate
) -> None:
    for name, options in {
        "widest": ("negatives=[silence,noise,reversed]", "negatives.noise.draws=3"),
        "clash": ("negatives=[noise,offscreen]", *DRAWS["noise"], *DRAWS["offscreen"]),
    }.items():
        evaluate(tmp_path / "runs" / name, *options)
    for name in ("noise", "offscreen"):
        copy_run(runs / "apart" / name, tmp_path / "runs" / name)
    collection = collected(tmp_path / "runs", tmp_path)
    (shown,) = collection.groups[0].runs
    assert {source.name for source in shown.sources} == {"widest", "offscreen"}
    assert shown.draws == {"positive": 1, "silence": 1, "noise": 3, "offscreen": 3, "reversed": 1}
    assert reasons(collection).keys() == {"clash", "noise"}
    clash = reasons(collection)["clash"]
    assert "cannot be joined with what is shown: draws of noise: 3 and 2" in clash
    assert "(noise, noise x 2; the other has" in reasons(collection)["noise"]


def test_thresholds_of_a_calibration_run_stay(
    runs: Path, tmp_path: Path, evaluate: Evaluate
) -> None:
    calibration = copy_run(runs / "whole", tmp_path / "calibration")
    for name in ("silence", "noise"):
        options = ("seed=1", f"negatives={name}", *DRAWS[name], f"calibration={calibration}")
        evaluate(tmp_path / "runs" / name, *options)
    (shown,) = collected(tmp_path / "runs", tmp_path).groups[0].runs
    assert len(shown.sources) == 2
    fitted = shown.summary[shown.summary["threshold_source"].str.startswith("fit on")]
    assert fitted["threshold_source"].str.contains("run ").all()
    own = read_summary(tmp_path / "runs" / "noise" / SUMMARY_FILE)
    for policy, rows in fitted.groupby("threshold_policy"):
        of_run = own[own["threshold_policy"] == policy]
        assert set(rows["threshold"]) == set(of_run["threshold"]), policy
    shutil.rmtree(calibration)
    shutil.rmtree(tmp_path / JOINED_FOLDER)
    (reason,) = reasons(collected(tmp_path / "runs", tmp_path)).values()
    assert "where no run is any more" in reason


def test_files_of_negatives_keep_no_runs_apart(tmp_path: Path) -> None:
    noise, labels = tmp_path / "noise.npy", tmp_path / "labels.csv"
    np.save(noise, np.zeros(16_000, np.float32))
    labels.write_text("sample_id,label\n")
    file, exclude = f"negatives.noise.file={noise}", f"negatives.offscreen.exclude={labels}"
    apart = [
        run_settings("negatives=silence").identity,
        run_settings("negatives=noise", file).identity,
        run_settings("negatives=offscreen", exclude).identity,
    ]
    whole = run_settings(file, exclude).identity
    assert len(whole["files_sha256"]) == 2
    assert len({without_negatives(each) for each in (*apart, whole)}) == 1
    assert config_hash(joined_identity(apart)) == config_hash(whole)


def without_clips(run: Path, to: Path) -> Path:
    """A copy of a run as an earlier version wrote it: its records do not say where clips are."""
    copy = copy_run(run, to)
    table = pq.read_table(copy / RECORDS_FILE)
    pq.write_table(table.drop_columns(["audio_path"]), copy / RECORDS_FILE)
    change_provenance(copy, schema_version="3")
    return copy


def test_records_say_where_clips_are(runs: Path, data: Path) -> None:
    table = pq.read_table(runs / "whole" / RECORDS_FILE).to_pandas()
    heard = table["audio_source_id"].notna()
    assert set(table[heard]["audio_condition"]) == {"positive", "offscreen"}
    assert table[~heard]["audio_path"].isna().all()
    for name, path in zip(table[heard]["audio_source_id"], table[heard]["audio_path"], strict=True):
        assert Path(path).samefile(data / "audio" / f"{name}.wav")


def test_runs_of_before_are_read_and_joined(runs: Path, tmp_path: Path) -> None:
    for name in DRAWS:
        without_clips(runs / "apart" / name, tmp_path / "runs" / name)
    collection = collected(tmp_path / "runs", tmp_path)
    (old,) = collection.groups[0].runs
    assert not collection.left_out
    table = pq.read_table(old.folder / RECORDS_FILE)
    assert table.column("audio_path").null_count == len(table)
    ids = table.column("sample_id").unique().to_pylist()
    (new,) = collected(runs / "apart", tmp_path / "new").groups[0].runs
    for joined, clips in ((old, 0), (new, len(ids))):
        assert len(read_maps(joined, ids, policy="universal_q3").clips) == clips
    earlier = without_clips(runs / "whole", tmp_path / "earlier")
    (run,) = collect([earlier]).groups[0].runs
    assert read_maps(run, ids, policy="universal_q3").clips == {}
