"""Metric classes as plain torchmetrics: in batches, processes, copies, collections, Lightning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from tests.reference import formulas
from tests.reference.inputs import make_maps
from vssl.core.errors import UsageError
from vssl.metrics.agreement import Agreement
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.base import CombinedMetric, MapMetric, MeanMetric, PairMetric, SwapMetric
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.metrics.detection import Confidence
from vssl.metrics.false_alarm import FalseAlarmRate
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.interactive import InteractiveAUC, InteractiveIoU
from vssl.metrics.pia import ImageArea
from vssl.metrics.pointing import PointingGame
from vssl.metrics.swap import SwapDelta
from vssl.types import SoundingObject

OWN, OTHER, NONE = SoundingObject.OWN, SoundingObject.OTHER, SoundingObject.NONE
IMAGES = torch.tensor([7, 7, 2, 2, 2, 9, 0, 0, 4, 4, 1, 9])

# kind -> each sample's column by formula, and the number of a whole set
Formula = tuple[Callable[..., float], Callable[..., float]]
FORMULAS: dict[type[MeanMetric], Formula] = {
    ConsensusIoU: (formulas.consensus_iou, formulas.mean),
    SuccessRate: (formulas.consensus_iou, formulas.success_rate),
    AUC: (formulas.consensus_iou, formulas.auc),
    ImageArea: (lambda mask, truth: formulas.image_area(mask), formulas.mean),
    AUCN: (lambda mask, truth: formulas.image_area(mask), formulas.auc_n),
    Agreement: (formulas.mask_agreement, formulas.mean),
    SwapDelta: (
        lambda mask, truth, other: formulas.swap_delta(mask, truth, [other]), formulas.mean
    ),
    PointingGame: (formulas.points_at_object, formulas.mean),
    Confidence: (lambda each, truth: formulas.confidence(each), formulas.mean),
    InteractiveIoU: (formulas.consensus_iou, formulas.interactive_success),
    InteractiveAUC: (formulas.consensus_iou, formulas.interactive_auc),
}  # fmt: skip
every_metric = pytest.mark.parametrize("kind", FORMULAS, ids=lambda kind: kind.name)


def inputs_of(kind: type[MeanMetric]) -> tuple[torch.Tensor, ...]:
    """Twelve samples for a metric, some of them undefined where that can be."""
    maps, truth = make_maps(12, 6, 7)
    others, other = make_maps(12, 6, 7, seed=1)
    truth[-2:] = 0
    maps[-1] = 0
    masks = maps > 0.4
    if issubclass(kind, MapMetric):
        maps[5, 2, 2] = torch.nan
        return maps, truth
    if issubclass(kind, PairMetric):
        return masks, others > 0.4
    if issubclass(kind, SwapMetric):
        return masks, truth, other
    return (masks, truth, IMAGES) if kind.by_image else (masks, truth)


def expected_of(kind: type[MeanMetric]) -> tuple[float, int]:
    """The number by formula, and how many samples are undefined."""
    one, whole = FORMULAS[kind]
    given = [each.numpy() for each in inputs_of(kind)]
    images = [given.pop().tolist()] if kind.by_image else []
    column = np.array([one(*sample) for sample in zip(*given, strict=True)])
    return whole(column, *images), int(np.isnan(column).sum())


@every_metric
def test_the_mean_is_the_formula_s(kind: type[MeanMetric]) -> None:
    metric, (expected, undefined) = kind(), expected_of(kind)
    metric.update(*inputs_of(kind))
    assert metric.compute().item() == pytest.approx(expected, abs=1e-6)
    assert kind.by_image or metric.n_undefined == undefined


WRONG: list[
    tuple[Callable[[torch.Tensor, torch.Tensor], tuple[Any, ...]], type[Exception], str]
] = [
    (lambda m, g: (g, g), TypeError, r"`masks` to be boolean, but got torch\.float32"),
    (lambda m, g: (m, g.long()), TypeError, r"`ground_truth` to be a floating.*torch\.int64"),
    (lambda m, g: (m[0], g[0]), ValueError, r"`ground_truth` to have shape \[N, H, W\].*\[4, 4\]"),
    (lambda m, g: (m, torch.zeros(2, 8, 8)), ValueError, r"\[2, 4, 4\] and \[2, 8, 8\]"),
    (lambda m, g: (m[:1], g), ValueError, "same shape"),
]


@pytest.mark.parametrize("kind", [ConsensusIoU, AUCN, FLoc], ids=lambda kind: kind.name)
@pytest.mark.parametrize(("change", "error", "match"), WRONG, ids=range(len(WRONG)))
def test_wrong_inputs_are_named(
    kind: type[Any], change: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        kind().update(*change(torch.zeros(2, 4, 4, dtype=torch.bool), torch.zeros(2, 4, 4)))


def test_directions_and_conditions_follow_the_object_that_sounds() -> None:
    higher = [ConsensusIoU().is_higher_better(each) for each in (OWN, OTHER, NONE)]
    assert higher == [True, False, False]
    assert AUC().is_higher_better(OWN)
    assert not ImageArea().is_higher_better(OWN)
    assert AUCN().is_higher_better(NONE)
    pairs = {(OWN, OWN): True, (OWN, NONE): False, (OTHER, OWN): False, (NONE, NONE): False}
    assert {pair: Agreement().is_higher_better(*pair) for pair in pairs} == pairs

    class Mine(ImageArea):
        conditions = ("negatives", "mixed")

    found = {("a", OWN): False, ("mixed", OWN): True, ("a", OTHER): False, ("a", NONE): True}
    assert {key: Mine.applies_to(*key) for key in found} == found


def test_metrics_of_a_collection_do_not_share_what_is_equal_at_first() -> None:
    # torchmetrics lets metrics share their states where these are equal after one batch
    truth = torch.ones(2, 4, 4)
    metrics = MetricCollection([SuccessRate(), FalseAlarmRate(), ImageArea(), ConsensusIoU()])
    metrics.update(torch.ones(2, 4, 4, dtype=torch.bool), truth)
    little = torch.zeros(2, 4, 4, dtype=torch.bool)
    little[:, 0, 0] = True
    metrics.update(little, truth)
    found = {name: value.item() for name, value in metrics.compute().items()}
    area = (1 + 1 / 16) / 2
    assert found == {"SuccessRate": 0.5, "FalseAlarmRate": 1.0, "ImageArea": area,
                     "ConsensusIoU": area}  # fmt: skip


@pytest.mark.parametrize("kind", [FLoc, FAuc])
def test_combined_metrics_follow_from_their_means(kind: type[CombinedMetric]) -> None:
    maps, truth = make_maps(12, 6, 7)
    masks, metric = maps > 0.4, kind(negatives=["silence", "birds"])
    assert (metric.positive, metric.negative) == (kind.of_positives.name, kind.of_negatives.name)
    parts = {"positive": slice(0, 5), "silence": slice(5, 8), "birds": slice(8, 12)}
    for name, rows in parts.items():
        for half in np.array_split(np.arange(12)[rows], 2):
            metric.update(masks[half], truth[half], name)
    found = {}
    for name, rows in parts.items():
        mean = kind.of_positives if name == "positive" else kind.of_negatives
        one, whole = FORMULAS[mean]
        pairs = zip(masks[rows].numpy(), truth[rows].numpy(), strict=True)
        found[name] = whole(np.array([one(*pair) for pair in pairs]))
    formula = {FLoc: formulas.f_loc, FAuc: formulas.f_auc}[kind]
    expected = formula(found.pop("positive"), found)
    assert metric.compute().item() == pytest.approx(expected, abs=1e-12)
    with pytest.raises(UsageError, match="Did you mean `birds`"):
        metric.update(masks, truth, "bird")
    metric.reset()
    assert all(mean.n_undefined == 0 and mean._sums[1] == 0 for mean in metric.means.values())
