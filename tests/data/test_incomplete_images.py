"""Half pairs: an image of which not every object has a sample is no complete image."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tests.helpers.running import command, run
from vssl.data.is3 import IS3
from vssl.data.vggss import VGGSS
from vssl.records.conditions import image_sources
from vssl.records.files import RECORDS_FILE
from vssl.records.store import read_provenance

QUICK = (
    *("negatives=[silence]", "threshold=[fixed,object_area]", "bootstrap.resamples=10"),
    "metrics=[ciou,iiou,iauc,swap_delta]",
)
LOST = "dog_bell_0_bell"


def lose(root: Path, how: str) -> None:
    """Take one sample of a pair away: its sound, or its line in the list."""
    if how == "missing":
        (root / "audio_wav" / f"{LOST}.wav").unlink()
        return
    for path in root.glob(f"*/{LOST}.*"):
        path.unlink()
    path = root / "IS3_annotation.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([e for e in entries if e["image"] != f"{LOST}.jpg"]))


def row(summary: pd.DataFrame, metric: str, policy: str = "object_area") -> Any:
    found = summary[(summary["metric"] == metric) & (summary["condition"] == "positive")]
    (chosen,) = found[found["threshold_policy"] == policy].to_dict("records")
    return chosen


def evaluated(root: Path, folder: Path, *overrides: str) -> pd.DataFrame:
    return run(folder, "model=oracle", f"data.root={root}", *QUICK, *overrides)


def test_an_unlisted_sample_makes_its_picture_incomplete(is3_folder: Path) -> None:
    lose(is3_folder, "unlisted")
    data = IS3(is3_folder).check()
    assert {sample.image_sources for sample in data.samples} == {2}
    (note,) = data.notes
    assert "samples of incomplete images" in note.kind
    assert note.detail == "dog_bell_0: 1 of 2"


def test_a_half_pair_is_undefined_and_leaves_the_numbers_of_the_others(
    is3_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, option = is3_folder, "data.missing=skip"
    lose(root, "missing")
    with caplog.at_level(logging.WARNING):
        summary = evaluated(root, tmp_path / "run", "data=is3", option)
    ciou = row(summary, "ciou")
    assert (ciou["n"], ciou["n_undefined"]) == (5, 0)
    for metric in ("iiou", "iauc"):
        found = row(summary, metric)
        assert (found["n"], found["n_undefined"]) == (2, 1)  # images
    swap = row(summary, "swap_delta")
    assert (swap["n"], swap["n_undefined"]) == (4, 1)  # samples
    assert "1 samples of incomplete images" in caplog.text
    assert "dog_bell_0: 1 of 2" in (tmp_path / "run" / "data_notes.csv").read_text()
    facts = read_provenance(tmp_path / "run" / RECORDS_FILE)
    assert facts["image_sources"] == 2
    done = command("vssl-rescore", f"run={tmp_path / 'run'}", *QUICK[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = pd.read_parquet(tmp_path / "run" / "summary.parquet")
    pd.testing.assert_frame_equal(summary, again, check_dtype=False)
    lose_all = json.loads((root / "IS3_annotation.json").read_text())
    kept = [e for e in lose_all if not e["image"].startswith("dog_bell_0")]
    (root / "IS3_annotation.json").write_text(json.dumps(kept))
    whole = evaluated(root, tmp_path / "whole", "data=is3", option)
    for metric in ("iiou", "iauc", "swap_delta"):
        for policy in ("fixed", "object_area"):
            one, other = row(summary, metric, policy), row(whole, metric, policy)
            assert one["value"] == other["value"]
            assert one["n"] == other["n"]
            assert other["n_undefined"] == 0


def test_a_set_of_half_pairs_has_no_such_number(is3_folder: Path, tmp_path: Path) -> None:
    path = is3_folder / "IS3_annotation.json"
    path.write_text(json.dumps(json.loads(path.read_text())[::2]))
    summary = evaluated(is3_folder, tmp_path / "run", "data=is3", "data.missing=skip")
    for metric in ("iiou", "iauc", "swap_delta"):
        found = row(summary, metric)
        assert pd.isna(found["value"])
        assert (found["n"], found["n_undefined"]) == (0, 3)


def test_one_sample_an_image_is_complete(vggss_folder: Path, tmp_path: Path) -> None:
    root = vggss_folder
    (root / "audio" / "clip0_000010.wav").unlink()
    summary = evaluated(root, tmp_path / "run", "data=vggss", "data.missing=skip")
    assert (row(summary, "iiou")["n"], row(summary, "iiou")["n_undefined"]) == (5, 0)
    assert row(summary, "iiou")["value"] == 1
    assert not (summary["metric"] == "swap_delta").any()
    assert {s.image_sources for s in VGGSS(root, missing="skip").check().samples} == {1}


def test_sources_by_sample() -> None:
    ids = ["a", "b", "c"]
    assert image_sources({"image_sources": 2}, ids).tolist() == [2, 2, 2]
    assert image_sources({"image_sources": {"a": 3, "c": 1}}, ids).tolist() == [3, 0, 1]
    assert image_sources({}, ids).tolist() == [0, 0, 0]
    assert pa.array(image_sources({}, [])).to_pylist() == []


def test_what_is_listed_counts(is3_folder: Path) -> None:
    """A third sample of a picture, in a set whose names promise two."""
    path = is3_folder / "IS3_annotation.json"
    entries = json.loads(path.read_text())
    third = {**entries[0], "image": "dog_bell_0_cat.jpg"}
    path.write_text(json.dumps([*entries, third]))
    found = {s.sample_id: s.image_sources for s in IS3(is3_folder).listed()}
    assert found["dog_bell_0_dog"] == found["dog_bell_0_cat"] == 3
    assert found["bell_train_1_bell"] == 2
