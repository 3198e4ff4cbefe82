"""Audio files and waveforms: read, resample, tile, cut. Knows no model and no negative.

All waveforms are float32, nominally in [-1, 1]; times are in seconds, lengths in samples.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

import librosa
import numpy as np
import numpy.typing as npt
import soundfile

from vssl.arrays import Floats
from vssl.checks import check_choice, check_positive
from vssl.errors import UsageError
from vssl.media import STREAMED, decoding, require_file
from vssl.types import SAMPLE_RATE, AudioClip

Waveform = Floats
Window = Callable[[AudioClip], Waveform]
"""What a front end hears of a clip: a mono waveform `[T]`."""
Channels = Literal["mean", "first"]

_ANY_LENGTH_SECONDS = 10.0
"""Length of VGG-Sound's clips: what a model hears whose front end takes clips of any length."""

_LOWEST_RATE, _HIGHEST_RATE = 1_000, 1_000_000
_MOST_FRAMES = 2**48
"""libsndfile says more of a FLAC that does not say its length."""

_CLAIMS = re.compile(r"(\d+) \(?should be (\d+)")
_TRUNCATED = re.compile("truncated file|File seems to be truncated")
"""What libsndfile notes of sizes that are not what a header says, and of files cut off."""
_LONGEST_PAGE = 65_307
"""Bytes of a page of an Ogg."""


class AudioFileError(UsageError):
    """An audio file that cannot be used; the message names the file and what is wrong with it."""


def read_clip(path: Path) -> AudioClip:
    """Read an audio file and bring it to `SAMPLE_RATE`.

    Integer formats are scaled to [-1, 1) (16 bit: divided by 32768). Other rates are resampled by
    librosa's default resampler (`soxr_hq`).

    Returns:
        The clip, `[channels, length]`.

    Raises:
        AudioFileError: for a missing, unreadable, cut-off, empty or non-finite file.
    """
    with _opened(path) as file:
        samples, rate = _samples(file, path), file.samplerate
    if rate != SAMPLE_RATE:
        samples = librosa.resample(samples, orig_sr=rate, target_sr=SAMPLE_RATE)
    return AudioClip(np.ascontiguousarray(samples, dtype=np.float32), SAMPLE_RATE)


class AudioFacts(NamedTuple):
    """What the check of an audio file told: its rate in Hz and its length at `SAMPLE_RATE`."""

    rate: int
    length: int


def check_audio(path: Path) -> AudioFacts:
    """Make sure that a file can be read to its end, and return its facts.

    The size of a wav of whole numbers says that; other files are read. Errors are those of
    `read_clip`.
    """
    with _opened(path) as file:
        length, rate = file.frames, file.samplerate
        if length and file.format in ("WAV", "WAVEX") and _is_whole_numbers(file):
            _check_whole(file, path)
        else:
            length = _samples(file, path).shape[1]
    return AudioFacts(rate, math.ceil(length * SAMPLE_RATE / rate))


def is_constant(path: Path) -> bool:
    """Whether every channel of a file has one value throughout, as digital silence has.

    Reads no further than to the first sample that differs.
    """
    with _opened(path) as file, decoding(path, AudioFileError, "not readable as audio"):
        pieces = _sound_pieces(file, path)
        begin = next(pieces, np.empty((1, 0), np.float32))
        return all((piece == begin[:, :1]).all() for piece in chain([begin], pieces))


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    require_file(path, AudioFileError)
    if path.suffix.lower() == ".raw":
        raise AudioFileError(
            f"{path}: holds samples without a header, so their rate and type are not known. Write"
            " them as wav: ffmpeg -f s16le -ar 16000 -ac 1 -i FILE sound.wav"
        )
    with decoding(path, AudioFileError, "not readable as audio"):
        file = soundfile.SoundFile(path)
    with file:
        if not _LOWEST_RATE <= file.samplerate <= _HIGHEST_RATE:
            raise AudioFileError(f"{path}: says that it is at {file.samplerate} Hz")
        yield file


def _samples(file: soundfile.SoundFile, path: Path) -> Waveform:
    """All samples of a file, `[channels, length]`, which are made sure to be all."""
    promised = file.frames
    with decoding(path, AudioFileError, "not readable as audio"):
        if _is_unsure(file):
            mpeg = file.format == "MP3"
            promised = file.frames if mpeg and _mpeg_says_length(path) else 0
            if mpeg:
                from vssl.containers import ends_inside_a_frame  # late as in `_sound_pieces`

                if ends_inside_a_frame(path):
                    raise _cut_off(path)
        pieces = _sound_pieces(file, path, file.frames or 1)
        samples = np.concatenate([np.empty((file.channels, 0), np.float32), *pieces], axis=1)
    if samples.shape[1] == 0:
        raise AudioFileError(f"{path}: holds no samples")
    if samples.shape[1] < promised:
        raise _cut_off(path)
    if not (_is_whole_numbers(file) or np.isfinite(samples).all()):
        raise AudioFileError(f"{path}: holds NaN or infinite samples")
    _check_whole(file, path)
    return samples


def _sound_pieces(file: soundfile.SoundFile, path: Path, block: int = 4096) -> Iterator[Waveform]:
    """A file's samples, `[channels, n]`, piece by piece; by FFmpeg where libsndfile is not sure."""
    if _is_unsure(file):
        # FFmpeg's libraries take a tenth of a second to load, and few files need them
        from vssl.containers import opened_sound

        with opened_sound(path) as sound:
            yield from sound.pieces
        return
    while len(piece := file.read(block, dtype="float32", always_2d=True)):
        yield piece.T


def _is_unsure(file: soundfile.SoundFile) -> bool:
    """Whether libsndfile may be wrong about a file's length, or cannot read on.

    It guesses the length of an MP3 by the first frame, and stops there. A FLAC that was written
    into a pipe has none. A block of GSM may be too many.
    """
    return file.format == "MP3" or file.subtype == "GSM610" or bool(file.frames > _MOST_FRAMES)


def _mpeg_says_length(path: Path) -> bool:
    """Whether the first frame of an MP3 says how many there are."""
    with path.open("rb") as file:
        tag = file.read(10)
        if tag[:3] == b"ID3":  # its length has seven bits a byte
            file.seek(10 + sum(byte << 7 * (3 - n) for n, byte in enumerate(tag[6:10])))
        else:
            file.seek(0)
        head = file.read(192)
    return any(name in head for name in (b"Xing", b"Info", b"VBRI"))


def _is_whole_numbers(file: soundfile.SoundFile) -> bool:
    """Whether samples are stored as integers, none of which is NaN."""
    return str(file.subtype).startswith("PCM")


def _cut_off(path: Path) -> AudioFileError:
    return AudioFileError(f"{path}: is cut off, its header promises more samples than there are")


def _check_whole(file: soundfile.SoundFile, path: Path) -> None:
    """Refuse a file that was cut off, which libsndfile silently shortens.

    It notes what is not so of the sizes in headers. An Ogg says where it ends, a NIST file how many
    samples it has.
    """
    notes = str(file.extra_info)
    lost = any(int(there) < int(said) < STREAMED for said, there in _CLAIMS.findall(notes))
    with path.open("rb") as content:
        if file.format == "OGG":
            content.seek(max(0, path.stat().st_size - _LONGEST_PAGE))
            lost = not _ogg_ends(content.read())
        if file.format == "NIST":
            found = re.search(rb"sample_count -i (\d+)", content.read(1024))
            lost = found is not None and int(found[1]) > file.frames
    if lost or _TRUNCATED.search(notes):
        raise _cut_off(path)


def _ogg_ends(end: bytes) -> bool:
    """Whether the last page of an Ogg is whole and says that it is the last."""
    page = end[max(0, end.rfind(b"OggS")) :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    whole = bool(segments) and len(page) >= 27 + len(segments) + sum(segments)
    return whole and bool(page[5] & 4)


def mix_down(clip: AudioClip, channels: Channels) -> Waveform:
    """The mean of a clip's channels, or its first channel: `[length]`."""
    one = clip.samples.shape[0] == 1 or channels == "first"
    mono: Waveform = clip.samples[0] if one else clip.samples.mean(axis=0, dtype=np.float32)
    return mono


def tile(samples: Waveform, length: int) -> Waveform:
    """Repeat a waveform `[T]` until it has `length` samples, and cut it there."""
    if samples.shape[-1] < length:
        samples = np.tile(samples, math.ceil(length / samples.shape[-1]))
    return samples[:length]


def rms(waveform: npt.NDArray[np.floating]) -> float:
    """Root mean square of a waveform `[T]`, in float64."""
    return float(np.sqrt(np.square(waveform, dtype=np.float64).mean()))


def amplitude(decibels: float) -> float:
    """Factor of a level in decibels: 20 dB are 10."""
    return float(10 ** (decibels / 20))


@dataclass(frozen=True, kw_only=True)
class _MonoWindow:
    """Settings that `MiddleWindow` and `CenterWindow` share, and how a clip becomes mono."""

    seconds: float
    channels: Channels = "mean"
    full_scale: int = 32768

    def __post_init__(self) -> None:
        check_positive(self.seconds, name="seconds")
        check_choice(self.channels, ("mean", "first"), name="channels")

    def _mono(self, clip: AudioClip) -> tuple[Waveform, int]:
        """The clip mixed, at the window's full scale and clipped, and the window's length."""
        mono = mix_down(clip, self.channels)
        if self.full_scale != 32768:
            mono = mono * np.float32(32768 / self.full_scale)
        return np.clip(mono, -1.0, 1.0), round(self.seconds * clip.rate)


@dataclass(frozen=True, kw_only=True)
class MiddleWindow(_MonoWindow):
    """A window of fixed length, rolled by the file's duration (EZ-VSL, SLAVC).

    The clip is mixed to mono, clipped to [-1, 1], cut or tiled to `seconds`, and rolled circularly
    by half of the window minus half of the *file*. So the middle of a shorter file stands in the
    middle of the window; of a longer file the first `seconds` are kept and rolled back by half the
    excess. Source: vssl_eval datasets/datasets.py, positives.

    Args:
        seconds: length of the window.
        channels: `mean` or `first`.
        full_scale: the integer that stands for 1.0 in 16-bit files: 32767 for the authors, 32768
            for libsndfile.
        roll: False leaves the clip where it is, as the released code does with offscreen clips.
        repeats: most copies when tiling, 2 for the released code's offscreen clips, so that a short
            clip gives less than a window; None tiles until the window is full.

    Raises:
        ValueError: for a window without length or an unknown `channels`.
    """

    seconds: float = 10.0
    roll: bool = True
    repeats: int | None = None

    def __call__(self, clip: AudioClip) -> Waveform:
        """Cut the window out of a clip: `[channels, T]` to `[length]`."""
        samples, length = self._mono(clip)
        if self.repeats is not None:
            length = min(length, self.repeats * samples.shape[0])
        window = tile(samples, length)
        if not self.roll:
            return window
        return np.roll(window, length // 2 - samples.shape[0] // 2)


@dataclass(frozen=True, kw_only=True)
class CenterWindow(_MonoWindow):
    """The middle of the clip (FNAC); `channels` and `full_scale` as for `MiddleWindow`.

    The clip is mixed to mono and clipped to [-1, 1]; of a file longer than `seconds` the middle is
    kept, a shorter one is tiled. The released evaluation has another window in place of this one
    (`positive_window` in docs/protocols.md).

    Raises:
        ValueError: for a window without length or an unknown `channels`.
    """

    seconds: float = 3.0

    def __call__(self, clip: AudioClip) -> Waveform:
        """Cut the window out of a clip: `[channels, T]` to `[length]`."""
        samples, length = self._mono(clip)
        first = max(0, (samples.shape[0] - length) // 2)
        return tile(samples[first : first + length], length)


@dataclass(frozen=True, kw_only=True)
class WholeClip:
    """The clip as it is, mixed to mono, neither tiled nor clipped (RCGrad).

    So is what the released code makes, silence and noise (`made_audio` in docs/protocols.md).
    """

    def __call__(self, clip: AudioClip) -> Waveform:
        """Mix a clip to mono: `[channels, T]` to `[T]`."""
        return mix_down(clip, "mean")


@dataclass(frozen=True, kw_only=True)
class SpanWindow:
    """A fixed span of a clip tiled to fixed length (LVS, SSL-Align; SSL-TIE with the whole length).

    The clip is mixed to mono, tiled and cut to `seconds`, of which `start` to `stop` is kept, and
    clipped to [-1, 1] but for `clip=False` (SSL-TIE). Source: vssl_eval datasets/datasets_lvs.py
    and datasets_ssltie.py.

    Raises:
        ValueError: when the span is empty or does not lie inside `seconds`.
    """

    seconds: float = 10.0
    start: float = 0.0
    stop: float = 10.0
    channels: Channels = "first"
    clip: bool = True

    def __post_init__(self) -> None:
        check_choice(self.channels, ("mean", "first"), name="channels")
        if not 0 <= self.start < self.stop <= self.seconds:
            raise ValueError(
                "Expected `0 <= start < stop <= seconds`, but got"
                f" start={self.start}, stop={self.stop}, seconds={self.seconds}."
            )

    def __call__(self, clip: AudioClip) -> Waveform:
        """Cut the window out of a clip: `[channels, T]` to `[length]`."""
        tiled = tile(mix_down(clip, self.channels), round(self.seconds * clip.rate))
        span = slice(round(self.start * clip.rate), round(self.stop * clip.rate))
        return np.clip(tiled[span], -1.0, 1.0) if self.clip else tiled[span]


def clip_at(sound: Waveform, seconds: float, window: object) -> tuple[int, AudioClip]:
    """Where the part of a sound around a moment begins, and a clip of which a window hears it.

    That part is centred at the moment. Near an end of the sound it is moved inside: a model then
    hears as much real sound as ever, and no seam of silence or repetition, which would be an event
    of its own. A shorter sound is given whole, and the window does what it does with short files.

    Args:
        sound: `[channels, length]` at `SAMPLE_RATE`.
        seconds: time since the begin of the sound.
        window: its attributes `seconds`, `start` and `stop` say what it takes of a clip. One
            without `seconds`, as `WholeClip`, takes clips of any length: it gets 10 s.
    """
    whole = getattr(window, "seconds", _ANY_LENGTH_SECONDS)
    span = (whole, getattr(window, "start", 0.0), getattr(window, "stop", whole))
    length, start, stop = (round(each * SAMPLE_RATE) for each in span)
    heard = stop - start
    if sound.shape[1] < heard:
        return 0, AudioClip(sound)
    middle = round(seconds * SAMPLE_RATE) - heard // 2
    begin = max(0, min(middle, sound.shape[1] - heard))
    # the window cuts away the rest, whatever it is
    clip = np.zeros((len(sound), length), np.float32)
    clip[:, start:stop] = sound[:, begin : begin + heard]
    return begin, AudioClip(clip)
