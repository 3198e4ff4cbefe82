"""MUSIC-Duet: boxes of x, y, width and height, pairs of instruments, and offscreen sounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.drawn import draw_music_duet
from vssl.data.base import DataError
from vssl.data.music import MusicDuet


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return draw_music_duet(tmp_path / "music_duet")


def test_a_frame_has_both_boxes_and_the_sound_of_its_video(root: Path) -> None:
    first, second, other = MusicDuet(root).check().samples
    assert first.sample_id == first.image_group == "one_two_000_00000"
    assert first.boxes == ((22, 56, 67, 168), (112, 112, 196, 168))
    assert first.box_weights == (1.0, 1.0)
    assert first.image_sources == 1
    assert first.audio_path == second.audio_path == root / "audio/one_two.wav"
    assert other.audio_path == root / "audio/three.wav"
    assert first.category == second.category == "cello and flute"
    assert other.image_categories == ("tuba and violin", "tuba", "violin")


def test_pairs_that_share_an_instrument_are_in_the_picture(root: Path) -> None:
    path = root / "music_duet.json"
    entries = json.loads(path.read_text())
    entries[2]["class_src2"] = "flute"
    path.write_text(json.dumps(entries))
    first, _, other = MusicDuet(root).listed()
    assert set(first.image_categories) == {"cello and flute", "flute and violin", "cello", "flute"}
    assert "cello and flute" in other.image_categories


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("file", "one", "`one` is not <video>_<second>_<frame>"),
        ("bbox_src2", [0.1, 0.2, 0.3], "ValueError"),
        ("class_src1", None, "`class_src1` is None, not a text"),
        ("bbox_src1", [0.5, 0.5, 0, 0], "1 ground truths with an empty box"),
    ],
)
def test_faulty_entries(
    root: Path, caplog: pytest.LogCaptureFixture, field: str, value: object, message: str
) -> None:
    path = root / "music_duet.json"
    entries = json.loads(path.read_text())
    entries[0][field] = value
    path.write_text(json.dumps(entries))
    MusicDuet(root, missing="skip").check()
    assert message in caplog.text


def test_another_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no annotation file \(music_duet.json or"):
        MusicDuet(tmp_path).check()
