"""Videos: frames, sound and windows as streams, and videos drawn anew."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import librosa
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from tests.making_videos import RATE, make_video, read_sound, read_video, tone
from vssl.audio import CenterWindow, MiddleWindow, SpanWindow, WholeClip
from vssl.growing import GrowingArray, save_arrays
from vssl.moments import HeardSpan, SoundAround
from vssl.types import SAMPLE_RATE, AudioClip
from vssl.video import VideoFileError, opened_sound, read_frames, video_facts
from vssl.video_writer import opened_writer


def sound_of(path: Path) -> npt.NDArray[np.float32]:
    with opened_sound(path) as sound:
        return np.concatenate(list(sound.chunks), axis=1)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_sound_is_read_piece_by_piece_as_librosa_resamples_the_whole(
    tmp_path: Path, rate: int
) -> None:
    path = make_video(tmp_path / "video.mkv", sound_codec="pcm_s16le", rate=rate)
    decoded = read_sound(path)
    expected = librosa.resample(decoded, orig_sr=rate, target_sr=SAMPLE_RATE)
    found = sound_of(path)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"])
def test_samples_of_all_types_are_scaled_to_one(tmp_path: Path, codec: str) -> None:
    path = make_video(tmp_path / "video.mkv", sound_codec=codec, rate=SAMPLE_RATE)
    expected = tone(SAMPLE_RATE, seconds=2.0)
    error = np.abs(sound_of(path) - expected).max()
    assert error < (1 / 64 if codec == "pcm_u8" else 1e-4)


GAPS = {
    "none": (),
    "one": ((0.5, 2.0),),
    "several": ((0.3, 0.5), (1.0, 1.9), (2.4, 2.5)),
    "late": ((-1.0, 1.0),),
}


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("video.mkv", "libopus", 48_000),
        ("video.mkv", "pcm_s16le", 16_000),
        ("video.mkv", "flac", 44_100),
        ("video.mp4", "aac", 44_100),
        ("video.ts", "aac", 48_000),
        ("video.ts", "mp2", 44_100),
        ("video.mp4", "libmp3lame", 44_100),
    ],
)
def test_sound_stands_where_its_times_say(
    tmp_path: Path, name: str, codec: str, rate: int, gaps: str
) -> None:
    path = make_video(tmp_path / name, sound_codec=codec, rate=rate, seconds=3.0, silent=GAPS[gaps])
    with opened_sound(path) as sound, av.open(str(path)) as container:
        found = np.concatenate(list(sound.chunks), axis=1)[0]
        frames = list(container.decode(audio=0))
    last = frames[-1]
    end = float(last.pts * last.time_base) + last.samples / last.sample_rate
    assert len(found) / SAMPLE_RATE == pytest.approx(end - sound.begin, abs=0.012)
    begin = video_facts(path).begin
    shift = sound.begin - begin
    assert shift == pytest.approx(1.0 if gaps == "late" else 0.0, abs=0.08)
    # an encoder's packets are up to 72 ms apart, and sound around a gap rings on
    for second in np.arange(0.15, 2.9, 0.05):
        gap = [b - 0.1 < second < e + 0.2 for b, e in GAPS[gaps]]
        inside = [b + 0.1 < second < e - 0.1 for b, e in GAPS[gaps]]
        place = round((second - shift) * SAMPLE_RATE)
        if place < 0:
            continue
        loudness = found[place : place + 400].std()
        if any(inside):
            assert loudness < 0.01, second
        elif not any(gap):
            assert loudness == pytest.approx(0.3 / np.sqrt(2), rel=0.1), second


def heard_frames(path: Path, places: list[int]) -> npt.NDArray[np.float32]:
    """What is read of a sound of 10 frames of 1600 samples that begin at these milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for number, place in enumerate(places):
            piece = np.full((1, 1600), 1000 * (number + 1), np.int16)
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, 1000), place
            for packet in stream.encode(frame):
                packet.pts = packet.dts = place
                packet.time_base = Fraction(1, 1000)
                container.mux_one(packet)
    return sound_of(path)


def test_times_that_are_off_by_little_make_no_seam(tmp_path: Path) -> None:
    places = [100 * n + 9 * (n % 2) for n in range(10)]
    found = np.round(heard_frames(tmp_path / "sound.mkv", places)[0] * 32.768).astype(int)
    np.testing.assert_array_equal(found, np.repeat(np.arange(1, 11), 1600))


def test_what_is_there_twice_is_heard_once(tmp_path: Path) -> None:
    found = np.round(heard_frames(tmp_path / "sound.mkv", [0, 50, 200])[0] * 32.768).astype(int)
    expected = np.repeat([1, 2, 0, 3], [1600, 800, 800, 1600])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("degrees", [0, -90, 90, 180])
def test_frames_are_turned_upright(tmp_path: Path, degrees: int) -> None:
    path = make_video(tmp_path / "video.mp4", turned=degrees)
    facts = video_facts(path)
    stored = read_video(path)[1][0]
    upright = np.rot90(stored, degrees // 90)
    first = next(read_frames(facts)).pixels()
    assert (facts.height, facts.width) == upright.shape[:2] == first.shape[:2]
    np.testing.assert_array_equal(first, upright)


def test_frames_shown_at_an_angle_are_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "video.mp4", turned=30)
    with pytest.raises(VideoFileError, match=r"video\.mp4: .*turned by about.*ffmpeg"):
        video_facts(path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("constant.mp4", {}),
        ("variable.mp4", {"ticks": [0, 1, 2, 5, 6, 7, 15, 16]}),
        ("late.ts", {"sound_codec": "mp2", "start": 30}),
        ("odd.mkv", {"codec": "ffv1", "size": (97, 65), "sound_codec": "pcm_s16le"}),
    ],
)
def test_a_video_is_drawn_with_its_times_size_and_sound(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    path = make_video(tmp_path / name, **options)  # type: ignore[arg-type]
    facts = video_facts(path)
    with opened_writer(tmp_path / "drawn.mp4", facts, path) as writer:
        for frame in read_frames(facts):
            pixels = frame.pixels()
            pixels[:16] = (0, 255, 0)
            writer.write(frame, pixels)
        writer.finish(frame.seconds + 1 / float(facts.rate))
    times, frames = read_video(path)
    drawn_times, drawn = read_video(tmp_path / "drawn.mp4")
    np.testing.assert_allclose(np.diff(drawn_times), np.diff(times), atol=1e-4)
    height, width = frames[0].shape[:2]
    assert drawn[0].shape[:2] == (height + height % 2, width + width % 2)
    below = np.stack(drawn)[:, 24:height, :width].astype(int) - np.stack(frames)[:, 24:].astype(int)
    assert np.abs(below).mean() < 6, "what is not drawn on stays as it was"
    assert np.stack(drawn)[:, 4:12, 8:-8, 1].mean() > 180
    original, copied = (read_sound(p) for p in (path, tmp_path / "drawn.mp4"))
    length = min(original.shape[1], copied.shape[1])
    assert length > 0.95 * original.shape[1]
    spectra = [np.abs(np.fft.rfft(s[0, :length])) for s in (original, copied)]
    assert np.argmax(spectra[0]) == pytest.approx(np.argmax(spectra[1]), abs=2)
    assert copied[0].std() == pytest.approx(original[0].std(), rel=0.05)


def test_the_sound_that_mp4_can_hold_is_copied_bit_by_bit(tmp_path: Path) -> None:
    path = make_video(tmp_path / "video.mp4")
    facts = video_facts(path)
    with opened_writer(tmp_path / "drawn.mp4", facts, path) as writer:
        for frame in read_frames(facts):
            writer.write(frame, frame.pixels())
        writer.finish(10.0)
    np.testing.assert_array_equal(read_sound(tmp_path / "drawn.mp4"), read_sound(path))


def drawn_like(path: Path, output: Path, *, sound: Path | None = None) -> Path:
    """A video drawn anew as it is."""
    facts = video_facts(path)
    with opened_writer(output, facts, sound or path) as writer:
        for frame in read_frames(facts):
            writer.write(frame, frame.pixels())
        writer.finish(frame.seconds + 0.1)
    return output


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.codec.canonical_name


@pytest.mark.parametrize(
    ("name", "options", "codec"),
    [
        ("mpeg4.avi", {"codec": "mpeg4", "sound_codec": "libmp3lame"}, "mp3"),
        ("h264.avi", {"sound_codec": "libmp3lame", "rate": 48_000}, "mp3"),
        ("video.mp4", {"sound_codec": "libmp3lame"}, "mp3"),
        ("video.mkv", {"sound_codec": "libmp3lame"}, "mp3"),
        ("video.mkv", {"sound_codec": "ac3"}, "ac3"),
        ("video.mkv", {"sound_codec": "libopus", "rate": 48_000}, "opus"),
        ("video.ts", {"sound_codec": "aac"}, "aac"),
        ("pcm.avi", {"codec": "mpeg4", "sound_codec": "pcm_s16le"}, "aac"),
        ("adpcm.avi", {"codec": "mpeg4", "sound_codec": "adpcm_ima_wav"}, "aac"),
        ("mp2.avi", {"codec": "mpeg4", "sound_codec": "mp2"}, "aac"),
        ("many.mkv", {"sound_codec": "pcm_s16le", "layout": "5.1"}, "aac"),
        ("many.mkv", {"sound_codec": "pcm_s16le", "layout": "7.1"}, "aac"),
    ],
)
def test_every_sound_is_copied_or_encoded(
    tmp_path: Path, name: str, options: dict[str, Any], codec: str
) -> None:
    path = make_video(tmp_path / name, **options)
    drawn = drawn_like(path, tmp_path / "drawn.mp4")
    assert codec_of(drawn) == codec
    original, found = read_sound(path), read_sound(drawn)
    assert found.shape[1] / original.shape[1] == pytest.approx(1, abs=0.1)
    rate = options.get("rate", 44_100)
    peak = np.argmax(np.abs(np.fft.rfft(found[0]))) * rate / found.shape[1]
    assert peak == pytest.approx(440, abs=2)
    assert found[0].std() == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("channels", [3, 8, 16, 24, 32, 64])
def test_a_sound_of_many_channels_is_heard_and_drawn(tmp_path: Path, channels: int) -> None:
    video = make_video(tmp_path / "video.mp4", sound_codec=None)
    samples = np.repeat(tone(SAMPLE_RATE, seconds=2.0), channels, axis=0)
    soundfile.write(tmp_path / "sound.wav", samples.T, SAMPLE_RATE)
    heard = sound_of(tmp_path / "sound.wav")
    np.testing.assert_allclose(heard, samples, atol=1e-4)
    drawn = drawn_like(video, tmp_path / "drawn.mp4", sound=tmp_path / "sound.wav")
    found = read_sound(drawn)[0]
    assert len(found) / SAMPLE_RATE == pytest.approx(2.0, abs=0.2)
    assert np.argmax(np.abs(np.fft.rfft(found[:SAMPLE_RATE]))) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("channels", [7, 8, 9, 32])
def test_planes_of_many_channels_are_read(tmp_path: Path, channels: int) -> None:
    # Vorbis is decoded into one plane for each channel
    samples = np.repeat(tone(SAMPLE_RATE, seconds=1.0), channels, axis=0)
    soundfile.write(tmp_path / "sound.ogg", samples.T, SAMPLE_RATE)
    found = sound_of(tmp_path / "sound.ogg")
    assert found.shape == samples.shape
    np.testing.assert_allclose(found.std(axis=1), samples.std(axis=1), rtol=0.1)


@pytest.mark.parametrize("gaps", ["one", "several"])
def test_gaps_stay_in_a_drawn_video(tmp_path: Path, gaps: str) -> None:
    options = {"sound_codec": "pcm_s16le", "rate": SAMPLE_RATE, "seconds": 3.0}
    path = make_video(tmp_path / "video.mkv", silent=GAPS[gaps], **options)  # type: ignore[arg-type]
    found = read_sound(drawn_like(path, tmp_path / "drawn.mp4"))[0]
    for begin, end in GAPS[gaps]:
        inside = found[round((begin + 0.1) * SAMPLE_RATE) : round((end - 0.1) * SAMPLE_RATE)]
        assert inside.size == 0 or inside.std() < 0.01
    assert found[round(2.6 * SAMPLE_RATE) : round(2.9 * SAMPLE_RATE)].std() > 0.15


def test_what_does_not_fit_an_mp4_has_one_error(tmp_path: Path) -> None:
    facts = video_facts(make_video(tmp_path / "video.mp4"))
    frame = next(read_frames(facts))
    far = dataclasses.replace(frame, ticks=2**40)  # a damaged file may say so

    def draw() -> None:
        with opened_writer(tmp_path / "drawn.mp4", facts, None) as writer:
            for each in (frame, far, far, frame):
                writer.write(each, frame.pixels())
            writer.finish(1.0)

    with pytest.raises(VideoFileError, match=r"video\.mp4: cannot be written as mp4 .*--no-video"):
        draw()
    assert not (tmp_path / "drawn.mp4").exists()


def test_a_video_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = make_video(tmp_path / "video.mp4")
    facts = video_facts(path)
    with (
        pytest.raises(RuntimeError, match="stop"),
        opened_writer(tmp_path / "drawn.mp4", facts, path),
    ):
        raise RuntimeError("stop")
    assert [each.name for each in tmp_path.iterdir()] == ["video.mp4"]


def test_unusable_files_have_one_error(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "video.mkv", codec="ffv1", sound_codec="pcm_s16le")
    (tmp_path / "text.mp4").write_text("no video")
    silent = make_video(tmp_path / "silent.mp4", sound_codec=None)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoFileError, match=r"pipe\.mp4: no such file, there is a pipe"):
        video_facts(tmp_path / "pipe.mp4")
    with pytest.raises(VideoFileError, match=r"none\.mp4: no such file"):
        video_facts(tmp_path / "none.mp4")
    with pytest.raises(VideoFileError, match=r"text\.mp4: not readable"):
        video_facts(tmp_path / "text.mp4")
    with pytest.raises(VideoFileError, match=r"silent\.mp4: has no sound. Give one behind it"):
        sound_of(silent)
    assert len(list(read_frames(video_facts(whole)))) == 20


@pytest.mark.parametrize("kept", [0.3, 0.66, 0.99, "but one byte"])
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
    tmp_path: Path, name: str, options: dict[str, Any], kept: float | str
) -> None:
    path = make_video(tmp_path / name, **options)
    assert len(list(read_frames(video_facts(path)))) == 20
    assert sound_of(path).shape[1] / SAMPLE_RATE == pytest.approx(2.0, abs=0.1)
    whole = path.read_bytes()
    size = len(whole) - 1 if isinstance(kept, str) else int(kept * len(whole))
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
    if "live" not in options:  # what other programs leave behind
        path.write_bytes(path.read_bytes() + (b"" if "flv" in name else b"\0" * 40))
    assert len(list(read_frames(video_facts(path)))) == 20


SPANS = {
    "ezvsl": (MiddleWindow(seconds=10), 10.0, 0.0, 10.0),
    "fnac": (CenterWindow(seconds=3), 3.0, 0.0, 3.0),
    "lvs": (SpanWindow(seconds=10, start=3.5, stop=6.5), 10.0, 3.5, 6.5),
    "rcgrad": (WholeClip(), 10.0, 0.0, 10.0),
}


def pieces(
    samples: npt.NDArray[np.float32], size: int = 5_000
) -> Iterator[npt.NDArray[np.float32]]:
    for begin in range(0, samples.shape[1], size):
        yield samples[:, begin : begin + size]


@pytest.mark.parametrize("name", SPANS)
@pytest.mark.parametrize("seconds", [30.0, 10.0, 4.0, 1.0])
def test_what_a_model_hears_is_centred_at_the_moment(name: str, seconds: float) -> None:
    """Checked through the window itself, on a sound whose samples tell their own place."""
    window, clip_seconds, start, stop = SPANS[name]
    span = HeardSpan.of(window)
    assert (span.clip, span.start, span.stop) == tuple(
        round(each * SAMPLE_RATE) for each in (clip_seconds, start, stop)
    )
    total = round(seconds * SAMPLE_RATE)
    place = np.arange(total, dtype=np.float32)[None] / 2**20
    around = SoundAround(pieces(place), span)
    length = min(span.length, total)
    for moment in np.arange(0, seconds + 0.5, 0.37):
        begin, clip = around.at(float(moment))
        heard = np.round(window(clip) * 2**20)
        first = min(max(0, round(moment * SAMPLE_RATE) - span.length // 2), total - length)
        if total < span.length:
            assert clip.samples.shape[1] == total
            np.testing.assert_array_equal(heard, np.round(window(AudioClip(place)) * 2**20))
        else:
            assert begin == first
            np.testing.assert_allclose(heard, np.arange(first, first + length), atol=0.5)


def test_moments_before_the_sound_hear_its_begin() -> None:
    around = SoundAround(pieces(np.ones((2, 80_000), np.float32)), HeardSpan.of(WholeClip()))
    begin, clip = around.at(-3.0)
    assert begin == 0
    assert clip.samples.shape == (2, 80_000)


def test_growing_arrays_are_saved_as_numpy_reads_them(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((7, 2, 3, 3)).astype(np.float32)
    with GrowingArray(tmp_path / "rows") as rows:
        rows.append(values[:4])
        rows.append(values[4:])
        np.testing.assert_array_equal(np.stack(list(rows.read())), values)
        save_arrays(tmp_path / "all.npz", {"maps": rows, "names": np.array(["a", "bc"])})
        with pytest.raises(ValueError, match=r"Expected rows of \[2, 3, 3\] float32"):
            rows.append(values[:, 0])
    with np.load(tmp_path / "all.npz", allow_pickle=False) as found:
        np.testing.assert_array_equal(found["maps"], values)
        assert found["names"].tolist() == ["a", "bc"]
    assert [each.name for each in tmp_path.iterdir()] == ["all.npz"]


def test_an_encoder_is_there() -> None:
    """What the wheels of PyAV bring along."""
    assert av.Codec("libx264", "w").name == "libx264"
    assert Fraction(1, RATE) > 0
