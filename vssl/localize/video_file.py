"""Video files that are written: drawn frames, with a sound."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace

from vssl.audio.containers import SoundStream, VideoFileError, opened_sound
from vssl.core.errors import UsageError
from vssl.core.media import reason_of
from vssl.images import Pixels
from vssl.videos import VideoFacts, VideoFrame

ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
"""H.264 encoders that FFmpeg may have, best first."""

_QUALITY = {"libx264": {"crf": "18", "preset": "veryfast"}}
_BT709 = 1
_MOST_CHANNELS = 8  # channels that FFmpeg can mix down; it has no mix for some larger layouts


def find_encoder() -> str:
    """Find the name of an H.264 encoder in this build of PyAV."""
    for name in ENCODERS:
        with suppress(ValueError):  # PyAV's UnknownCodecError is one
            return av.Codec(name, "w").name
    raise UsageError(
        f"This build of PyAV has no H.264 encoder ({', '.join(ENCODERS)}): install PyAV's own"
        " wheel (pip install --force-reinstall --only-binary av av), or use --no-video for maps,"
        " numbers and figures without the drawn video."
    )


def write_video(
    path: Path, like: VideoFacts, frames: Iterable[tuple[VideoFrame, Pixels]], sound: Path | None
) -> None:
    """Write frames as H.264, and a sound as AAC, with size, times and pixel shape of another video.

    Each frame of the other video, `like`, comes with upright RGB pixels `[H, W, 3]` to draw. Sound
    of another file begins with the first frame and is cut at the end of the last. H.264 needs even
    sides: an odd one gets its last row or column twice. The file, an mp4, appears under its name
    when it is complete.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with ExitStack() as stack:
            container = stack.enter_context(av.open(str(partial), "w", format="mp4"))
            encoder = find_encoder()
            options = _QUALITY.get(encoder, {})
            stream: Any = container.add_stream(encoder, rate=like.rate, options=options)
            stream.width, stream.height = (side + side % 2 for side in (like.width, like.height))
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = like.time_base
            stream.codec_context.sample_aspect_ratio = like.pixel_aspect
            for name in ("colorspace", "color_primaries", "color_trc"):
                setattr(stream.codec_context, name, _BT709)
            packets: Iterator[Any] = iter(())
            if sound is not None:
                stored = stack.enter_context(opened_sound(sound))
                begin = stored.begin - like.begin if sound == like.path else 0.0
                packets = _sound_packets(container, stored, begin)
            waiting, end = next(packets, None), math.inf

            def write_sound(seconds: float) -> None:
                nonlocal waiting
                while waiting is not None and waiting.pts * waiting.time_base <= seconds:
                    container.mux(waiting)
                    waiting = next(packets, None)

            for frame, pixels in frames:
                rows, columns = (side % 2 for side in pixels.shape[:2])
                even = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")
                drawn = av.VideoFrame.from_ndarray(even, format="rgb24")
                drawn = drawn.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
                drawn.pts, drawn.time_base = frame.ticks, like.time_base
                container.mux(stream.encode(drawn))
                write_sound(frame.seconds)
                if sound != like.path:
                    end = frame.seconds + float(1 / like.rate)
            container.mux(stream.encode(None))
            write_sound(end)
        partial.replace(path)
    except av.FFmpegError as error:
        if error.errno in errno.errorcode and not isinstance(error, ValueError):
            raise  # an error of the disk
        files = " with ".join(map(str, dict.fromkeys(filter(None, (like.path, sound)))))
        raise VideoFileError(
            f"{files}: cannot be written as mp4 ({reason_of(error)}). Write it anew"
            " first: ffmpeg -i FILE -c:a aac new.mp4; or draw no video: --no-video"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _sound_packets(container: Any, sound: SoundStream, begin: float) -> Iterator[Any]:
    """Encode a sound as packets of a new AAC stream in mono or stereo."""
    rates = av.Codec("aac", "w").audio_rates or []
    rate = sound.rate if sound.rate in rates else 48_000
    # channels of unknown order become their mean
    unknown = sound.channels > _MOST_CHANNELS or sound.layout.endswith("channels")
    given = "mono" if unknown else sound.layout
    layout = "mono" if unknown or sound.channels == 1 else "stereo"
    stream: Any = container.add_stream("aac", rate=rate, layout=layout)
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)

    def packets() -> Iterator[Any]:
        place = round(begin * sound.rate)
        for piece in sound.pieces:
            samples = piece.mean(axis=0, keepdims=True) if unknown else piece
            if not samples.shape[1]:
                continue
            packed = np.ascontiguousarray(samples.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=given)
            frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
            frame.pts = place
            place += samples.shape[1]
            for resampled in resampler.resample(frame):
                yield from stream.encode(resampled)
        for resampled in resampler.resample(None):
            yield from stream.encode(resampled)
        yield from stream.encode(None)

    return packets()
