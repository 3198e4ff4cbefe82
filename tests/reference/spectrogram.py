"""Spectrograms by scipy and librosa, in float64."""

from __future__ import annotations

import warnings
from typing import Any

import librosa
import numpy as np
import scipy.signal
from numpy.typing import NDArray


def log_spectrogram(
    waveform: NDArray[Any],
    rate: int,
    *,
    nperseg: int = 512,
    noverlap: int = 274,
    frames: int | None = None,
    floor: float = 1e-7,
    scale: float = 12.0,
    log: bool = True,
) -> NDArray[np.float64]:
    """`[nperseg // 2 + 1, frames]`; the crop is torchvision's: halves are rounded to even."""
    _, _, power = scipy.signal.spectrogram(
        waveform.astype(np.float64), rate, nperseg=nperseg, noverlap=noverlap
    )
    values: NDArray[np.float64] = np.log(power + floor) if log else power
    if frames is not None:
        lack = frames - values.shape[1]
        if lack > 0:
            values = np.pad(values, ((0, 0), (lack // 2, lack - lack // 2)))
        first = int(np.rint((values.shape[1] - frames) / 2))
        values = values[:, first : first + frames]
    return values / scale


def mel_spectrogram(
    waveform: NDArray[Any],
    *,
    n_fft: int = 512,
    hop: int = 239,
    filters: NDArray[Any],
    floor: float = 1e-10,
    log: bool = True,
) -> NDArray[np.float64]:
    """`[bands, frames]` power over the squared window's sum, or 10 log10 of it.

    `filters` `[bands, n_fft // 2 + 1]` stand for librosa's own.
    """
    with warnings.catch_warnings():
        # librosa's, about clips shorter than a window
        warnings.simplefilter("ignore")
        spectrum = librosa.stft(
            waveform.astype(np.float64), n_fft=n_fft, hop_length=hop, pad_mode="reflect"
        )
    mel = filters.astype(np.float64) @ np.square(np.abs(spectrum))
    mel = mel / np.square(scipy.signal.get_window("hann", n_fft)).sum()
    return np.asarray(10 * np.log10(np.maximum(mel, floor)) if log else mel)
