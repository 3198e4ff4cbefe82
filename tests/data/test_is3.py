"""IS3 by its own list of names: pictures, classes, and what is offscreen."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from tests.helpers.running import run_settings
from vssl.config.identity import run_identity
from vssl.data.base import DataError
from vssl.data.boxes import box_fault
from vssl.data.check import csv_rows
from vssl.data.is3 import IS3
from vssl.maps import decode_mask
from vssl.negatives.offscreen import Offscreen
from vssl.testing import check_reader
from vssl.types import Sample


def entry(stem: str, box: Sequence[float] = (10, 10, 100, 100), **fields: Any) -> dict[str, Any]:
    return {"image": f"{stem}.jpg", "audio": f"{stem}.wav", "gt_box": list(box), **fields}


def listed(root: Path, entries: Sequence[dict[str, Any]]) -> dict[str, Sample]:
    """The samples that a list of entries gives, by name."""
    root.mkdir(exist_ok=True)
    (root / "IS3_annotation.json").write_text(json.dumps(entries))
    return {sample.sample_id: sample for sample in IS3(root).listed()}


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, dict[str, str]]:
    """What is known of each name, found by others."""
    table = csv_rows(shared / "data" / "is3_names" / "expected_pairs.csv")
    return {row["image"]: row for row in table}


@pytest.fixture(scope="module")
def samples(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    """All 6,480 samples, by name."""
    table = csv_rows(shared / "data" / "is3_names" / "is3_names.csv")
    entries = [entry(r["image"], [float(r[k]) for k in ("x0", "y0", "x1", "y1")]) for r in table]
    return listed(tmp_path_factory.mktemp("is3"), entries)


class TestAllNames:
    def test_pairs_classes_and_boxes(
        self, samples: dict[str, Sample], expected: dict[str, dict[str, str]]
    ) -> None:
        assert list(samples) == list(expected)
        groups = Counter(sample.image_group for sample in samples.values())
        assert (len(samples), len(groups), set(groups.values())) == (6480, 3240, {2})
        in_picture: dict[str, set[str]] = defaultdict(set)
        for row in expected.values():
            in_picture[row["pair"]] |= {row["first_word"], row["second_word"], row["sounding"]}
        for name, row in expected.items():
            sample = samples[name]
            assert (sample.image_group, sample.image_sources) == (row["pair"], 2)
            assert sample.category == row["sounding"]
            assert set(sample.image_categories) == in_picture[row["pair"]]
            assert not any(box_fault([value / 224 for value in box]) for box in sample.boxes)

    def test_offscreen_sounds_of_neither_source(self, samples: dict[str, Sample]) -> None:
        condition = Offscreen(draws=1)
        condition.prepare(list(samples.values()))
        for sample in samples.values():
            drawn = condition.request(sample, draw=0, seed=0, length=9).source_id
            assert samples[drawn].category not in sample.image_categories


def test_a_picture_may_lack_its_number_and_have_more_than_two_samples(tmp_path: Path) -> None:
    names = ("bus_cat_bus", "bus_cat_cat", "bus_cat_cow moo", "bus_cat_7_bus")
    found = [*listed(tmp_path, [entry(name) for name in names]).values()]
    assert [sample.image_group for sample in found] == ["bus_cat"] * 3 + ["bus_cat_7"]
    assert found[0].image_categories == ("bus", "cat", "cow moo")
    assert [sample.image_sources for sample in found] == [3, 3, 3, 2]


def test_of_a_half_pair_alike_classes_are_in_the_picture_too(tmp_path: Path) -> None:
    names = (
        "fireworks_subwaytrain_10415_subway", "dog_firework_3_dog", "dog_firework_3_firework",
        "train_cow_4_train", "train_cow_4_cow",
    )  # fmt: skip
    half, *_ = listed(tmp_path, [entry(name) for name in names]).values()
    # firework and train are what the other sample of the picture may sound like
    assert half.image_categories == ("fireworks", "subwaytrain", "subway", "firework", "train")
    whole = [entry("fireworks_subwaytrain_10415_firework"), *(entry(name) for name in names)]
    _, half, *_ = listed(tmp_path, whole).values()
    assert half.image_categories == ("fireworks", "subwaytrain", "subway", "firework")


def test_a_category_of_an_entry_is_its_class(tmp_path: Path) -> None:
    entries = [
        entry("bus_cat_1_bus", category="a bus horn"), entry("bus_cat_1_cat", category=None),
    ]  # fmt: skip
    bus, cat = listed(tmp_path, entries).values()
    assert (bus.category, cat.category) == ("a bus horn", "cat")
    assert set(bus.image_categories) == set(cat.image_categories) == {"bus", "cat", "a bus horn"}


@pytest.mark.parametrize("name", ["IS3_class_files_dict.json", "class_files_dict.json"])
def test_the_file_of_classes_adds_classes(tmp_path: Path, name: str) -> None:
    files = {"tram": ["bus_cat_1_bus", "bus_cat_1_tram"], "cat": ["bus_cat_1_cat", "nothing"]}
    (tmp_path / name).write_text(json.dumps(files))
    bus, other = listed(tmp_path, [entry("bus_cat_1_bus"), entry("owl_dog_2_owl")]).values()
    assert (bus.category, set(bus.image_categories)) == ("bus", {"bus", "cat", "tram"})
    assert other.image_categories == ("owl", "dog")


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not readable as JSON"), ("[]", "a list of names for"), ('{"a": 1}', "a list of names")],
)
def test_a_damaged_file_of_classes(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "class_files_dict.json").write_text(content)
    with pytest.raises(DataError, match=rf"class_files_dict\.json: .*{message}"):
        listed(tmp_path, [entry("bus_cat_1_bus")])


class TestMasks:
    @pytest.fixture
    def folder(self, is3_folder: Path) -> Path:
        """The drawn set with masks of other sizes: grey JPEG but one, which is a PNG."""
        (is3_folder / "gt_segmentation").mkdir()
        for number, path in enumerate(sorted((is3_folder / "images").iterdir())):
            pixels = np.zeros((300, 200 + 50 * number), np.uint8)
            pixels[40 : 150 + number, 30:180] = 255
            suffix = "png" if number == 2 else "jpg"
            Image.fromarray(pixels).save(is3_folder / f"gt_segmentation/{path.stem}.{suffix}")
        return is3_folder

    def test_grey_jpegs_above_127_by_the_nearest_pixel(self, folder: Path) -> None:
        reader = IS3(folder, truth="masks")
        check_reader(reader)
        for sample in reader.check().samples:
            (mask,) = sample.masks
            assert (sample.boxes, sample.mask_weights) == ((), (1.0,))
            (path,) = (folder / "gt_segmentation").glob(f"{sample.sample_id}.*")
            with Image.open(path) as image:
                nearest = np.asarray(image.resize((224, 224), Image.Resampling.NEAREST))
            assert np.array_equal(
                decode_mask(mask), nearest > (127 if path.suffix == ".jpg" else 0)
            )
        assert len(reader.truth_files) == 6

    @pytest.mark.parametrize("truth", ["boxes", "masks"])
    def test_lists_of_sslalignment(self, folder: Path, truth: Literal["boxes", "masks"]) -> None:
        expected = IS3(folder, truth=truth).listed()
        path = folder / "IS3_annotation.json"
        entries = json.loads(path.read_text())
        for each in entries:
            stem = Path(each["image"]).stem
            each["image"] = f"/mnt/authors/synthetic3241/visual_frames/{each['image']}"
            each["audio"] = f"/mnt/authors/synthetic3241/audio_wav/{each['audio']}"
            if truth == "masks":
                each |= {"gt_box": f"/mnt/authors/synthetic3241/gt_masks/{stem}.jpg", "offset": 1}
        path.unlink()
        (folder / "synthetic3240_bbox.json").write_text(json.dumps(entries))
        assert IS3(folder, truth=truth).listed() == expected

    def test_missing_masks(self, folder: Path) -> None:
        (folder / "gt_segmentation/dog_bell_0_dog.jpg").unlink()
        with pytest.raises(DataError, match=r"1 annotations that .*\n.*0_dog.jpg: no such file"):
            IS3(folder, truth="masks").check()
        shutil.rmtree(folder / "gt_segmentation")
        with pytest.raises(
            DataError, match=r"gt_segmentation: no such folder, where is3 has its m"
        ):
            IS3(folder, truth="masks").check()

    def test_the_options_of_boxes_leave_a_run_s_identity_as_it_was(self, folder: Path) -> None:
        data = run_identity(run_settings("data=is3", f"data.root={folder}"))["data"]
        assert not {"truth", "mask_folder"} & set(data)
        masks = run_settings("data=is3", f"data.root={folder}", "data.truth=masks")
        assert run_identity(masks)["data"]["truth"] == "masks"
        assert (data["name"], masks.data.name) == ("is3", "is3_masks")
