"""Video files: their frames and their sound, read as streams, so that length takes no memory.

Frames are turned upright where the file says that they are stored turned. Times are in seconds from
the first frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soxr
from av.container import InputContainer

from vssl.audio import Waveform
from vssl.containers import is_cut_off
from vssl.errors import UsageError
from vssl.images import Pixels
from vssl.media import decoding, reason_of, require_file
from vssl.types import SAMPLE_RATE

_JITTER = 0.01
"""Seconds by which times of a sound may be off, which files round to a millisecond or so."""

_LONGEST_OVERLAP = 1.0
"""Seconds of a sound that may be there twice; a longer step back is a clock that starts anew."""


_MOST_PLANES = 8
"""Planes of a frame of sound from which on PyAV reads memory that is none of the frame's."""


class VideoFileError(UsageError):
    """A video file that cannot be used; the message names the file and what would help."""


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a video before it is read through.

    Attributes:
        path: the file.
        width: of an upright frame, in pixels.
        height: of an upright frame, in pixels.
        turned: quarter turns, counter-clockwise, that bring stored frames upright.
        rate: average frames per second.
        frames: about how many there are; 0 where the file does not say.
        time_base: unit of the times of frames, in seconds.
        first: time of the first frame in that unit.
        pixel_aspect: width of a pixel over its height, of an upright frame.
        has_sound: whether there is a sound.
    """

    path: Path
    width: int
    height: int
    turned: int
    rate: Fraction
    frames: int
    time_base: Fraction
    first: int
    pixel_aspect: Fraction
    has_sound: bool

    @property
    def begin(self) -> float:
        """Time of the first frame on the clock of the file, in seconds."""
        return float(self.first * self.time_base)


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a video; its pixels are converted when asked for.

    Attributes:
        ticks: time since the first frame, in the video's time base.
        seconds: the same in seconds.
    """

    ticks: int
    seconds: float
    _frame: av.VideoFrame
    _turned: int
    _path: Path

    def pixels(self) -> Pixels:
        """The upright frame, `[H, W, 3]` RGB."""
        with decoding(self._path, VideoFileError, "holds a frame that cannot be shown"):
            stored = self._frame.to_ndarray(format="rgb24")
        return np.ascontiguousarray(np.rot90(stored, self._turned))


def video_facts(path: Path) -> VideoFacts:
    """Look at a video's first frame and at what its file says of the others.

    Raises:
        VideoFileError: for a missing or unreadable file, or one without moving pictures.
    """
    with opened_video(path) as container:
        if not container.streams.video:
            raise VideoFileError(
                f"{path}: holds no pictures, only sound. Are picture and sound swapped?"
            )
        stream = container.streams.video[0]
        frame = next(iter(_decoded(container, stream, path)), None)
        if frame is None or stream.time_base is None:
            raise VideoFileError(f"{path}: holds no frame that can be decoded.")
        turned = _quarter_turns(frame.rotation, path)
        width, height = frame.width, frame.height
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if turned % 2:
            width, height, aspect = height, width, 1 / aspect
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        seconds = (container.duration or 0) / av.time_base
        return VideoFacts(
            path=path,
            width=width,
            height=height,
            turned=turned,
            rate=rate,
            frames=stream.frames or round(seconds * rate),
            time_base=stream.time_base,
            first=frame.pts or 0,
            pixel_aspect=Fraction(aspect),
            has_sound=bool(container.streams.audio),
        )


def _quarter_turns(degrees: float, path: Path) -> int:
    turns = round(degrees / 90)
    if abs(degrees - 90 * turns) > 1:  # FFmpeg computes the angle, and PyAV cuts it to whole ones
        raise VideoFileError(
            f"{path}: is to be shown turned by about {degrees:g} degrees, and only quarter turns"
            " are known. Write it upright: ffmpeg -i VIDEO upright.mp4"
        )
    return turns % 4


def read_frames(facts: VideoFacts) -> Iterator[VideoFrame]:
    """All frames of a video in the order in which they are shown.

    Raises:
        VideoFileError: when it changes its size, or cannot be decoded.
    """
    with opened_video(facts.path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stored = (facts.width, facts.height)[:: -1 if facts.turned % 2 else 1]
        last = -1
        for frame in _decoded(container, stream, facts.path):
            if (frame.width, frame.height) != stored:
                raise VideoFileError(
                    f"{facts.path}: changes its size from {stored[0]} x {stored[1]} to"
                    f" {frame.width} x {frame.height}. Give it one size first: ffmpeg -i VIDEO"
                    f" -vf scale={facts.width}:{facts.height} one-size.mp4"
                )
            # frames without a time, or with one that was there before, follow one tick later
            ticks = last + 1 if frame.pts is None else max(frame.pts - facts.first, last + 1)
            last = ticks
            yield VideoFrame(ticks, float(ticks * facts.time_base), frame, facts.turned, facts.path)


@dataclass(frozen=True)
class SoundStream:
    """The sound of an audio or video file.

    Attributes:
        path: the file.
        begin: time of its first sample on the clock of the file, in seconds.
        rate: in Hz.
        layout: FFmpeg's name of its channels.
        channels: how many they are.
        pieces: its samples piece by piece, `[channels, n]` each, where their times say; to be read
            once, as they are or resampled.
    """

    path: Path
    begin: float
    rate: int
    layout: str
    channels: int
    pieces: Iterator[Waveform]

    @property
    def chunks(self) -> Iterator[Waveform]:
        """The pieces at `SAMPLE_RATE`, resampled as `vssl.audio.read_clip` does (`soxr_hq`)."""
        if self.rate == SAMPLE_RATE:
            yield from self.pieces
            return
        stream = soxr.ResampleStream(
            self.rate, SAMPLE_RATE, self.channels, dtype="float32", quality="HQ"
        )
        for piece in self.pieces:
            yield stream.resample_chunk(np.ascontiguousarray(piece.T)).T
        yield stream.resample_chunk(np.empty((0, self.channels), np.float32), last=True).T


@contextmanager
def opened_sound(path: Path) -> Iterator[SoundStream]:
    """Open the sound of an audio or video file.

    Raises:
        VideoFileError: for a missing or unreadable file, or one without sound.
    """
    with opened_video(path) as container:
        if not container.streams.audio:
            raise no_sound(path)
        stream = container.streams.audio[0]
        frames = _decoded(container, stream, path)
        first = next(frames, None)
        if first is None:
            raise VideoFileError(f"{path}: its sound holds no samples.")
        begin = 0.0 if first.pts is None else float(first.pts * first.time_base)
        yield SoundStream(
            path,
            begin,
            first.sample_rate,
            first.layout.name,
            first.layout.nb_channels,
            _placed(chain([first], frames), begin, path),
        )


def no_sound(path: Path) -> VideoFileError:
    """The error for a video without sound."""
    return VideoFileError(
        f"{path}: has no sound. Give one behind it: vssl-localize {path.name} sound.wav"
    )


def _placed(frames: Iterator[Any], begin: float, path: Path) -> Iterator[Waveform]:
    """Samples of frames, each where its time says: gaps are silent, what is there twice is not.

    Times are coarser than samples in most files. Within `_JITTER` the frames follow each other.
    """
    shape: tuple[int, int] | None = None
    count = 0
    for frame in frames:
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if shape not in (None, (rate, channels)):
            raise VideoFileError(
                f"{path}: its sound changes its rate or its channels. Give it one of each first:"
                " ffmpeg -i FILE -ar 16000 -ac 1 sound.wav"
            )
        shape = (rate, channels)
        samples = _samples(frame, path)
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
        while missing:
            piece = min(missing, rate)
            yield np.zeros((channels, piece), np.float32)
            missing -= piece
        yield samples


def _samples(frame: Any, path: Path) -> Waveform:
    """Samples `[channels, n]` in [-1, 1] of a decoded frame; whole numbers as libsndfile has it."""
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


@contextmanager
def opened_video(path: Path) -> Iterator[InputContainer]:
    """Open a file for reading.

    Raises:
        VideoFileError: for a missing, unreadable or cut-off file.
    """
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


def _decoded(container: InputContainer, stream: Any, path: Path) -> Iterator[Any]:
    frames = container.decode(stream)
    frame = None
    while True:
        try:
            following = next(frames, None)
        except Exception as error:  # PyAV's own errors, and others on odd files
            if frame is None:
                raise _unreadable(path, error) from error
            raise VideoFileError(
                f"{path}: cannot be decoded to its end ({reason_of(error)}). Is it cut off? Keep"
                " what can be read: ffmpeg -i FILE whole.mkv"
            ) from error
        frame = following
        if frame is None:
            return
        yield frame


def _unreadable(path: Path, error: Exception) -> VideoFileError:
    return VideoFileError(
        f"{path}: not readable as image, video or sound ({reason_of(error)}). Is it whole? Else"
        " write it anew: ffmpeg -i FILE new.mp4"
    )
