"""Audio windows sample by sample, written from docs/protocols.md, R4, R5, R10 and R11."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def middle_window(
    samples: Array,
    rate: int,
    *,
    seconds: float,
    full_scale: int = 32768,
    roll: bool = True,
    repeats: int | None = None,
) -> Array:
    """EZ-VSL: mono, clipped, tiled, then moved so that file sample n // 2 stands in the middle."""
    mono = [float(np.mean(column)) * 32768 / full_scale for column in np.transpose(samples)]
    mono = [min(1.0, max(-1.0, value)) for value in mono]
    count = len(mono)
    length = round(seconds * rate)
    if repeats is not None:
        length = min(length, repeats * count)
    window = np.empty(length)
    for position in range(length):
        # where this value stood before the move; the window is a ring
        origin = (position - length // 2 + count // 2) % length if roll else position
        window[position] = mono[origin % count]
    return window


def center_window(samples: Array, rate: int, *, seconds: float, full_scale: int = 32768) -> Array:
    """FNAC: mono, clipped; as much is left out before as behind, or the clip starts again."""
    mono = [float(np.mean(column)) * 32768 / full_scale for column in np.transpose(samples)]
    mono = [min(1.0, max(-1.0, value)) for value in mono]
    length = round(seconds * rate)
    # of an odd number of samples to leave out, the smaller half lies before
    start = max(0, len(mono) - length) // 2
    return np.array([mono[(start + position) % len(mono)] for position in range(length)])


def span_window(
    samples: Array, rate: int, *, seconds: float, start: float, stop: float, first: bool = True
) -> Array:
    """LVS: one channel, tiled to `seconds`, of which `start` to `stop` is kept and clipped."""
    mono = samples[0] if first else np.mean(samples, axis=0)
    positions = range(round(start * rate), round(stop * rate))
    assert positions.stop <= round(seconds * rate)
    return np.array([min(1.0, max(-1.0, float(mono[i % len(mono)]))) for i in positions])
