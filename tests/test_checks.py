"""The wording of checks: what was expected, what was given, the likely cause."""

from __future__ import annotations

import pytest
import torch

from vssl.checks import (
    UsageError,
    check_choice,
    check_maps,
    check_positive,
    check_same_shape,
    check_value_range,
)

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_maps_of_any_float_pass(dtype: torch.dtype) -> None:
    check_maps(torch.zeros(2, 3, 4, dtype=dtype))
    check_maps(torch.zeros(0, 3, 4, dtype=dtype))


@pytest.mark.parametrize(
    ("maps", "got"),
    [
        (torch.zeros(2, 3, 4, dtype=torch.int64), "torch.int64"),
        (torch.zeros(2, 3, 4, dtype=torch.bool), "torch.bool"),
        ([[[0.0]]], "list"),
        (None, "NoneType"),
    ],
)
def test_maps_of_another_type(maps: object, got: str) -> None:
    with pytest.raises(
        TypeError, match=rf"^Expected `object_map` to be a floating-point tensor, but got {got}\.$"
    ):
        check_maps(maps, name="object_map")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(4,), (3, 4), (1, 2, 3, 4)])
def test_maps_of_another_shape(shape: tuple[int, ...]) -> None:
    listed = ", ".join(str(side) for side in shape)
    with pytest.raises(
        ValueError,
        match=rf"^Expected `maps` to have shape \[N, H, W\], but got \[{listed}\]\."
        r" Is a batch or channel dimension missing or left over\?$",
    ):
        check_maps(torch.zeros(shape))


def test_same_shape() -> None:
    check_same_shape(torch.zeros(2, 3), torch.ones(2, 3), names="maps and masks")
    with pytest.raises(
        ValueError,
        match=r"^Expected maps and masks to have the same shape, but got \[2, 3\] and \[3, 2\]\."
        r" Was one of them upsampled and the other not\?$",
    ):
        check_same_shape(torch.zeros(2, 3), torch.ones(3, 2), names="maps and masks")


@pytest.mark.parametrize("values", [[-1.0, 1.0], [-1.00009, 1.00009], [NAN, 0.5], [NAN, NAN], []])
def test_values_in_range_pass(values: list[float]) -> None:
    check_value_range(torch.tensor(values), (-1.0, 1.0), model="lvs")


@pytest.mark.parametrize(
    ("values", "found"), [([0.0, 1.2], "0 to 1.2"), ([-1.5, NAN], "-1.5 to -1.5"), ([2.0], "2 to")]
)
def test_values_out_of_range(values: list[float], found: str) -> None:
    with pytest.raises(
        ValueError,
        match=r"^Expected similarity maps of model `lvs` in its declared value_range \[-1.0, 1.0\],"
        rf" but got values from {found}.* Does the yaml declare the range of the raw map",
    ):
        check_value_range(torch.tensor(values), (-1.0, 1.0), model="lvs")


def test_tolerance_of_the_range() -> None:
    maps = torch.tensor([0.0, 1.05])
    check_value_range(maps, (0.0, 1.0), model="x", tolerance=0.1)
    with pytest.raises(ValueError, match=r"1\.05"):
        check_value_range(maps, (0.0, 1.0), model="x", tolerance=0.01)


@pytest.mark.parametrize("value", [INF, -INF])
def test_infinite_values_are_out_of_range(value: float) -> None:
    # only NaN is let through, as undefined
    with pytest.raises(ValueError, match="declared value_range"):
        check_value_range(torch.tensor([0.5, value]), (0.0, 1.0), model="x")


@pytest.mark.parametrize("value", [0, -1, -0.5, NAN])
def test_positive(value: float) -> None:
    with pytest.raises(
        ValueError, match=rf"^Expected `level` to be greater than 0, but got {value}\.$"
    ):
        check_positive(value, name="level")
    check_positive(1e-9, name="level")


def test_choice() -> None:
    check_choice("mean", ("mean", "first"), name="channels")
    check_choice("mean", (name for name in ("first", "mean")), name="channels")
    with pytest.raises(
        UsageError,
        match=r"^Expected `channels` to be one of mean, first, but got `firts`\."
        r" Did you mean `first`\?$",
    ):
        check_choice("firts", ("mean", "first"), name="channels")
    with pytest.raises(
        UsageError, match=r"^Expected `channels` to be one of mean, first, but got `xyz`\.$"
    ):
        check_choice("xyz", ("mean", "first"), name="channels")


def test_a_usage_error_is_a_value_error() -> None:
    assert issubclass(UsageError, ValueError)
