"""Sound and video files read by FFmpeg: opened, decoded, and their sound placed in time.

FFmpeg takes the place where a file was cut off for its end. So the sizes that its container states
are compared with the file's first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np
import numpy.typing as npt
import soxr
from av.container import InputContainer

from vssl.core.arrays import Floats
from vssl.core.errors import UsageError
from vssl.core.media import STREAMED, decoding, reason_of, require_file
from vssl.types import SAMPLE_RATE

_ATOMS = frozenset(
    (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"mfra", b"sidx", b"styp")
)
"""Known parts of an mp4 or mov; anything behind them is ignored."""
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_TRANSPORT_PACKET = 188

_JITTER = 0.01  # seconds by which times of a sound may be off, since containers round them
_LONGEST_OVERLAP = 1.0
"""Seconds of a sound that may be stored twice; a longer step back is a clock that restarts."""
_MOST_PLANES = 8  # planes of a frame of sound from which on PyAV reads beyond the frame's memory


class VideoFileError(UsageError):
    """A file that FFmpeg cannot use; the message names the file and a remedy."""


@contextmanager
def opened_media(path: Path) -> Iterator[InputContainer]:
    """Open a sound or video file for reading; refuse one that is cut off."""
    require_file(path, VideoFileError)
    if is_cut_off(path):
        raise VideoFileError(
            f"{path}: is cut off, it says that it is longer. Keep what can be read: ffmpeg -i FILE"
            " whole.mkv"
        )
    try:
        container = av.open(str(path))
    except Exception as error:  # PyAV's own errors, and others on odd files
        raise _unreadable(path, error) from error
    with container:
        yield container


def decoded_frames(container: InputContainer, stream: Any, path: Path) -> Iterator[Any]:
    """Decode the frames of a stream of an open file."""
    frame = None
    try:
        for frame in container.decode(stream):
            yield frame
    except Exception as error:  # PyAV's own errors, and others on odd files
        if frame is None:
            raise _unreadable(path, error) from error
        raise VideoFileError(
            f"{path}: cannot be decoded to its end ({reason_of(error)}). Is it cut off? Keep"
            " what can be read: ffmpeg -i FILE whole.mkv"
        ) from error


def _unreadable(path: Path, error: Exception) -> VideoFileError:
    return VideoFileError(
        f"{path}: not readable as image, video or sound ({reason_of(error)}). Is it whole? Else"
        " write it anew: ffmpeg -i FILE new.mp4"
    )


@dataclass(frozen=True)
class SoundStream:
    """Sound of an open file."""

    begin: float  # of its first sample on the clock of the file, in seconds
    seconds: float  # approximate length; 0 if unknown
    rate: int
    codec: str  # FFmpeg's name of its coding
    layout: str  # FFmpeg's name of its channels
    channels: int
    pieces: Iterator[Floats]  # `[channels, n]`, without gaps in time; to be read once

    def resampled(self, rate: int = SAMPLE_RATE) -> Floats:
        """Read all samples at a rate, `[channels, length]`, by `soxr_hq` as `read_clip`."""
        if self.rate == rate:
            return np.concatenate(list(self.pieces), axis=1)
        stream = soxr.ResampleStream(self.rate, rate, self.channels, dtype="float32", quality="HQ")
        parts = [stream.resample_chunk(np.ascontiguousarray(piece.T)) for piece in self.pieces]
        parts.append(stream.resample_chunk(np.empty((0, self.channels), np.float32), last=True))
        return np.concatenate(parts).T


def ends_inside_a_frame(path: Path) -> bool:
    """Whether the last frame of an MPEG sound is incomplete."""
    with opened_media(path) as container:
        stream = container.streams.audio[0]
        last = b""
        for packet in container.demux(stream):
            last = bytes(packet) or last
        # FFmpeg's parser keeps a frame until it is whole
        return not av.CodecContext.create(stream.codec_context.name, "r").parse(last)


@contextmanager
def opened_sound(path: Path) -> Iterator[SoundStream]:
    """Open the sound of a sound or video file."""
    with opened_media(path) as container:
        if not container.streams.audio:
            raise no_sound(path)
        first, frames, begin = _begun(container, path)
        yield SoundStream(
            begin,
            (container.duration or 0) / av.time_base,
            first.sample_rate,
            container.streams.audio[0].codec_context.name,
            first.layout.name,
            first.layout.nb_channels,
            _in_time(frames, begin, path),
        )


def _begun(container: InputContainer, path: Path) -> tuple[Any, Iterator[Any], float]:
    """First frame of an open file's sound, all frames, and the time of the first in seconds."""
    frames = decoded_frames(container, container.streams.audio[0], path)
    first = next(frames, None)
    if first is None:
        raise VideoFileError(f"{path}: its sound holds no samples.")
    begin = 0.0 if first.pts is None else float(first.pts * first.time_base)
    return first, chain([first], frames), begin


class MonoSound(NamedTuple):
    """Sound of a file at `SAMPLE_RATE`."""

    samples: npt.NDArray[np.int16]  # `[length]`
    begin: float  # of the first sample on the clock of the file, in seconds


def read_mono(path: Path) -> MonoSound:
    """Read the sound of a sound or video file as whole numbers of 16 bits.

    Channels are mixed and resampled to `SAMPLE_RATE` by FFmpeg's resampler, as `ffmpeg -i FILE -ac
    1 -ar 16000 -c:a pcm_s16le` does: the same to one unit. Sound that starts late is not padded.

    Raises:
        VideoFileError: when there is no sound, or when it cannot be decoded to its end.
    """
    with opened_media(path) as container:
        if not container.streams.audio:
            raise VideoFileError(f"{path}: has no sound.")
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        _, frames, begin = _begun(container, path)
        parts: list[npt.NDArray[Any]] = [np.empty((1, 0), np.int16)]
        with decoding(path, VideoFileError, "its sound cannot be resampled"):
            for frame in chain(frames, [None]):
                parts += [each.to_ndarray() for each in resampler.resample(frame)]
    samples: npt.NDArray[np.int16] = np.concatenate(parts, axis=1)[0]
    if not len(samples):
        raise VideoFileError(f"{path}: its sound holds no samples.")
    return MonoSound(samples, begin)


def no_sound(path: Path) -> VideoFileError:
    """Make the error for a video without sound."""
    return VideoFileError(
        f"{path}: has no sound. Give one behind it: vssl-localize {path.name} sound.wav"
    )


def _in_time(frames: Iterator[Any], begin: float, path: Path) -> Iterator[Floats]:
    """Place the samples of frames by their times: fill gaps with silence, drop overlaps."""
    shapes, count = set(), 0
    for frame in frames:
        rate, channels = shape = (frame.sample_rate, frame.layout.nb_channels)
        shapes.add(shape)
        if len(shapes) > 1:
            raise VideoFileError(
                f"{path}: its sound changes its rate or its channels. Give it one of each first:"
                " ffmpeg -i FILE -ar 16000 -ac 1 sound.wav"
            )
        samples = _frame_samples(frame, path)
        seconds = begin + count / rate
        late = 0.0 if frame.pts is None else float(frame.pts * frame.time_base) - seconds
        if late < -_LONGEST_OVERLAP:
            raise VideoFileError(
                f"{path}: the times of its sound step back by {-late:.1f} s at {seconds:.1f} s."
                " Give it new ones first: ffmpeg -fflags +igndts -i FILE sound.wav"
            )
        if late < -_JITTER:
            samples = samples[:, round(-late * rate) :]
        missing = round(late * rate) if late > _JITTER else 0
        count += missing + samples.shape[1]
        for remaining in range(missing, 0, -rate):  # by the second: a damaged file may lack days
            yield np.zeros((channels, min(remaining, rate)), np.float32)
        yield samples


def _frame_samples(frame: Any, path: Path) -> Floats:
    """Convert a decoded frame to floats `[channels, n]`; integers scaled as by libsndfile."""
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels >= _MOST_PLANES:
        (frame,) = av.AudioResampler(format="flt").resample(frame)
    values: npt.NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    if values.dtype == np.uint8:
        return ((values.astype(np.float32) - 128) / 128).astype(np.float32)
    if np.issubdtype(values.dtype, np.integer):
        return (values / -float(np.iinfo(values.dtype).min)).astype(np.float32)
    if not np.isfinite(values).all():
        raise VideoFileError(f"{path}: its sound holds NaN or infinite samples.")
    return values.astype(np.float32)


def is_cut_off(path: Path) -> bool:
    """Whether a file is shorter than its container states.

    Known for AVI and wav, Matroska and WebM, mp4 and mov, FLV, and transport streams; else False.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(2 * _TRANSPORT_PACKET + 1)
        if head[:4] == b"RIFF":
            stated = int.from_bytes(head[4:8], "little")
            return size < stated + 8 and stated < STREAMED
        if head[:4] == _EBML:
            segment = _end_of_element(head, len(_EBML))
            if head[segment : segment + 4] != _SEGMENT:
                return False
            return size < _end_of_element(head, segment + len(_SEGMENT))
        if head[4:8] in _ATOMS:
            return size < _end_of_atoms(file, size)
        if head[::_TRANSPORT_PACKET] == b"\x47" * 3:
            return size % _TRANSPORT_PACKET != 0
        if head[:3] != b"FLV":
            return False
        # an FLV ends with a whole tag, whose length follows it
        file.seek(size - 4)
        length = int.from_bytes(file.read(), "big")
        file.seek(max(0, size - 4 - length))
        return int.from_bytes(file.read(4)[1:], "big") + 11 != length


def _end_of_element(head: bytes, place: int) -> int:
    """End of the Matroska element whose size is stored at a place; 0 for an unknown size."""
    # leading zeros of the first byte give the length of the size; all ones mean unknown
    length = 9 - head[place].bit_length() if place < len(head) else 9
    value = int.from_bytes(head[place : place + length], "big") & ((1 << 7 * length) - 1)
    unknown = length > 8 or value == (1 << 7 * length) - 1
    return 0 if unknown else place + length + value


def _end_of_atoms(file: BinaryIO, size: int) -> int:
    """End of the last known part of an mp4, as stated."""
    place = 0
    while place + 8 <= size:
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if head[4:8] not in _ATOMS or length < 8:  # 0 means up to the end of the file
            break
        place += length
    return place
