"""Frames of videos by rules, against FFmpeg's own filter and the frames and sounds it made."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from PIL import Image

from tests.helpers.localizing import make_video
from vssl.audio.containers import VideoFileError, read_mono
from vssl.data.check import csv_rows
from vssl.types import SAMPLE_RATE
from vssl.videos import MIDDLE_SLOT, PickedFrame, frame_at, frame_in_slot, video_facts

VIDEOS = ("aEYwqY-Zt_k_000011", "nLKEdmVu3FY_000040", "M1pPtg6a_g8_000230")


def numbered(number: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A frame whose eight columns are the binary digits of its number."""
    digits = np.unpackbits(np.uint8(number))
    row = np.repeat(digits * np.uint8(255), size[0] // 8)
    return np.broadcast_to(row[None, :, None], (size[1], size[0], 3)).copy()


def number_of(pixels: npt.NDArray[np.uint8]) -> int:
    means = pixels.reshape(pixels.shape[0], 8, -1).mean(axis=(0, 2))
    return int(np.packbits(means > 127)[0])


def by_ffmpeg(path: Path) -> Iterator[int]:
    """Numbers of the frames that FFmpeg's filter `fps=25` shows, on the clock of its program."""
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        graph = av.filter.Graph()
        buffer = graph.add_buffer(template=stream)
        fps, sink = graph.add("fps", "25"), graph.add("buffersink")
        buffer.link_to(fps)
        fps.link_to(sink)
        graph.configure()
        begin = round(Fraction(container.start_time, av.time_base) / stream.time_base)
        for frame in itertools.chain(container.decode(stream), [None]):
            if frame is not None:
                frame.pts -= begin
            graph.push(frame)
            while True:
                try:
                    shown: Any = graph.pull()
                except (av.BlockingIOError, av.EOFError):
                    break
                yield number_of(shown.to_ndarray(format="rgb24"))


def shown(picked: PickedFrame) -> int:
    return number_of(picked.frame.pixels())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ntsc.mp4", {"fps": Fraction(30_000, 1001)}),
        ("thirty.mp4", {"fps": 30}),
        ("film.mkv", {"fps": 24}),
        ("same.mp4", {"fps": 25}),
        ("slow.mp4", {"fps": 10}),
        ("variable.mp4", {"fps": 10, "ticks": [0, 1, 2, 5, 6, 7, 15, 16, 31, 32, 33]}),
        ("late.ts", {"fps": 30, "start": 7, "sound_codec": "mp2"}),
    ],
)
def test_every_slot_shows_the_frame_of_ffmpeg_s_filter(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = make_video(tmp_path / name, draw=numbered, seconds=4.0, **options)
    facts, expected = video_facts(path), list(by_ffmpeg(path))
    assert len(expected) > 70
    assert [shown(frame_in_slot(facts, n)) for n in range(0, len(expected), 9)] == expected[::9]
    whole = frame_in_slot(facts, None)
    middle = (len(expected) - 1) // 2
    assert (shown(whole), whole.slots, whole.is_short) == (expected[middle], len(expected), False)
    short = frame_in_slot(facts, MIDDLE_SLOT)
    assert (shown(short), short.is_short) == (expected[middle], True)


@pytest.mark.parametrize(("frames", "middle"), [(249, 124), (251, 124), (262, 124), (264, 131)])
def test_the_middle_of_a_clip_of_ten_seconds_is_that_of_vgg_ss(
    tmp_path: Path, frames: int, middle: int
) -> None:
    path = make_video(tmp_path / "v.mp4", ticks=range(frames), fps=25, sound_codec=None)
    assert frame_in_slot(video_facts(path), None).number == middle


def test_a_time_shows_the_frame_that_stands_then(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", draw=numbered, fps=10, ticks=[0, 1, 5, 6], turned=0)
    facts = video_facts(path)
    times = {"0": 0, "0.099": 0, "0.1": 1, "0.4999": 1, "0.5": 5, "0.65": 6}
    found = {text: shown(frame_at(facts, Fraction(text))) for text in times}
    assert found == times
    with pytest.raises(VideoFileError, match=r"is 0\.700 s long, so that no frame .* at 0\.7 s"):
        frame_at(facts, Fraction("0.7"))


@pytest.mark.parametrize("name", VIDEOS)
def test_real_videos_give_the_frame_and_the_sound_of_ffmpeg(shared: Path, name: str) -> None:
    folder = shared / "data" / "videos"
    (row,) = (r for r in csv_rows(folder / "expected" / "frames.csv") if r["id"] == name)
    facts = video_facts(folder / "videos" / f"{name}.mp4")
    picked = frame_in_slot(facts, MIDDLE_SLOT)
    assert picked.number == int(row["native_index_of_125th_at_25fps"])
    assert picked.frame.seconds == pytest.approx(float(row["its_time_s"]), abs=5e-5)
    with Image.open(folder / "expected" / "frames" / f"{name}_125.png") as image:
        np.testing.assert_array_equal(picked.frame.pixels(), np.asarray(image.convert("RGB")))
    assert frame_at(facts, Fraction(5)).number == int(row["native_index_shown_at_5s"])
    expected, rate = soundfile.read(
        folder / "expected" / "audio_16k" / f"{name}.wav", dtype="int16"
    )
    sound = read_mono(facts.path).samples
    assert (rate, len(sound)) == (SAMPLE_RATE, int(row["wav_samples_16k"]))
    assert np.abs(sound.astype(int) - expected).max() <= 1


def test_stereo_is_mixed_by_halves_and_late_sound_is_not_padded(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "v.mkv", sound_codec="pcm_s16le", rate=SAMPLE_RATE, layout="stereo",
        silent=[(-1.0, 0.5)],
    )  # fmt: skip
    sound = read_mono(path)
    with av.open(str(path)) as container:
        stored = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    halves = stored.reshape(-1, 2).mean(axis=1)
    assert len(sound.samples) == len(halves)
    assert np.abs(sound.samples - halves).max() <= 1
    assert sound.begin == pytest.approx(0.5, abs=0.07)
