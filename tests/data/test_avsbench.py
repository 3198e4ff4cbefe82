"""AVSBench and VPO: original layouts and SSLalignment's lists, against expected truths."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.drawn import draw_avsbench
from vssl.data.avsbench import VPOMS, VPOSS, AVSBenchMS3, AVSBenchS4, SegmentedFrames
from vssl.data.base import DataError
from vssl.data.check import csv_rows
from vssl.maps import consensus_map
from vssl.negatives.offscreen import Offscreen
from vssl.testing import check_reader
from vssl.types import Sample

KINDS = (AVSBenchS4, AVSBenchMS3, VPOSS, VPOMS)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four sets; not to be changed."""
    return draw_avsbench(tmp_path_factory.mktemp("avsbench") / "avsbench")


@pytest.fixture
def root(drawn: Path, tmp_path: Path) -> Path:
    return shutil.copytree(drawn, tmp_path / "avsbench", copy_function=shutil.copyfile)


def marked(sample: Sample) -> np.ndarray:
    """Pixels of a sample's ground truth."""
    regions = sample.boxes, sample.box_weights, sample.masks, sample.mask_weights
    return consensus_map(*regions).numpy() > 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
class TestPack:
    """The real lists with drawn media."""

    def test_masks(self, shared: Path, kind: type[SegmentedFrames]) -> None:
        folder = shared / "data" / "avsbench"
        short = kind.name.removeprefix("avsbench_")
        expected = folder / "expected" / short
        facts = {row["id"]: row for row in csv_rows(expected / "per_sample.csv")}
        with np.load(expected / "truth_224.npz") as truth:
            masks = dict(zip(truth["ids"].tolist(), truth["masks"], strict=True))
        data = kind(folder, annotation=f"metadata/{short}_seg.json").check()
        samples = {sample.sample_id: sample for sample in data.samples}
        assert list(samples) == list(masks)
        for sample_id, sample in samples.items():
            assert np.array_equal(marked(sample), masks[sample_id]), sample_id
            assert sample.is_natural_negative is (facts[sample_id]["empty_truth"] == "1")
        original = {sample.sample_id: sample for sample in kind(folder).listed()}
        assert original.keys() == samples.keys()
        for sample_id, sample in original.items():
            checked = {"audio_length": 0, "is_natural_negative": False}
            assert replace(samples[sample_id], **checked) == sample

    def test_boxes(self, shared: Path, kind: type[SegmentedFrames]) -> None:
        folder = shared / "data" / "avsbench"
        expected = folder / "expected" / kind.name.removeprefix("avsbench_")
        boxed = kind(folder, truth="boxes")
        check_reader(boxed)
        samples = boxed.listed()
        maps = np.load(expected / "maps_56.npy").repeat(4, axis=1).repeat(4, axis=2) > 0.5
        facts = csv_rows(expected / "per_sample.csv")
        assert [sample.sample_id for sample in samples] == [row["id"] for row in facts]
        for sample, mask, row in zip(samples, maps, facts, strict=True):
            truth = marked(sample)
            assert truth.sum() == int(row["box_pixels"])
            assert (not sample.boxes) is (row["iou_box"] == "")
            if row["iou_box"]:
                iou = (mask & truth).sum() / (mask | truth).sum()
                assert iou == pytest.approx(float(row["iou_box"]), abs=1e-12)


def test_five_frames_of_a_video_are_five_pictures_with_one_sound(drawn: Path) -> None:
    samples = AVSBenchS4(drawn).check().samples
    assert len(samples) == len({sample.image_group for sample in samples}) == 10
    assert len({sample.audio_path for sample in samples}) == 2
    assert {sample.image_sources for sample in samples} == {1}
    assert [sample.category for sample in samples] == ["dog"] * 5 + ["bell"] * 5
    silent = [sample.sample_id for sample in samples if sample.is_natural_negative]
    assert silent == ["bell/bbbbbbbbbbb/bbbbbbbbbbb_1"]


def test_clips_of_one_video_are_never_offscreen_for_each_other(root: Path) -> None:
    folder = root / "Multi-sources"
    for kind in ("visual_frames", "audio_wav/test", "gt_masks/test"):
        for path in sorted((folder / "ms3_data" / kind).rglob("cccccccccccc_0*")):
            copy = Path(str(path).replace("cccccccccccc_0", "cccccccccccc_7"))
            copy.parent.mkdir(exist_ok=True)
            if path.is_file():
                shutil.copy(path, copy)
    with (folder / "ms3_meta_data.csv").open("a") as table:
        table.write("cccccccccccc_7,test\n")
    samples = AVSBenchMS3(root).check().samples
    assert {sample.category for sample in samples} == {"ccccccccccc", "-dddddddddd"}
    offscreen = Offscreen(draws=3)
    offscreen.prepare(samples)
    for sample in samples:
        for draw in range(3):
            other = offscreen.request(sample, draw=draw, seed=0, length=0).source_id
            assert other[:11] != sample.sample_id[:11]


def test_objects_of_one_coco_picture_are_a_group(drawn: Path) -> None:
    first, second, alone = VPOMS(drawn).check().samples
    assert first.image_group == second.image_group == "000000000001" != alone.image_group
    # nothing sounds in the second one's picture: no object that a model could find
    assert [s.image_sources for s in (first, second, alone)] == [1, 1, 1]
    assert first.image_categories == second.image_categories == (first.category, second.category)
    assert (first.is_natural_negative, second.is_natural_negative) == (False, True)


def test_an_all_zero_mask_may_be_a_positive_or_a_fault(drawn: Path) -> None:
    kept = AVSBenchS4(drawn, empty="keep").check().samples
    assert not any(sample.is_natural_negative for sample in kept)
    with pytest.raises(DataError, match="1 empty ground truths"):
        AVSBenchS4(drawn, empty="fault").check()


def test_a_run_rests_on_its_masks(drawn: Path) -> None:
    listed = VPOMS(drawn)
    listed.check()
    assert {path.name for path in listed.truth_files} == {
        f"{name}.jpg" for name in ("000000000001_10", "000000000001_11", "000000000002_20")
    }


FAULTS: list[tuple[type[SegmentedFrames], Callable[[Path], None], dict[str, Any], str]] = [
    (AVSBenchS4, lambda r: [path.unlink() for path in r.rglob("s4_*.*")], {},
     r"holds no annotation file \(Single-source/s4_meta_data.csv or metadata/s4_seg.json"),
    (AVSBenchS4, lambda r: shutil.rmtree(r / "Single-source/s4_data"), {},
     r"s4_data/visual_frames/test: no such folder, where avsbench_s4 has its frames"),
    (AVSBenchS4, lambda r: shutil.rmtree(r / "Single-source/s4_data/gt_masks"), {},
     r"gt_masks/test: no such folder, where .* masks\..* data.truth=boxes does without masks"),
    (AVSBenchS4, lambda r: None, {"annotation": "metadata/ms3_seg.json"},
     r"ms3_seg.json: names the image .*\.mp4_1.png, .*Is it the list of another test set\?"),
    (AVSBenchMS3, lambda r: None, {"annotation": "Single-source/s4_meta_data.csv"},
     r"has the columns name, start, category, split, but video_id, split are needed"),
    (AVSBenchMS3, lambda r: None, {"annotation": "metadata/ms3_box.json"},
     r"holds boxes, but data.truth=masks"),
    (AVSBenchMS3, lambda r: None, {"annotation": "metadata/ms3_seg.json", "truth": "boxes"},
     r"holds paths of masks, but data.truth=boxes"),
    (AVSBenchMS3, lambda r: (r / "t.csv").write_text("video_id,split\na,val\n"),
     {"annotation": "t.csv"},
     r"lists no video with the split test"),
    (VPOMS, lambda r: (r / "t.csv").write_text("image,gt_box\na,b\n"), {"annotation": "t.csv"},
     r"t.csv: vpo_ms is read from a JSON list, not from a table"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "damage", "options", "message"), FAULTS)
def test_a_wrong_folder_gives_one_message(
    root: Path,
    kind: type[SegmentedFrames],
    damage: Callable[[Path], None],
    options: dict[str, Any],
    message: str,
) -> None:
    damage(root)
    with pytest.raises(DataError, match=message):
        kind(root, **options).check()


def test_a_frame_without_mask_is_listed(root: Path) -> None:
    mask = "Single-source/s4_data/gt_masks/test/dog/aaaaaaaaaaa/aaaaaaaaaaa_2.png"
    (root / mask).unlink()
    with pytest.raises(DataError, match=r"1 annotations that cannot be read\n.*_2.png: no such"):
        AVSBenchS4(root).check()
    data = AVSBenchS4(root, missing="skip").check()
    assert (len(data.samples), data.listed) == (9, 10)
    assert mask in data.problems[0].detail


def test_an_entry_of_another_layout_is_listed(root: Path) -> None:
    path = root / "metadata/s4_seg.json"
    entries = json.loads(path.read_text())
    entries[3]["image"] = "/mnt/authors/visual_frames/test/dog/aaaaaaaaaaa/bbbbbbbbbbb_4.png"
    path.write_text(json.dumps(entries))
    with pytest.raises(DataError, match=r"entry 3: ValueError: `dog/a+/b+_4.png` is not"):
        AVSBenchS4(root, annotation="metadata/s4_seg.json").check()
