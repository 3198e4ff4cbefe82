"""Metrics of a whole set: against scikit-learn, scipy, numpy and SLAVC's definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import formulas
from vssl.metrics.alignment import Alignment, Separability
from vssl.metrics.detection import DetectionAP, MaxF1
from vssl.metrics.separation import AUROC, FPR95, AveragePrecision, Overlap
from vssl.metrics.set_metric import SetMetric, Values

Array = npt.NDArray[np.float64]
KINDS: tuple[type[SetMetric], ...] = (
    *(AUROC, AveragePrecision, FPR95, Overlap),
    *(Alignment, Separability),
    *(DetectionAP, MaxF1),
)
every_metric = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@dataclass
class Set:
    """Positives, whether each is found, and negatives; values repeat, and some are NaN."""

    positives: Array
    found: npt.NDArray[np.bool_]
    negatives: Array

    @classmethod
    def make(
        cls, *, positives: int, negatives: int, levels: int, seed: int, holes: float = 0.0
    ) -> Set:
        generator = np.random.default_rng(seed)

        def values(count: int, shift: float) -> Array:
            drawn = generator.integers(levels, size=count) / 16 + shift
            return np.where(generator.random(count) < holes, np.nan, drawn)

        return cls(
            values(positives, generator.choice([0, 0.25, 1.5])),
            generator.random(positives) < 0.6,
            values(negatives, 0),
        )

    def metric(self, kind: type[SetMetric]) -> SetMetric:
        """A metric that has seen the set."""
        metric = kind()
        metric.update(
            torch.from_numpy(self.positives), positive=True, success=torch.from_numpy(self.found)
        )
        metric.update(torch.from_numpy(self.negatives), positive=False)
        return metric

    def expected(self, name: str) -> float:
        """What the formulas say of the defined values."""
        own, other = ~np.isnan(self.positives), ~np.isnan(self.negatives)
        found = formulas.of_a_set(self.positives[own], self.found[own], self.negatives[other])
        return found[name]


sets = st.builds(
    Set.make,
    positives=st.integers(1, 30),
    negatives=st.integers(1, 30),
    levels=st.integers(1, 12),
    seed=st.integers(0, 2**20),
)
sets_with_holes = st.builds(
    Set.make,
    positives=st.integers(4, 20),
    negatives=st.integers(4, 20),
    levels=st.just(5),
    seed=st.integers(0, 2**20),
    holes=st.just(0.3),
).filter(lambda each: not any(np.isnan(v).all() for v in (each.positives, each.negatives)))


@every_metric
@given(each=st.one_of(sets, sets_with_holes))
def test_classes_equal_the_formulas_of_what_is_defined(kind: type[SetMetric], each: Set) -> None:
    found = each.metric(kind).compute()
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(each.expected(kind.name), abs=1e-12)


@every_metric
def test_a_side_without_values_is_undefined(kind: type[SetMetric]) -> None:
    some, none, holes = np.array([0.2, 0.7, 0.7]), np.empty(0), np.full(3, np.nan)
    found = np.array([True, False, True])
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert kind().compute().isnan()
    for empty in (none, holes):
        for negatives in (some, empty):
            lost = Set(empty, found[: len(empty)], negatives)
            assert lost.metric(kind).compute().isnan()
    # that there are no negatives is no reason for detection to be undefined
    expected = formulas.of_a_set(some, found, none)[kind.name]
    for empty in (none, holes):
        value = Set(some, found, empty).metric(kind).compute().item()
        assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(("levels", "kind"), [(1, np.uint8), (4, np.uint16), (1000, np.uint8)])
def test_images_that_weigh_more_stand_for_repeated_rows(levels: int, kind: type[Any]) -> None:
    """More resamples than are worked on side by side; two bytes for what one does not hold."""
    generator = np.random.default_rng(levels)
    each = Set.make(positives=25, negatives=40, levels=levels, seed=levels)
    image = generator.integers(6, size=25), generator.integers(6, size=40)
    weights = generator.integers(4, size=(70, 6)).astype(kind)
    weights[1] = 0
    weights[:, 0] *= 100 if kind == np.uint16 else 1
    # detection is found under several threshold policies at once, the others under none
    success = np.stack([each.found, ~each.found, each.found & (image[0] < 3)], axis=1)
    positives = Values(each.positives, image[0], success)
    negatives = Values(each.negatives, image[1], np.zeros((40, 3), np.bool_))
    found = {}
    for metric in KINDS:
        found[metric] = metric.family(positives, negatives, weights)[metric.name]
        assert found[metric].shape == (70, 3 if metric.by_threshold else 1)
    for row in (0, 1, 2, *range(62, 70)):
        first, second = (weights[row, numbers] for numbers in image)
        own, other = np.repeat(each.positives, first), np.repeat(each.negatives, second)
        for policy, reached in enumerate(success.T):
            expected = formulas.of_a_set(own, np.repeat(reached, first), other)
            for metric, values in found.items():
                value = values[row, policy if metric.by_threshold else 0]
                wanted = expected[metric.name]
                assert value == pytest.approx(wanted, abs=1e-12, nan_ok=True), metric.name
