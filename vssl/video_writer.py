"""Video files that are drawn anew: frames as H.264 in mp4, with a sound beside them."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import Colorspace

from vssl.errors import UsageError
from vssl.images import Pixels
from vssl.media import reason_of
from vssl.video import (
    SoundStream,
    VideoFacts,
    VideoFileError,
    VideoFrame,
    opened_sound,
    opened_video,
)

ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
"""H.264 encoders that FFmpeg may have, best first."""

_QUALITY = {"libx264": {"crf": "18", "preset": "veryfast"}}
_COPIED = ("aac", "mp3", "ac3", "alac", "opus")
"""Sounds that mp4 can hold; others are encoded anew, as AAC."""

_MOST_CHANNELS = 8
"""Of a sound that FFmpeg mixes down; it knows no mix for some of the layouts above."""

_BT709 = 1
_SECOND = Fraction(1)


def find_encoder() -> str:
    """Name of an H.264 encoder.

    Raises:
        UsageError: when there is none.
    """
    for name in ENCODERS:
        try:
            av.Codec(name, "w")
        except ValueError:  # PyAV's UnknownCodecError is one
            continue
        return name
    raise UsageError(
        f"This build of PyAV has no H.264 encoder ({', '.join(ENCODERS)}): install PyAV's own"
        " wheel (pip install --force-reinstall --only-binary av av), or use --no-video for maps,"
        " numbers and figures without the drawn video."
    )


class VideoWriter:
    """Writes frames at the times of another video's frames, and a sound beside them.

    Made by `opened_writer`.
    """

    def __init__(
        self, container: OutputContainer, stream: Any, sound: _Sound | None, files: str
    ) -> None:
        self._container = container
        self._stream = stream
        self._sound = sound
        self._files = files

    def write(self, frame: VideoFrame, pixels: Pixels) -> None:
        """Write a frame, and the sound up to its time.

        Args:
            frame: the frame of the other video that says when it is shown.
            pixels: what is shown, `[H, W, 3]` RGB, upright.
        """
        drawn = av.VideoFrame.from_ndarray(_even(pixels), format="rgb24")
        drawn = drawn.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        drawn.pts, drawn.time_base = frame.ticks, self._stream.codec_context.time_base
        with self._fitting():
            self._container.mux(self._stream.encode(drawn))
        self._write_sound(frame.seconds)

    def finish(self, seconds: float) -> None:
        """Write what encoders still hold and the rest of the sound, and close the file.

        Args:
            seconds: end of the video, where another sound than its own is cut.
        """
        with self._fitting():
            self._container.mux(self._stream.encode(None))
        own = self._sound is not None and self._sound.own
        self._write_sound(math.inf if own else seconds)
        with self._fitting():
            self._container.close()

    def _write_sound(self, seconds: float) -> None:
        if self._sound is not None:
            with self._fitting():
                for packet in self._sound.until(seconds):
                    self._container.mux(packet)

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """What FFmpeg says of packets or times that do not fit an mp4, as an error with words."""
        try:
            yield
        except av.FFmpegError as error:
            if error.errno in errno.errorcode and not isinstance(error, ValueError):
                raise  # of the disk, not of what is written
            raise VideoFileError(
                f"{self._files}: cannot be written as mp4 ({reason_of(error)}). Write it anew"
                " first: ffmpeg -i FILE -c:a aac new.mp4; or draw no video: --no-video"
            ) from error


@contextmanager
def opened_writer(path: Path, like: VideoFacts, sound: Path | None) -> Iterator[VideoWriter]:
    """Open a video for writing; the file appears under its name only when it is whole.

    Size, times and the shape of pixels are those of `like`, upright. H.264 wants even sides: an odd
    one gets its last row or column twice.

    Args:
        path: mp4 file.
        like: the video whose frames are drawn.
        sound: file of the sound; None for none. That of `like` itself is copied as it is where mp4
            can hold it; another starts with the first frame.

    Raises:
        UsageError: when there is no encoder.
        VideoFileError: when the sound cannot be read.
    """
    partial = path.with_name(f"{path.name}.partial")
    with ExitStack() as stack:
        stack.callback(partial.unlink, missing_ok=True)
        container = stack.enter_context(av.open(str(partial), "w", format="mp4"))
        encoder = find_encoder()
        stream: Any = container.add_stream(
            encoder, rate=like.rate, options=_QUALITY.get(encoder, {})
        )
        stream.width, stream.height = (side + side % 2 for side in (like.width, like.height))
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = like.time_base
        stream.codec_context.sample_aspect_ratio = like.pixel_aspect
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(stream.codec_context, name, _BT709)
        beside, files = None, dict.fromkeys(filter(None, (like.path, sound)))
        if sound is not None:
            source = stack.enter_context(opened_video(sound))
            own = sound == like.path
            # of names, which decoders of one coding have of their own, the coding's
            if source.streams.audio[0].codec_context.codec.canonical_name in _COPIED:
                beside = _Sound(*_copied(container, source), like.begin if own else None)
            else:
                heard = stack.enter_context(opened_sound(sound))
                shift = like.begin - heard.begin if own else None
                beside = _Sound(*_encoded(container, heard), shift)
        yield VideoWriter(container, stream, beside, " with ".join(map(str, files)))
        partial.replace(path)


def _even(pixels: Pixels) -> Pixels:
    rows, columns = (side % 2 for side in pixels.shape[:2])
    return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")


def _copied(container: OutputContainer, source: Any) -> tuple[Any, Iterator[Any]]:
    """A new stream for the sound of a file, and its packets as they are."""
    stream = source.streams.audio[0]
    return container.add_stream_from_template(stream), iter(source.demux(stream))


def _encoded(container: OutputContainer, heard: SoundStream) -> tuple[Any, Iterator[Any]]:
    """A new stream for a sound, and its packets as AAC; more than two channels become two or one.

    Which of many channels is left and right is not known of every layout: their mean is heard then.
    """
    rates = av.Codec("aac", "w").audio_rates or []
    rate = heard.rate if heard.rate in rates else 48_000
    unknown = heard.channels > _MOST_CHANNELS or heard.layout.endswith("channels")
    given = "mono" if unknown else heard.layout
    layout = "mono" if unknown or heard.channels == 1 else "stereo"
    stream: Any = container.add_stream("aac", rate=rate, layout=layout)
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)

    def packets() -> Iterator[Any]:
        count = 0
        for piece in heard.pieces:
            samples = piece.mean(axis=0, keepdims=True) if unknown else piece
            if not samples.shape[1]:
                continue
            packed = np.ascontiguousarray(samples.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=given)
            frame.sample_rate, frame.time_base, frame.pts = (
                heard.rate,
                Fraction(1, heard.rate),
                count,
            )
            count += samples.shape[1]
            for resampled in resampler.resample(frame):
                yield from stream.encode(resampled)
        for resampled in resampler.resample(None):
            yield from stream.encode(resampled)
        yield from stream.encode(None)

    return stream, packets()


class _Sound:
    """Packets of a sound in the order of time, for the container that is written.

    Args:
        stream: what is written.
        packets: its packets, on the clock of what is read.
        shift: time in seconds at which the video begins on that clock; None where the sound begins
            with the video whatever its clock says.
    """

    def __init__(self, stream: Any, packets: Iterator[Any], shift: float | None) -> None:
        self.own = shift is not None
        self._stream = stream
        self._packets = packets
        self._shift = shift
        self._next: Any = None
        self._ended = False

    def until(self, seconds: float) -> Iterator[Any]:
        """Packets that begin before a time."""
        while not self._ended:
            if self._next is None:
                self._next = self._following()
                if self._next is None:
                    self._ended = True
                    break
            if self._next.pts * self._next.time_base > seconds:
                break
            packet, self._next = self._next, None
            yield packet

    def _following(self) -> Any:
        for packet in self._packets:
            if packet.dts is None:  # the empty packet at the end
                continue
            base = packet.time_base or _SECOND
            if packet.pts is None:
                packet.pts = packet.dts
            if self._shift is None:
                self._shift = float(packet.pts * base)
            moved = round(Fraction(self._shift) / base)
            packet.pts, packet.dts = packet.pts - moved, packet.dts - moved
            packet.stream = self._stream
            return packet
        return None
