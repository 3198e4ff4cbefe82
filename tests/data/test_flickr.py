"""Flickr-SoundNet: graded ground truths of real ids and made-up boxes, and wrong folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.drawn import draw_flickr
from vssl.data.base import DataError
from vssl.data.flickr import FlickrSoundNet
from vssl.maps import consensus_map
from vssl.testing import check_reader
from vssl.types import Sample


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return draw_flickr(tmp_path / "flickr")


def truth(sample: Sample) -> np.ndarray:
    return consensus_map(sample.boxes, sample.box_weights).double().numpy()


def xml(root: Path, *boxes: str) -> None:
    """Give the first image one annotator with these boxes, each its five elements."""
    content = "".join(f"<bbox>{box}</bbox>" for box in boxes)
    (root / "Annotations/101.xml").write_text(f"<r><a>{content}</a></r>")


def test_the_pack_s_ground_truths_are_met(shared: Path) -> None:
    folder = shared / "data" / "flickr"
    flickr = FlickrSoundNet(folder)
    check_reader(flickr)
    samples = flickr.check().samples
    expected = json.loads((folder / "expected/ciou_of_disc.json").read_text())["ciou_of_disc"]
    y, x = np.mgrid[:224, :224]
    disc = (x - 112) ** 2 + (y - 112) ** 2 < 3600
    assert [sample.sample_id for sample in samples] == list(expected)
    with np.load(folder / "expected/truth_224.npz") as truths:
        for sample in samples:
            found = truth(sample)
            assert np.array_equal(found, truths[sample.sample_id])
            ciou = (disc * found).sum() / (found.sum() + (disc * (found == 0)).sum())
            assert ciou == expected[sample.sample_id]
            assert sample.is_natural_negative is not found.any()


def test_votes_are_by_box_and_nobody_s_boxes_are_natural_negatives(root: Path) -> None:
    agreed, twice, nobody = FlickrSoundNet(root).check().samples
    assert agreed.boxes == ((28, 56, 140, 168), (56, 56, 224, 224))
    assert agreed.box_weights == twice.box_weights == (0.5, 0.5)
    assert truth(twice)[20, 20] == 1  # two boxes of one annotator
    assert truth(twice)[80, 80] == 0.5
    assert (nobody.boxes, nobody.is_natural_negative) == ((), True)
    assert not FlickrSoundNet(root, empty="keep").check().samples[2].is_natural_negative


def test_a_list_of_file_names(root: Path) -> None:
    (root / "test_flickr_250.txt").write_text("102.jpg\n\n101.jpg\n")
    listed = FlickrSoundNet(root, annotation="test_flickr_250.txt").listed()
    assert [sample.sample_id for sample in listed] == ["102", "101"]


def test_boxes_that_become_empty(root: Path) -> None:
    thin, wide = "<n/><n>8</n><n>0</n><n>9</n><n>256</n>", "<n/><n>8</n><n>0</n><n>99</n><n>99</n>"
    xml(root, thin, wide)
    data = FlickrSoundNet(root).check()
    assert data.samples[0].boxes == ((7, 0, 86, 86),)
    assert data.notes[0].kind == "ground truths with an empty box"
    xml(root, thin)
    data = FlickrSoundNet(root).check()
    assert not data.samples[0].is_natural_negative
    assert data.notes[0].kind == "empty ground truths"
    with pytest.raises(DataError, match="empty ground truths"):
        FlickrSoundNet(root, empty="fault").check()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: (r / "flickr_test.csv").unlink(), "holds no annotation file"),
        (lambda r: (r / "flickr_test.csv").write_text("\n"), "lists no samples"),
        (lambda r: (r / "flickr_test.csv").write_bytes(b"\xff\n"), "not readable as CSV"),
        (lambda r: shutil.rmtree(r / "Annotations"),
         r"Annotations: no such folder, where flickr has its XML files.*data.box_folder"),
        (lambda r: (r / "Annotations/102.xml").unlink(), r"102.xml: not readable as XML"),
        (lambda r: (r / "Annotations/101.xml").write_text("<r><a>"), "not readable as XML"),
        (lambda r: (r / "Annotations/101.xml").write_text("<r><o><name>dog</name></o></r>"),
         "has <name> with 0 elements, where each annotator has <bbox>"),
        (lambda r: xml(r, "<n>8</n><n>0</n><n>9</n><n>256</n>"), "has <bbox> with 4 elements"),
        (lambda r: xml(r, "<n/><n>0.1</n><n>0</n><n>9</n><n>9</n>"), "is not of whole numbers"),
    ],
)  # fmt: skip
def test_wrong_folders_and_files(root: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(root)
    with pytest.raises(DataError, match=message):
        FlickrSoundNet(root).check()
