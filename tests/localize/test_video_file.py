"""Videos: frames, sound and windows, and videos drawn anew."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import librosa
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from tests.helpers.localizing import make_video, read_sound, read_video, tone
from vssl.audio import CenterWindow, MiddleWindow, SpanWindow, WholeClip, clip_at
from vssl.audio.containers import VideoFileError, opened_sound
from vssl.localize.video_file import write_video
from vssl.types import SAMPLE_RATE, AudioClip
from vssl.videos import read_frames, video_facts


def sound_of(path: Path) -> npt.NDArray[np.float32]:
    with opened_sound(path) as sound:
        return sound.resampled()


def drawn_like(path: Path, output: Path, *, sound: Path | None = None) -> Path:
    """A video drawn anew as it is, but for a green bar."""

    def drawn(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        pixels[:16] = (0, 255, 0)
        return pixels

    facts = video_facts(path)
    frames = ((frame, drawn(frame.pixels())) for frame in read_frames(facts))
    write_video(output, facts, frames, sound or path)
    return output


def peak(samples: npt.NDArray[np.float32], rate: int) -> float:
    """The loudest frequency of a sound `[length]`, in Hz."""
    return float(np.argmax(np.abs(np.fft.rfft(samples)))) * rate / len(samples)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_sound_is_resampled_piece_by_piece_as_librosa_does_the_whole(
    tmp_path: Path, rate: int
) -> None:
    path = make_video(tmp_path / "video.mkv", sound_codec="pcm_s16le", rate=rate)
    expected = librosa.resample(read_sound(path), orig_sr=rate, target_sr=SAMPLE_RATE)
    found = sound_of(path)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"])
def test_samples_of_all_types_are_scaled_to_one(tmp_path: Path, codec: str) -> None:
    path = make_video(tmp_path / "video.mkv", sound_codec=codec, rate=SAMPLE_RATE)
    error = np.abs(sound_of(path) - tone(SAMPLE_RATE, seconds=2.0)).max()
    assert error < (1 / 64 if codec == "pcm_u8" else 1e-4)


GAPS = {
    "none": (),
    "several": ((0.3, 0.5), (1.0, 1.9), (2.4, 2.5)),
    "late": ((-1.0, 1.0),),
}


@pytest.mark.parametrize(
    ("name", "codec", "rate", "gaps"),
    [
        ("video.mkv", "libopus", 48_000, "several"),
        ("video.mkv", "libopus", 48_000, "late"),
        ("video.mkv", "flac", 44_100, "several"),
        ("video.mp4", "aac", 44_100, "none"),
        ("video.mp4", "aac", 44_100, "several"),
        ("video.ts", "mp2", 44_100, "late"),
        ("video.mp4", "libmp3lame", 44_100, "several"),
    ],
)
def test_sound_stands_where_its_times_say(
    tmp_path: Path, name: str, codec: str, rate: int, gaps: str
) -> None:
    path = make_video(tmp_path / name, sound_codec=codec, rate=rate, seconds=3.0, silent=GAPS[gaps])
    with opened_sound(path) as sound, av.open(str(path)) as container:
        found = sound.resampled()[0]
        last = list(container.decode(audio=0))[-1]
    end = float(last.pts * last.time_base) + last.samples / last.sample_rate
    assert len(found) / SAMPLE_RATE == pytest.approx(end - sound.begin, abs=0.012)
    shift = sound.begin - video_facts(path).begin
    assert shift == pytest.approx(1.0 if gaps == "late" else 0.0, abs=0.08)
    # an encoder's packets are up to 72 ms apart, and sound around a gap rings on
    for second in np.arange(0.15, 2.9, 0.05):
        near = any(b - 0.1 < second < e + 0.2 for b, e in GAPS[gaps])
        inside = any(b + 0.1 < second < e - 0.1 for b, e in GAPS[gaps])
        place = round((second - shift) * SAMPLE_RATE)
        if place < 0 or (near and not inside):
            continue
        loudness = found[place : place + 400].std()
        assert loudness == pytest.approx(0 if inside else 0.3 / np.sqrt(2), rel=0.1, abs=0.01)


@pytest.mark.parametrize(
    ("milliseconds", "heard", "lengths"),
    [
        # off by little, as files round: no seam
        ([100 * n + 9 * (n % 2) for n in range(10)], range(1, 11), [1600] * 10),
        # there twice, and missing
        ([0, 50, 200], [1, 2, 0, 3], [1600, 800, 800, 1600]),
    ],
)
def test_times_of_sound_are_kept_but_for_roundings(
    tmp_path: Path, milliseconds: list[int], heard: list[int], lengths: list[int]
) -> None:
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for number, place in enumerate(milliseconds):
            piece = np.full((1, 1600), 1000 * (number + 1), np.int16)
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, 1000), place
            for packet in stream.encode(frame):
                packet.pts = packet.dts = place
                packet.time_base = Fraction(1, 1000)
                container.mux_one(packet)
    found = np.round(sound_of(tmp_path / "sound.mkv")[0] * 32.768).astype(int)
    np.testing.assert_array_equal(found, np.repeat(heard, lengths))


@pytest.mark.parametrize("degrees", [-90, 90, 180])
def test_frames_are_turned_upright(tmp_path: Path, degrees: int) -> None:
    path = make_video(tmp_path / "video.mp4", turned=degrees)
    facts = video_facts(path)
    upright = np.rot90(read_video(path)[1][0], degrees // 90)
    assert (facts.height, facts.width) == upright.shape[:2]
    np.testing.assert_array_equal(next(read_frames(facts)).pixels(), upright)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("constant.mp4", {}),
        ("variable.mp4", {"ticks": [0, 1, 2, 5, 6, 7, 15, 16]}),
        ("late.ts", {"sound_codec": "mp2", "start": 30}),
        ("odd.mkv", {"codec": "ffv1", "size": (97, 65), "sound_codec": "pcm_s16le"}),
        ("mpeg4.avi", {"codec": "mpeg4", "sound_codec": "libmp3lame", "rate": 48_000}),
        ("video.mkv", {"sound_codec": "ac3"}),
        ("video.mkv", {"sound_codec": "libopus", "rate": 48_000}),
        ("adpcm.avi", {"codec": "mpeg4", "sound_codec": "adpcm_ima_wav"}),
        ("many.mkv", {"sound_codec": "pcm_s16le", "layout": "5.1"}),
        ("many.mkv", {"sound_codec": "pcm_s16le", "layout": "7.1", "rate": 22_050}),
    ],
)
def test_a_video_is_drawn_with_its_times_size_and_sound(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = make_video(tmp_path / name, **options)
    drawn_like(path, tmp_path / "drawn.mp4")
    times, frames = read_video(path)
    drawn_times, drawn = read_video(tmp_path / "drawn.mp4")
    np.testing.assert_allclose(np.diff(drawn_times), np.diff(times), atol=1e-4)
    height, width = frames[0].shape[:2]
    assert drawn[0].shape[:2] == (height + height % 2, width + width % 2)
    below = np.stack(drawn)[:, 24:height, :width].astype(int) - np.stack(frames)[:, 24:].astype(int)
    assert np.abs(below).mean() < 6, "where nothing is drawn the frame stays"
    assert np.stack(drawn)[:, 4:12, 8:-8, 1].mean() > 180
    original, found = (read_sound(each)[0] for each in (path, tmp_path / "drawn.mp4"))
    rate = options.get("rate", 44_100)
    assert len(found) / len(original) == pytest.approx(1, abs=0.1)
    assert peak(found, rate) == pytest.approx(440, abs=2)
    assert found.std() == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
    begins = []
    for each in (path, tmp_path / "drawn.mp4"):
        with opened_sound(each) as sound:
            begins.append(sound.begin - video_facts(each).begin)
    assert begins[1] == pytest.approx(begins[0], abs=0.03)


@pytest.mark.parametrize("channels", [3, 64])
def test_a_sound_of_many_channels_is_heard_and_drawn(tmp_path: Path, channels: int) -> None:
    video = make_video(tmp_path / "video.mp4", sound_codec=None)
    samples = np.repeat(tone(SAMPLE_RATE, seconds=3.0), channels, axis=0)
    sound = tmp_path / "sound.wav"
    soundfile.write(sound, samples.T, SAMPLE_RATE)
    np.testing.assert_allclose(sound_of(sound), samples, atol=1e-4)
    found = read_sound(drawn_like(video, tmp_path / "drawn.mp4", sound=sound))[0]
    assert len(found) / SAMPLE_RATE == pytest.approx(2.0, abs=0.2), "cut where the video ends"
    assert peak(found[:SAMPLE_RATE], SAMPLE_RATE) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("channels", [8, 9])
def test_planes_of_many_channels_are_read(tmp_path: Path, channels: int) -> None:
    # Vorbis is decoded into one plane for each channel
    samples = np.repeat(tone(SAMPLE_RATE, seconds=1.0), channels, axis=0)
    soundfile.write(tmp_path / "sound.ogg", samples.T, SAMPLE_RATE)
    found = sound_of(tmp_path / "sound.ogg")
    assert found.shape == samples.shape
    np.testing.assert_allclose(found.std(axis=1), samples.std(axis=1), rtol=0.1)


def test_a_video_that_fails_leaves_nothing(tmp_path: Path) -> None:
    facts = video_facts(make_video(tmp_path / "video.mp4"))
    frame = next(read_frames(facts))
    far = dataclasses.replace(frame, ticks=2**40)  # a damaged file may say so
    frames = [(each, frame.pixels()) for each in (frame, far, far, frame)]
    with pytest.raises(VideoFileError, match=r"video\.mp4: cannot be written as mp4 .*--no-video"):
        write_video(tmp_path / "drawn.mp4", facts, frames, None)
    assert [each.name for each in tmp_path.iterdir()] == ["video.mp4"]


@pytest.mark.parametrize(
    ("name", "read", "message"),
    [
        ("pipe.mp4", video_facts, "no such file, there is a pipe"),
        ("none.mp4", video_facts, "no such file"),
        ("text.mp4", video_facts, "not readable"),
        ("angle.mp4", video_facts, "is to be shown turned by about.*ffmpeg"),
        ("silent.mp4", sound_of, "has no sound. Give one behind it"),
    ],
)
def test_unusable_files_have_one_error(
    tmp_path: Path, name: str, read: Callable[[Path], Any], message: str
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    make_video(tmp_path / "silent.mp4", sound_codec=None)
    make_video(tmp_path / "angle.mp4", turned=30)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoFileError, match=rf"{name}: {message}"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("video.mkv", {"sound_codec": "pcm_s16le"}),
        ("video.webm", {"codec": "libvpx", "sound_codec": "libopus", "rate": 48_000}),
        ("video.avi", {"codec": "mpeg4", "sound_codec": "libmp3lame"}),
        ("video.mp4", {}),
        ("video.mp4", {"movflags": "faststart"}),
        ("video.mp4", {"movflags": "frag_keyframe+delay_moov"}),
        ("video.mov", {}),
        ("video.ts", {"sound_codec": "mp2"}),
        ("video.flv", {"codec": "flv"}),
    ],
)
def test_videos_that_are_cut_off_are_refused(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = make_video(tmp_path / name, **options)
    assert len(list(read_frames(video_facts(path)))) == 20
    assert sound_of(path).shape[1] / SAMPLE_RATE == pytest.approx(2.0, abs=0.1)
    whole = path.read_bytes()
    for size in (len(whole) - 1, int(0.66 * len(whole))):
        path.write_bytes(whole[: size - (size % 188 == 0)])
        for read in (video_facts, sound_of):
            with pytest.raises(VideoFileError, match=r"video\..*: is cut off, .*ffmpeg -i FILE"):
                read(path)


@pytest.mark.parametrize(
    ("name", "options"),
    [("video.mkv", {"live": "1"}), ("video.avi", {}), ("video.mp4", {}), ("video.flv", {})],
)
def test_whole_videos_are_not_called_cut_off(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = make_video(tmp_path / name, codec="flv" if "flv" in name else "mpeg4", **options)
    if "live" not in options:  # other programs leave something behind
        path.write_bytes(path.read_bytes() + (b"" if "flv" in name else b"\0" * 40))
    assert len(list(read_frames(video_facts(path)))) == 20


@pytest.mark.parametrize(
    ("window", "seconds", "start"),
    [
        (MiddleWindow(seconds=10), 10.0, 0.0),
        (CenterWindow(seconds=3), 3.0, 0.0),
        (SpanWindow(seconds=10, start=3.5, stop=6.5), 3.0, 3.5),
        (WholeClip(), 10.0, 0.0),
    ],
    ids=["ezvsl", "fnac", "lvs", "rcgrad"],
)
@pytest.mark.parametrize("total", [480_000, 64_000, 16_000])
def test_a_model_hears_the_sound_around_the_moment(
    window: Callable[[AudioClip], Any], seconds: float, start: float, total: int
) -> None:
    """Checked through the window itself, on a sound whose samples tell their own place."""
    sound = np.repeat(np.arange(total, dtype=np.float32)[None] / 2**20, 2, axis=0)
    length = round(seconds * SAMPLE_RATE)
    for moment in np.arange(-3, total / SAMPLE_RATE + 0.5, 0.37):
        begin, clip = clip_at(sound, float(moment), window)
        heard = np.round(window(clip) * 2**20)
        if total < length:
            assert begin == 0
            assert clip.samples is sound
            continue
        first = min(max(0, round(moment * SAMPLE_RATE) - length // 2), total - length)
        assert begin == first
        np.testing.assert_allclose(heard, np.arange(first, first + length), atol=0.5)
