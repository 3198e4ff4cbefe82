"""Waveforms in memory, and the windows of a clip that front ends hear."""

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
"""What a front end hears of a clip: a mono waveform `[T]`."""

Channels = Literal["mean", "first"]

_ANY_LENGTH_SECONDS = 10.0
"""Length of VGG-Sound's clips: what a model hears whose front end takes clips of any length."""


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
