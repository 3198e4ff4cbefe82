"""Audio files to waveforms, and waveforms to windows."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import pickle
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.running import run_settings
from tests.reference.windows import center_window, middle_window, span_window
from vssl import audio
from vssl.audio import (
    AudioFileError,
    BeginWindow,
    CenterWindow,
    MiddleWindow,
    SpanWindow,
    WholeClip,
    inspect_audio,
    read_clip,
)
from vssl.config.build import build_frontends
from vssl.types import POSITIVE, AudioClip


def tone(hertz: float, rate: int, count: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(count) / rate)


def noise(count: int) -> np.ndarray:
    """Quiet noise, which no coding makes small."""
    return np.random.default_rng(0).uniform(-0.3, 0.3, count)


def written_by_ffmpeg(
    path: Path,
    samples: np.ndarray,
    *,
    rate: int = 16_000,
    quality: int | None = None,
    streamed: bool = False,
) -> Path:
    """Write one channel with PyAV: `quality` is that of an MP3 with a bit rate that changes.

    `streamed` leaves out how long it is.
    """
    codec = {".mp3": "libmp3lame", ".flac": "flac"}[path.suffix]
    options = {} if quality is None else {"global_quality": str(118 * quality), "flags": "+qscale"}
    streams = {"write_xing": "0", "id3v2_version": "0"} if path.suffix == ".mp3" else {}
    with av.open(str(path), "w", container_options=streams if streamed else {}) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono", options=options)
        numbers = np.round(samples * 32768).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(numbers, format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    if streamed and path.suffix == ".flac":  # number of samples and size of frames in its header
        content = bytearray(path.read_bytes())
        content[21] &= 0xF0
        content[22:26] = bytes(4)
        path.write_bytes(content)
    return path


def wave_bytes(folder: Path, count: int = 4000) -> bytes:
    soundfile.write(folder / "whole.wav", tone(440, 16_000, count), 16_000)
    return (folder / "whole.wav").read_bytes()


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("wav", "PCM_16"), ("wav", "FLOAT"), ("wav", "DOUBLE"), ("w64", "PCM_16"), ("wav", "PCM_24")],
)
@pytest.mark.parametrize("channels", [1, 32])
def test_read_gives_what_was_written(
    tmp_path: Path, suffix: str, subtype: str, channels: int
) -> None:
    # multiples of 1/32768 survive every one of these formats without rounding
    written = np.random.default_rng(0).integers(-32768, 32768, (700, channels)) / 32768
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, written, 16_000, subtype=subtype)

    clip = read_clip(path)

    assert clip.rate == 16_000
    assert clip.samples.dtype == np.float32
    assert clip.samples.flags.c_contiguous
    np.testing.assert_array_equal(clip.samples, written.T)


@given(
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000]),
    count=st.integers(300, 5_000),
)
def test_facts_are_those_of_the_clip(
    tmp_path_factory: pytest.TempPathFactory, rate: int, count: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "facts.wav"
    soundfile.write(path, tone(300, rate, count), rate)
    assert inspect_audio(path)[:2] == (rate, read_clip(path).samples.shape[1])


def refuse(path: Path, message: str) -> None:
    for read in (read_clip, inspect_audio):
        with pytest.raises(AudioFileError, match=f"^{re.escape(str(path))}: {message}"):
            read(path)


CUT_OFF = "is cut off, its header promises more samples than there are$"


def float_wave(*samples: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.array(samples), 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def wave_at(rate: int) -> bytes:
    content = bytearray(float_wave(0.1))
    content[24:28] = rate.to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.wav", None, "no such file$"),
        ("folder", None, "no such file, there is a folder of that name$"),
        ("pipe.wav", None, "no such file, there is a pipe or a device of that name$"),
        ("clip.raw", bytes(32_000), "holds samples without a header, .*ffmpeg -f s16"),
        ("clip.wav", b"", "not readable as audio "),
        ("clip.wav", b"not a sound", "not readable as audio "),
        ("clip.wav", wave_at(1), "says that it is at 1 Hz$"),
        ("clip.wav", wave_at(2_000_000_000), "says that it is at 2000000000 Hz$"),
        ("clip.wav", float_wave(), "holds no samples$"),
        ("clip.wav", float_wave(0, math.nan), "holds NaN or infinite samples$"),
    ],
    # the files hold the time at which they were written, which must not be part of a test's name
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else None,
)
def test_unusable_sounds(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")  # to open it would wait for ever
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refuse(tmp_path / name, message)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("wav", "ULAW"),
        ("wav", "MS_ADPCM"), ("wav", "GSM610"), ("rf64", "PCM_16"), ("w64", "PCM_16"),
        ("aiff", "PCM_16"), ("au", "PCM_16"), ("au", "G721_32"), ("flac", "PCM_16"),
        ("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III"), ("nist", "PCM_16"),
        ("svx", "PCM_16"),
    ],
)  # fmt: skip
def test_cut_off_in_any_container(tmp_path: Path, suffix: str, subtype: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, noise(30_000), 16_000, format=suffix, subtype=subtype)
    assert inspect_audio(path).length == read_clip(path).samples.shape[1]
    whole = path.read_bytes()
    for kept in (int(0.66 * len(whole)), len(whole) - 1):
        path.write_bytes(whole[:kept])
        refuse(path, "(is cut off|not readable as audio|holds no samples|cannot be dec)")


@pytest.mark.parametrize("suffix", ["mp3", "flac"])
def test_cut_off_without_a_length(tmp_path: Path, suffix: str) -> None:
    written = np.round(noise(30_000) * 32768) / 32768
    path = written_by_ffmpeg(tmp_path / f"clip.{suffix}", written, streamed=True)
    found = read_clip(path).samples[0]
    assert inspect_audio(path).length == len(found)
    if suffix == "flac":
        assert soundfile.info(path).frames > 2**48
        np.testing.assert_array_equal(found, written)
    whole = path.read_bytes()
    for bytes_lost in (1, 50, 5_000):
        path.write_bytes(whole[:-bytes_lost])
        refuse(path, "(is cut off|cannot be decoded to its end)")


def test_a_length_that_is_not_there(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.flac", noise(16_000), 16_000)
    content = bytearray((tmp_path / "clip.flac").read_bytes())
    content[21:26] = [content[21] | 0xF, *b"\xff" * 4]  # 50 days
    (tmp_path / "clip.flac").write_bytes(content)
    refuse(tmp_path / "clip.flac", "(is cut off|not readable as audio)")


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_F000, 0x8000_0000, 0])
def test_wav_from_a_pipe_is_whole(tmp_path: Path, size: int) -> None:
    # a program that writes into a pipe cannot know the sizes and leaves what none is
    whole = wave_bytes(tmp_path)
    said = [min(each, 0xFFFF_FFFF).to_bytes(4, "little") for each in (size + 36, size)]
    (tmp_path / "pipe.wav").write_bytes(whole[:4] + said[0] + whole[8:40] + said[1] + whole[44:])
    if size == 0:
        with pytest.raises(AudioFileError, match="holds no samples"):
            read_clip(tmp_path / "pipe.wav")
        return
    np.testing.assert_array_equal(
        read_clip(tmp_path / "pipe.wav").samples, read_clip(tmp_path / "whole.wav").samples
    )


def decoded_by_ffmpeg(path: Path) -> np.ndarray:
    """What FFmpeg makes of a file, without a look at times, `[length]`."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate([frame.reshape(-1) for frame in frames])


@pytest.mark.parametrize("streamed", [False, True], ids=["with a length", "without"])
@pytest.mark.parametrize(("quality", "rate"), [(None, 16_000), (2, 44_100), (9, 16_000)])
def test_mp3_is_as_long_as_what_is_in_it(
    tmp_path: Path, rate: int, quality: int | None, streamed: bool
) -> None:
    # quiet first, so that the first frame says little of the others
    quiet_first = noise(3 * rate) * np.repeat([0.0001, 1, 0.0001], rate)
    path = written_by_ffmpeg(
        tmp_path / "clip.mp3", quiet_first, rate=rate, quality=quality, streamed=streamed
    )
    expected = decoded_by_ffmpeg(path)
    if not streamed:
        assert len(expected) == 3 * rate, "without what the encoder added at both ends"
    clip = read_clip(path)
    assert clip.samples.shape == (1, math.ceil(len(expected) * 16_000 / rate))
    assert inspect_audio(path)[:2] == (rate, clip.samples.shape[1])
    if rate == 16_000:
        np.testing.assert_allclose(clip.samples[0], expected, atol=1e-6)


def test_mp3_with_tags_is_whole(tmp_path: Path) -> None:
    path = written_by_ffmpeg(tmp_path / "clip.mp3", noise(32_000))
    whole, content = read_clip(path).samples, path.read_bytes()
    for before in (b"", b"ID3\4\0\0\0\0\2\0" + bytes(256)):
        for behind in (b"TAG" + bytes(125), b"APETAGEX" + bytes(range(200))):
            path.write_bytes(before + content + behind)
            np.testing.assert_array_equal(read_clip(path).samples, whole)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        ("wav", "GSM610"), ("wav", "G721_32"), ("au", "G721_32"), ("au", "G723_24"),
        ("au", "G723_40"), ("wav", "IMA_ADPCM"), ("wav", "MS_ADPCM"), ("wav", "ALAW"),
        ("ogg", "VORBIS"), ("flac", "PCM_24"), ("w64", "PCM_16"), ("caf", "PCM_16"),
    ],
)  # fmt: skip
def test_codings_are_as_long_as_ffmpeg_has_them(tmp_path: Path, suffix: str, subtype: str) -> None:
    # 20480 are whole blocks of none of them; those of Vorbis are cut at the end by its container
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, noise(20_480), 16_000, format=suffix, subtype=subtype)
    found, expected = read_clip(path).samples[0], decoded_by_ffmpeg(path)
    assert inspect_audio(path).length == len(found)
    if subtype == "VORBIS":
        assert len(found) == 20_480
    else:
        assert abs(len(found) - len(expected)) < 16
    assert np.abs(found[: len(expected)]).std() > 0.05


@pytest.mark.parametrize(
    ("suffix", "codec", "form"),
    [("m4a", "alac", "s16p"), ("mp4", "alac", "s16p"), ("mka", "flac", "s16")],
)
def test_what_libsndfile_does_not_know_ffmpeg_reads(
    tmp_path: Path, suffix: str, codec: str, form: str
) -> None:
    written = np.round(noise(30_000) * 32768) / 32768
    path = tmp_path / f"clip.{suffix}"
    numbers = np.round(written * 32768).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16_000, layout="mono", format=form)
        for begin in range(0, len(numbers), 4096):
            part = numbers[None, begin : begin + 4096]
            frame = av.AudioFrame.from_ndarray(part, format=form, layout="mono")
            frame.sample_rate, frame.pts = 16_000, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_array_equal(read_clip(path).samples[0], written.astype(np.float32))
    facts = inspect_audio(path)
    assert facts == (16_000, 30_000, 1.875, 1, codec.upper(), False)
    path.write_bytes(path.read_bytes()[:20_000])
    refuse(path, CUT_OFF)


@pytest.mark.parametrize("raised", [ValueError("odd"), MemoryError()])
@pytest.mark.parametrize("read", [read_clip, inspect_audio])
def test_whatever_a_decoder_raises_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any, raised: Exception
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise raised

    path = tmp_path / "clip.flac"
    soundfile.write(path, noise(100), 16_000)
    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    reason = str(raised) or type(raised).__name__
    with pytest.raises(AudioFileError, match=rf"clip\.flac: not readable as audio \({reason}\)$"):
        read(path)


clips = st.builds(
    lambda channels, count, seed: np.random.default_rng(seed).uniform(-1.5, 1.5, (channels, count)),
    st.integers(1, 2),
    # around the window of 40 samples: much shorter, equal, longer, more than twice as long
    st.one_of(st.integers(1, 100), st.sampled_from([39, 40, 41, 79, 80, 81])),
    st.integers(0, 99),
)


@given(
    samples=clips,
    # 40 and 39 samples: windows of even and odd length
    seconds=st.sampled_from([4.0, 3.9]),
    full_scale=st.sampled_from([32767, 32768]),
    roll=st.booleans(),
    repeats=st.sampled_from([None, 1, 2, 3]),
    first=st.booleans(),
    start=st.sampled_from([0.0, 0.5, 1.0, 1.5]),
    length=st.integers(1, 2),
)
def test_windows_are_those_of_plain_loops(
    samples: np.ndarray,
    seconds: float,
    full_scale: int,
    roll: bool,
    repeats: int | None,
    first: bool,
    start: float,
    length: int,
) -> None:
    mono: dict[str, Any] = {"seconds": seconds, "full_scale": full_scale}
    rolled: dict[str, Any] = {"roll": roll, "repeats": repeats, **mono}
    span: dict[str, Any] = {"seconds": 4.5, "start": start, "stop": start + length}
    channels: Any = "first" if first else "mean"
    taken = samples[:1] if first else samples
    padded = np.zeros(round(10 * seconds))
    begin = taken.mean(axis=0)[: len(padded)]
    padded[: len(begin)] = begin
    for window, expected in (
        (MiddleWindow(**rolled, channels=channels), middle_window(taken, 10, **rolled)),
        (CenterWindow(**mono, channels=channels), center_window(taken, 10, **mono)),
        (SpanWindow(**span, channels=channels), span_window(samples, 10, **span, first=first)),
        (BeginWindow(seconds=seconds, channels=channels), begin),
        (BeginWindow(seconds=seconds, channels=channels, padded=True), padded),
        (WholeClip(), samples.mean(axis=0)),
    ):
        found = window(AudioClip(samples.astype(np.float32), 10))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=3e-7)


def test_span_window_of_ssltie_does_not_clip() -> None:
    samples = np.linspace(-3, 3, 20, dtype=np.float32)[None]
    found = SpanWindow(seconds=4.0, start=0.0, stop=4.0, clip=False)(AudioClip(samples, 10))
    np.testing.assert_array_equal(found, np.tile(samples[0], 2))


@pytest.mark.parametrize(
    "window",
    [
        MiddleWindow(seconds=2.0, roll=False, repeats=2),
        CenterWindow(seconds=2.0, channels="first", full_scale=32767),
        BeginWindow(seconds=2.0, padded=True),
        SpanWindow(seconds=2.0, start=0.5, stop=2.0, channels="mean"),
        WholeClip(),
    ],
    ids=lambda window: type(window).__name__,
)
def test_every_window_is_its_settings_and_leaves_the_clip_alone(window: Any) -> None:
    samples = np.full((1, 50), 1.5, dtype=np.float32)
    window(AudioClip(samples, 10))
    assert (samples == 1.5).all()
    # an evaluated repr makes an equal window: runs are told apart by it
    assert eval(repr(window), vars(audio)) == window == pickle.loads(pickle.dumps(window))
    if dataclasses.fields(window):
        others = [dataclasses.replace(window, channels=each) for each in ("first", "mean")]
        assert others[0] != others[1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        window.seconds = 1
    with pytest.raises(TypeError, match="positional argument"):
        type(window)(3.0)


def test_fnacs_windows() -> None:
    """`positive_window` and `offscreen_window` of docs/protocols.md, in place of FNAC's own."""
    config = run_settings("model=fnac", "protocol=released")
    frontends = build_frontends(config, ("offscreen",))
    offscreen, positive = (frontends[name].window for name in ("offscreen", POSITIVE))
    assert offscreen == MiddleWindow(seconds=3, full_scale=32767, roll=False, repeats=2)
    assert positive == MiddleWindow(seconds=3, full_scale=32767)
    for count in (7_000, 23_999, 24_000, 48_000, 160_000):
        samples = np.random.default_rng(count).uniform(-1.2, 1.2, (2, count)).astype(np.float32)
        mono = np.clip(samples.mean(axis=0, dtype=np.float64) * 32768 / 32767, -1, 1)
        # offscreen clips are doubled and begin where the file begins; the first 3 s of positives
        # are later by 1.5 s minus half the file: by -3.5 s for 10 s, which is half a second around
        doubled = np.concatenate([mono, mono])[:48_000]
        turned = np.roll(np.resize(mono, 48_000), 24_000 - count // 2)
        for window, expected in ((offscreen, doubled), (positive, turned)):
            np.testing.assert_allclose(window(AudioClip(samples)), expected, rtol=0, atol=3e-7)
    config = run_settings("model=fnac", "protocol=corrected")
    (frontend,) = build_frontends(config, ("silence", "noise", "offscreen")).values()
    assert frontend.window == CenterWindow(seconds=3, full_scale=32767)


CHANNELS = "Expected `channels` to be one of mean, first"
SPAN = "Expected `0 <= start < stop <= seconds`, but got"


@pytest.mark.parametrize(
    ("window", "options", "message"),
    [
        (MiddleWindow, {"seconds": 0}, "Expected `seconds` to be greater than 0, but got 0"),
        (CenterWindow, {"seconds": 0}, "Expected `seconds` to be greater than 0, but got 0"),
        (BeginWindow, {"seconds": 0}, "Expected `seconds` to be greater than 0, but got 0"),
        *(
            (each, {"channels": "men"}, CHANNELS)
            for each in (MiddleWindow, CenterWindow, BeginWindow, SpanWindow)
        ),
        *((SpanWindow, {"start": a, "stop": b}, SPAN) for a, b in ((2, 2), (-1, 3), (3, 11))),
    ],
)
def test_bad_windows(window: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        window(**options)
