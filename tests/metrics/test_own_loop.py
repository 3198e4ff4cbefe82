"""Choice of samples by audio condition, and thresholds that an epoch learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from vssl.core.errors import UsageError
from vssl.metrics import AUROC, EpochThreshold, FLoc, ImageArea, OnConditions, PointingGame
from vssl.thresholds import FalseAlarmThreshold, FixedThreshold, UniversalThreshold
from vssl.thresholds.universal import LearntThreshold

NAMES = ["positive", "silence", "noise", "positive", "noise", "offscreen"]
NEGATIVES = ("silence", "noise", "offscreen")


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    maps, truth = torch.rand(2, 6, 4, 5, generator=generator)
    return maps, (truth > 0.5).float()


def test_each_metric_of_a_collection_gets_its_samples_and_arguments() -> None:
    maps, truth = make_batch()
    masks = maps > 0.4
    collection = MetricCollection(
        {
            "pia": OnConditions(ImageArea(), "noise", "offscreen"),
            "pointing": OnConditions(PointingGame(), "positive"),
            "f_loc": FLoc(negatives=NEGATIVES),
        }
    )
    for rows in (slice(0, 2), slice(2, 6)):
        collection.update(
            masks=masks[rows], ground_truth=truth[rows], localization_maps=maps[rows],
            condition=NAMES[rows],
        )  # fmt: skip
    noise, own = torch.tensor([2, 4, 5]), torch.tensor([0, 3])
    pia, pointing, f_loc = ImageArea(), PointingGame(), FLoc(negatives=NEGATIVES)
    pia.update(masks[noise], truth[noise])
    pointing.update(maps[own], truth[own])
    for row, name in enumerate(NAMES):
        f_loc.update(masks[row : row + 1], truth[row : row + 1], name)
    expected = {"pia": pia, "pointing": pointing, "f_loc": f_loc}
    found = collection.compute()
    assert found == {name: metric.compute() for name, metric in expected.items()}
    assert all(0 < value < 1 for value in found.values() if value != pointing.compute())
    collection.reset()
    collection.update(masks=masks[:0], ground_truth=truth[:0], localization_maps=maps[:0],
                      condition=[])  # fmt: skip
    assert all(value.isnan() for value in collection.compute().values())


@pytest.mark.parametrize(
    "policy",
    [
        UniversalThreshold(statistic="mean", name="universal_max", factor=1.1),
        UniversalThreshold(statistic="third_quartile", name="universal_q3"),
        FalseAlarmThreshold(rate=0.2, name="false_alarm_20"),
    ],
    ids=lambda policy: policy.name,
)
def test_an_epoch_learns_what_the_policy_learns(policy: LearntThreshold) -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=60).astype(np.float32)
    values[7] = np.nan
    names = generator.choice(NAMES, size=60)
    metric = EpochThreshold(policy, negatives=NEGATIVES)
    for rows in np.array_split(np.arange(60), 7):
        metric.update(torch.from_numpy(values[rows]), list(names[rows]))
    negative = names != "positive"
    policy.fit(values[negative].astype(np.float64), names[negative])
    assert metric.compute().item() == policy.constant()
    metric.reset()
    metric.update(torch.ones(3), "positive")
    assert metric.compute().isnan(), "no negative yet, as in a check before training"


def test_conditions_belong_to_samples() -> None:
    maps, truth = make_batch()
    with pytest.raises(ValueError, match="a condition for each of 6 samples, but got 5"):
        FLoc().update(maps > 0.5, truth, NAMES[:5])
    with pytest.raises(UsageError, match="Did you mean `noise`"):
        FLoc().update(maps > 0.5, truth, ["nois"] * 6)
    for name, marks in (("positive", torch.ones(4)), ("success", torch.ones(5))):
        with pytest.raises(ValueError, match=rf"`{name}` for each of \[6\] values, but got"):
            AUROC().update(torch.rand(6), **{"positive": True, name: marks})


def test_negatives_may_be_one_name_and_policies_are_learnt() -> None:
    policy = UniversalThreshold(statistic="mean", name="universal_max")
    values, names = torch.tensor([0.9, 0.1, 0.5]), ["positive", "silence", "noise"]
    for negatives in ("silence", ["silence"]):
        metric = EpochThreshold(policy, negatives=negatives)
        metric.update(values, names)
        assert metric.compute().item() == pytest.approx(0.1)
        assert list(FLoc(negatives=negatives).means) == ["positive", "silence"]
    for known in (FixedThreshold(value=0.5), "universal_q3"):
        with pytest.raises(UsageError, match="Expected `policy` to be learnt"):
            EpochThreshold(known)  # type: ignore[arg-type]
