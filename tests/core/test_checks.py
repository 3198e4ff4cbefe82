"""The wording of checks: what was expected, what was given, the likely cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from vssl.core.checks import (
    check_choice,
    check_map_range,
    check_maps,
    check_positive,
    check_same_shape,
    check_similarity_maps,
)
from vssl.core.errors import UsageError

NAN, INF = float("nan"), float("inf")


def check_values(values: list[float]) -> None:
    maps = torch.zeros(3, 1, 1, len(values))
    maps[1] = torch.tensor(values)
    check_map_range(maps, (-1.0, 1.0), "abc", model="lvs")


def check_shape(*shape: int) -> None:
    check_similarity_maps(torch.zeros(shape), (2, 3), (4, 5), model="lvs")


NO_MAP = "Expected `maps` to be a floating-point tensor, but got {}."
MISSHAPEN = (
    "Expected `maps` to have shape [N, H, W], but got [{}]. Is a batch or channel dimension missing"
    " or left over?"
)
OTHER_SIZE = (
    "Expected maps of model `lvs` to have shape [N, K, h, w] = [2, 3, 4, 5], but got [{}]. Does its"
    " map_size fit model.image.size?"
)
OUTSIDE = (
    "Expected similarity maps of model `lvs` in its declared value_range [-1.0, 1.0], but got"
    " values from {} for b. Does the yaml declare the range of the raw map (a cosine lies in"
    " [-1, 1])?"
)


@pytest.mark.parametrize(
    ("check", "given", "message", "got"),
    [
        (check_maps, (torch.zeros(2, 3, 4, dtype=torch.int64),), NO_MAP, "torch.int64"),
        (check_maps, ([[[0.0]]],), NO_MAP, "list"),
        (check_maps, (torch.zeros(4),), MISSHAPEN, "4"),
        (check_maps, (torch.zeros(1, 2, 3, 4),), MISSHAPEN, "1, 2, 3, 4"),
        (check_shape, (2, 3, 4), OTHER_SIZE, "2, 3, 4"),
        (check_shape, (2, 3, 5, 4), OTHER_SIZE, "2, 3, 5, 4"),
        (check_values, ([0.0, 1.2],), OUTSIDE, "0 to 1.2"),
        (check_values, ([-1.5, NAN],), OUTSIDE, "-1.5 to -1.5"),
        # only NaN is let through, as undefined
        (check_values, ([0.5, INF],), OUTSIDE, "0.5 to inf"),
        (check_values, ([0.5, -INF],), OUTSIDE, "-inf to 0.5"),
    ],
)
def test_maps_that_are_refused(
    check: Callable[..., None], given: tuple[Any, ...], message: str, got: str
) -> None:
    kinds = {NO_MAP: TypeError, MISSHAPEN: ValueError}
    with pytest.raises(kinds.get(message, UsageError)) as refused:
        check(*given)
    assert str(refused.value) == message.format(got)


def test_maps_of_any_float_pass() -> None:
    for dtype in (torch.float16, torch.float32, torch.float64):
        check_maps(torch.zeros(2, 3, 4, dtype=dtype))
    check_maps(torch.zeros(0, 3, 4))


@pytest.mark.parametrize("values", [[-1.0, 1.0], [-1.00009, 1.00009], [NAN, 0.5], [NAN, NAN], []])
def test_values_in_range_pass(values: list[float]) -> None:
    check_values(values)
    check_shape(2, 3, 4, 5)


def test_same_shape() -> None:
    check_same_shape(torch.zeros(2, 3), torch.ones(2, 3), names="maps and masks")
    message = (
        r"^Expected maps and masks to have the same shape, but got \[2, 3\] and \[3, 2\]\."
        r" Was one of them upsampled and the other not\?$"
    )
    with pytest.raises(ValueError, match=message):
        check_same_shape(torch.zeros(2, 3), torch.ones(3, 2), names="maps and masks")


@pytest.mark.parametrize("value", [0, -1, -0.5, NAN])
def test_positive(value: float) -> None:
    check_positive(1e-9, name="level")
    message = rf"^Expected `level` to be greater than 0, but got {value}\.$"
    with pytest.raises(UsageError, match=message):
        check_positive(value, name="level")


@pytest.mark.parametrize(("given", "hint"), [("firts", r" Did you mean `first`\?"), ("xyz", "")])
def test_choice(given: str, hint: str) -> None:
    check_choice("mean", (name for name in ("first", "mean")), name="channels")
    message = rf"^Expected `channels` to be one of mean, first, but got `{given}`\.{hint}$"
    with pytest.raises(UsageError, match=message):
        check_choice(given, ("mean", "first"), name="channels")
