"""Test sets on disk: the layouts of their authors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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

    @pytest.mark.parametrize(
        ("reader", "dataset", "count"), [(VGGSS, "vggss_mini", 13), (IS3, "is3_mini", 24)]
    )
    def test_real_data(self, shared: Path, reader: Any, dataset: str, count: int) -> None:
        root = shared / "data" / dataset
        data = reader(root).check()
        assert len(data.samples) == data.listed == count
        assert data.problems == ()
        listed = json.loads(data.annotation.read_text())
        names = [entry.get("file") or Path(entry["image"]).stem for entry in listed]
        assert [sample.sample_id for sample in data.samples] == names
        by_class = json.loads((root / "class_files_dict.json").read_text())
        found = {sample.sample_id: sample.category for sample in data.samples}
        assert found == {name: category for category, ids in by_class.items() for name in ids}
        for sample in data.samples:
            assert sample.audio_length == read_clip(sample.audio_path).samples.shape[1]
            if reader is IS3:
                group, _, sounding = sample.sample_id.rpartition("_")
                assert (sample.image_group, sample.category) == (group, sounding)
                assert sample.image_categories == tuple(group.split("_")[:-1])


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
    first = Synthetic(cache=tmp_path, scenes=2, seed=1, limit=2)
    assert first.count() == 2, "before the files are made"
    data = Synthetic(cache=tmp_path, scenes=2, seed=1).check()
    assert data.listed == len(data.samples) == 4
    assert len({s.image_group for s in data.samples}) == 2
    assert all(s.category in s.image_categories for s in data.samples)
    assert first.check().samples == data.samples[:2]
    with pytest.raises(DataError, match=r"data.version=0: this vssl makes version"):
        Synthetic(cache=tmp_path, version="0")
