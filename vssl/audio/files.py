"""Audio files: read to waveforms, and checked to their end."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import soundfile

from vssl.audio.windows import HIGHEST_RATE, LOWEST_RATE, Waveform
from vssl.core.errors import UsageError
from vssl.core.media import STREAMED, decoding, require_file
from vssl.types import SAMPLE_RATE, AudioClip

_MOST_FRAMES = 2**48  # libsndfile reports more for a FLAC without a length
_UNKNOWN_FORMAT = 1  # libsndfile's code for a file of a format that it does not know

_CLAIMS = re.compile(r"(\d+) \(?should be (\d+)")
_TRUNCATED = re.compile("truncated file|File seems to be truncated")
"""libsndfile's notes on sizes that a header gives wrongly, and on files cut off."""
_LONGEST_OGG_PAGE = 65_307  # bytes


class AudioFileError(UsageError):
    """An audio file that cannot be used; the message names the file and what is wrong with it."""


def read_clip(path: Path, rate: int = SAMPLE_RATE) -> AudioClip:
    """Read an audio file as a clip `[channels, length]` at a sample rate in Hz.

    Integer formats are scaled to [-1, 1) (16 bit: divided by 32768). A file at another rate is
    resampled from its own by librosa's default resampler (`soxr_hq`).

    Raises:
        AudioFileError: for a missing, unreadable, cut-off, empty or non-finite file.
    """
    samples, own_rate = _decode(path)
    return AudioClip(resample(samples, own_rate, rate), rate)


def resample(samples: Waveform, own_rate: int, rate: int) -> Waveform:
    """Bring samples `[..., T]` from their own rate to another, both in Hz, by `soxr_hq`."""
    if rate != own_rate:
        samples = librosa.resample(samples, orig_sr=own_rate, target_sr=rate)
    return np.ascontiguousarray(samples, dtype=np.float32)


class SoundFacts(NamedTuple):
    """Content of an audio file."""

    rate: int  # in Hz
    length: int  # at `SAMPLE_RATE`
    seconds: float
    channels: int
    format: str
    constant: bool  # whether every channel has one value throughout, as digital silence has


def inspect_audio(path: Path) -> SoundFacts:
    """Check that a file can be read to its end, and tell what is in it.

    A wav of integers is checked by its size; other files are read.

    Raises:
        AudioFileError: as `read_clip`.
    """
    try:
        with _opened(path) as file:
            length, rate, kind = file.frames, file.samplerate, str(file.format)
            channels = file.channels
            if length and kind in ("WAV", "WAVEX") and _is_whole_numbers(file):
                _check_whole(file, path)
                constant = _is_constant(file, path)
            else:
                samples = _samples(file, path)
                length, constant = samples.shape[1], bool((samples == samples[:, :1]).all())
    except AudioFileError as error:
        samples, rate, kind = _decode_by_ffmpeg(path, error)
        channels, length = samples.shape
        constant = bool((samples == samples[:, :1]).all())
    at_models_rate = math.ceil(length * SAMPLE_RATE / rate)
    return SoundFacts(rate, at_models_rate, length / rate, channels, kind, constant)


def _is_constant(file: soundfile.SoundFile, path: Path) -> bool:
    with decoding(path, AudioFileError, "not readable as audio"):
        pieces = _sound_pieces(file, path)
        first = next(pieces, np.empty((1, 0), np.float32))
        return all((piece == first[:, :1]).all() for piece in chain([first], pieces))


def _decode(path: Path) -> tuple[Waveform, int]:
    """All samples of a file, `[channels, length]`, and its rate."""
    try:
        with _opened(path) as file:
            return _samples(file, path), file.samplerate
    except AudioFileError as error:
        samples, rate, _ = _decode_by_ffmpeg(path, error)
        return samples, rate


def _decode_by_ffmpeg(path: Path, error: AudioFileError) -> tuple[Waveform, int, str]:
    """Samples, rate and format of a file that libsndfile does not know; raise its error else."""
    if getattr(error.__cause__, "code", None) != _UNKNOWN_FORMAT or not path.stat().st_size:
        raise error
    # FFmpeg's libraries take a tenth of a second to load, and few files need them
    from vssl.audio.containers import is_cut_off, opened_sound  # noqa: PLC0415

    if is_cut_off(path):
        raise _cut_off(path) from error
    try:
        with opened_sound(path) as sound:
            samples = np.concatenate(list(sound.pieces), axis=1)
            kind = sound.codec.upper()
    except UsageError as fault:
        raise error from fault
    if not LOWEST_RATE <= sound.rate <= HIGHEST_RATE:
        raise AudioFileError(f"{path}: says that it is at {sound.rate} Hz") from error
    return samples, sound.rate, kind


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
        if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
            raise AudioFileError(f"{path}: says that it is at {file.samplerate} Hz")
        yield file


def _samples(file: soundfile.SoundFile, path: Path) -> Waveform:
    """Read all samples of a file, `[channels, length]`, and check that none is missing."""
    promised = file.frames
    with decoding(path, AudioFileError, "not readable as audio"):
        if _is_unsure(file):
            mpeg = file.format == "MP3"
            promised = file.frames if mpeg and _mpeg_says_length(path) else 0
            if mpeg:
                from vssl.audio.containers import ends_inside_a_frame  # noqa: PLC0415 PyAV, as below

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
    """Read `[channels, n]` piece by piece, by FFmpeg where libsndfile is not sure."""
    if _is_unsure(file):
        # FFmpeg's libraries take a tenth of a second to load, and few files need them
        from vssl.audio.containers import opened_sound  # noqa: PLC0415

        with opened_sound(path) as sound:
            yield from sound.pieces
        return
    while len(piece := file.read(block, dtype="float32", always_2d=True)):
        yield piece.T


def _is_unsure(file: soundfile.SoundFile) -> bool:
    """Whether libsndfile may be wrong about a file's length."""
    # it guesses that of an MP3 by the first frame; a FLAC that was written into a pipe has none;
    # the last block of a GSM may be padding
    return file.format == "MP3" or file.subtype == "GSM610" or bool(file.frames > _MOST_FRAMES)


def _mpeg_says_length(path: Path) -> bool:
    """Whether the first frame of an MP3 holds the number of frames."""
    with path.open("rb") as file:
        tag = file.read(10)
        length = sum(byte << 7 * (3 - n) for n, byte in enumerate(tag[6:10]))  # seven bits a byte
        file.seek(10 + length if tag[:3] == b"ID3" else 0)
        head = file.read(192)
    return any(name in head for name in (b"Xing", b"Info", b"VBRI"))


def _is_whole_numbers(file: soundfile.SoundFile) -> bool:
    """Whether samples are stored as integers, which cannot be NaN."""
    return str(file.subtype).startswith("PCM")


def _cut_off(path: Path) -> AudioFileError:
    return AudioFileError(f"{path}: is cut off, its header promises more samples than there are")


def _check_whole(file: soundfile.SoundFile, path: Path) -> None:
    """Refuse a file that was cut off, which libsndfile silently shortens."""
    # it notes wrong sizes in headers; an Ogg marks its last page; a NIST file states its samples
    notes = str(file.extra_info)
    claims = _CLAIMS.findall(notes)
    lost = any(int(actual) < int(stated) < STREAMED for stated, actual in claims)
    if file.format in ("OGG", "NIST"):
        with path.open("rb") as content:
            if file.format == "OGG":
                content.seek(max(0, path.stat().st_size - _LONGEST_OGG_PAGE))
                lost = not _ogg_ends(content.read())
            else:
                stated = re.search(rb"sample_count -i (\d+)", content.read(1024))
                lost = stated is not None and int(stated[1]) > file.frames
    if lost or _TRUNCATED.search(notes):
        raise _cut_off(path)


def _ogg_ends(end: bytes) -> bool:
    """Whether the last page of an Ogg is whole and marked as the last."""
    page = end[max(0, end.rfind(b"OggS")) :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    whole = bool(segments) and len(page) >= 27 + len(segments) + sum(segments)
    return whole and bool(page[5] & 4)
