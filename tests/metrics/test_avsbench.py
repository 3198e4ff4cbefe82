"""AVSBench's metrics: against the expected values of its pack, and brute force over thresholds."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from tests.helpers.records import make_sample, make_samples, summary_of, upsampled, write_made
from tests.reference import formulas
from vssl.core.errors import UsageError
from vssl.maps import encode_mask
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.avsbench import (
    AVSF,
    GF,
    AVSFalsePositiveRate,
    AVSFBatch,
    AVSMeanIoU,
    GFalsePositiveRate,
    GFBatch,
    GMeanIoU,
    avs_iou,
)
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.pia import ImageArea
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.bootstrap import ImageBootstrap
from vssl.records.fit import FittedPolicy
from vssl.records.score import AnyMetric, score_records
from vssl.thresholds.base import FixedThreshold
from vssl.types import NATURAL

Array = npt.NDArray[Any]


@dataclass
class Pack:
    """A test set of the pack: maps, masks, and what is expected."""

    maps: torch.Tensor
    truth: torch.Tensor
    samples: pd.DataFrame
    summary: dict[str, Any]


@pytest.fixture(scope="module", params=["s4", "ms3", "vpo_ss", "vpo_ms"])
def pack(request: pytest.FixtureRequest, shared: Path) -> Pack:
    folder = shared / "data" / "avsbench" / "expected" / request.param
    maps = np.load(folder / "maps_56.npy").repeat(4, axis=1).repeat(4, axis=2)
    truth = np.load(folder / "truth_224.npz")["masks"]
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    samples = pd.read_csv(folder / "per_sample.csv")
    return Pack(torch.from_numpy(maps), torch.from_numpy(truth).float(), samples, summary)


def number(metric: Any, *given: torch.Tensor) -> float:
    metric.update(*given)
    return float(metric.compute())


def test_iou_and_area_of_each_sample(pack: Pack) -> None:
    masks = pack.maps > 0.5
    np.testing.assert_allclose(
        avs_iou(masks, pack.truth), pack.samples["avs_iou"], rtol=0, atol=1e-12
    )
    packed = AVSMeanIoU.measure_packed(PackedMasks.of(masks), PackedTruth.of(pack.truth))
    np.testing.assert_allclose(packed, pack.samples["avs_iou"], rtol=0, atol=1e-12)
    assert number(AVSMeanIoU(), masks, pack.truth) == pytest.approx(
        pack.summary["miou_avsbench"], abs=1e-9
    )
    for kind in (ImageArea, AVSFalsePositiveRate):
        found = number(kind(), masks, pack.truth)
        assert found == pytest.approx(pack.summary["pia"], abs=1e-9)
    own = pack.truth.flatten(1).any(dim=1)
    found = number(ConsensusIoU(), masks[own], pack.truth[own])
    assert found == pytest.approx(pack.summary["miou_nonempty"], abs=1e-9)


def test_f_of_the_set_and_of_batches(pack: Pack) -> None:
    expected = pack.summary
    assert number(AVSF(), pack.maps, pack.truth) == pytest.approx(expected["F_dataset"], abs=1e-7)
    for batch in (1, 5, 10):
        found = number(AVSFBatch(batch=batch), pack.maps, pack.truth)
        assert found == pytest.approx(expected[f"F_batch{batch}"], abs=1e-7)
    order = expected["shuffled_order"]
    shuffled = number(AVSFBatch(batch=5), pack.maps[order], pack.truth[order])
    assert shuffled == pytest.approx(expected["F_batch5_shuffled"], abs=1e-7)


def test_natural_negatives_count_among_the_positives(pack: Pack, tmp_path: Path) -> None:
    """Numbers of a run, whose natural negatives have a condition of their own."""
    samples = []
    for name, truth in zip(pack.samples["id"], pack.truth.numpy() > 0, strict=True):
        masks = (encode_mask(truth),) if truth.any() else ()
        sample = replace(
            make_sample(name, name, (), ()), masks=masks, mask_weights=(1.0,) * len(masks)
        )
        samples.append(replace(sample, is_natural_negative=not masks))
    metrics: list[AnyMetric] = [*(m for m in METRICS[:6] if m.name != "avs_f_batch"), AVSFBatch(),
                                ConsensusIoU()]  # fmt: skip
    write_made(
        tmp_path,
        samples,
        negatives=[Silence()],
        maps=pack.maps.numpy()[:, None],
        value_range=[0, 1],
    )
    fitted = [FittedPolicy(FixedThreshold(), "constant", "av")]
    output = tmp_path / "scores.parquet"
    score_records(tmp_path, fitted, metrics, output=output)
    summary = summary_of(
        tmp_path, output, metrics, output=tmp_path / "summary.parquet", fitted=fitted
    )
    found = summary.set_index(["metric", "condition"])
    expected = pack.summary
    for metric, key, n in (
        ("avs_miou", "miou_avsbench", 30), ("avs_fpr", "pia", 30),
        ("avs_f", "F_dataset", 30 - expected["n_empty_truth"]),
        ("avs_f_batch", "F_batch5", 30 - expected["n_empty_truth"]),
        ("ciou", "miou_nonempty", 30 - expected["n_empty_truth"]),
    ):  # fmt: skip
        for condition in ("positive", "silence"):  # which has the same maps
            if (metric, condition) in found.index:
                row = found.loc[metric, condition]
                assert (row["value"], row["n"]) == (pytest.approx(expected[key], abs=1e-7), n)
                assert row["n_undefined"] == (0 if metric == "ciou" else 30 - n)
    assert NATURAL not in set(summary["condition"])
    deaf = expected["miou_avsbench"]
    assert found.loc[("g_miou", "silence"), "value"] == pytest.approx(2 * deaf * (1 - deaf))


def f_curve(localization_map: Array, own: Array) -> Array:
    """F of one sample at each threshold, by precision and recall."""
    found = []
    for threshold in np.linspace(0, 1 - 1e-10, 255).astype(np.float32):
        marked = localization_map >= threshold
        both = (marked & own).sum()
        precision, recall = both / (marked.sum() + 1e-20), both / own.sum()
        slope = 0.3 * precision + recall
        found.append(1.3 * precision * recall / slope if slope > 0 else 0.0)
    return np.array(found)


METRICS: list[AnyMetric] = [
    AVSMeanIoU(), AVSFalsePositiveRate(), AVSF(), AVSFBatch(batch=3),
    GMeanIoU(), GFalsePositiveRate(), GF(), GFBatch(),
]  # fmt: skip
SETTINGS = {"resamples": 40, "seed": 3}


@dataclass
class Run:
    """A scored run, and what its numbers follow from."""

    summary: pd.DataFrame
    groups: list[str]
    own: Array  # [N, 224, 224] bool
    maps: dict[str, Array]  # [N, D, 224, 224] in [0, 1]

    def row(self, metric: str, condition: str) -> Any:
        """The one row of a number."""
        rows = self.summary
        (row,) = rows[(rows["metric"] == metric) & (rows["condition"] == condition)].to_dict(
            "records"
        )
        return row

    def curves(self, condition: str) -> Array:
        """F of each sample and draw, `[N, D, 255]`; NaN for an empty ground truth."""
        return np.array([
            [f_curve(each, own) if own.any() else np.full(255, np.nan) for each in of_sample]
            for of_sample, own in zip(self.maps[condition], self.own, strict=True)
        ])  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Maps in [-1, 1] of eight samples, the last two without object, on four pictures."""
    folder = tmp_path_factory.mktemp("avsbench")
    negatives = [Silence(), Noise(draws=2), Offscreen(draws=2)]
    made = write_made(folder, make_samples(), negatives=negatives)
    scores = folder / "scores.parquet"
    fitted = [FittedPolicy(FixedThreshold(value=0.0), "constant", "av")]
    score_records(folder, fitted, METRICS, output=scores)
    summary = summary_of(
        folder, scores, METRICS, output=folder / "summary.parquet", fitted=fitted, **SETTINGS
    )
    own = np.stack(
        [formulas.consensus_map(s.boxes, s.box_weights, size=224) > 0 for s in made.samples]
    )
    maps = {name: (upsampled(native) + np.float32(1)) / 2 for name, native in made.native.items()}
    groups = [sample.image_group for sample in made.samples]
    return Run(summary, groups, own, {n: m.astype(np.float32) for n, m in maps.items()})


@pytest.mark.parametrize("condition", ["positive", "silence", "noise"])
def test_f_of_a_run_is_that_of_every_draw(run: Run, condition: str) -> None:
    curves = run.curves(condition)
    with np.errstate(invalid="ignore"):
        whole = np.nanmean(curves, axis=0).max(axis=-1)
    row = run.row("avs_f", condition)
    assert row["threshold_policy"] == "none"
    assert (row["n"], row["n_undefined"]) == (6, 2 * curves.shape[1])
    assert row["value"] == pytest.approx(whole.mean(), abs=1e-6)
    assert row["higher_is_better"] == (condition == "positive")
    batches = [np.nanmean(curves[first : first + 3], axis=0).max(axis=-1) for first in (0, 3)]
    batches.append(np.zeros(curves.shape[1]))  # of the two without object
    found = run.row("avs_f_batch", condition)
    assert found["value"] == pytest.approx(np.mean(batches), abs=1e-6)
    if condition == "positive":
        resampled = []
        for times in ImageBootstrap(run.groups, **SETTINGS).weights.astype(int):
            drawn = np.repeat(curves[:, 0], times[[int(g[-1]) for g in run.groups]], axis=0)
            resampled.append(np.nanmean(drawn, axis=0).max() if len(drawn) else np.nan)
        expected = formulas.logit_interval(row["value"], np.array(resampled), 3, (0.0, 1.0), 2)
        found = [row["ci_low"], row["ci_high"]]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_loop_of_one_s_own_gives_the_run_s_numbers(run: Run) -> None:
    truth = torch.from_numpy(run.own).float()
    silence = {"negatives": "silence"}
    combined = [GMeanIoU(**silence), GFalsePositiveRate(**silence), GF(**silence)]
    for condition in ("positive", "silence"):
        maps = torch.from_numpy(run.maps[condition][:, 0])
        masks = maps > 0.5
        for metric in (AVSMeanIoU(), AVSFalsePositiveRate(), AVSF(), AVSFBatch(batch=3)):
            found = number(metric, maps if isinstance(metric, AVSF) else masks, truth)
            row = run.row(metric.name, condition)
            assert found == pytest.approx(row["value"], abs=1e-12), (metric.name, condition)
        for each in combined:
            each.update(maps if isinstance(each, GF) else masks, truth, condition)
    for each in combined:
        row = run.row(each.name, "silence")
        assert float(each.compute()) == pytest.approx(row["value"], abs=1e-12)
        assert row["ci_low"] < row["value"] < row["ci_high"]


def test_the_published_number_of_a_model_that_ignores_the_sound() -> None:
    found = GMeanIoU.combine(np.array(0.862), {"silence": np.array(0.862)})
    assert 100 * found == pytest.approx(23.79, abs=0.005)  # VCT's G-mIoU on S4


@pytest.mark.parametrize("metric", [AVSF(), AVSFBatch()], ids=lambda metric: metric.name)
def test_maps_without_range_have_no_f(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, metric: AVSF
) -> None:
    write_made(tmp_path, make_samples()[:2], negatives=[], value_range=[None, None])
    score_records(tmp_path, [], [metric], output=tmp_path / "scores.parquet")
    (row,) = summary_of(
        tmp_path, tmp_path / "scores.parquet", [metric], output=tmp_path / "summary.parquet"
    ).to_dict("records")
    assert np.isnan(row["value"])
    assert row["n_undefined"] == 2
    assert "have no known range" in caplog.text


def test_batches_hold_a_sample() -> None:
    with pytest.raises(UsageError, match="`batch` to be at least 1"):
        AVSFBatch(batch=0)


@pytest.mark.parametrize(
    ("name", "part"), [("g_miou", "avs_miou"), ("g_fpr", "avs_fpr"), ("g_f", "avs_f")]
)
def test_combined_numbers_are_harmonic_means(run: Run, name: str, part: str) -> None:
    a = run.row(part, "positive")["value"]
    b = 1 - np.mean([run.row(part, each)["value"] for each in ("silence", "noise", "offscreen")])
    assert run.row(name, "all")["value"] == pytest.approx(2 * a * b / (a + b), abs=1e-12)
