"""Silent sounds and duplicated files in a test set: found by the check, counted, listed."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vssl.audio import inspect_audio
from vssl.data.base import CheckedData, DataError
from vssl.data.is3 import IS3
from vssl.data.vggss import VGGSS

SILENT = "silent or constant sounds"


def write(path: Path, samples: np.ndarray, subtype: str = "PCM_16") -> None:
    soundfile.write(path, samples, 16_000, subtype=subtype)


def constant(length: int = 32_000, value: float = 0.0, channels: int = 1) -> np.ndarray:
    return np.full((length, channels), value)


def clip(folder: Path, number: int) -> Path:
    return folder / "audio" / f"clip{number}_000010.wav"


def noted(data: CheckedData, kind: str) -> list[str]:
    return [note.sample_id for note in data.notes if note.kind == kind]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (constant(), True),
        (constant(value=0.25), True),
        (constant(channels=2), True),
        (np.concatenate([constant(), constant(value=0.1)], axis=1), True),
        (np.concatenate([constant(), constant(1, 0.01)]), False),
        (np.concatenate([constant(1, 0.01), constant()]), False),
        (np.concatenate([constant(), np.random.default_rng(0).normal(size=(32_000, 1))], 1), False),
        (constant(1), True),
    ],
    ids=["zeros", "offset", "stereo", "two values", "at the end", "at the begin", "half", "short"],
)
def test_constant(tmp_path: Path, samples: np.ndarray, expected: bool) -> None:
    for name, subtype in {"a.wav": "PCM_16", "b.wav": "FLOAT", "c.flac": "PCM_16"}.items():
        write(tmp_path / name, samples, subtype)
        assert inspect_audio(tmp_path / name).constant is expected, name


def test_a_silent_sound_is_kept_and_said(
    vggss_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(clip(vggss_folder, 1), constant(value=0.5))
    write(clip(vggss_folder, 4), constant(20_000))
    data = VGGSS(vggss_folder).check()
    assert (len(data.samples), data.problems) == (6, ())
    assert noted(data, SILENT) == ["clip1_000010", "clip4_000010"]
    assert f"evaluated all the same: 2 {SILENT}" in caplog.text
    assert str(clip(vggss_folder, 1)) in caplog.text


def test_a_silent_sound_is_left_out_where_asked(vggss_folder: Path) -> None:
    write(clip(vggss_folder, 1), constant())
    data = VGGSS(vggss_folder, silent="skip").check()
    assert [s.sample_id for s in data.samples] == [f"clip{n}_000010" for n in (0, 2, 3, 4, 5)]
    assert [(p.kind, p.sample_id) for p in data.problems] == [(SILENT, "clip1_000010")]
    assert data.notes == ()
    assert data.coverage == 5 / 6
    # it stops no run, but another fault does
    clip(vggss_folder, 2).unlink()
    with pytest.raises(DataError, match=f"1 missing audio files; 1 {SILENT}"):
        VGGSS(vggss_folder, silent="skip").check()


class TestDuplicates:
    def test_sounds_and_images(self, vggss_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        shutil.copy(clip(vggss_folder, 0), clip(vggss_folder, 3))
        shutil.copy(clip(vggss_folder, 0), clip(vggss_folder, 4))
        frames = vggss_folder / "frames"
        shutil.copy(frames / "clip1_000010.jpg", frames / "clip2_000010.jpg")
        with caplog.at_level(logging.WARNING):
            data = VGGSS(vggss_folder).check()
        assert (len(data.samples), data.problems) == (6, ())
        assert noted(data, "duplicated sounds") == ["clip3_000010", "clip4_000010"]
        assert noted(data, "duplicated images") == ["clip2_000010"]
        assert "1 duplicated images; 2 duplicated sounds" in caplog.text
        assert f"{clip(vggss_folder, 3)}: is the same file as clip0_000010.wav" in caplog.text

    def test_the_image_of_a_pair_is_none(self, is3_folder: Path) -> None:
        images = is3_folder / "images"
        shutil.copy(images / "dog_bell_0_dog.jpg", images / "dog_bell_0_bell.jpg")
        assert IS3(is3_folder).check().notes == ()
        shutil.copy(images / "dog_bell_0_dog.jpg", images / "bell_train_1_train.jpg")
        data = IS3(is3_folder).check()
        assert noted(data, "duplicated images") == ["bell_train_1_train"]
