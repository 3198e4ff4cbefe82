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

_BURN_IN = SAMPLE_RATE // 2
"""Samples in front of coloured noise in which its filter forgets that it started from nothing."""

_LOWEST = 10.0
"""Hz below which coloured noise is flat: half a second is many times the filters' memory."""


def coloured_noise(generator: np.random.Generator, length: int, colour: Colour) -> Array:
    """Gaussian noise of unit variance.

    White noise is the generator's own stream. The others are that stream through a recursive
    filter, with a burn-in in front; so of two lengths the shorter begins the longer.

    Args:
        generator: where the white stream comes from.
        length: in samples at 16 kHz.
        colour: `white`, `pink` (power falls by 3.01 dB per octave) or `brown` (6.02 dB per octave),
            both from 60 Hz to 4 kHz; below 10 Hz all are flat.

    Returns:
        `[length]`; the variance is that of the endless noise, not of the piece.
    """
    if colour == "white":
        return generator.standard_normal(length)
    filtered = _filtered(generator.standard_normal(_BURN_IN + length), colour)
    found: Array = filtered[_BURN_IN:] / _gain(colour)
    return found


def _filtered(white: Array, colour: Colour) -> Array:
    for numerator, denominator in _sections(colour):
        white = scipy.signal.lfilter(numerator, denominator, white)
    return white


@cache
def _sections(colour: Colour) -> tuple[tuple[tuple[float, float], tuple[float, float]], ...]:
    """Filters of first order, one after the other: numerator and denominator of each.

    Brown noise is a sum of white noise that leaks below 10 Hz. Pink noise comes from poles an
    octave apart with a zero half an octave above each: between a pole and a zero the power falls by
    6 dB per octave, between a zero and a pole not at all. The spectrum of such filters flattens
    towards half of the sample rate; a zero at -1/8, or at -1/14, makes up for that.
    """
    if colour == "brown":
        return (((1.0, 1 / 8), (1.0, -_corner(_LOWEST))),)
    corners = [_LOWEST * 2.0**octave for octave in range(10)]
    pairs = [((1.0, -_corner(2**0.5 * each)), (1.0, -_corner(each))) for each in corners]
    return (*pairs, ((1.0, 1 / 14), (1.0, 0.0)))


def _corner(frequency: float) -> float:
    """Pole or zero on the real axis whose corner is at a frequency in Hz."""
    return float(np.exp(-2 * np.pi * frequency / SAMPLE_RATE))


@cache
def _gain(colour: Colour) -> float:
    """Standard deviation that a filter gives white noise: root of the impulse response's energy."""
    impulse = np.zeros(2 * SAMPLE_RATE)  # of which less than 1e-50 is left in the end
    impulse[0] = 1.0
    return float(np.sqrt(np.square(_filtered(impulse, colour)).sum()))


class BesideClip:
    """Noise at a signal-to-noise ratio: as loud as a clip asks.

    Beside a clip of digital silence, which has no such ratio, it is silence; that is logged once
    for each clip.

    Args:
        snr: ratio in dB of the RMS of the clip and that of the noise.
        over: of which the ratio holds: `window`, what the front end hears of both, or `clip`, the
            mono mix of the whole clip and all of the noise. Until `hear` was called it is the
            latter.
        key: configuration key of the condition, for messages.

    Raises:
        UsageError: for another `over`, or a ratio that is not finite.
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
        """Know the windows that the clip and the noise pass through."""
        if self.over == "window":
            self._own, self._made = own, made

    def scaled(self, noise: Array, clip: AudioClip, source_id: str) -> Array:
        """Noise `[T]` at the ratio to a clip."""
        loudness, own = _heard_rms(self._own, clip.samples), _heard_rms(self._made, noise[None])
        if loudness == 0 and source_id not in self._silent:
            self._silent.add(source_id)
            _log.warning(
                "%s.snr: the clip of %s is digital silence, which has no signal-to-noise ratio, so"
                " that the noise is silence too (%d such clips so far)",
                self._key, source_id or "the given sound", len(self._silent),
            )  # fmt: skip
        return noise * (loudness / own / amplitude(self.snr)) if own > 0 else noise


def _heard_rms(window: Window | None, samples: npt.NDArray[np.floating]) -> float:
    """RMS of what a window lets through of `[channels, T]`, if it did not clip; None: of all."""
    if window is None:
        return rms(samples[0] if len(samples) == 1 else samples.mean(axis=0, dtype=np.float32))
    peak = float(np.abs(samples).max())
    if peak == 0:
        return 0.0
    quiet = AudioClip((samples * (0.5 / peak)).astype(np.float32))
    return rms(window(quiet)) * 2 * peak
