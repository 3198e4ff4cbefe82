"""Waveforms in memory, and windows: the part of a clip that a front end takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vssl.core.arrays import Floats
from vssl.core.checks import check_choice, check_positive
from vssl.types import SAMPLE_RATE, AudioClip

Waveform = Floats

Window = Callable[[AudioClip], Waveform]
"""Turns a clip into the mono waveform `[T]` that a front end takes."""

Channels = Literal["mean", "first"]

LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000
"""Sample rates in Hz that are possible."""

_ANY_LENGTH_SECONDS = 10.0  # length of VGG-Sound's clips, taken for windows without a length


def mix_down(clip: AudioClip, channels: Channels) -> Waveform:
    """Average a clip's channels, or take its first one: `[length]`."""
    one = channels == "first" or len(clip.samples) == 1
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
    """Convert decibels to a factor of amplitudes: 20 dB to 10."""
    return float(10 ** (decibels / 20))


@dataclass(frozen=True, kw_only=True)
class _Lasting:
    """Length of a window, and whether it takes the `mean` of a clip's channels or the `first`."""

    seconds: float
    channels: Channels = "mean"

    def __post_init__(self) -> None:
        check_positive(self.seconds, name="seconds")
        check_choice(self.channels, ("mean", "first"), name="channels")


@dataclass(frozen=True, kw_only=True)
class _MonoWindow(_Lasting):
    """Settings of `MiddleWindow` and `CenterWindow`, and their mix to mono."""

    full_scale: int = 32768

    def _mono(self, clip: AudioClip) -> tuple[Waveform, int]:
        """Mixed, scaled and clipped samples, and the window's length."""
        mono = mix_down(clip, self.channels)
        if self.full_scale != 32768:
            mono = mono * np.float32(32768 / self.full_scale)
        return np.clip(mono, -1.0, 1.0), round(self.seconds * clip.rate)


@dataclass(frozen=True, kw_only=True)
class MiddleWindow(_MonoWindow):
    """A window of fixed length, rolled by the file's duration (EZ-VSL, SLAVC).

    The clip is mixed to mono, clipped to [-1, 1], cut or tiled to `seconds`, and rolled circularly
    by half of the window minus half of the *file*. A shorter file is so centred in the window. Of a
    longer file the first `seconds` are kept and rolled back by half the excess. Source: vssl_eval
    datasets/datasets.py, positives.

    Args:
        full_scale: integer that means 1.0 in 16-bit files: 32767 for the authors, 32768 for
            libsndfile.
        roll: False does not roll, as the released code with offscreen clips.
        repeats: most copies when tiling; 2 for the released code's offscreen clips, where a short
            clip does not fill the window. None tiles until the window is full.

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

    The clip is mixed to mono and clipped to [-1, 1]. Of a file longer than `seconds` the middle is
    kept; a shorter one is tiled. The released evaluation uses another window instead
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
class TiledMiddle(_Lasting):
    """The middle of a clip that is tiled where it is shorter than the window, not clipped (SACL).

    A shorter clip of T samples is repeated `length // T + 1` times, which is more than the window
    needs. Source: zjsong/SACL dataset/base.py.

    Raises:
        ValueError: for a window without length or an unknown `channels`.
    """

    seconds: float = 3.0

    def __call__(self, clip: AudioClip) -> Waveform:
        """Cut the window out of a clip: `[channels, T]` to `[length]`."""
        samples, length = mix_down(clip, self.channels), round(self.seconds * clip.rate)
        if samples.shape[0] < length:
            samples = np.tile(samples, length // samples.shape[0] + 1)
        first = samples.shape[0] // 2 - length // 2
        return samples[first : first + length]


@dataclass(frozen=True, kw_only=True)
class WholeClip:
    """The whole clip mixed to mono, neither tiled nor clipped (RCGrad).

    The released code also does so with silence and noise (`made_audio` in docs/protocols.md).
    """

    def __call__(self, clip: AudioClip) -> Waveform:
        """Mix a clip to mono: `[channels, T]` to `[T]`."""
        return mix_down(clip, "mean")


@dataclass(frozen=True, kw_only=True)
class BeginWindow(_Lasting):
    """The begin of a clip mixed to mono, neither tiled nor clipped (DenseAV, ACL).

    At most `seconds` are kept; `padded` fills a shorter clip up with zeros.

    Raises:
        ValueError: for a window without length or an unknown `channels`.
    """

    seconds: float = 10.0
    padded: bool = False

    def __call__(self, clip: AudioClip) -> Waveform:
        """Cut the window out of a clip: `[channels, T]` to `[length]`, or less if not padded."""
        length = round(self.seconds * clip.rate)
        begin = mix_down(clip, self.channels)[:length]
        return np.pad(begin, (0, length - len(begin))) if self.padded else begin


@dataclass(frozen=True, kw_only=True)
class SpanWindow:
    """A fixed span of a clip tiled to fixed length (LVS, SSL-Align; SSL-TIE with the whole length).

    The clip is mixed to mono, tiled and cut to `seconds`. The part from `start` to `stop` is kept,
    and clipped to [-1, 1] unless `clip=False` (SSL-TIE). Source: vssl_eval datasets/datasets_lvs.py
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


def clip_at(
    sound: Waveform, seconds: float, window: object, rate: int = SAMPLE_RATE
) -> tuple[int, AudioClip]:
    """Cut the part of a sound around a moment, as a clip of which a window takes that part.

    The part is centred at the moment, and moved inside the sound near its ends: silence or a
    repetition there would be an event. A shorter sound is returned whole. A window without
    `seconds`, as `WholeClip`, gets 10 s.

    The sound is `[channels, length]` at `rate` in Hz, the moment in seconds from its begin. Returns
    the sample of the sound at which the part begins, and the clip.
    """
    whole = getattr(window, "seconds", _ANY_LENGTH_SECONDS)
    span = (whole, getattr(window, "start", 0.0), getattr(window, "stop", whole))
    length, start, stop = (round(each * rate) for each in span)
    taken = stop - start
    if sound.shape[1] < taken:
        return 0, AudioClip(sound, rate)
    begin = round(seconds * rate) - taken // 2
    begin = max(0, min(begin, sound.shape[1] - taken))
    clip = np.zeros((len(sound), length), np.float32)  # the window cuts the zeros away
    clip[:, start:stop] = sound[:, begin : begin + taken]
    return begin, AudioClip(clip, rate)
