"""Videos: frames, sound and windows as streams, and videos drawn anew."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import librosa
import numpy as np
import numpy.typing as npt
import pytest

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
    with pytest.raises(VideoFileError, match=r"none\.mp4: no such file"):
        video_facts(tmp_path / "none.mp4")
    with pytest.raises(VideoFileError, match=r"text\.mp4: not readable"):
        video_facts(tmp_path / "text.mp4")
    with pytest.raises(VideoFileError, match=r"silent\.mp4: has no sound. Give one behind it"):
        sound_of(silent)
    assert len(list(read_frames(video_facts(whole)))) == 20


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
