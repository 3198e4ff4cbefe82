"""Metric classes: means over a set, in any batches and processes, and their edge cases."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import formulas
from tests.reference.inputs import make_maps, reference_column
from vssl.maps import binarize
from vssl.metrics.agreement import Agreement
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.base import SampleMetric
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.metrics.pia import ImageArea
from vssl.types import SoundingObject

MEAN_REFERENCE: dict[type[SampleMetric], Callable[[Any], float]] = {
    ConsensusIoU: formulas.mean,
    SuccessRate: formulas.success_rate,
    AUC: formulas.auc,
    ImageArea: formulas.mean,
    AUCN: formulas.auc_n,
}
every_metric = pytest.mark.parametrize("kind", MEAN_REFERENCE, ids=lambda kind: kind.name)


@every_metric
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("threshold", [0.2, 0.5, 2.0])
def test_classes_equal_the_formulas(
    kind: type[SampleMetric], dtype: torch.dtype, threshold: float
) -> None:
    maps, truth = make_maps(9, 20, 20, dtype=dtype)
    masks = binarize(maps, threshold)
    metric = kind()
    metric.update(masks, truth)
    column = reference_column(kind.column, masks, truth)
    assert metric.compute().item() == pytest.approx(MEAN_REFERENCE[kind](column), abs=1e-12)
    assert int(metric.n) == np.count_nonzero(~np.isnan(column))
    assert int(metric.n_undefined) == np.count_nonzero(np.isnan(column))


@every_metric
@given(order=st.permutations(range(12)), cuts=st.sets(st.integers(1, 11)))
@settings(deadline=None, max_examples=15)
def test_batches_and_order_do_not_matter(
    kind: type[SampleMetric], order: list[int], cuts: set[int]
) -> None:
    maps, truth = make_maps(12, 8, 8)
    whole, split = kind(), kind()
    whole.update(maps > 0.6, truth)
    edges = [0, *sorted(cuts), 12]
    for start, stop in itertools.pairwise(edges):
        split.update((maps > 0.6)[order[start:stop]], truth[order[start:stop]])
    assert split.compute().item() == pytest.approx(whole.compute().item(), abs=1e-12)
    assert int(split.n) == int(whole.n)
    assert int(split.n_undefined) == int(whole.n_undefined)


@every_metric
def test_states_of_two_processes_merge(kind: type[SampleMetric]) -> None:
    maps, truth = make_maps(10, 8, 8)
    masks = maps > 0.6
    whole, first, second = kind(), kind(), kind()
    whole.update(masks, truth)
    first.update(masks[:3], truth[:3])
    second.update(masks[3:], truth[3:])
    first.merge_state(second)
    assert first.compute().item() == pytest.approx(whole.compute().item(), abs=1e-12)
    assert (int(first.n), int(first.n_undefined)) == (int(whole.n), int(whole.n_undefined))


@every_metric
def test_copies_go_on_by_themselves(kind: type[SampleMetric]) -> None:
    maps, truth = make_maps(6, 8, 8)
    masks = maps > 0.6
    metric = kind()
    metric.update(masks[:4], truth[:4])
    before = metric.compute().item()
    for copy in (pickle.loads(pickle.dumps(metric)), metric.clone()):
        assert copy.compute().item() == before
        copy.update(masks[4:], truth[4:])
        assert int(copy.n + copy.n_undefined) == 6
    assert metric.compute().item() == before
    metric.reset()
    assert (int(metric.n), int(metric.n_undefined), float(metric.total)) == (0, 0, 0.0)


@every_metric
def test_forward_gives_the_batch_and_keeps_the_whole(kind: type[SampleMetric]) -> None:
    maps, truth = make_maps(6, 8, 8)
    masks, metric = maps > 0.6, kind()
    reference = MEAN_REFERENCE[kind]
    column = reference_column(kind.column, masks, truth)
    for batch in (slice(0, 2), slice(2, 5)):
        found = metric(masks[batch], truth[batch])
        assert found.item() == pytest.approx(reference(column[batch]), abs=1e-12)
    assert metric.compute().item() == pytest.approx(reference(column[:5]), abs=1e-12)


@every_metric
def test_undefined_samples_are_left_out_and_counted(kind: type[SampleMetric]) -> None:
    maps, truth = make_maps(5, 8, 8)
    masks, undefined = maps > 0.2, torch.tensor([True, False, False, True, False])
    metric = kind()
    metric.update(masks, truth, undefined)
    column = reference_column(kind.column, masks, truth)[[1, 2, 4]]
    assert metric.compute().item() == pytest.approx(MEAN_REFERENCE[kind](column), abs=1e-12)
    assert (int(metric.n), int(metric.n_undefined)) == (3, 2)
    metric.reset()
    metric.update(masks, truth, torch.ones(5, dtype=torch.bool))
    assert metric.compute().isnan()
    assert (int(metric.n), int(metric.n_undefined)) == (0, 5)


@every_metric
def test_a_column_found_before_is_not_measured_again(kind: type[SampleMetric]) -> None:
    column = torch.tensor([0.0, 0.4, 0.5, 1.0, math.nan], dtype=torch.float64)
    metric = kind()
    metric.update(torch.zeros(5, 2, 2, dtype=torch.bool), torch.zeros(5, 2, 2), column=column)
    assert metric.compute().item() == pytest.approx(MEAN_REFERENCE[kind](column.numpy()))
    assert int(metric.n_undefined) == 1


@every_metric
def test_an_empty_batch_adds_nothing(kind: type[SampleMetric]) -> None:
    metric = kind()
    metric.update(torch.zeros(0, 4, 4, dtype=torch.bool), torch.zeros(0, 4, 4))
    assert metric.compute().isnan()
    assert (int(metric.n), int(metric.n_undefined)) == (0, 0)


@every_metric
def test_wrong_inputs_are_named(kind: type[SampleMetric]) -> None:
    masks, truth = torch.zeros(2, 4, 4, dtype=torch.bool), torch.zeros(2, 4, 4)
    metric = kind()
    with pytest.raises(TypeError, match=r"`masks` to be boolean, but got torch\.float32"):
        metric.update(truth, truth)
    with pytest.raises(TypeError, match=r"`ground_truth` to be a floating.*got torch\.int64"):
        metric.update(masks, truth.long())
    with pytest.raises(ValueError, match=r"`ground_truth` to have shape \[N, H, W\].*\[4, 4\]"):
        metric.update(masks[0], truth[0])
    with pytest.raises(ValueError, match=r"same shape, but got \[2, 4, 4\] and \[2, 8, 8\]"):
        metric.update(masks, torch.zeros(2, 8, 8))
    with pytest.raises(ValueError, match="same shape"):
        metric.update(masks[:1], truth)


@pytest.mark.parametrize(
    ("kind", "conditions", "higher"),
    [
        (ConsensusIoU, {"positive", "offscreen"}, True),
        (SuccessRate, {"positive"}, True),
        (AUC, {"positive"}, True),
        (ImageArea, {"positive", "silence", "noise", "offscreen"}, False),
        (AUCN, {"silence", "noise", "offscreen"}, True),
    ],
)
def test_where_metrics_apply(kind: type[SampleMetric], conditions: set[str], higher: bool) -> None:
    every = ("positive", "silence", "noise", "offscreen")
    assert {name for name in every if kind.applies_to(name)} == conditions
    assert kind.higher_is_better is higher


def test_directions_and_conditions_follow_the_object_that_sounds() -> None:
    own, other, none = SoundingObject.OWN, SoundingObject.OTHER, SoundingObject.NONE
    assert [ConsensusIoU().is_higher_better(each) for each in (own, other, none)] == [
        True, False, False,
    ]  # fmt: skip
    assert AUC().is_higher_better(own)
    assert not ImageArea().is_higher_better(own)
    assert AUCN().is_higher_better(none)
    pairs = {(own, own): True, (own, none): False, (other, own): False, (none, none): False}
    assert {pair: Agreement().is_higher_better(*pair) for pair in pairs} == pairs

    class Mine(ImageArea):
        conditions = ("negatives", "mixed")

    found = {("a", own): False, ("mixed", own): True, ("a", other): False, ("a", none): True}
    assert {key: Mine.applies_to(*key) for key in found} == found
