"""Test sets that are a JSON list of samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.running import composed
from vssl.config.build import build_reader
from vssl.config.settings import DataSettings
from vssl.data.base import DataError
from vssl.data.listed import SampleList, write_samples
from vssl.data.vggss import VGGSS


def entries(root: Path) -> list[dict[str, Any]]:
    """The samples of a drawn set with what must be given, and paths below its folder."""
    return [
        {
            "image_path": str(sample.image_path.relative_to(root)),
            "audio_path": str(sample.audio_path.relative_to(root)),
            "category": sample.category,
            "boxes": [list(box) for box in sample.boxes],
        }
        for sample in VGGSS(root).listed()
    ]


def test_a_list_written_by_hand_is_the_test_set(vggss_folder: Path) -> None:
    (vggss_folder / "samples.json").write_text(json.dumps(entries(vggss_folder)))
    config = composed("data=samples", f"data.root={vggss_folder}")
    reader = build_reader(DataSettings.of(config.data))
    assert isinstance(reader, SampleList)
    assert reader.check().samples == VGGSS(vggss_folder).check().samples


def test_a_list_that_is_written_is_read_as_it_was(is3_folder: Path, vggss_folder: Path) -> None:
    samples = VGGSS(vggss_folder).check().samples
    name = write_samples(samples, is3_folder)
    assert SampleList(is3_folder, annotation=name).check().samples == samples
    assert write_samples(samples, is3_folder) == name != write_samples(samples[1:], is3_folder)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"boxes": [[0, 0, 9]]}, "annotations that cannot be read: entry 0"),
        ({"box_weights": [0.5, 0.5]}, "2 `box_weights` for 1 boxes"),
        ({"boxes": [[0.1, 0.1, 0.5, 0.5]]}, "empty ground truths"),
        ({"image_path": "frames/no.jpg", "sample_id": "a"}, r"missing images: .*no\.jpg"),
        ({"audio_path": 3}, "`audio_path` is 3, not a text"),
    ],
)
def test_faults_are_found(vggss_folder: Path, change: dict[str, Any], fault: str) -> None:
    first, *others = entries(vggss_folder)
    (vggss_folder / "samples.json").write_text(json.dumps([{**first, **change}, *others]))
    with pytest.raises(DataError, match=fault):
        SampleList(vggss_folder).check()
