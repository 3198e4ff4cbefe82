"""Bootstrap over images: against a plain resampling loop, scipy, and what is known in theory."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from vssl.records.uncertainty import ImageBootstrap, interval

Array = npt.NDArray[np.float64]
GROUPS = ["b", "a", "b", "c", "d", "a", "b", "e"]


def counts_of(bootstrap: ImageBootstrap, groups: list[str]) -> npt.NDArray[np.int64]:
    """How often each picture, in alphabetical order, was drawn in each resample.

    Read from the means alone: those of a picture's indicator are its share of the drawn rows.
    """
    names = sorted(set(groups))
    indicator = np.array([[float(group == name) for name in names] for group in groups])
    times = bootstrap.means(indicator) / indicator.sum(axis=0)
    times *= len(names) / times.sum(axis=1, keepdims=True)
    whole = np.rint(times)
    np.testing.assert_allclose(times, whole, atol=1e-9)
    return whole.astype(np.int64)


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
    counts = counts_of(bootstrap, GROUPS)
    assert counts.shape == (60, 5)
    assert np.all(counts.sum(axis=1) == 5)
    expected = plain_loop(values, GROUPS, counts)
    np.testing.assert_allclose(bootstrap.means(values), expected, rtol=1e-12, equal_nan=True)


def test_pictures_are_drawn_uniformly() -> None:
    # one sample per picture, so a count is a binomial variable with mean 1
    names = [f"{i:02}" for i in range(20)]
    counts = counts_of(ImageBootstrap(names, resamples=4000, seed=1), names)
    assert np.all(np.abs(counts.mean(axis=0) - 1) < 5 * math.sqrt(0.95 / 4000))
    assert counts.var() == pytest.approx(0.95, rel=0.05)


def test_pairs_are_drawn_together() -> None:
    values = np.array([[1.0], [-1.0]] * 30)
    pairs = [f"picture{i // 2}" for i in range(60)]
    together = ImageBootstrap(pairs, resamples=200).means(values)
    apart = ImageBootstrap([str(i) for i in range(60)], resamples=200).means(values)
    assert np.all(together == 0)
    assert np.std(apart) == pytest.approx(1 / math.sqrt(60), rel=0.2)


def test_pairs_that_agree_count_as_one_observation() -> None:
    generator = np.random.default_rng(0)
    single = generator.normal(size=(100, 1))
    pairs = [f"{i // 2:03}" for i in range(200)]
    doubled = ImageBootstrap(pairs, resamples=300).means(np.repeat(single, 2, axis=0))
    alone = ImageBootstrap(pairs[::2], resamples=300).means(single)
    np.testing.assert_allclose(doubled, alone, rtol=0, atol=1e-12)


def test_all_draws_of_a_sample_stay_with_it() -> None:
    column = np.random.default_rng(0).random((len(GROUPS), 1))
    found = ImageBootstrap(GROUPS, resamples=50).means(np.repeat(column, 3, axis=1))
    np.testing.assert_allclose(found, np.repeat(found[:, :1], 3, axis=1), rtol=0, atol=1e-15)


def test_the_same_resamples_serve_every_mean() -> None:
    first, second = np.random.default_rng(0).random((2, len(GROUPS), 2))
    bootstrap = ImageBootstrap(GROUPS, resamples=50)
    both = bootstrap.means(first) + bootstrap.means(second)
    np.testing.assert_allclose(bootstrap.means(first + second), both, rtol=1e-12)


def test_seeds() -> None:
    values = np.random.default_rng(0).random((len(GROUPS), 1))
    same = [ImageBootstrap(GROUPS, resamples=20, seed=3).means(values) for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], ImageBootstrap(GROUPS, resamples=20, seed=4).means(values))


@given(order=st.permutations(range(len(GROUPS))))
@settings(deadline=None, max_examples=15)
def test_the_order_of_samples_does_not_matter(order: list[int]) -> None:
    values = np.random.default_rng(0).random((len(GROUPS), 2))
    found = ImageBootstrap([GROUPS[i] for i in order], resamples=20).means(values[order])
    expected = ImageBootstrap(GROUPS, resamples=20).means(values)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_undefined_values() -> None:
    values = np.random.default_rng(0).random((30, 2))
    values[:, 1] = np.nan
    values[::2, 0] = np.nan
    bootstrap = ImageBootstrap([str(i) for i in range(30)], resamples=100)
    means = bootstrap.means(values)
    assert np.isfinite(means[:, 0]).all()
    assert np.isnan(means[:, 1]).all()
    assert all(math.isnan(bound) for bound in interval(means[:, 1]))
    # one defined picture of thirty: about a third of the resamples lack it
    values[1:, 0] = np.nan
    values[0, 0] = 0.25
    lone = bootstrap.means(values)[:, 0]
    assert 0 < np.isnan(lone).sum() < 100
    assert interval(lone) == (0.25, 0.25)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_interval_cuts_equal_tails(level: float) -> None:
    values = np.random.default_rng(0).permutation(np.arange(1001) / 1000)
    low, high = interval(values, level=level)
    assert low == pytest.approx((1 - level) / 2, abs=1e-12)
    assert high == pytest.approx((1 + level) / 2, abs=1e-12)
    with_holes = np.concatenate([values, [np.nan, np.inf]])
    assert interval(with_holes, level=level) == (low, high)


def test_interval_of_a_mean_is_the_known_one() -> None:
    values = np.random.default_rng(8).normal(3.0, 2.0, size=(400, 1))
    names = [str(i) for i in range(400)]
    low, high = interval(ImageBootstrap(names, resamples=4000).means(values)[:, 0])
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)
    scipys = scipy.stats.bootstrap(
        (values[:, 0],), np.mean, n_resamples=4000, method="percentile", rng=0
    ).confidence_interval
    assert (low, high) == pytest.approx((scipys.low, scipys.high), abs=0.15 * error)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(11)
    names, hits = [str(i // 2) for i in range(80)], 0
    for trial in range(200):
        # the two samples of a picture share most of their value
        values = np.repeat(generator.normal(size=40), 2) + 0.3 * generator.normal(size=80)
        means = ImageBootstrap(names, resamples=300, seed=trial).means(values[:, None])
        low, high = interval(means[:, 0])
        hits += low <= 0 <= high
    # 95 % is promised; with 40 pictures the percentile interval is a little narrow
    assert 0.89 <= hits / 200 <= 0.985


@pytest.mark.parametrize("images", [1, 7])
@pytest.mark.parametrize("resamples", [1, 127, 300])
def test_resamples_are_drawn_one_after_the_other(images: int, resamples: int) -> None:
    # so that more resamples begin with the same ones
    generator = np.random.default_rng(3)
    drawn = [generator.integers(images, size=images) for _ in range(resamples)]
    expected = [np.bincount(each, minlength=images) for each in drawn]
    bootstrap = ImageBootstrap([f"{n}" for n in range(images)], resamples=resamples, seed=3)
    assert np.array_equal(bootstrap.weights, expected)
