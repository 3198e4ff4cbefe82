"""Threshold policies: values against full sorting and plain means, ties, NaN, and misuse."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import formulas
from vssl.core.errors import UsageError
from vssl.thresholds.base import EACH_MAP, FixedThreshold, ThresholdError, ThresholdPolicy
from vssl.thresholds.false_alarm import FalseAlarmThreshold
from vssl.thresholds.released import ReleasedThreshold
from vssl.thresholds.size_aware import HalfImage, ObjectArea
from vssl.thresholds.universal import UniversalThreshold

Statistic = Literal["mean", "third_quartile"]
Rule = Literal["max", "max10", "q3"]

RELEASED: dict[str, tuple[float, float, float]] = {
    "ezvsl": (0.6041, 0.6645, 0.6382),
    "slavc": (0.5201, 0.5721, 0.5450),
    "fnac": (0.5311, 0.5842, 0.5538),
    "lvs": (0.5527, 0.6080, 0.6077),
    "ssltie": (0.2641, 0.2906, 0.3338),
    "sslalign": (0.2660, 0.2926, 0.3175),
}
"""Typed from the published table: max, max10, third quartile."""


def make_maps(*shape: int, levels: int | None = None, seed: int = 0) -> torch.Tensor:
    """Random maps; with `levels`, of that many distinct values, so full of ties."""
    generator = np.random.default_rng(seed)
    values = generator.random(shape) if levels is None else generator.integers(levels, size=shape)
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def make_truth(*shape: int, seed: int = 1) -> torch.Tensor:
    """Empty, full, one pixel, then random votes."""
    votes = np.random.default_rng(seed).choice([0.0, 0.0, 0.5, 1.0], size=shape)
    votes[0], votes[1] = 0, 1
    votes[2] = 0
    votes[2, -1, 0] = 0.5
    return torch.from_numpy(votes).float()


@pytest.mark.parametrize(
    "shape", [(4, 1, 1), (5, 3, 3), (6, 4, 6), (4, 14, 15), (3, 224, 224)], ids=str
)
@pytest.mark.parametrize("levels", [None, 1, 2, 7])
def test_size_aware_thresholds_equal_full_sorting(
    shape: tuple[int, ...], levels: int | None
) -> None:
    maps, truth = make_maps(*shape, levels=levels), make_truth(*shape)
    half, area = HalfImage().threshold(maps, truth), ObjectArea().threshold(maps, truth)
    pairs = list(zip(maps.numpy(), truth.numpy(), strict=True))
    assert half.tolist() == [formulas.half_image_threshold(m) for m, _ in pairs]
    assert area.tolist() == [formulas.object_area_threshold(m, g) for m, g in pairs]
    assert half.dtype == area.dtype == torch.float32


def test_a_class_that_overrides_threshold_has_one_for_each_map() -> None:
    class ShareOfMaximum(ThresholdPolicy):
        name = "share"

        def threshold(self, maps: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
            return 0.5 * maps.amax(dim=(1, 2))

    class Other(FixedThreshold):
        """Has the threshold of its base."""

    assert ShareOfMaximum.source == HalfImage.source == EACH_MAP
    assert Other.source == ReleasedThreshold.__base__.source == "constant"


def columns(negatives: dict[str, list[float]]) -> tuple[Any, Any]:
    maxima = [value for values in negatives.values() for value in values]
    names = [name for name, values in negatives.items() for _ in values]
    order = np.random.default_rng(0).permutation(len(maxima))
    return np.array(maxima)[order], np.array(names)[order]


def fitted(statistic: Statistic, factor: float, negatives: dict[str, list[float]]) -> float:
    policy = UniversalThreshold(statistic=statistic, name="u", factor=factor)
    assert policy.needs_fit
    policy.fit(*columns(negatives))
    found = policy.threshold(torch.zeros(2, 3, 3, dtype=torch.float64), torch.zeros(2, 3, 3))
    assert found[0] == found[1]
    return float(found[0])


@given(
    negatives=st.dictionaries(
        st.sampled_from(["silence", "noise", "offscreen", "music"]),
        st.lists(st.floats(-1, 1), min_size=1, max_size=9),
        min_size=1,
    ),
    factor=st.sampled_from([1.0, 1.1]),
    statistic=st.sampled_from(["mean", "third_quartile"]),
)
def test_universal_thresholds_of_anything(
    negatives: dict[str, list[float]], factor: float, statistic: Statistic
) -> None:
    expected = formulas.universal_threshold(*columns(negatives), statistic=statistic, factor=factor)
    assert fitted(statistic, factor, negatives) == pytest.approx(expected, abs=1e-12)


@given(
    negatives=st.lists(st.floats(-1, 1), min_size=1, max_size=300),
    rate=st.sampled_from([0.01, 0.05, 0.1, 0.3]),
)
def test_false_alarm_threshold_is_the_lowest_that_keeps_its_promise(
    negatives: list[float], rate: float
) -> None:
    policy = FalseAlarmThreshold(rate=rate, name="few")
    types = [["silence", "noise"][place % 2] for place in range(len(negatives))]
    policy.fit(np.array(negatives), np.array(types))
    expected = formulas.false_alarm_threshold(np.array(negatives), types, rate=rate)
    assert policy.constant() == expected


@pytest.mark.parametrize("rate", [0, 1, -0.1, 5, float("nan"), "much"])
def test_a_rate_is_a_fraction(rate: float) -> None:
    with pytest.raises((ValueError, UsageError), match="rate"):
        FalseAlarmThreshold(rate=rate, name="few")


@pytest.mark.parametrize("maxima", [[], [math.nan]])
def test_universal_thresholds_need_negatives(maxima: list[float]) -> None:
    policy = UniversalThreshold(statistic="mean", name="universal_max")
    names = np.array(["noise"] * len(maxima), dtype=str)
    with pytest.raises(
        ThresholdError, match=r"universal_max is learnt from negatives.*calibration="
    ):
        policy.fit(np.array(maxima, dtype=np.float64), names)
    with pytest.raises(ThresholdError, match="universal_max was used before it was fitted"):
        policy.threshold(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))


def test_universal_thresholds_refuse_other_options() -> None:
    with pytest.raises(UsageError, match="`statistic` to be one of mean, third_quartile"):
        UniversalThreshold(statistic="median", name="u")  # type: ignore[arg-type]
    for factor in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="`factor` to be greater than 0"):
            UniversalThreshold(statistic="mean", name="u", factor=factor)


@pytest.mark.parametrize("model", RELEASED)
@pytest.mark.parametrize(("place", "rule"), list(enumerate(("max", "max10", "q3"))))
def test_released_constants(model: str, place: int, rule: Rule) -> None:
    policy = ReleasedThreshold(rule=rule)
    policy.check_model(model)
    found = policy.threshold(torch.zeros(2, 3, 3, dtype=torch.float64), torch.zeros(2, 3, 3))
    assert found.tolist() == [RELEASED[model][place]] * 2
    assert policy.name == f"released_{rule}"
    assert not policy.needs_fit


def test_released_constants_exist_for_named_models_only() -> None:
    policy = ReleasedThreshold(rule="q3")
    with pytest.raises(ThresholdError, match="released_q3 was used before its model was named"):
        policy.threshold(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
    with pytest.raises(ThresholdError, match=r"exists for ezvsl, .*sslalign, but not for oracle"):
        policy.check_model("oracle")
    with pytest.raises(UsageError, match="Did you mean `max10`"):
        ReleasedThreshold(rule="max1")  # type: ignore[arg-type]
