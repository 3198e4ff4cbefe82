"""Thresholds chosen by ground truth, and the middle of a map's range: against authors' formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.records import OBJECTS, Made, upsampled, write_made
from tests.helpers.running import scoring_settings
from tests.reference import formulas
from vssl.analysis.price import ON_HALF, QUALITY, price_choices
from vssl.analysis.threshold_study import study_thresholds
from vssl.config.build import build_policies, policies_named
from vssl.core.errors import UsageError
from vssl.metrics.auc import AUC
from vssl.metrics.ciou import SuccessRate
from vssl.negatives.silence import Silence
from vssl.records.files import SCORES_FILE
from vssl.records.fit import fit_policies
from vssl.runs.score import score_run
from vssl.thresholds.base import FixedThreshold, ThresholdError
from vssl.thresholds.chosen import BestOf
from vssl.thresholds.half_range import HalfRange
from vssl.types import POSITIVE

FEW = {"resamples": 50, "seed": 3}
METRICS = ("metrics=[ciou,success_rate,auc]", "subsets=[]", "bootstrap.resamples=50")


def acl() -> BestOf:
    (policy,) = policies_named(["best_of_19"])
    assert isinstance(policy, BestOf)
    return policy


def denseav() -> BestOf:
    (policy,) = policies_named(["best_of_20"])
    assert isinstance(policy, BestOf)
    return policy


def acl_sweep(maps: Any, truths: Any, thresholds: Any) -> tuple[list[float], list[float]]:
    """AP50 and AUC at each threshold, by the loops of VGGSS/eval_utils.py; NaN left out."""
    ap50, auc = [], []
    for threshold in thresholds:
        ious = []
        for each, truth in zip(maps, truths, strict=True):
            marked = (each >= np.float32(threshold)).astype(float)
            union = truth.sum() + (marked * (truth == 0)).sum()
            if union > 0:
                ious.append((marked * truth).sum() / union)
        ap50.append(np.mean(np.array(ious) >= 0.5))
        auc.append(formulas.auc(np.array(ious)))
    return ap50, auc


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run whose maps the model declares on [-1, 1]; its truth is that of `OBJECTS`."""
    return write_made(tmp_path_factory.mktemp("made") / "run", dataset="one", seed=8)


@pytest.fixture(scope="module")
def maps(made: Made) -> Any:
    return upsampled(made.native[POSITIVE])[:, 0].astype(np.float32)


@pytest.fixture(scope="module")
def truths() -> Any:
    return np.array([formulas.consensus_map(*each, size=224) for each in OBJECTS])


def test_acl_s_nineteen_thresholds_are_those_of_its_code() -> None:
    typed = [0.05, 0.1, 0.15, 0.2, 0.25, 0.30, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.70, 0.75,
             0.8, 0.85, 0.9, 0.95]  # fmt: skip
    found = acl().candidates(0.0, 1.0).astype(np.float32)
    values = torch.tensor(typed, dtype=torch.float32)
    np.testing.assert_array_equal(np.nextafter(found, np.float32(9)), values.numpy())
    # strict masks at these are `>=` at the typed ones
    for below, value in zip(found.tolist(), typed, strict=True):
        assert (values > below).tolist() == (values >= value).tolist()


@pytest.mark.parametrize("name", ["best_of_19", "best_of_19_success"])
def test_the_best_of_a_run_is_the_first_best_of_the_authors_sweep(
    made: Made, maps: Any, truths: Any, name: str
) -> None:
    levels = np.linspace(-0.9, 0.9, 19).round(12)
    ap50, auc = acl_sweep(maps, truths, levels)
    quality = np.array(ap50 if name.endswith("success") else auc)
    best = levels[np.flatnonzero(quality >= quality.max() - 1e-12)[0]]
    (fitted,) = fit_policies(policies_named([name]), made.folder)
    below = np.nextafter(np.float32(best), np.float32(-9))
    assert np.float32(fitted.policy.constant()) == below
    assert fitted.source == "chosen on the test set"
    settings = scoring_settings(f"threshold={name}", *METRICS)
    summary = score_run(settings, made.folder)
    row = summary[summary["condition"] == POSITIVE].set_index("metric")
    place = int(np.flatnonzero(levels == best)[0])
    assert row.loc["success_rate", "value"] == pytest.approx(ap50[place], abs=1e-12)
    assert row.loc["auc", "value"] == pytest.approx(auc[place], abs=1e-12)
    assert set(summary["threshold_source"]) == {"chosen on the test set"}
    # the interval knows of the choice, that at the threshold does not
    assert row["ci_low"].notna().all()


def test_each_class_has_the_threshold_of_denseav_s_multi_iou(tmp_path: Path, truths: Any) -> None:
    made = write_made(tmp_path / "run", seed=4, negatives=[Silence()])
    pixels = upsampled(made.native[POSITIVE])[:, 0].astype(np.float32)
    classes = np.array([sample.category for sample in made.samples])
    (fitted,) = fit_policies([denseav()], made.folder)
    assert fitted.source == "chosen on the test set, by class"
    assert fitted.by_class is not None
    qualities, expected = [], {}
    for name in np.unique(classes):
        own, target = pixels[classes == name], truths[classes == name] > 0.5
        if not target.any():
            continue
        grid = torch.linspace(float(own.min()), float(own.max()), 20).numpy()
        ious = [
            np.logical_and(own > level, target).sum() / np.logical_or(own > level, target).sum()
            for level in grid
        ]
        qualities.append(max(ious))
        expected[str(name)] = grid[int(np.argmax(ious))]
    whole = {n: v for n, v in expected.items() if set(np.unique(truths[classes == n])) <= {0, 1}}
    assert len(whole) > 1
    for name, level in whole.items():
        assert fitted.of_class(name).constant() == pytest.approx(level, abs=1e-6)
    with pytest.raises(ThresholdError, match="no positive of the class violin"):
        fitted.of_class("violin")


def test_by_class_scores_each_sample_at_the_threshold_of_its_class(tmp_path: Path) -> None:
    made = write_made(tmp_path / "run", seed=4, negatives=[Silence()])
    (fitted,) = fit_policies([denseav()], made.folder)
    summary = score_run(
        scoring_settings("threshold=[best_of_20,half_range]", "metrics=paper", "subsets=[]"),
        made.folder,
    )
    scores = pd.read_parquet(made.folder / SCORES_FILE)
    rows = scores[scores["threshold_policy"] == "best_of_20"]
    category = {sample.sample_id: sample.category for sample in made.samples}
    for row in rows.to_dict("records"):
        own = fitted.of_class(category[row["sample_id"]]).constant()
        assert row["threshold"] == np.float32(own)  # type: ignore[arg-type]
    of_policy = summary[summary["threshold_policy"] == "best_of_20"]
    assert of_policy["threshold"].isna().all()
    assert "f_loc" not in set(of_policy["metric"]), "there is not one threshold for all maps"


def test_another_run_s_choice_is_no_choice_on_the_test_set(made: Made, tmp_path: Path) -> None:
    other = write_made(tmp_path / "other", seed=5, dataset="two")
    (own,) = fit_policies([acl()], other.folder)
    (moved,) = fit_policies([acl()], made.folder, calibration=other.folder)
    assert moved.policy.constant() == own.policy.constant()
    assert moved.source == "chosen on two, run cccccccc"
    table = study_thresholds([made.folder, other.folder], [acl()], points=5, **FEW).thresholds
    table = table[table["threshold_policy"] == "best_of_19"]
    found = table.set_index(["dataset", "fit_on"])["in_sample"].to_dict()
    assert found == {("one", "one"): True, ("one", "two"): False,
                     ("two", "one"): False, ("two", "two"): True}  # fmt: skip


def test_what_cannot_be_chosen(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ThresholdError, match=r"chosen by the ground truth of a run\. Score one"):
        acl().constant()
    unbounded = write_made(tmp_path / "run", value_range=[None, None])
    with pytest.raises(ThresholdError, match=r"best_of_19 lies in the range .*ezvsl declares none"):
        fit_policies([acl()], unbounded.folder)
    assert fit_policies([denseav()], unbounded.folder)[0].by_class
    holes = [(POSITIVE, sample, 0) for sample in range(len(OBJECTS))]
    empty = write_made(tmp_path / "empty", holes=holes)
    with pytest.raises(ThresholdError, match="by the objects of positives, but there are none"):
        fit_policies([acl()], empty.folder)
    with pytest.raises(ValueError, match="0 <= first <= last <= 1"):
        BestOf(name="x", count=3, first=0.5, last=0.2)
    with pytest.raises(ValueError, match="`within`"):
        BestOf(name="x", count=3, within="image")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="half_range is not chosen by ground truth"):
        price_choices([made.folder], [HalfRange()], [])


def test_they_are_of_no_table_that_does_not_name_them() -> None:
    settings = scoring_settings("threshold=all")
    names = [p.name for p in build_policies(settings, model="lvs", negatives=True)]
    assert not {"best_of_19", "best_of_19_success", "best_of_20", "half_range"} & {*names}


def test_half_range_is_sacl_s_rule() -> None:
    """`test.py`: (x - min) / ptp in float32, then >= 0.5; a constant map divides by 0."""
    generator = np.random.default_rng(2)
    maps = generator.normal(size=(40, 30, 30)).astype(np.float32)
    maps[1] = generator.integers(-3, 4, (30, 30))  # many at the middle exactly
    maps[2] = 0.25
    maps[3, 0, 0] = np.nan
    found = torch.from_numpy(maps)
    thresholds = HalfRange().threshold(found, torch.zeros_like(found))
    marked = (found > thresholds[:, None, None]).numpy()
    with np.errstate(invalid="ignore"):
        expected = np.array([(each - each.min()) / np.ptp(each) >= 0.5 for each in maps])
    np.testing.assert_array_equal(marked, expected)
    assert marked[1].mean() > 0.5
    assert thresholds[3].isnan()


@pytest.fixture(scope="module")
def rows(made: Made, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    other = write_made(tmp_path_factory.mktemp("other") / "run", seed=5, dataset="two")
    rules = [*policies_named(["half_image", "universal_q3"]), FixedThreshold(value=0.25)]
    runs = [made.folder, other.folder]
    found = price_choices(runs, [acl(), denseav()], rules, **FEW)
    return found[found["dataset"] == "one"]


class TestPrice:
    """Against loops over images, with the halves of the same generator."""

    def test_rows(self, rows: pd.DataFrame) -> None:
        of_acl = rows[rows["priced"] == "best_of_19"]
        assert of_acl["threshold_source"].tolist() == [
            "chosen on the test set", ON_HALF, "chosen on two, run cccccccc", "each map",
            "fit on one (silence+noise+offscreen)", "constant",
        ]  # fmt: skip
        first = of_acl.iloc[0]
        for name in ("success_rate", "auc"):
            columns = [f"{name}_price{end}" for end in ("", "_ci_low", "_ci_high")]
            assert (first[columns] == 0).all()
        # AUC is what it maximizes, so that no half can beat it on the whole
        assert first["quality"] == pytest.approx(first["auc"], abs=1e-12)
        assert (of_acl["auc_price"] >= -1e-12).all()

    def test_halves(self, rows: pd.DataFrame, maps: Any, truths: Any, made: Made) -> None:
        levels = np.linspace(-0.9, 0.9, 19).round(12)
        ious = np.array([
            [formulas.consensus_iou(each >= np.float32(level), truth) for level in levels]
            for each, truth in zip(maps, truths, strict=True)
        ])  # fmt: skip
        columns = {
            metric.name: metric.from_column(torch.from_numpy(ious.ravel())).numpy().reshape(4, 19)
            for metric in (SuccessRate, AUC)
        }
        names, image = np.unique([s.image_group for s in made.samples], return_inverse=True)
        generator = np.random.default_rng([FEW["seed"], 1])
        order = generator.permuted(np.tile(np.arange(len(names)), (50, 1)), axis=1)
        scored: dict[str, list[float]] = {name: [] for name in columns}
        for ranks in order:
            first = (ranks < len(names) // 2)[image]
            values = {name: np.full(4, np.nan) for name in columns}
            for own, others in ((first, ~first), (~first, first)):
                if np.isnan(columns["auc"][own]).all():
                    continue
                quality = np.nanmean(columns["auc"][own], axis=0)
                best = int(np.flatnonzero(quality >= quality.max() - 1e-12)[0])
                for name, column in columns.items():
                    values[name][others] = column[others, best]
            for name, each in values.items():
                scored[name].append(float(np.nanmean(each)))
        row = rows[rows["threshold_source"] == ON_HALF].iloc[0]
        for name, each in scored.items():
            assert row[name] == pytest.approx(np.mean(each), abs=1e-12)

    def test_by_class(self, rows: pd.DataFrame) -> None:
        of_class = rows[rows["priced"] == "best_of_20"].reset_index(drop=True)
        assert of_class["threshold"].iloc[:2].isna().all()
        assert 0 < of_class.loc[0, QUALITY] <= 1
        # its classes have one sample each: none is left to choose on, so nothing is scored
        assert np.isnan(of_class.loc[1, QUALITY])
