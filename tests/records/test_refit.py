"""Intervals: refitted thresholds, shared sounds, bounds; against loops, scipy and known truths."""

from __future__ import annotations

import copy
import importlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.records import make_sample, write_made
from tests.helpers.running import scoring_settings
from tests.reference import formulas
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.fscore import FLoc
from vssl.metrics.pia import ImageArea
from vssl.metrics.separation import AUROC
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.bootstrap import ImageBootstrap, interval_around
from vssl.records.fit import FittedPolicy, fit_policies
from vssl.records.number import Subset
from vssl.records.numbers import mean_of_values, numbers_of, resampled_means
from vssl.records.refit import ResampledRun, interpolated, refit
from vssl.records.score import score_records
from vssl.records.scores import Part, Samples, Scores
from vssl.records.sounds import SharedSounds, Spread, crossed
from vssl.runs.score import score_run
from vssl.thresholds.base import FixedThreshold, ThresholdPolicy
from vssl.thresholds.false_alarm import FalseAlarmThreshold
from vssl.thresholds.universal import UniversalThreshold
from vssl.types import SoundingObject

Array = npt.NDArray[np.float64]

SETTINGS: dict[str, Any] = {"resamples": 24, "seed": 5}
METRICS = [ConsensusIoU(), ImageArea(), FLoc(), AUROC()]


def learnt() -> list[Any]:
    return [
        UniversalThreshold(statistic="third_quartile", name="universal_q3"),
        UniversalThreshold(statistic="mean", name="universal_max10", factor=1.1),
        FalseAlarmThreshold(rate=0.1, name="false_alarm_10"),
    ]


class OwnRule(ThresholdPolicy):
    """A policy of one's own: the median of all maxima together."""

    name, needs_fit = "own_rule", True

    def fit(self, similarity_max: Array, condition: npt.NDArray[np.str_]) -> None:
        self.value = float(np.median(similarity_max))

    def constant(self) -> float:
        return self.value


def make_run(folder: Path, pictures: int = 12) -> Path:
    """A run of two samples a picture, with sounds that several pictures hear."""
    box = [(8, 8, 120, 150), (90, 60, 220, 210)]
    classes = ("dog", "cat", "bird")
    samples = [
        make_sample(f"s{n:02d}", f"picture{n // 2:02d}", (box[n % 2],), category=classes[n % 3])
        for n in range(2 * pictures)
    ]
    generator = np.random.default_rng(9)
    maps = 0.6 * generator.random((len(samples), 1 + 1 + 3 + 4, 7, 7))
    maps += 0.2 * generator.random((len(samples), 1, 1, 1))  # of the picture
    for sample, row in zip(samples, maps, strict=True):
        x0, y0, x1, y1 = (round(end / 32) for end in sample.boxes[0])
        row[0, y0:y1, x0:x1] += 0.3
    negatives = [Silence(), Noise(draws=3), Offscreen(draws=4)]
    return write_made(
        folder, samples, maps=maps, negatives=negatives, value_range=[0.0, 1.0]
    ).folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made") / "run")


def scored(run: Path, fitted: list[FittedPolicy], folder: Path) -> Scores:
    score_records(run, fitted, METRICS, output=folder / "scores.parquet")
    return Scores(folder / "scores.parquet", Samples.of(run).ids)


@pytest.mark.parametrize("own", [True, False])
def test_thresholds_are_those_of_a_loop_over_repeated_rows(run: Path, own: bool) -> None:
    """Without shared sounds, each resample's threshold is that of `fit` on repeated rows."""
    fitted = fit_policies([*learnt(), OwnRule()], run)
    maxima = fitted[0].learnt_from
    assert maxima is not None
    alone = replace(maxima, sounds={}, own=own)
    fitted = [FittedPolicy(f.policy, f.source, f.variant, alone) for f in fitted]
    found = refit(fitted, **SETTINGS)
    # the images of another run are resampled on their own
    seed = SETTINGS["seed"] if own else [SETTINGS["seed"], 1]
    images = ImageBootstrap(maxima.image[:].tolist(), resamples=SETTINGS["resamples"], seed=seed)
    for each, thresholds in zip(fitted, found, strict=True):
        assert thresholds is not None
        expected = []
        for times in images.weights.astype(int):
            rows = [r for r, image in enumerate(images.image) for _ in range(times[image])]
            policy = copy.deepcopy(each.policy)
            policy.fit(maxima.value[rows], maxima.condition[rows])
            expected.append(policy.constant())
        wider = 1.0
        if not own and each.policy.name != "own_rule":
            quantile = scipy.stats.t(11).ppf(0.975) / scipy.stats.norm.ppf(0.975)
            wider = np.sqrt(12 / 11) * quantile
        value = each.policy.constant()
        deviations = np.array(expected, float) - value
        np.testing.assert_allclose(thresholds, value + wider * deviations, rtol=0, atol=1e-12)
    assert np.ptp(np.array(found[0])) > 0


def test_what_is_not_fitted_is_not_fitted_anew(run: Path) -> None:
    assert refit(fit_policies([FixedThreshold()], run), **SETTINGS) == [None]


def test_numbers_at_resampled_thresholds_are_those_of_scoring_there(
    run: Path, tmp_path: Path
) -> None:
    """Interpolated numbers stay close to those of masks made at each resample's threshold."""
    fitted = fit_policies(learnt()[:1], run)
    opened = scored(run, fitted, tmp_path)
    (thresholds,) = refit(fitted, **SETTINGS)
    assert thresholds is not None
    values = dict.fromkeys(thresholds.astype(np.float32).astype(float).tolist())
    exact = [FittedPolicy(FixedThreshold(value=v, name=f"t{k}"), "there") for k, v in
             enumerate(values)]  # fmt: skip
    (tmp_path / "exact").mkdir()
    there = scored(run, exact, tmp_path / "exact")
    part = Part("av", "universal_q3", fitted[0].source)
    resampled = ResampledRun.of(run, Samples.of(run), opened, METRICS, fitted, **SETTINGS)
    numbers = {n.key: n for n in resampled.numbers(part, METRICS)[0]}
    whole = [Subset(slice(None), resampled.bootstrap)]
    assert {"ciou", "pia", "f_loc"} == {name for name, _ in numbers}
    at = {
        v: {
            n.key: n.at_threshold
            for n in numbers_of(there, Part("av", f"t{k}", "there"), METRICS, whole)[0]
        }
        for k, v in enumerate(values)
    }
    for key, number in numbers.items():
        assert number.of_threshold is not None
        found = number.at_threshold + number.of_threshold
        each = thresholds.astype(np.float32).astype(float)
        expected = np.array([at[t][key][b] for b, t in enumerate(each.tolist())])
        # what is not exact is interpolation between five thresholds
        error = np.sqrt(np.mean((found - expected) ** 2))
        assert error < 0.15 * np.std(expected) + 1e-4, key
        assert np.corrcoef(found, expected)[0, 1] > 0.98 or np.std(expected) < 1e-9, key


@given(places=st.lists(st.integers(-50, 50), min_size=2, max_size=6, unique=True),
       seed=st.integers(0, 99))  # fmt: skip
def test_interpolation_is_numpys(places: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    at, x = np.sort(np.array(places, float)), generator.uniform(-60, 60, 9)
    values = generator.normal(size=(len(at), 9))
    expected = [np.interp(x[b], at, values[:, b]) for b in range(9)]
    np.testing.assert_allclose(interpolated(x, at, values), expected, rtol=0, atol=1e-12)


class TestSharedSounds:
    def test_the_variance_is_that_of_two_way_clusters(self) -> None:
        """V(images) + V(sounds) - V(records), of a mean over records that cross both."""
        generator = np.random.default_rng(3)
        images, draws, sounds = 60, 5, 40
        sound = generator.integers(0, sounds, (images, draws))
        values = (
            generator.normal(size=(images, 1))
            + generator.normal(size=sounds)[sound]
            + generator.normal(size=(images, draws))
        )
        names = [f"{n:02d}" for n in range(sounds)]
        weights = ImageBootstrap(names, resamples=20_000, seed=1).weights
        share, deviations, dof = crossed(values.ravel(), sound.ravel(), weights)
        centred = values - values.mean()
        totals = np.array([centred[sound == n].sum() for n in range(sounds)])
        heard = len(np.unique(sound))
        of_sounds = heard / (heard - 1) * (totals**2).sum() / values.size**2
        of_records = (centred**2).sum() / values.size**2
        assert dof == heard - 1
        assert np.var(share * deviations) == pytest.approx(of_sounds - of_records, rel=0.12)

    def test_sounds_without_an_effect_add_next_to_nothing(self) -> None:
        generator = np.random.default_rng(4)
        added = []
        for _ in range(60):
            sound = generator.integers(0, 50, 400)
            weights = ImageBootstrap([f"{n:02d}" for n in range(50)], resamples=50).weights
            share, _, _ = crossed(generator.normal(size=400), sound, weights)
            added.append(share)
        assert np.median(added) < 0.4
        assert min(added) == 0

    def test_which_sounds_are_shared(self, run: Path) -> None:
        sounds = SharedSounds.of(run, Samples.of(run).ids, **SETTINGS)
        assert set(sounds.index) == {"noise", "offscreen"}
        assert sounds.by_draw("noise")
        assert not sounds.by_draw("offscreen")
        assert len(sounds.names["noise"]) == 3

    def test_two_spreads_add_up_by_satterthwaite(self) -> None:
        one = Spread(np.array([-1.0, 1.0]), 9.0)
        other = Spread(np.array([2.0, -2.0]), 4.0)
        together = one + other
        a, b = np.var(one.deviations), np.var(other.deviations)
        assert together.dof == pytest.approx((a + b) ** 2 / (a**2 / 9 + b**2 / 4))


class TestInterval:
    @given(
        value=st.floats(0, 1),
        spread=st.floats(0, 0.3),
        images=st.integers(2, 400),
        bounds=st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.025, 1.0), None]),
    )
    def test_it_is_the_formula(
        self, value: float, spread: float, images: int, bounds: tuple[float, float] | None
    ) -> None:
        low, high = bounds or (0.0, 1.0)
        number = low + (high - low) * value
        resampled = number + spread * np.array([-1.0, 1.0, 0.5, -0.5])
        found = interval_around(number, resampled, images=images, bounds=bounds)
        if spread > 1e-9 and 1e-9 < value < 1 - 1e-9:
            expected = formulas.logit_interval(number, resampled, images, bounds)
            assert found == pytest.approx(expected, rel=1e-7, abs=1e-9)
        assert found[0] <= number + 1e-9
        assert found[1] >= number - 1e-9
        if bounds is not None and value not in (0, 1):
            assert low - 1e-12 <= found[0]
            assert found[1] <= high + 1e-12

    @pytest.mark.parametrize("images", [2, 13, 240])
    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_on_a_bound_it_is_clopper_and_pearsons(self, images: int, value: float) -> None:
        exact = scipy.stats.binomtest(int(value * images), images).proportion_ci(method="exact")
        found = interval_around(value, np.full(9, value), images=images, bounds=(0.0, 1.0))
        assert found == pytest.approx((exact.low, exact.high), abs=1e-12)

    @pytest.mark.parametrize(
        ("value", "images", "expected"),
        [
            (0.0, 13, (0.0, 0.247)),
            (0.555, 30, (0.555, 0.555)),  # what never changes has no width
            (0.5, 1, (math.nan, math.nan)),
        ],
    )
    def test_by_hand(self, value: float, images: int, expected: tuple[float, float]) -> None:
        found = interval_around(value, np.full(7, value), images=images, bounds=(0, 1))
        assert found == pytest.approx(expected, abs=5e-4, nan_ok=True)


def test_fitted_thresholds_of_earlier_scores_keep_their_uncertainty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As long as the calibration run is there."""
    run = make_run(tmp_path / "run")
    other = make_run(tmp_path / "other", pictures=9)

    def rescored(*words: str) -> pd.DataFrame:
        settings = scoring_settings(*words, "bootstrap.resamples=20", "subsets=[]")
        summary = score_run(settings, run, keep=True)
        fitted = summary[summary["threshold_policy"] == "universal_q3"]
        return fitted.set_index(["map_variant", "condition", "metric"]).sort_index()

    known = rescored("threshold=universal_q3", f"calibration={other}")
    assert known["ci_low"].notna().all()
    noted = json.loads((run / "thresholds.json").read_text())
    assert noted["universal_q3"]["calibration"] == str(other)
    shares = known[["share_images", "share_sounds", "share_threshold"]].astype(float).dropna()
    assert len(shares)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-9)
    assert (shares.xs("positive", level="condition")["share_sounds"] == 0).all()

    again = rescored("threshold=fixed").loc[known.index]
    for name in ("value", "ci_low", "ci_high", "share_threshold"):
        np.testing.assert_allclose(again[name], known[name], rtol=0, atol=1e-12)

    (other / "records.parquet").unlink()
    again = rescored("threshold=fixed")
    assert again[["ci_low", "ci_high"]].isna().all(axis=None)
    assert again[["ci_low_at_threshold", "ci_high_at_threshold"]].notna().all(axis=None)
    assert "cannot be learnt again" in caplog.text


@pytest.mark.parametrize("value", [0.1, 0.7])
def test_the_spread_of_roundings_is_nobodys(value: float) -> None:
    bootstrap = ImageBootstrap([str(n) for n in range(41)], resamples=30)
    values, moved = np.full((41, 3), value), Spread(np.linspace(0, 1e-16, 30))
    asked = (ImageArea(), "noise", values, bootstrap, (SoundingObject.NONE,), moved)
    (number,) = resampled_means([(mean_of_values(*asked), ())], bootstrap)
    number = replace(number, of_threshold=np.linspace(0, 1e-15, 30))
    assert 0 < number.resampled.std() < 1e-12
    assert all(math.isnan(share) for share in number.shares().values())
    assert number.interval() == (number.value, number.value)
    number = replace(number, of_threshold=np.linspace(0, 1e-9, 30))
    assert number.shares()["threshold"] == pytest.approx(1)


def test_the_simulation_of_coverage_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    simulation = importlib.import_module("interval_coverage")
    monkeypatch.setattr(simulation, "_OF_POPULATION", 20_000)
    monkeypatch.setattr(simulation, "RESAMPLES", 50)
    held = simulation.once(50, 0.2, "calibration", 3)
    expected = {"all/f_loc/universal_q3", "offscreen/pia/false_alarm_5", "all/auroc/none"}
    assert expected <= held.keys()
