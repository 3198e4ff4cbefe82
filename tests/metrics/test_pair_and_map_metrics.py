"""Metrics of masks, pairs of masks and maps: by hand, as bits and as tensors.

What runs as bits and what runs on tensors is asked of every metric that the configuration lists.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.running import scoring_settings
from tests.reference.inputs import reference_column
from tests.test_tensor_kernels import OWN
from vssl.config.build import build_metrics
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.agreement import Agreement, mask_agreement
from vssl.metrics.base import SampleMetric
from vssl.metrics.detection import map_confidence
from vssl.metrics.pointing import points_at_object
from vssl.metrics.swap import SwapDelta

CONFIGURED = [type(m) for m in build_metrics(scoring_settings("metrics=all"))]
SAMPLE = {kind.column: kind for kind in CONFIGURED if issubclass(kind, SampleMetric)}
"""A metric for each column that masks give."""


def named(kind: type[Any]) -> str:
    return str(kind.name)


def random_masks(*shape: int, seed: int, empty: bool = True) -> torch.Tensor:
    """Masks of all sizes, the first one empty."""
    generator = np.random.default_rng(seed)
    shares = generator.random((shape[0], 1, 1))
    masks = generator.random(shape) < shares
    masks[0] &= not empty
    return torch.from_numpy(masks)


def some_votes(weights: list[float], *shape: int, seed: int) -> torch.Tensor:
    """Ground truths of which about half is 0, and the first one empty."""
    drawn = np.random.default_rng(seed).choice([0.0] * len(weights) + weights, size=shape)
    drawn[0] = 0
    return torch.from_numpy(drawn).float()


# Flickr-SoundNet's votes are 1/2 and 1; other weights are summed in another order
WEIGHTS = {"boxes": [1.0], "votes": [0.5, 1.0], "weak": [0.5], "many": [0.1, 0.25, 0.7, 1.0]}
# tensors are summed in float32, which is exact for halves alone
ROUNDING = {False: 1e-12, True: 1e-4}
every_truth = pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
SHAPES = [(4, 1, 1), (6, 8, 8), (5, 7, 13), (3, 224, 224)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


class TestBitsAndTensorsAgree:
    @pytest.mark.parametrize("kind", SAMPLE.values(), ids=named)
    @every_truth
    @every_shape
    def test_sample_metrics(
        self, kind: type[SampleMetric], weights: list[float], shape: tuple[int, ...]
    ) -> None:
        masks, truth = random_masks(*shape, seed=1), some_votes(weights, *shape, seed=2)
        packed, votes = PackedMasks.of(masks), PackedTruth.of(truth)
        expected = reference_column(kind.column, masks, truth)
        found, dense = kind.measure_packed(packed, votes), kind.measure(masks, truth).numpy()
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        np.testing.assert_allclose(dense, expected, rtol=ROUNDING[weights == WEIGHTS["many"]])
        # one ground truth may meet all masks: an image's under several sounds
        shared = truth[-1:].expand(len(masks), -1, -1)
        np.testing.assert_allclose(
            kind.measure_packed(packed, votes[-1:]),
            reference_column(kind.column, masks, shared),
            rtol=1e-12,
        )

    def test_what_defines_only_measure_is_measured_from_bits_too(self) -> None:
        area, _, pair, swap = OWN
        masks, truth = random_masks(5, 9, 7, seed=1), some_votes([0.5, 1.0], 5, 9, 7, seed=2)
        other = some_votes([1.0], 5, 9, 7, seed=3)
        packed, votes, others = PackedMasks.of(masks), PackedTruth.of(truth), PackedTruth.of(other)
        rows, met = np.array([4, 1, 1]), np.array([0, 1, 2])
        for found, expected in (
            (area.measure_packed(packed, votes), area.measure(masks, truth)),
            (area.measure_packed(packed, votes[1:2]), area.measure(masks, truth[1:2])),
            (pair.measure_packed(packed, rows, met), pair.measure(masks[rows], masks[met])),
            (swap.measure_packed(packed, votes, others), swap.measure(masks, truth, other)),
            (swap.measure_packed(packed, votes[1:2], others[2:3]),
             swap.measure(masks, truth[1:2], other[2:3])),
        ):  # fmt: skip
            assert np.array_equal(found, expected.numpy())


class TestAgreement:
    @pytest.mark.parametrize(
        ("first", "second", "expected"),
        [
            pytest.param([0, 0, 0, 0], [0, 0, 0, 0], 1.0, id="both empty"),
            pytest.param([0, 0, 0, 0], [0, 1, 0, 0], 0.0, id="one empty"),
            pytest.param([1, 0, 0, 0], [0, 1, 1, 1], 0.0, id="complementary"),
            pytest.param([1, 1, 1, 1], [1, 1, 1, 1], 1.0, id="everything"),
            pytest.param([1, 1, 0, 0], [0, 1, 1, 0], 1 / 3, id="one of three"),
        ],
    )
    def test_edge_cases_by_hand(self, first: list[int], second: list[int], expected: float) -> None:
        masks = torch.tensor([first, second]).bool().view(2, 2, 2)
        assert mask_agreement(masks[:1], masks[1:]).item() == pytest.approx(expected)
        found = Agreement.measure_packed(PackedMasks.of(masks), np.array([0]), np.array([1]))
        assert found.item() == pytest.approx(expected)

    def test_other_shapes_are_refused(self) -> None:
        masks = torch.zeros(2, 4, 4, dtype=torch.bool)
        with pytest.raises(ValueError, match=r"\[2, 4, 4\] and \[1, 4, 4\]"):
            mask_agreement(masks, masks[:1])


class TestPointingGame:
    @pytest.mark.parametrize(
        ("values", "votes", "expected"),
        [
            pytest.param([0.1, 0.9, 0.2], [0, 1, 0], 1.0, id="hit"),
            pytest.param([0.1, 0.9, 0.2], [1, 0, 1], 0.0, id="miss"),
            pytest.param([0.9, 0.9, 0.2], [0, 0.5, 0], 1.0, id="one of two highest, weak vote"),
            pytest.param([0.3, 0.3, 0.3], [0, 0, 1], 1.0, id="the same everywhere"),
            pytest.param([-0.9, -0.1, -0.2], [0, 1, 0], 1.0, id="all below zero"),
            pytest.param([0.1, 0.9, 0.2], [0, 0, 0], math.nan, id="no object"),
            pytest.param([0.1, math.nan, 0.9], [0, 0, 1], math.nan, id="a pixel is NaN"),
        ],
    )
    def test_edge_cases_by_hand(
        self, values: list[float], votes: list[float], expected: float
    ) -> None:
        found = points_at_object(torch.tensor([[values]]), torch.tensor([[votes]]).float())
        assert found.item() == pytest.approx(expected, nan_ok=True)

    def test_wrong_inputs_are_named(self) -> None:
        maps = torch.zeros(2, 4, 4)
        with pytest.raises(ValueError, match=r"\[2, 4, 4\] and \[2, 8, 8\]"):
            points_at_object(maps, torch.zeros(2, 8, 8))
        with pytest.raises(TypeError, match="localization_maps"):
            points_at_object(maps > 0, maps)


class TestConfidence:
    def test_of_undefined_maps_and_of_single_pixels(self) -> None:
        maps = torch.rand(3, 8, 8, generator=torch.Generator())
        maps[1, 7, 7] = torch.nan
        assert map_confidence(maps).isnan().tolist() == [False, True, False]
        assert map_confidence(maps[:, :1, :1]).tolist() == maps[:, 0, 0].tolist()
        # mixed precision or not, on views or copies
        turned = maps.double().transpose(1, 2)[::2]
        assert torch.equal(map_confidence(turned), map_confidence(maps)[::2])


class TestSwap:
    def test_is_undefined_where_either_ciou_is(self) -> None:
        nothing, left = torch.zeros(1, 2, 2), torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
        for mask, own, other, expected in (
            (nothing, left, nothing, math.nan),
            (nothing, nothing, left, math.nan),
            (left, left, nothing, 1.0),
            (left, 1 - left, left, -1.0),
            (nothing, left, 1 - left, 0.0),
        ):
            found = SwapDelta.measure(mask > 0, own, other).item()
            assert found == pytest.approx(expected, nan_ok=True)
            packed = PackedMasks.of(mask > 0), PackedTruth.of(own), PackedTruth.of(other)
            assert SwapDelta.measure_packed(*packed).item() == pytest.approx(found, nan_ok=True)
