"""Recordings of the embedded benchmark's scenes: several sources at once, and background noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vssl.audio import amplitude, rms

Floats = NDArray[np.floating[Any]]

PEAK = 0.95
"""Largest absolute value of a sum; above it, all of its parts are scaled down together."""


def mix_equally(recordings: Sequence[Floats]) -> NDArray[np.float32]:
    """Sources that sound at once, all of them equally loud (RMS over the clip).

    Args:
        recordings: waveforms [L] within [-1, 1], none of them silent.

    Returns:
        Their sum [L] at the level of the first, or below it where its peak would pass `PEAK`.
    """
    mixed = np.add.reduce([each / rms(each) for each in np.asarray(recordings, np.float64)])
    return _within_peak(mixed * (rms(recordings[0]) / rms(mixed)))


def add_noise(recording: Floats, snr: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """A recording with background noise whose power falls as 1 / frequency (pink noise).

    Args:
        recording: waveform [L] within [-1, 1], not silent.
        snr: level of the recording above the noise in dB (RMS over the clip).
        generator: source of the noise; the same one gives the same noise at every level.

    Returns:
        The sum [L], with the recording at its own level, unless the peak would pass `PEAK`: then
        both are scaled down.
    """
    spectrum = np.fft.rfft(generator.standard_normal(recording.size))
    bins = np.arange(spectrum.size)
    # No power at 0 Hz, and none that rises below 20 Hz, which nobody hears.
    spectrum *= (bins > 0) / np.sqrt(np.maximum(bins, 20 * recording.size / 16_000))
    noise = np.fft.irfft(spectrum, recording.size)
    noise *= rms(recording) * amplitude(-snr) / rms(noise)
    return _within_peak(recording + noise)


def _within_peak(waveform: Floats) -> NDArray[np.float32]:
    scaled = waveform * min(1.0, PEAK / np.abs(waveform).max())
    return np.asarray(scaled, np.float32)
