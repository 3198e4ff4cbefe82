"""How maps are laid over pictures, in figures and videos alike."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np

from vssl.core.arrays import AnyFloats

COLOURS = "inferno"
"""Name of the colours of maps: perceptually even, and readable without colour vision."""
_LEAST_WEIGHT, _MOST_WEIGHT = 0.25, 0.75


def in_range(values: AnyFloats, bounds: tuple[float, float]) -> AnyFloats:
    """Map values as shares of the way from the lowest value that can be to the highest.

    A map without a declared range is drawn in its own extremes.
    """
    low, high = bounds
    if not np.isfinite([low, high]).all():
        low, high = float(np.nanmin(values)), float(np.nanmax(values)) + 1e-12
    shares: AnyFloats = ((values - low) / (high - low)).clip(0, 1)
    return np.nan_to_num(shares)


def layer(shares: AnyFloats) -> tuple[AnyFloats, AnyFloats]:
    """Colours `[H, W, 3]` in [0, 1] of a map's shares `[H, W]`, and their weights `[H, W, 1]`.

    The higher the map, the brighter its colour and the less of the picture shows through.
    """
    colours = mpl.colormaps[COLOURS](shares)[..., :3]
    return colours, _LEAST_WEIGHT + (_MOST_WEIGHT - _LEAST_WEIGHT) * shares[..., None]


def laid_over(picture: AnyFloats, shares: AnyFloats) -> AnyFloats:
    """A picture `[H, W, 3]` in [0, 1] with a map `[H, W]` of shares over it."""
    colours, weight = layer(shares)
    return (1 - weight) * picture + weight * colours
