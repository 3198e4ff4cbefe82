"""Bootstrap over images: against a plain resampling loop, scipy, and what is known in theory."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vssl.core.arrays import Array
from vssl.records.bootstrap import ImageBootstrap, interval

GROUPS = ["b", "a", "b", "c", "d", "a", "b", "e"]


def plain_loop(values: Array, groups: list[str], counts: npt.NDArray[np.int64]) -> Array:
    """Write the rows of the drawn pictures one below the other and average them."""
    names = sorted(set(groups))
    result = np.full((len(counts), values.shape[1]), np.nan)
    for b, times in enumerate(counts):
        rows = [
            values[i]
            for name, repeat in zip(names, times, strict=True)
            for _ in range(repeat)
            for i, group in enumerate(groups)
            if group == name
        ]
        for d in range(values.shape[1]):
            kept = [row[d] for row in rows if not math.isnan(row[d])]
            if kept:
                result[b, d] = sum(kept) / len(kept)
    return result


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("holes", [0.0, 0.3, 0.9])
def test_means_equal_a_plain_loop(draws: int, holes: float) -> None:
    generator = np.random.default_rng(5)
    values = generator.random((len(GROUPS), draws))
    values[generator.random(values.shape) < holes] = np.nan
    bootstrap = ImageBootstrap(GROUPS, resamples=60, seed=2)
    assert bootstrap.weights.shape == (60, 5)
    assert np.all(bootstrap.weights.sum(axis=1) == 5)
    expected = plain_loop(values, GROUPS, bootstrap.weights.astype(int))
    found = bootstrap.means(bootstrap.totals(values))
    np.testing.assert_allclose(found, expected, rtol=1e-12, equal_nan=True)


@pytest.mark.parametrize("held", [1, 200, 2**27])
def test_means_of_many_numbers(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many bytes of totals are held for one product."""
    monkeypatch.setattr("vssl.records.bootstrap._TOTALS_HELD", held)
    generator = np.random.default_rng(6)
    of_all = [generator.random((len(GROUPS), draws)) for draws in (1, 3, 2, 1)]
    of_all[1][2, 1] = np.nan
    bootstrap = ImageBootstrap(GROUPS, resamples=40)
    found = bootstrap.means_over_draws(bootstrap.totals(values) for values in of_all)
    weights = bootstrap.weights.astype(int)
    expected = [plain_loop(values, GROUPS, weights).mean(axis=1) for values in of_all]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert bootstrap.means_over_draws([]) == []


@given(order=st.permutations(range(len(GROUPS))))
def test_the_order_of_samples_does_not_matter(order: list[int]) -> None:
    values = np.random.default_rng(0).random((len(GROUPS), 2))
    found, expected = (
        (images := ImageBootstrap(groups, resamples=20)).means(images.totals(own))
        for groups, own in (([GROUPS[i] for i in order], values[order]), (GROUPS, values))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_undefined_values() -> None:
    values = np.random.default_rng(0).random((30, 2))
    values[:, 1] = np.nan
    values[1:, 0] = np.nan
    values[0, 0] = 0.25
    bootstrap = ImageBootstrap([str(i) for i in range(30)], resamples=100)
    means = bootstrap.means(bootstrap.totals(values))
    # one defined picture of thirty: about a third of the resamples lack it
    assert 0 < np.isnan(means[:, 0]).sum() < 100
    assert interval(means[:, 0]) == (0.25, 0.25)
    assert np.isnan(means[:, 1]).all()
    assert np.isnan(interval(means[:, 1])).all()


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_interval_cuts_equal_tails(level: float) -> None:
    values = np.random.default_rng(0).permutation(np.arange(1001) / 1000)
    tail = (1 - level) / 2
    assert interval(values, level=level) == pytest.approx((tail, 1 - tail), abs=1e-12)
    with_holes = np.concatenate([values, [np.nan, np.inf]])
    assert interval(with_holes, level=level) == interval(values, level=level)


@pytest.mark.parametrize("images", [1, 7])
@pytest.mark.parametrize("resamples", [1, 127, 300])
def test_resamples_are_drawn_one_after_the_other(images: int, resamples: int) -> None:
    # so that more resamples begin with the same ones
    generator = np.random.default_rng(3)
    drawn = [generator.integers(images, size=images) for _ in range(resamples)]
    expected = [np.bincount(each, minlength=images) for each in drawn]
    bootstrap = ImageBootstrap([f"{n}" for n in range(images)], resamples=resamples, seed=3)
    assert np.array_equal(bootstrap.weights, expected)


def test_no_weight_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    class Same(np.random.Generator):
        def integers(self, high: int, *, size: tuple[int, int]) -> npt.NDArray[np.int64]:  # type: ignore[override]
            return np.full(size, high - 1)

    small, names = ImageBootstrap(["a", "b"], resamples=9), [f"{n:03d}" for n in range(300)]
    monkeypatch.setattr(np.random, "default_rng", lambda seed: Same(np.random.PCG64(seed)))
    bootstrap = ImageBootstrap(names, resamples=3)
    assert (small.weights.dtype, bootstrap.weights.dtype) == (np.uint8, np.uint16)
    assert bootstrap.with_itself.tolist() == [[1] * 300, *3 * [[0] * 299 + [300]]]
    assert bootstrap.means(bootstrap.totals(np.arange(300.0)[:, None])).tolist() == 3 * [[299.0]]
