"""Coloured noise and its loudness, shared by the conditions that play noise."""

from __future__ import annotations

import logging
from functools import cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy  # loads scipy.signal when it is first used, which takes half a second

from vssl.audio import Window, amplitude, rms
from vssl.core.checks import check_choice, check_finite
from vssl.types import SAMPLE_RATE, AudioClip

Colour = Literal["white", "pink", "brown"]
COLOURS: tuple[str, ...] = get_args(Colour)
"""Power spectral density flat, and falling by 3.01 and 6.02 dB per octave."""

Over = Literal["window", "clip"]

Array = npt.NDArray[np.float64]

_log = logging.getLogger(__name__)

_LOWEST = 10.0
"""Hz below which coloured noise is flat: half a second is many times the filters' memory."""


def coloured_noise(
    generator: np.random.Generator, length: int, colour: Colour, rate: int = SAMPLE_RATE
) -> Array:
    """Gaussian noise of unit variance.

    White noise is the generator's own stream. The others are that stream through a recursive
    filter, after a burn-in. A shorter noise is the beginning of a longer one.

    Power of `pink` falls by 3.01 dB per octave, of `brown` by 6.02 dB, both from 60 Hz to a quarter
    of the rate; below 10 Hz all are flat. Returns `[length]`, with the variance of the endless
    noise rather than of this piece.
    """
    if colour == "white":
        return generator.standard_normal(length)
    burn_in = rate // 2  # in which the filter forgets that it started from nothing
    filtered = _filtered(generator.standard_normal(burn_in + length), colour, rate)
    scaled: Array = filtered[burn_in:] / _gain(colour, rate)
    return scaled


def _filtered(white: Array, colour: Colour, rate: int) -> Array:
    for numerator, denominator in _sections(colour, rate):
        white = scipy.signal.lfilter(numerator, denominator, white)
    return white


@cache
def _sections(
    colour: Colour, rate: int
) -> tuple[tuple[tuple[float, float], tuple[float, float]], ...]:
    """Numerator and denominator of each filter of first order, in series."""
    # brown: a leaky sum, flat below 10 Hz. Pink: poles an octave apart, each with a zero half an
    # octave above; power falls by 6 dB per octave from a pole to its zero, and not from there to
    # the next pole. A zero at -1/8 or -1/14 makes up for the flat end near half the sample rate.
    if colour == "brown":
        return (((1.0, 1 / 8), (1.0, -_corner(_LOWEST, rate))),)
    octaves = int(np.log2(rate / 2 / (2**0.5 * _LOWEST))) + 1  # whose zeros are below half the rate
    corners = [_LOWEST * 2.0**octave for octave in range(octaves)]
    pairs = [
        ((1.0, -_corner(2**0.5 * pole, rate)), (1.0, -_corner(pole, rate))) for pole in corners
    ]
    return (*pairs, ((1.0, 1 / 14), (1.0, 0.0)))


def _corner(frequency: float, rate: int) -> float:
    """Pole or zero on the real axis whose corner is at a frequency in Hz."""
    return float(np.exp(-2 * np.pi * frequency / rate))


@cache
def _gain(colour: Colour, rate: int) -> float:
    """Standard deviation that a filter gives white noise: root of the impulse response's energy."""
    impulse = np.zeros(2 * rate)  # of which less than 1e-50 is left in the end
    impulse[0] = 1.0
    return float(np.sqrt(np.square(_filtered(impulse, colour, rate)).sum()))


class BesideClip:
    """Scales noise to a signal-to-noise ratio with a clip.

    A clip of digital silence has no such ratio: the noise is silence too, which is logged once for
    each clip.

    The ratio, `snr` in dB, is measured `over` the `window`, the part of both that the front end
    hears, or the `clip`, its mono mix and all of the noise; before `hear` is called, over the clip.
    `key` is the configuration key of the condition, for messages.
    """

    def __init__(self, snr: float, over: Over, *, key: str) -> None:
        check_finite(snr, name=f"{key}.snr")
        check_choice(over, get_args(Over), name=f"{key}.over")
        self.snr = snr
        self.over = over
        self._key = key
        self._own: Window | None = None
        self._made: Window | None = None
        self._silent: set[str] = set()

    def hear(self, own: Window, made: Window) -> None:
        """Take the windows of the clip and of the noise."""
        if self.over == "window":
            self._own, self._made = own, made

    def scaled(self, noise: Array, clip: AudioClip, source_id: str) -> Array:
        """Scale noise `[T]`, at the rate of a clip, to the ratio with it."""
        loudness = _heard_rms(self._own, clip.samples, clip.rate)
        own = _heard_rms(self._made, noise[None], clip.rate)
        if loudness == 0 and source_id not in self._silent:
            self._silent.add(source_id)
            _log.warning(
                "%s.snr: the clip of %s is digital silence, which has no signal-to-noise ratio, so"
                " that the noise is silence too (%d such clips so far)",
                self._key, source_id or "the given sound", len(self._silent),
            )  # fmt: skip
        return noise * (loudness / own / amplitude(self.snr)) if own > 0 else noise


def _heard_rms(window: Window | None, samples: npt.NDArray[np.floating], rate: int) -> float:
    """RMS of the part of `[channels, T]` inside a window, before it clips; of all for None."""
    if window is None:
        return rms(samples[0] if len(samples) == 1 else samples.mean(axis=0, dtype=np.float32))
    peak = float(np.abs(samples).max())
    if peak == 0:
        return 0.0
    quiet = AudioClip((samples * (0.5 / peak)).astype(np.float32), rate)
    return rms(window(quiet)) * 2 * peak
