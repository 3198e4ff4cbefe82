"""Metrics: per-sample functions against formulas, edge cases, properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import formulas
from tests.reference.inputs import make_maps, reference_column
from vssl.metrics.auc import area_of_rejection, area_of_success
from vssl.metrics.ciou import SuccessRate, consensus_iou
from vssl.metrics.pia import image_area

grid_points = st.sampled_from([float(point) for point in formulas.GRID])
fractions = st.one_of(st.floats(0, 1), grid_points)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_half_and_mixed_precision_count_every_pixel(dtype: torch.dtype) -> None:
    # votes are exact in half precision, sums of thousands of them are not; a trainer may have
    # autocast switched on around a user's own validation loop
    maps, truth = make_maps(3, 224, 224, dtype=dtype)
    masks = maps > 0.4
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.float32):
        found = consensus_iou(masks, truth), image_area(masks)
    for values, name in zip(found, ("ciou", "pia"), strict=True):
        expected = reference_column(name, masks, truth.float())
        np.testing.assert_allclose(values.numpy(), expected, rtol=0, atol=1e-9)


def test_any_weights_and_views() -> None:
    generator = np.random.default_rng(3)
    truth = torch.from_numpy(generator.random((4, 32, 32)) * (generator.random((4, 32, 32)) > 0.6))
    masks = torch.from_numpy(generator.random((4, 32, 32)) > 0.5).transpose(1, 2)
    for marked in (masks, torch.zeros_like(masks), torch.ones_like(masks)):
        for votes in (truth, truth[:1].expand(4, -1, -1)):
            expected = reference_column("ciou", marked, votes)
            np.testing.assert_allclose(consensus_iou(marked, votes).numpy(), expected, rtol=1e-12)


def halves(left: float, right: float) -> torch.Tensor:
    return torch.tensor([float(left), float(right)]).repeat_interleave(4).expand(1, 8, 8)


@pytest.mark.parametrize(
    ("mask", "truth", "ciou", "pia"),
    [
        pytest.param(halves(0, 0), halves(0, 0), math.nan, 0.0, id="both empty"),
        pytest.param(halves(0, 0), halves(0, 1), 0.0, 0.0, id="empty mask"),
        pytest.param(halves(0, 1), halves(0, 0), 0.0, 0.5, id="empty ground truth"),
        pytest.param(halves(1, 1), halves(1, 1), 1.0, 1.0, id="all ones"),
        pytest.param(halves(1, 1), halves(0, 1), 0.5, 1.0, id="all marked"),
        pytest.param(halves(1, 0), halves(0, 1), 0.0, 0.5, id="disjoint"),
        pytest.param(halves(0, 1), halves(0.5, 1), 2 / 3, 0.5, id="one vote missed"),
        pytest.param(halves(1, 0), halves(0.5, 1), 1 / 3, 0.5, id="only the weak vote"),
        pytest.param(halves(1, 1), halves(0.5, 0), 1 / 3, 1.0, id="weak vote and beside"),
    ],
)
def test_edge_cases_by_hand(
    mask: torch.Tensor, truth: torch.Tensor, ciou: float, pia: float
) -> None:
    assert consensus_iou(mask > 0, truth).item() == pytest.approx(ciou, abs=1e-12, nan_ok=True)
    assert image_area(mask > 0).item() == pia


@given(values=st.lists(st.one_of(fractions, st.just(math.nan)), min_size=1, max_size=30))
def test_areas_are_the_trapezoids_under_the_curves(values: list[float]) -> None:
    column = np.array(values)
    for area, of_set, curve in (
        (area_of_success, formulas.auc, formulas.success_curve),
        (area_of_rejection, formulas.auc_n, formulas.rejection_curve),
    ):
        found = area(torch.from_numpy(column))
        assert np.array_equal(found.isnan().numpy(), np.isnan(column))
        assert torch.all(found.isnan() | ((found >= 0.025 - 1e-12) & (found <= 1 + 1e-12)))
        if not np.isnan(column).all():
            mean = formulas.mean(found.numpy())
            assert mean == pytest.approx(of_set(column), abs=1e-12)
            expected = sklearn.metrics.auc(formulas.GRID, curve(column))
            assert mean == pytest.approx(expected, abs=1e-12)


def test_values_at_grid_points_count_as_reached() -> None:
    grid = formulas.GRID
    values = torch.from_numpy(np.concatenate([grid, np.nextafter(grid, -1), np.nextafter(grid, 2)]))
    success = [formulas.auc(np.array([v])) for v in values.tolist()]
    rejection = [formulas.auc_n(np.array([v])) for v in values.tolist()]
    np.testing.assert_allclose(area_of_success(values).numpy(), success, atol=1e-12)
    np.testing.assert_allclose(area_of_rejection(values).numpy(), rejection, atol=1e-12)


def test_success_rate_at_exactly_one_half() -> None:
    below = math.nextafter(0.5, 0)
    found = SuccessRate.from_column(torch.tensor([below, 0.5, math.nan], dtype=torch.float64))
    assert found[:2].tolist() == [0.0, 1.0]
    assert found[2].isnan()
