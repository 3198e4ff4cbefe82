"""For tests of vssl-localize: what it makes of files, and small videos made and read with PyAV."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from tests.helpers.running import HEARS
from vssl.localize.image import localize_image
from vssl.localize.setup import LocalizeOptions
from vssl.localize.video import localize_video

HEARD = (*(each for each in HEARS if not each.startswith("model=")), "trainer=cpu")
RATE = 10
"""Frames per second."""


def options(**given: Any) -> LocalizeOptions:
    """The command line with the small model that hears, where nothing else is given."""
    return LocalizeOptions(**{"model": "ezvsl", "overrides": HEARD, "noise_draws": 2, **given})


def localized(
    picture: Path,
    sound: Path | None,
    output: Path,
    *,
    fps: float = 5.0,
    draw_video: bool = True,
    **given: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """localize.json and the arrays of localize.npz of an image or a video."""
    wanted = options(**given)
    if sound is not None and picture.suffix == ".jpg":
        localize_image(picture, sound, wanted, output)
    else:
        localize_video(picture, sound, wanted, output, fps=fps, draw_video=draw_video)
    with np.load(output / "localize.npz", allow_pickle=False) as arrays:
        return json.loads((output / "localize.json").read_text()), dict(arrays)


def tone(rate: int, *, seconds: float, hertz: float = 440.0) -> npt.NDArray[np.float32]:
    """A tone, `[1, length]`."""
    time = np.arange(round(rate * seconds)) / rate
    return (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)[None]


def picture(number: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A dark frame with a bright square that moves, and a corner that tells which way is up."""
    width, height = size
    pixels = np.full((height, width, 3), 40, np.uint8)
    x = 2 * number % (width - 24)
    pixels[height // 3 : height // 3 + 24, x : x + 24] = (250, 200, 90)
    pixels[:8, :8] = (255, 0, 0)
    return pixels


def make_video(
    path: Path,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (96, 64),
    ticks: Sequence[int] | None = None,
    start: int = 0,
    turned: int = 0,
    sound_codec: str | None = "aac",
    rate: int = 44_100,
    seconds: float = 2.0,
    layout: str = "mono",
    silent: Sequence[tuple[float, float]] = (),
    fps: Fraction | int = RATE,
    draw: Callable[[int, tuple[int, int]], npt.NDArray[np.uint8]] = picture,
    aspect: Fraction | int = 1,
    **options: str,
) -> Path:
    """Write a video of a moving square with a tone, in the format that its suffix says.

    `ticks` are times of frames in units of `1 / fps`, else one after the other, and `start` is that
    of the first. `turned` is a rotation, counter-clockwise, that players apply. `silent` are spans
    in seconds of which the sound is left out. `options` are those of FFmpeg's writer of the format.
    """
    with av.open(str(path), "w", container_options=options) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv444p" if codec == "ffv1" else "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        if turned:
            stream.set_display_rotation(turned)
        sound = None
        if sound_codec is not None:
            sound = container.add_stream(sound_codec, rate=rate, layout=layout)
        for tick in range(round(seconds * fps)) if ticks is None else ticks:
            frame = av.VideoFrame.from_ndarray(draw(tick, size), format="rgb24")
            frame.pts, frame.time_base = start + tick, 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is None:
            return path
        samples = np.repeat(tone(rate, seconds=seconds), av.AudioLayout(layout).nb_channels, 0)
        frames = []
        for begin in range(0, samples.shape[1], 1024):
            piece = np.ascontiguousarray(samples[:, begin : begin + 1024].T).reshape(1, -1)
            heard = av.AudioFrame.from_ndarray(piece, format="flt", layout=layout)
            heard.sample_rate, heard.time_base = rate, Fraction(1, rate)
            heard.pts = begin + round(start * rate / fps)
            frames.append(heard)
        for packet in itertools.chain.from_iterable(map(sound.encode, [*frames, None])):
            second = float(packet.pts * packet.time_base) - float(start / fps)
            if not any(begin <= second < end for begin, end in silent):
                container.mux(packet)
    return path


def read_video(path: Path) -> tuple[list[float], list[npt.NDArray[np.uint8]]]:
    """Times in seconds and frames `[H, W, 3]`, as they are stored."""
    times, frames = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times.append(float(frame.pts * frame.time_base))
            frames.append(frame.to_ndarray(format="rgb24"))
    return times, frames


def read_sound(path: Path) -> npt.NDArray[np.float32]:
    """Samples `[channels, length]` in [-1, 1], at the file's rate."""
    resampler = av.AudioResampler(format="flt")
    with av.open(str(path)) as container:
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    channels = frames[0].layout.nb_channels
    return np.concatenate([f.to_ndarray().reshape(-1, channels).T for f in frames], axis=1)
