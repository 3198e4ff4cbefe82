"""Test sets on disk: the layouts of their authors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from vssl.audio import read_clip
from vssl.data.base import DataError
from vssl.data.embedded import Synthetic
from vssl.data.is3 import IS3, split_name
from vssl.data.vggss import VGGSS


class TestLayouts:
    def test_vggss(self, vggss_folder: Path) -> None:
        data = VGGSS(vggss_folder).check()
        assert data.listed == 6
        assert data.coverage == 1
        assert data.problems == ()
        assert data.resampled == 0
        assert data.annotation == vggss_folder / "vggss.json"
        for number, sample in enumerate(data.samples):
            category = ("dog", "bell", "train")[number % 3]
            assert sample.sample_id == sample.image_group == f"clip{number}_000010"
            assert (sample.category, sample.image_categories) == (category, (category,))
            assert sample.boxes == ((20 + 15 * number, 30, 120 + 15 * number, 150),)
            assert sample.box_weights == (1.0,)
            assert sample.audio_length == 32_000
            assert sample.image_path.is_file()
            assert sample.audio_path.is_file()

    def test_is3(self, is3_folder: Path) -> None:
        data = IS3(is3_folder).check()
        assert data.listed == len(data.samples) == 6
        groups = {s.image_group for s in data.samples}
        assert groups == {"dog_bell_0", "bell_train_1", "train_dog_2"}
        first, second = data.samples[:2]
        assert (first.sample_id, second.sample_id) == ("dog_bell_0_dog", "dog_bell_0_bell")
        assert (first.category, second.category) == ("dog", "bell")
        assert first.image_categories == second.image_categories == ("dog", "bell")
        assert first.boxes == ((10, 40, 100, 160),)

    def test_vggss_mini(self, shared: Path) -> None:
        root = shared / "data" / "vggss_mini"
        data = VGGSS(root).check()
        assert len(data.samples) == data.listed == 13
        annotation = json.loads((root / "vggss_annotations.json").read_text())
        assert [s.sample_id for s in data.samples] == [e["file"] for e in annotation]
        self.check_categories(root, data.samples)
        assert {s.audio_length for s in data.samples} == {48_000}
        self.check_boxes(shared, "vggss_mini", data.samples)

    def test_is3_mini(self, shared: Path) -> None:
        root = shared / "data" / "is3_mini"
        data = IS3(root).check()
        assert len(data.samples) == data.listed == 24
        self.check_categories(root, data.samples)
        for sample in data.samples:
            *classes, _, sounding = sample.sample_id.split("_")
            assert sample.image_categories == tuple(classes)
            assert sample.category == sounding
            assert sample.image_group == sample.sample_id.removesuffix(f"_{sounding}")
            assert sample.audio_length == read_clip(sample.audio_path).samples.shape[1]
        self.check_boxes(shared, "is3_mini", data.samples)

    def check_categories(self, root: Path, samples: Any) -> None:
        found: dict[str, list[str]] = {}
        for sample in samples:
            found.setdefault(sample.category, []).append(sample.sample_id)
        expected = json.loads((root / "class_files_dict.json").read_text())
        assert {k: sorted(v) for k, v in found.items()} == {
            k: sorted(v) for k, v in expected.items()
        }

    def check_boxes(self, shared: Path, dataset: str, samples: Any) -> None:
        with np.load(shared / "golden" / "dev" / dataset / "gt_maps.npz") as golden:
            arrays = dict(golden)
        ids = [str(i) for i in arrays.pop("ids")]
        (maps,) = arrays.values()
        for sample in samples:
            drawn = np.zeros((224, 224), dtype=bool)
            for x0, y0, x1, y1 in sample.boxes:
                drawn[y0:y1, x0:x1] = True
            np.testing.assert_array_equal(drawn, maps[ids.index(sample.sample_id)] > 0)


def test_other_folders_and_suffixes(vggss_folder: Path) -> None:
    (vggss_folder / "frames").rename(vggss_folder / "pictures")
    (vggss_folder / "audio").rename(vggss_folder / "sounds")
    for path in (vggss_folder / "sounds").iterdir():
        soundfile.write(path.with_suffix(".flac"), *soundfile.read(path))
    for path in (vggss_folder / "pictures").iterdir():
        Image.open(path).save(path.with_suffix(".png"))
    options = {"image_folder": "pictures", "audio_folder": "sounds"}
    reader = VGGSS(vggss_folder, image_suffix=".png", audio_suffix=".flac", **options)
    assert len(reader.check().samples) == 6


@pytest.mark.parametrize(
    "stem",
    ["", "dog", "dog_bell", "dog_bell_3", "dog_3_dog", "bell_1_2_3", "__dog", "dog__3_dog", "a_b_"],
)
def test_split_name_refuses(stem: str) -> None:
    with pytest.raises(ValueError, match=f"`{stem}` is not an IS3 name"):
        split_name(stem)


def test_embedded_is_made_on_first_use(tmp_path: Path) -> None:
    data = Synthetic(cache=tmp_path, scenes=2, seed=1).check()
    assert data.listed == len(data.samples) == 4
    assert len({s.image_group for s in data.samples}) == 2
    assert all(s.category in s.image_categories for s in data.samples)
    again = Synthetic(cache=tmp_path, scenes=2, seed=1).check()
    assert again.samples == data.samples
    with pytest.raises(DataError, match=r"data.version=0: this vssl makes version"):
        Synthetic(cache=tmp_path, version="0")
