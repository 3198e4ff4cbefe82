"""Checks of shapes, ranges and names, with one wording for all of vssl.

The wording is: what was expected, what was given, the likely cause. Bad values and shapes raise
`ValueError`, bad types `TypeError`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from vssl.core.choices import did_you_mean
from vssl.core.errors import UsageError

_TOLERANCE = 1e-4


def check_finite(value: float, *, name: str) -> None:
    """Check that a value is a finite number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise UsageError(f"Expected `{name}` to be a finite number, but got {value!r}.")


def check_maps(maps: torch.Tensor, *, name: str = "maps") -> None:
    """Check that `maps` is a floating-point `[N, H, W]` tensor."""
    if not isinstance(maps, torch.Tensor) or not maps.is_floating_point():
        kind = maps.dtype if isinstance(maps, torch.Tensor) else type(maps).__name__
        raise TypeError(f"Expected `{name}` to be a floating-point tensor, but got {kind}.")
    if maps.ndim != 3:
        raise ValueError(
            f"Expected `{name}` to have shape [N, H, W], but got {list(maps.shape)}."
            " Is a batch or channel dimension missing or left over?"
        )


def check_same_shape(first: torch.Tensor, second: torch.Tensor, *, names: str) -> None:
    """Check that two tensors have one shape."""
    if first.shape != second.shape:
        raise ValueError(
            f"Expected {names} to have the same shape, but got {list(first.shape)} and"
            f" {list(second.shape)}. Was one of them upsampled and the other not?"
        )


def check_similarity_maps(
    maps: torch.Tensor, pairs: tuple[int, int], map_size: tuple[int, int], *, model: str
) -> None:
    """Check that maps of a model are `[N, K, h, w]`; `pairs` are N and K, `map_size` h and w."""
    expected = (*pairs, *map_size)
    if maps.shape != expected:
        raise UsageError(
            f"Expected maps of model `{model}` to have shape [N, K, h, w] = {list(expected)}, but"
            f" got {list(maps.shape)}. Does its map_size fit model.image.size?"
        )


def check_map_range(
    maps: torch.Tensor, value_range: tuple[float, float], names: Sequence[str], *, model: str
) -> None:
    """Check that similarity maps `[N, ...]` on the CPU are in the range that their model declares.

    Values may be off by 1e-4. NaN is let through: it is recorded and counted as undefined. `names`
    are of the N samples.
    """
    if not maps.numel():
        return
    low, high = value_range
    values = maps.float().flatten(1).numpy()
    lows, highs = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
    outside = np.flatnonzero((lows < low - _TOLERANCE) | (highs > high + _TOLERANCE)).tolist()
    if outside:
        n = outside[0]
        raise UsageError(
            f"Expected similarity maps of model `{model}` in its declared value_range"
            f" [{low}, {high}], but got values from {lows[n]:.6g} to {highs[n]:.6g} for {names[n]}."
            " Does the yaml declare the range of the raw map (a cosine lies in [-1, 1])?"
        )


def check_positive(value: float, *, name: str) -> None:
    """Check that a number is greater than zero."""
    if not value > 0:
        raise UsageError(f"Expected `{name}` to be greater than 0, but got {value}.")


def check_choice(value: str, choices: Iterable[str], *, name: str) -> None:
    """Check that a name is one of those that exist; else name all, and the nearest."""
    known = list(choices)
    if value not in known:
        hint = did_you_mean(value, known)
        listed = ", ".join(known)
        raise UsageError(f"Expected `{name}` to be one of {listed}, but got `{value}`.{hint}")
