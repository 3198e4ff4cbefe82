"""Scores to summary, on small runs written, scored and summarized by the real functions.

Expected values are recomputed from the similarity maps by the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from tests.helpers.records import FACTS, MAPS, make_samples, summary_of, write_made
from tests.reference import formulas, study
from vssl.maps import upsample
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.base import CombinedMetric, SampleMetric
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.pia import ImageArea
from vssl.negatives.base import AudioCondition
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.bootstrap import ImageBootstrap
from vssl.records.files import SCORES_FILE, SUMMARY_FILE
from vssl.records.fit import fit_policies
from vssl.records.schema import SUMMARY
from vssl.records.score import score_records
from vssl.records.store import RecordsError, read_provenance
from vssl.thresholds.base import FixedThreshold, ThresholdPolicy
from vssl.thresholds.size_aware import HalfImage
from vssl.thresholds.universal import UniversalThreshold
from vssl.types import POSITIVE, Sample

Array = npt.NDArray[np.float64]
UNIVERSAL = "universal_max"
SETTINGS = {"resamples": 80, "seed": 4}


@dataclass
class Run:
    """A run on disk, its maps `[N, D, h, w]` by condition, and its summary."""

    folder: Path
    samples: list[Sample]
    maps: dict[str, Array]
    summary: pd.DataFrame

    def row(self, metric: str, condition: str, policy: str = "fixed") -> Any:
        found = self.summary
        for column, value in (
            ("metric", metric), ("condition", condition), ("threshold_policy", policy)
        ):  # fmt: skip
            found = found[found[column] == value]
        assert len(found) == 1
        return found.iloc[0]

    def columns(self, condition: str, threshold: float = 0.5) -> dict[str, Array]:
        """cIoU and pIA `[N, D]` of a condition, sample by sample, by formula."""
        maps = self.maps[condition]
        ciou, pia = np.full((2, *maps.shape[:2]), np.nan)
        for n, d in np.ndindex(ciou.shape):
            truth = np.zeros((224, 224))
            x0, y0, x1, y1 = self.samples[n].boxes[0]
            truth[y0:y1, x0:x1] = 1
            if not np.isnan(maps[n, d]).any():
                mask = upsample(torch.from_numpy(maps[n, [d]]))[0].numpy() > np.float32(threshold)
                ciou[n, d] = formulas.consensus_iou(mask, truth)
                pia[n, d] = formulas.image_area(mask)
        return {"ciou": ciou, "pia": pia}


def every_metric() -> list[SampleMetric | CombinedMetric]:
    return [ConsensusIoU(), SuccessRate(), AUC(), ImageArea(), AUCN(), FLoc(), FAuc()]


def write_run(folder: Path, negatives: Sequence[AudioCondition], *, holes: bool = True) -> Run:
    samples = make_samples()
    draws = [1, *(condition.draws for condition in negatives)]
    maps = np.random.default_rng(2).random((8, sum(draws), 7, 7))
    # a positive, and two samples in the last draw of the last negative
    last = (negatives[-1].name, draws[-1] - 1) if negatives else ("", 0)
    lost = [(POSITIVE, 1, 0), *((last[0], n, last[1]) for n in (3, 4))] if holes else []
    made = write_made(folder / "run", samples, maps=maps, negatives=negatives, holes=lost,
                      **FACTS, **MAPS)  # fmt: skip
    folder = made.folder
    policies: list[ThresholdPolicy] = [FixedThreshold(), HalfImage()]
    if negatives:
        policies.append(UniversalThreshold(statistic="mean", name=UNIVERSAL))
    metrics = every_metric()
    scores = folder / SCORES_FILE
    sample_metrics = [metric for metric in metrics if isinstance(metric, SampleMetric)]
    fitted = fit_policies(policies, folder)
    score_records(folder, fitted, sample_metrics, output=scores)
    summary = summary_of(
        folder, scores, metrics, output=folder / SUMMARY_FILE, fitted=fitted, **SETTINGS
    )
    return Run(folder, samples, made.native, summary)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Run:
    negatives = [Silence(), Noise(draws=2), Offscreen(draws=3)]
    return write_run(tmp_path_factory.mktemp("full"), negatives)


CELLS = [
    (name, condition)
    for name, (_, _, conditions) in study.MEANS.items()
    for condition in conditions
    if name != "false_alarm_rate"
]


@pytest.mark.parametrize(("metric", "condition"), CELLS)
@pytest.mark.parametrize("policy", ["fixed", UNIVERSAL])
def test_mean_within_draws_then_over_draws(
    full: Run, metric: str, condition: str, policy: str
) -> None:
    row = full.row(metric, condition, policy)
    name, formula, _ = study.MEANS[metric]
    values = full.columns(condition, row["threshold"])[name]
    per_draw = np.array([formula(values[:, d]) for d in range(values.shape[1])])
    defined = ~np.isnan(values)
    assert row["value"] == pytest.approx(per_draw.mean(), abs=1e-12)
    assert row["draws"] == len(per_draw) == {"noise": 2, "offscreen": 3}.get(condition, 1)
    assert row["n"] == defined.any(axis=1).sum()
    assert row["n_undefined"] == (~defined).sum()
    if len(per_draw) == 1:
        assert math.isnan(row["std_over_draws"])
    else:
        spread = math.sqrt(((per_draw - per_draw.mean()) ** 2).sum() / (len(per_draw) - 1))
        assert row["std_over_draws"] == pytest.approx(spread, abs=1e-12)
    assert row["ci_low"] <= row["value"] <= row["ci_high"]


@pytest.mark.parametrize("policy", ["fixed", UNIVERSAL])
@pytest.mark.parametrize(
    ("name", "positive", "negative", "formula"),
    [
        ("f_loc", "ciou", "pia", formulas.f_loc),
        ("f_auc", "auc", "auc_n", formulas.f_auc),
    ],
)
def test_f_scores_follow_from_the_reported_means(
    full: Run, policy: str, name: str, positive: str, negative: str, formula: Any
) -> None:
    first = full.row(positive, POSITIVE, policy)
    rows = {c: full.row(negative, c, policy) for c in ("silence", "noise", "offscreen")}
    for condition in ("silence", "noise", "offscreen", "all"):
        members = rows if condition == "all" else {condition: rows[condition]}
        row = full.row(name, condition, policy)
        values = {c: member["value"] for c, member in members.items()}
        assert row["value"] == pytest.approx(formula(first["value"], values), abs=1e-12)
        assert row["n"] == first["n"]
        lost = first["n_undefined"] + sum(member["n_undefined"] for member in members.values())
        assert row["n_undefined"] == lost
        assert bool(row["higher_is_better"])


def test_f_scores_spread_draw_by_draw(full: Run) -> None:
    ciou = formulas.mean(full.columns(POSITIVE)["ciou"])
    pia = {c: full.columns(c)["pia"] for c in ("silence", "noise", "offscreen")}

    def spread(conditions: Sequence[str], draws: int) -> float:
        scores = []
        for d in range(draws):
            drawn = {c: formulas.mean(pia[c][:, d if c != "silence" else 0]) for c in conditions}
            scores.append(formulas.f_loc(ciou, drawn))
        return float(np.std(scores, ddof=1))

    # silence has one draw, which meets every draw of the others; noise has only two
    for condition, members, draws in (
        ("offscreen", ["offscreen"], 3),
        ("all", ["silence", "noise", "offscreen"], 2),
    ):
        row = full.row("f_loc", condition)
        assert row["draws"] == draws
        assert row["std_over_draws"] == pytest.approx(spread(members, draws), abs=1e-12)
    assert math.isnan(full.row("f_loc", "silence")["std_over_draws"])


def test_intervals_of_f_scores_resample_both_sides_together(full: Run) -> None:
    bootstrap = ImageBootstrap([s.image_group for s in full.samples], **SETTINGS)
    ciou = bootstrap.means(bootstrap.totals(full.columns(POSITIVE)["ciou"]))[:, 0]
    pia = bootstrap.means(bootstrap.totals(full.columns("noise")["pia"])).mean(axis=1)
    scores = [formulas.f_loc(c, {"noise": p}) for c, p in zip(ciou, pia, strict=True)]
    row = full.row("f_loc", "noise")
    expected = formulas.logit_interval(row["value"], np.array(scores), bootstrap.images)
    found = [row["ci_low_at_threshold"], row["ci_high_at_threshold"]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("negatives", "conditions"),
    [
        ([], set()),
        ([Noise(draws=1), Offscreen(draws=1)], {"noise", "offscreen"}),
        (
            [Offscreen(draws=1), Silence(), Noise(draws=1)],
            {"silence", "noise", "offscreen", "all"},
        ),
    ],
)
def test_all_stands_for_the_three_negatives_only(
    tmp_path: Path, negatives: list[AudioCondition], conditions: set[str]
) -> None:
    summary = write_run(tmp_path, negatives, holes=False).summary
    for name in ("f_loc", "f_auc"):
        found = summary[(summary["metric"] == name) & (summary["threshold_policy"] == "fixed")]
        assert set(found["condition"]) == conditions
        assert len(found) == len(conditions)


def test_thresholds_and_facts_stand_in_every_row(full: Run) -> None:
    for key, value in FACTS.items():
        assert (full.summary[key] == value).all()
    by_policy = full.summary.groupby("threshold_policy")
    thresholds = {policy: set(rows["threshold"]) for policy, rows in by_policy}
    sources = {policy: set(rows["threshold_source"]) for policy, rows in by_policy}
    maxima = {c: maps.max(axis=(2, 3)).ravel() for c, maps in full.maps.items() if c != POSITIVE}
    names = [name for name, values in maxima.items() for _ in values]
    expected = formulas.universal_threshold(
        np.concatenate([*maxima.values()]).astype(float), names, statistic="mean", factor=1.0
    )
    assert thresholds["fixed"] == {0.5}
    assert thresholds[UNIVERSAL] == {float(np.float32(expected))}
    assert all(math.isnan(t) for t in thresholds["half_image"])
    assert sources[UNIVERSAL] == {"fit on made (silence+noise+offscreen)"}
    assert sources["fixed"] == {"constant"}
    assert sources["half_image"] == {"each map"}


def test_the_file_holds_the_same_summary(full: Run) -> None:
    path = full.folder / SUMMARY_FILE
    table = pq.read_table(path)
    assert table.schema.remove_metadata().equals(SUMMARY)
    pd.testing.assert_frame_equal(table.to_pandas(), full.summary, check_dtype=False)
    # what is undefined is null in the file, so that no reader takes it for a number
    half = table.to_pandas()["threshold_policy"].to_numpy() == "half_image"
    assert np.array_equal(table.column("threshold").is_null().to_numpy(), half)
    assert read_provenance(path)["model"] == "ezvsl"


def test_a_folder_without_records_is_named(tmp_path: Path, full: Run) -> None:
    with pytest.raises(RecordsError, match=r"records\.parquet: no such file.*finished run"):
        summary_of(tmp_path, full.folder / SCORES_FILE, every_metric(), output=tmp_path / "s")
