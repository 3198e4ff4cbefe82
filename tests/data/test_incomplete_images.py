"""Half pairs: an image of which not every object has a sample is no complete image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tests.helpers.running import command, run
from vssl.records.conditions import image_sources
from vssl.records.files import RECORDS_FILE
from vssl.records.store import read_provenance

QUICK = (
    *("negatives=[silence]", "threshold=[fixed,object_area]", "bootstrap.resamples=10"),
    "metrics=[ciou,iiou,iauc,swap_delta]",
)


def row(summary: pd.DataFrame, metric: str, policy: str = "object_area") -> Any:
    found = summary[(summary["metric"] == metric) & (summary["condition"] == "positive")]
    (chosen,) = found[found["threshold_policy"] == policy].to_dict("records")
    return chosen


def test_a_set_of_half_pairs_has_no_such_number(is3_folder: Path, tmp_path: Path) -> None:
    path = is3_folder / "IS3_annotation.json"
    path.write_text(json.dumps(json.loads(path.read_text())[::2]))
    data = ("data=is3", f"data.root={is3_folder}", "data.missing=skip")
    summary = run(tmp_path / "run", "model=oracle", *data, *QUICK)
    for metric in ("iiou", "iauc", "swap_delta"):
        found = row(summary, metric)
        assert pd.isna(found["value"])
        assert (found["n"], found["n_undefined"]) == (0, 3)


def test_a_half_pair_is_undefined_and_leaves_the_numbers_of_the_others(
    is3_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ("model=oracle", "data=is3", f"data.root={is3_folder}", "data.missing=skip", *QUICK)
    (is3_folder / "audio_wav" / "dog_bell_0_bell.wav").unlink()
    summary = run(tmp_path / "run", *options)
    ciou = row(summary, "ciou")
    assert (ciou["n"], ciou["n_undefined"]) == (5, 0)
    for metric in ("iiou", "iauc"):
        found = row(summary, metric)
        assert (found["n"], found["n_undefined"]) == (2, 1)  # images
    swap = row(summary, "swap_delta")
    assert (swap["n"], swap["n_undefined"]) == (4, 1)  # samples
    assert "1 samples of incomplete images" in caplog.text
    left_out = (tmp_path / "run" / "left_out.csv").read_text()
    assert "missing audio files,dog_bell_0_bell," in left_out
    assert "dog_bell_0: 1 of 2" in (tmp_path / "run" / "data_notes.csv").read_text()
    facts = read_provenance(tmp_path / "run" / RECORDS_FILE)
    assert facts["image_sources"] == 2
    done = command("vssl-rescore", f"run={tmp_path / 'run'}", *QUICK[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = pd.read_parquet(tmp_path / "run" / "summary.parquet")
    pd.testing.assert_frame_equal(summary, again, check_dtype=False)
    path = is3_folder / "IS3_annotation.json"
    path.write_text(json.dumps(json.loads(path.read_text())[2:]))  # without the picture
    whole = run(tmp_path / "whole", *options)
    for metric in ("iiou", "iauc", "swap_delta"):
        for policy in ("fixed", "object_area"):
            one, other = row(summary, metric, policy), row(whole, metric, policy)
            assert one["value"] == other["value"]
            assert one["n"] == other["n"]
            assert other["n_undefined"] == 0


def test_sources_by_sample() -> None:
    ids = ["a", "b", "c"]
    assert image_sources({"image_sources": 2}, ids).tolist() == [2, 2, 2]
    assert image_sources({"image_sources": {"a": 3, "c": 1}}, ids).tolist() == [3, 0, 1]
    assert image_sources({}, ids).tolist() == [0, 0, 0]
    assert pa.array(image_sources({}, [])).to_pylist() == []
