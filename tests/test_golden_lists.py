"""Per-sample lists of the authors' released code, reproduced from its own similarity maps.

Maps, ground truths and lists come from the golden data; upsampling, thresholds, masks and metrics
are vssl's. A pixel is 2e-5 of an image, so the tolerance of 1e-9 lets none go astray.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from vssl.maps import binarize, upsample
from vssl.metrics.ciou import consensus_iou
from vssl.metrics.pia import image_area
from vssl.thresholds.base import FixedThreshold, ThresholdPolicy
from vssl.thresholds.released import ReleasedThreshold
from vssl.thresholds.size_aware import HalfImage, ObjectArea

NEGATIVES = ("silence", "noise", "offscreen")
POLICIES: dict[str, Callable[[], ThresholdPolicy]] = {
    "05": FixedThreshold,
    "max": lambda: ReleasedThreshold(rule="max"),
    "max10": lambda: ReleasedThreshold(rule="max10"),
    "maxq3": lambda: ReleasedThreshold(rule="q3"),
    "median": HalfImage,
    "adaptive": ObjectArea,
}
CONSTANTS = ("05", "max", "max10", "maxq3")
POOLED = ("median", *CONSTANTS)
"""Order of the five entries that a sample adds to the evaluator's one list."""

MODELS = ("ezvsl", "slavc", "fnac", "lvs", "sslalign", "ssltie")
UNIT_RUNS = {
    "eval_ezvsl": ("ezvsl", True),
    "eval_slavc": ("slavc", True),
    "eval_fnac": ("fnac", True),
    "eval_lvs_vggss_lvs": ("lvs", False),
    "eval_lvs_vggss_sslalign": ("sslalign", False),
    "eval_lvs_is3_lvs": ("lvs", True),
    "eval_lvs_is3_sslalign": ("sslalign", True),
    "eval_ssltie": ("ssltie", False),
}
"""Evaluation path of the released code -> model, and whether its positives get aligned corners."""

Array = npt.NDArray[Any]


class Run:
    """What vssl finds for one set of maps, and what the released code found."""

    def __init__(
        self, model: str, maps: Mapping[str, Array], ground_truth: Array, *, aligned: bool
    ) -> None:
        self.model = model
        self.ground_truth = torch.from_numpy(ground_truth).float()
        self.positive = upsample(
            torch.from_numpy(maps["positive"]), rule="align_corners" if aligned else "opencv"
        )
        # the released code upsamples negatives in another way than some positives (QUIRKS 27)
        self.negative = {
            name: upsample(torch.from_numpy(maps[name]), rule="opencv") for name in NEGATIVES
        }
        self._thresholds: dict[str, torch.Tensor] = {}
        self._ciou: dict[str, Array] = {}

    def threshold(self, policy: str) -> torch.Tensor:
        """The positive's own threshold; for constants that is everybody's."""
        if policy not in self._thresholds:
            made = POLICIES[policy]()
            made.check_model(self.model)
            self._thresholds[policy] = made.threshold(self.positive, self.ground_truth)
        return self._thresholds[policy]

    def ciou(self, policy: str) -> Array:
        if policy not in self._ciou:
            masks = binarize(self.positive, self.threshold(policy))
            self._ciou[policy] = consensus_iou(masks, self.ground_truth).numpy()
        return self._ciou[policy]

    def pia(self, condition: str, policy: str) -> Array:
        return image_area(binarize(self.negative[condition], self.threshold(policy))).numpy()


Golden = tuple[Run, Callable[[str], Array]]
"""A run, and the released code's list by name."""


def read(path: Path, start: str = "") -> dict[str, Array]:
    """The arrays of a file whose names begin so, by the rest of their names."""
    with np.load(path) as file:
        return {name[len(start) :]: file[name] for name in file.files if name.startswith(start)}


def dev_run(shared: Path, test_set: str, model: str) -> Golden:
    folder = shared / "golden" / "dev" / test_set
    truth, maps = read(folder / "gt_maps.npz"), read(folder / model / "similarity_maps.npz")
    lists = read(folder / model / "per_sample_lists.npz")
    assert truth["ids"].tolist() == maps["ids"].tolist()
    aligned = model in ("ezvsl", "slavc", "fnac") or (test_set == "is3_mini" and model != "ssltie")
    n = len(truth["ids"])

    def expected(name: str) -> Array:
        return lists[name][: 5 * n if name == "evaluator_ciou" else n]

    return Run(model, maps, truth["gt"], aligned=aligned), expected


def unit_run(shared: Path, kind: str, path: str) -> Golden:
    file = shared / "golden" / "dev" / "metrics_unit.npz"
    model, aligned = UNIT_RUNS[path]
    side = 7 if path in ("eval_ezvsl", "eval_slavc", "eval_fnac") else 14
    maps = {name: read(file, f"{kind}/{name}_{side}")[""] for name in ("positive", *NEGATIVES)}
    lists = read(file, f"{kind}/{path}/")

    def expected(name: str) -> Array:
        return lists[name.replace("evaluator", "evaluator_av")]

    return Run(model, maps, read(file, f"{kind}/gt")[""], aligned=aligned), expected


RUNS = [(group, model) for group in ("vggss_mini", "is3_mini") for model in MODELS]
RUNS += [(group, path) for group in ("regular", "edge") for path in UNIT_RUNS]


@pytest.fixture(scope="module", params=RUNS, ids=["-".join(run) for run in RUNS])
def golden(shared: Path, request: pytest.FixtureRequest) -> Golden:
    """One run and its lists; pytest finishes a run's tests before it makes the next one."""
    group, name = request.param
    return (unit_run if group in ("regular", "edge") else dev_run)(shared, group, name)


def check(found: Array, expected: Array) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("policy", CONSTANTS)
def test_ciou_at_one_constant(golden: Golden, policy: str) -> None:
    run, expected = golden
    # the released code turns 0/0 into 0 in these lists (QUIRKS 38); vssl keeps it undefined
    check(np.nan_to_num(run.ciou(policy)), expected(f"ciou_{policy}_wogl"))


def test_adaptive_ciou(golden: Golden) -> None:
    run, expected = golden
    check(run.ciou("adaptive"), expected("evaluator_ciou_adap"))


def test_the_evaluator_pools_five_thresholds_sample_by_sample(golden: Golden) -> None:
    run, expected = golden
    # 0/0 is NaN on both sides here, which assert_allclose takes for equal
    check(
        np.stack([run.ciou(policy) for policy in POOLED], axis=1).ravel(),
        expected("evaluator_ciou"),
    )


@pytest.mark.parametrize("condition", NEGATIVES)
@pytest.mark.parametrize(
    ("policy", "suffix"),
    [
        ("05", ""),
        ("max", "_max"),
        ("max10", "_max10"),
        ("maxq3", "_maxq3"),
        ("median", "_ciou"),
        ("adaptive", "_ciouadap"),
    ],
)
def test_pia(golden: Golden, condition: str, policy: str, suffix: str) -> None:
    run, expected = golden
    check(run.pia(condition, policy), expected(f"pia_batch_{condition}{suffix}_wogl"))
