"""Compiled kernels and masks as bits: against numpy and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from vssl.kernels import kth_largest, mean_of_largest, pack_above
from vssl.maps import MAP_TRANSFORMS, object_guided, transform_maps, upsample
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.ranking import rank_statistics
from vssl.records.binarize import Binarized

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

# around 16 pixels (one comparison) and 64 (one word)
PIXELS = [1, 2, 15, 16, 17, 63, 64, 65, 80, 127, 128, 129, 1000]
seeds = st.integers(0, 2**20)


def rows_with_everything(pixels: int, *, seed: int = 0) -> Float32:
    """Maps `[8, pixels]`: ties at thresholds, NaN, infinities, both zeros, huge and tiny values."""
    generator = np.random.default_rng(seed)
    rows = generator.choice(np.linspace(-1, 1, 9), size=(8, pixels)).astype(np.float32)
    rows[1] = generator.normal(size=pixels)
    rows[2][generator.random(pixels) < 0.4] = np.nan
    rows[3] = np.nan
    rows[4] = generator.choice([-np.inf, np.inf, 0.0, np.nan], size=pixels)
    rows[5] = generator.choice([-0.0, 0.0], size=pixels)
    rows[6] = generator.choice([3e38, -3e38, 1e-45, -1e-45, 0.0], size=pixels)
    return rows


def thresholds_for(rows: Float32) -> Float32:
    """Thresholds `[9, 8]`, many of which some pixel equals."""
    levels: list[Any] = [0.0, 0.25, -1.0, 1.0, np.nan, np.inf, -np.inf, rows[:, 0], rows[:, -1]]
    return np.stack([np.broadcast_to(np.float32(level), len(rows)) for level in levels])


def bit_by_bit(bits: npt.NDArray[np.uint64], pixels: int) -> npt.NDArray[np.bool_]:
    """Pixel p is bit p % 64 of word p // 64; all bits behind the last pixel must be 0."""
    places = np.arange(64, dtype=np.uint64)
    every = ((bits[..., None] >> places) & np.uint64(1)).astype(bool)
    flat = every.reshape(*bits.shape[:-1], -1)
    assert not flat[..., pixels:].any()
    return flat[..., :pixels]


class TestMasksAsBits:
    @pytest.mark.parametrize("pixels", PIXELS)
    def test_a_bit_is_a_pixel_above_the_threshold(self, pixels: int) -> None:
        rows = rows_with_everything(pixels)
        levels = thresholds_for(rows)
        found = pack_above(rows, levels)
        assert found.shape == (9, 8, -(-pixels // 64))
        expected = rows[None] > levels[:, :, None]
        assert np.array_equal(bit_by_bit(found, pixels), expected)
        assert not expected[:, 3].any(), "NaN is never above"

    @given(
        height=st.integers(1, 20),
        width=st.integers(1, 20),
        share=st.floats(0, 1),
        seed=seeds,
        count=st.integers(0, 4),
    )
    def test_packing_and_counting_equal_numpy(
        self, height: int, width: int, share: float, seed: int, count: int
    ) -> None:
        masks = np.random.default_rng(seed).random((count, height, width)) < share
        packed = PackedMasks.of(torch.from_numpy(masks))
        assert (len(packed), packed.shape) == (count, (height, width))
        assert torch.equal(packed.unpack(), torch.from_numpy(masks))
        assert packed.area.tolist() == masks.sum(axis=(1, 2)).tolist()

    @given(seed=seeds, pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=9))
    def test_overlaps_of_chosen_masks(self, seed: int, pairs: list[tuple[int, int]]) -> None:
        generator = np.random.default_rng(seed)
        first, second = (generator.random((n, 10, 13)) < 0.5 for n in (5, 3))
        one, other = (PackedMasks.of(torch.from_numpy(masks)) for masks in (first, second))
        rows, others = np.array(pairs, np.int64).reshape(-1, 2).T.copy()
        found = one.overlap(other, rows, others)
        assert found.tolist() == [np.count_nonzero(first[i] & second[j]) for i, j in pairs]
        assert other.overlap(one, others, rows).tolist() == found.tolist()

    def test_overlaps_in_order_and_with_the_only_one(self) -> None:
        masks = np.random.default_rng(1).random((2, 4, 9, 9)) < 0.5
        one, other = (PackedMasks.of(torch.from_numpy(m)) for m in masks)
        expected = (masks[0] & masks[1]).sum(axis=(1, 2))
        assert one.overlap(other).tolist() == expected.tolist()
        expected = (masks[0] & masks[1, 2]).sum(axis=(1, 2))
        assert one.overlap(other[2:3]).tolist() == expected.tolist()
        assert one.overlap(other[2:3], np.array([3, 0])).tolist() == expected[[3, 0]].tolist()

    @pytest.mark.parametrize(
        "rows",
        [slice(None), slice(1, 3), slice(0, 0), slice(None, None, -1), np.array([2, 2, 0])],
        ids=str,
    )
    def test_some_masks_in_any_order(self, rows: Any) -> None:
        masks = np.random.default_rng(2).random((4, 9, 9)) < 0.5
        votes = np.random.default_rng(3).choice([0, 0.5, 1], size=(4, 9, 9)).astype(np.float32)
        packed = PackedMasks.of(torch.from_numpy(masks))
        assert packed.area.shape == (4,)  # what is remembered must not go along
        some, truth = packed[rows], PackedTruth.of(torch.from_numpy(votes))[rows]
        assert np.array_equal(some.unpack().numpy(), masks[rows])
        assert some.area.tolist() == masks[rows].sum(axis=(1, 2)).tolist()
        assert np.array_equal(truth.unpack().numpy(), votes[rows])
        assert truth.total.tolist() == votes[rows].sum(axis=(1, 2)).tolist()

    @pytest.mark.parametrize(
        "votes", [[0.0], [1.0], [0.5], [0.0, 1.0], [0.0, 0.5, 1.0], [0.0, 0.1, 0.3, 0.7, 1.0]]
    )
    def test_ground_truths_keep_every_weight(self, votes: list[float]) -> None:
        generator = np.random.default_rng(4)
        truth = generator.choice(votes, size=(5, 11, 6)).astype(np.float32)
        masks = generator.random((5, 11, 6)) < 0.5
        packed = PackedTruth.of(torch.from_numpy(truth))
        marked = PackedMasks.of(torch.from_numpy(masks))
        assert np.array_equal(packed.unpack().numpy(), truth)
        assert packed.anywhere.area.tolist() == np.count_nonzero(truth, axis=(1, 2)).tolist()
        exact = truth.astype(np.float64)
        np.testing.assert_allclose(packed.total, exact.sum(axis=(1, 2)), rtol=1e-12)
        expected = (exact * masks).sum(axis=(1, 2))
        np.testing.assert_allclose(packed.covered_and_inside(marked)[0], expected, rtol=1e-12)
        shared = (exact[1] * masks).sum(axis=(1, 2))
        np.testing.assert_allclose(packed[1:2].covered_and_inside(marked)[0], shared, rtol=1e-12)


def spread_values(pixels: int, seed: int) -> dict[str, Float32]:
    """Values of many distributions; counting narrows each of them down in its own way."""
    generator = np.random.default_rng(seed)
    uniform = generator.random(pixels)
    values: dict[str, Array] = {
        "uniform": uniform,
        "normal": generator.normal(size=pixels),
        "constant": np.full(pixels, uniform[0]),
        "two values": np.where(uniform < 0.3, 0.25, 0.75),
        "few values": np.round(4 * uniform) / 4,
        "one peak": np.where(np.arange(pixels) == pixels // 2, 1.0, 0.0),
        "one hole": np.where(np.arange(pixels) == pixels // 2, -1.0, 0.0),
        "mostly zero": np.maximum(uniform - 0.9, 0),
        "close": 1 + 3e-7 * uniform,
        "skewed": uniform**50,
        "orders of magnitude": 10 ** (75 * uniform - 38) * generator.choice([-1, 1], size=pixels),
        "huge": 3.3e38 * (2 * uniform - 1),
        "tiny": 1e-43 * uniform,
        "negative": -1 - uniform,
        "zeros of both signs": generator.choice([-0.0, 0.0], size=pixels),
        "ascending": np.arange(pixels),
        "periodic": np.arange(pixels) % 16,
    }
    return {kind: row.astype(np.float32) for kind, row in values.items()}


class TestTheLargestPixels:
    @pytest.mark.parametrize("pixels", [1, 17, 64, 65, 129, 3000, 224 * 224])
    def test_kth_largest_equals_sorting(self, pixels: int) -> None:
        k = np.unique(np.clip([1, 2, 63, pixels // 4, pixels // 2, pixels - 1, pixels], 1, pixels))
        for kind, row in spread_values(pixels, seed=pixels).items():
            expected = np.sort(row)[::-1][k - 1]
            found = kth_largest(np.broadcast_to(row, (len(k), pixels)).copy(), k)
            assert found.tolist() == expected.tolist(), kind

    @pytest.mark.parametrize("pixels", PIXELS)
    @pytest.mark.parametrize("place", [0, -1, slice(None)], ids=["first", "last", "all"])
    def test_a_map_with_nan_has_none(self, pixels: int, place: int | slice) -> None:
        rows = np.random.default_rng(0).random((2, pixels)).astype(np.float32)
        rows[1, place] = np.nan
        k = np.array([1, 1])
        assert kth_largest(rows, k)[0] == rows[0].max()
        assert np.isnan(kth_largest(rows, k)[1])
        found = mean_of_largest(rows, kth_largest(rows, k), 1)
        assert found[0] == rows[0].max()
        assert np.isnan(found[1])

    @pytest.mark.parametrize("pixels", [1, 65, 3000])
    def test_mean_of_largest_equals_sorting(self, pixels: int) -> None:
        k = np.unique(np.clip([1, 7, pixels // 4, pixels], 1, pixels))
        for kind, row in spread_values(pixels, seed=pixels).items():
            one = row[None].copy()
            found = [mean_of_largest(one, kth_largest(one, k[[n]]), k[n])[0] for n in range(len(k))]
            ordered = np.sort(row)[::-1].astype(np.float64)
            expected = [ordered[:count].mean() for count in k]
            atol = 1e-12 * np.abs(ordered).max(initial=0)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=atol, err_msg=kind)

    @pytest.mark.parametrize(
        "extremes",
        [[np.inf], [-np.inf], [np.inf, -np.inf], [np.finfo(np.float32).min]],
        ids=["inf", "-inf", "both", "lowest float"],
    )
    def test_infinite_pixels_have_their_place_in_the_order(self, extremes: list[float]) -> None:
        generator = np.random.default_rng(0)
        rows = generator.random((3, 5000)).astype(np.float32)
        for row, count in zip(rows, (1, 1500, 5000), strict=True):
            row[generator.permutation(5000)[:count]] = generator.choice(extremes, size=count)
        for rank in (1, 2, 100, 750, 1501, 2500, 4999, 5000):
            expected = np.sort(rows)[:, -rank].tolist()
            assert kth_largest(rows, np.full(3, rank)).tolist() == expected

    @pytest.mark.parametrize("extreme", [np.inf, -np.inf])
    def test_the_mean_of_an_infinite_pixel_is_infinite(self, extreme: float) -> None:
        row = np.arange(100, dtype=np.float32)
        row[3] = extreme
        for k in (1, 25, 100):
            expected = np.sort(row)[::-1][:k].mean()
            level = kth_largest(row[None], np.array([k]))
            assert mean_of_largest(row[None], level, k).tolist() == [expected]


def torch_upsampled(maps: torch.Tensor, *, size: int, rule: str) -> torch.Tensor:
    single = maps[:, None]
    aligned = rule == "align_corners"
    return F.interpolate(single, size=(size, size), mode="bilinear", align_corners=aligned)[:, 0]


def maps_between(low: float, high: float, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, shape)).float()


class TestUpsampling:
    @pytest.mark.skipif(
        torch.backends.cpu.get_cpu_capability() == "DEFAULT",
        reason="torch rounds products before it adds them on this processor, kernels do not",
    )
    @pytest.mark.parametrize("rule", ["half_pixel", "align_corners"])
    @pytest.mark.parametrize("shape", [(7, 7), (14, 14), (28, 28), (20, 20), (7, 9), (1, 1)])
    def test_the_evaluation_size_is_torchs_to_the_last_bit(
        self, rule: str, shape: tuple[int, int]
    ) -> None:
        maps = maps_between(-1, 1, 6, *shape)
        assert torch.equal(upsample(maps, rule=rule), torch_upsampled(maps, size=224, rule=rule))


class TestBlending:
    @pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (0.1, 7.3), (-0.3, 0.0)])
    @pytest.mark.parametrize("alpha", [0.0, 0.3, 0.4, 0.9, 1.0])
    def test_object_guided_maps_are_torchs_to_the_last_bit(
        self, value_range: tuple[float, float], alpha: float
    ) -> None:
        low, high = value_range
        heard, seen = maps_between(low, high, 5, 30, 31), maps_between(0, 2, 3, 30, 31, seed=1)
        place = torch.tensor([2, 0, 0, 1, 2])
        own = heard if value_range == (0.0, 1.0) else (heard - low) / (high - low)
        expected = alpha * own + (1 - alpha) * seen[place]
        before = heard.clone()
        found = object_guided(heard, seen, alpha=alpha, place=place, value_range=value_range)
        assert torch.equal(found, expected)
        assert torch.equal(heard, before)


@pytest.mark.parametrize("transform", MAP_TRANSFORMS)
def test_masks_of_maps_with_nan_are_empty(transform: str) -> None:
    maps = maps_between(-1, 1, 4, 7, 9)
    maps[2, 3, 4] = torch.nan
    localized = transform_maps(upsample(maps), transform)
    thresholds = torch.tensor([[0.1] * 4, [torch.nan, 0.0, 0.2, 0.3]])
    found = Binarized.of(localized, thresholds)
    defined = torch.tensor([True, True, False, True])
    for k, levels in enumerate(thresholds):
        expected = (localized > levels.view(-1, 1, 1)) & defined.view(-1, 1, 1)
        assert torch.equal(found.masks[4 * k : 4 * k + 4].unpack(), expected)
    np.testing.assert_array_equal(found.thresholds, thresholds)
    np.testing.assert_array_equal(found.maximum, localized.amax(dim=(1, 2)))
    joined = Binarized.joined([Binarized.of(localized[[n]], thresholds[:, [n]]) for n in range(4)])
    np.testing.assert_array_equal(joined.maximum, found.maximum)
    np.testing.assert_array_equal(joined.thresholds, found.thresholds)
    assert torch.equal(joined.masks.unpack(), found.masks.unpack())
    assert joined.masks.area.tolist() == found.masks.area.tolist()


@pytest.mark.parametrize("positives", [1, 19, 20, 21, 40, 100, 999])
@pytest.mark.parametrize("weight", [1, 3])
def test_95_percent_is_met_exactly(positives: int, weight: int) -> None:
    # one negative between each two positives; ceil(0.95 n) of them must be let through
    values = np.arange(2 * positives, 0, -1)
    positive = np.tile([True, False], positives)
    needed = -(-95 * positives // 100)
    found = rank_statistics(
        np.arange(1, 2 * positives + 1), positive, np.zeros(len(values), np.int64),
        np.full((1, 1), float(weight)),
    )  # fmt: skip
    assert found[0, 2] == (needed - 1) / positives
