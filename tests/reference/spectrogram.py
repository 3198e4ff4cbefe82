"""Log spectrograms by scipy, in float64."""

from __future__ import annotations

from typing import Any

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
