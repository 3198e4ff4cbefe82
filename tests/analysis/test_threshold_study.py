"""F_LOC over the threshold, the best one, regret and transfer: against brute force and rescoring.

Native maps hold multiples of 1/64, so that upsampling from 7 x 7 to 224 x 224 rounds nothing:
brute force and kernels see the same pixels, ties with a threshold included.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.drawn import draw_vggss, write_tone
from tests.helpers.records import (
    ALPHA,
    GROUPS,
    OBJECTS,
    Array,
    Made,
    Maps,
    summary_of,
    upsampled,
    write_made,
)  # fmt: skip
from tests.helpers.running import Tilted, command, guided_by, run, scoring_settings, small
from tests.reference import formulas, study
from vssl.analysis.threshold_curves import ThresholdCurves, threshold_curves
from vssl.analysis.threshold_study import BEST, ThresholdStudy, study_thresholds
from vssl.cli.thresholds import POLICIES, main
from vssl.config.build import build_metrics, policies_named
from vssl.core.errors import UsageError
from vssl.kernels import exceedance
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.bootstrap import ImageBootstrap
from vssl.records.files import RECORDS_FILE, SCORES_FILE
from vssl.records.fit import FittedPolicy, fit_policies
from vssl.records.localization import Localization
from vssl.records.refit import refit
from vssl.records.score import score_records
from vssl.records.store import read_provenance
from vssl.reporting.tables.threshold_study import write_study
from vssl.runs.score import score_run
from vssl.thresholds.base import FixedThreshold, ThresholdPolicy
from vssl.thresholds.false_alarm import FalseAlarmThreshold
from vssl.thresholds.released import ReleasedThreshold
from vssl.types import POSITIVE

SETTINGS = {"resamples": 40, "seed": 3}
POINTS = 9
MEASURED = "ciou,success_rate,auc,pia,false_alarm_rate,auc_n,f_loc,f_auc"
METRICS = build_metrics(scoring_settings(f"metrics=[{MEASURED}]"))


@given(st.integers(0, 2**20), st.sampled_from([1, 2, 3, 9, 65]), st.booleans())
def test_exceedance_equals_brute_force(seed: int, points: int, weighted: bool) -> None:
    """Many pixels on grid points, beside them, and outside; some grids are crowded or regular."""
    generator = np.random.default_rng(seed)
    if seed % 3:
        levels = generator.choice(np.linspace(-1, 1, 81), size=points) ** generator.choice([1, 5])
    else:  # thresholds where steps of the search start, on either side by rounding
        levels = np.linspace(*generator.uniform([-1, 0.1], [0, 1]), points)
    grid = np.unique(levels.astype(np.float32))
    beside = [np.nextafter(grid, np.float32(side)) for side in (-9, 9)]
    outside = np.array([-1e30, -7, -1.0001, 1.0001, 7, 1e30], np.float32)
    pool = np.concatenate([grid, *beside, outside, generator.uniform(-1.2, 1.2, 9)])
    shape = (3, int(generator.choice([1, 17, 200])))
    maps = generator.choice(pool, size=shape).astype(np.float32)
    weights = generator.choice(np.array([0, 0.5, 1], np.float32), size=shape)
    found = exceedance(maps, grid, weights if weighted else weights[:0])
    expected = study.exceedance(maps, grid, weights if weighted else 0 * weights)
    for own, of_loop in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, of_loop)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return write_made(tmp_path_factory.mktemp("whole") / "run", objects=True)


@pytest.fixture(scope="module")
def localization_maps(whole: Made) -> dict[str, Maps]:
    """Both variants of the maps of `whole`, `[N, D, 224, 224]`, by brute force."""
    assert whole.objects is not None
    seen = upsampled(whole.objects)[:, None]
    av = {condition: upsampled(maps) for condition, maps in whole.native.items()}
    ogl = {c: ALPHA * (maps + 1) / 2 + (1 - ALPHA) * seen for c, maps in av.items()}
    return {"av": av, "ogl": ogl}


def included(made: Made) -> list[float]:
    """Thresholds that pixels are equal to (a corner cell fills its corner), and some outside."""
    corners = [float(made.native[name][0, 0, 0, 0]) for name in (POSITIVE, "noise")]
    return [*corners, -1.5, 1.25]


def curves_of(made: Made, variant: str = "av") -> ThresholdCurves:
    return threshold_curves(made.folder, variant, include=included(made), points=POINTS, **SETTINGS)


class Hum(Silence):
    """A negative of one's own: "all" stands for the paper's three only."""

    name = "hum"


# of conditions with one draw, of one draw in two, and of all draws of a sample
HOLES = [(POSITIVE, 1, 0), ("silence", 0, 0), ("noise", 2, 0)]
HOLES += [("offscreen", 0, 1), ("offscreen", 1, 0), ("offscreen", 1, 1)]
KINDS: dict[str, dict[str, Any]] = {
    "whole": {},
    "holes": {"holes": HOLES},
    "many_rows": {"negatives": [Silence(), Noise(draws=40), Offscreen(draws=40)]},
    "no_positives": {"holes": [(POSITIVE, sample, 0) for sample in range(len(OBJECTS))]},
    "some_negatives": {"negatives": [Noise(draws=2)]},
    "own_negative": {"negatives": [Silence(), Hum(), Noise(draws=1), Offscreen(draws=2)]},
    "stretched": {
        "map_transform": "stretch_and_clip", "value_range": [0.0, None],
        "upsampling": {
            POSITIVE: "align_corners", **dict.fromkeys(["silence", "noise", "offscreen"], "opencv")
        },
    },
    "unscaled": {
        "objects": True, "prior": {"alpha": 0.3, "scale": "released", "sha256": "o"},
        "value_range": [0.0, None],
    },
    "scaled": {"objects": True, "prior": {"alpha": 0.3, "scale": "corrected", "sha256": "o"}},
}  # fmt: skip


class TestCurves:
    @pytest.mark.parametrize(("variant", "holes"), [("av", ()), ("ogl", ()), ("av", HOLES[:3])])
    def test_resamples_equal_brute_force(
        self,
        tmp_path: Path,
        localization_maps: dict[str, Maps],
        variant: str,
        holes: Sequence[tuple[str, int, int]],
    ) -> None:
        made = write_made(tmp_path / "run", objects=variant == "ogl", holes=holes)
        maps = {condition: each.copy() for condition, each in localization_maps[variant].items()}
        for condition, sample, draw in holes:
            maps[condition][sample, draw, 0, 0] = np.nan
        curve = curves_of(made, variant)
        assert {metric for metric, _ in curve.values} == {*MEASURED.split(",")}
        truths = np.array([formulas.consensus_map(*each, size=224) for each in OBJECTS])
        values = study.measured(maps, truths, curve.thresholds.astype(np.float64).tolist())
        bootstrap = ImageBootstrap(GROUPS, **SETTINGS)
        weights = bootstrap.weights[:, bootstrap.image]
        ciou = values[POSITIVE]
        successes = np.where(np.isnan(ciou), np.nan, ciou >= 0.5)
        resampled = {
            "f_loc": study.resampled_f_loc(values, weights),
            "ciou": [study.resampled_mean(ciou, times) for times in weights],
            "success_rate": [study.resampled_mean(successes, times) for times in weights],
        }
        for name, again in resampled.items():
            np.testing.assert_allclose(curve.resampled[name], again, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_point_equals_the_summary_at_that_threshold(
        self, tmp_path: Path, kind: str
    ) -> None:
        made = write_made(tmp_path / "run", **KINDS[kind])
        for variant in Localization.of(read_provenance(made.folder / RECORDS_FILE)).variants:
            curve = curves_of(made, variant)
            summary = summary_at(made, curve.thresholds.tolist(), variant, tmp_path)
            for (metric, condition), column in curve.values.items():
                rows = summary.loc[metric, condition]
                np.testing.assert_array_equal(rows["threshold"], curve.thresholds)
                np.testing.assert_allclose(
                    column, rows["value"].astype(float), rtol=0, atol=1e-12, err_msg=metric
                )

    def test_thresholds_span_the_maps_and_include_what_is_asked_for(self, whole: Made) -> None:
        low, high = (
            float(end([end(maps) for maps in whole.native.values()])) for end in (np.min, np.max)
        )
        plain = threshold_curves(whole.folder, "av", points=POINTS, **SETTINGS)
        np.testing.assert_array_equal(
            plain.thresholds, np.linspace(low, high, POINTS).astype(np.float32)
        )
        wanted = [*included(whole), 0.1]  # 0.1 is no float32
        curve = threshold_curves(whole.folder, "av", include=wanted, points=POINTS, **SETTINGS)
        assert set(curve.thresholds) == {*plain.thresholds, *np.array(wanted, np.float32)}
        for value in wanted:
            assert curve.thresholds[curve.at(value)] == np.float32(value)
        for absent in (0.1000001, -9.0, 9.0):
            with pytest.raises(ValueError, match=f"one of the curve's thresholds, .*{absent}"):
                curve.at(absent)

    @pytest.mark.parametrize("variant", ["av", "ogl"])
    def test_thresholds_cover_every_pixel_and_little_else(
        self, whole: Made, localization_maps: dict[str, Maps], variant: str
    ) -> None:
        """By bounds of the parts that object-guided maps are mixed of, so not to the last bit."""
        curve = threshold_curves(whole.folder, variant, points=POINTS, **SETTINGS)
        pixels = np.concatenate([maps.ravel() for maps in localization_maps[variant].values()])
        low, high = curve.thresholds[[0, -1]]
        assert low <= pixels.min() < low + 0.2
        assert high - 0.2 < pixels.max() <= high

    def test_maps_that_are_all_alike(self, tmp_path: Path) -> None:
        made = write_made(tmp_path / "run", maps=np.full((7, 7), 0.25))
        curve = threshold_curves(made.folder, "av", points=POINTS, **SETTINGS)
        found = (curve.thresholds, curve.values["pia", "noise"], curve.ciou, curve.f_loc)
        assert [each.tolist() for each in found] == [[0.25], [0.0], [0.0], [0.0]]


def summary_at(made: Made, thresholds: Sequence[float], variant: str, folder: Path) -> pd.DataFrame:
    """Summaries of a run scored at constants, by (metric, condition), in the constants' order."""
    fitted = [
        FittedPolicy(FixedThreshold(value=value, name=f"t{k:02}"), "constant", variant)
        for k, value in enumerate(thresholds)
    ]
    scores = folder / f"{variant}_{SCORES_FILE}"
    score_records(made.folder, fitted, METRICS, output=scores)
    summary = summary_of(made.folder, scores, METRICS, output=folder / variant, **SETTINGS)
    summary = summary[summary["map_variant"] == variant]
    return (
        summary.sort_values("threshold_policy")
        .set_index(["metric", "condition"])
        .sort_index(kind="stable")
    )


RULES = ("universal_max", "universal_max10", "universal_q3")


def policies() -> list[ThresholdPolicy]:
    """The three universal policies and a constant."""
    return [*policies_named(RULES), FixedThreshold(value=0.25)]


@dataclass
class Studied:
    """Runs, two of one model and one of another, and their study."""

    runs: dict[str, Made]
    study: ThresholdStudy

    def rows(self, name: str, variant: str = "av") -> pd.DataFrame:
        """Thresholds of one run, by (policy, what it is fit on)."""
        table = self.study.thresholds
        run = str(self.runs[name].folder)
        chosen = table[(table["run"] == run) & (table["map_variant"] == variant)]
        return chosen.set_index(["threshold_policy", "fit_on"])

    def images(self, name: str) -> int:
        """Number of different pictures of a run."""
        return pd.read_parquet(self.runs[name].folder / RECORDS_FILE)["image_group"].nunique()


VARIANTS = [("one", "av"), ("one", "ogl"), ("two", "av"), ("two", "ogl"), ("other", "av")]


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    root = tmp_path_factory.mktemp("studied")
    runs = {
        "one": write_made(root / "one", seed=1, dataset="one", objects=True),
        "two": write_made(root / "two", seed=2, dataset="two", objects=True),
        "other": write_made(root / "other", seed=3, dataset="one", model="lvs"),
    }
    folders = [made.folder for made in runs.values()]
    return Studied(runs, study_thresholds(folders, policies(), points=POINTS, **SETTINGS))


def curve_behind(studied: Studied, name: str, variant: str) -> ThresholdCurves:
    """The curve that a run's rows are on."""
    return threshold_curves(
        studied.runs[name].folder,
        variant,
        include=studied.rows(name, variant)["threshold"].tolist(),
        points=POINTS,
        **SETTINGS,
    )


def resampled_at(
    studied: Studied, curve: ThresholdCurves, name: str, row: dict[str, Any], resampled: Array
) -> Array:
    """A curve's resamples `[B, K]` where a row's threshold lies in each: `[B]`.

    The best is that of the resample, what is learnt is learnt anew, and a constant stays.
    """
    if row["threshold_policy"] == BEST:
        return resampled[np.arange(len(resampled)), np.nanargmax(curve.resampled["f_loc"], axis=1)]
    if row["threshold_policy"] not in RULES:
        return resampled[:, curve.at(row["threshold"])]
    run = studied.runs[name].folder
    other = studied.runs["other" if name == "other" else row["fit_on"]].folder
    fitted = fit_policies(policies(), run, calibration=None if other == run else other)
    wanted = (row["threshold_policy"], row["map_variant"])
    (anew,) = refit([f for f in fitted if (f.policy.name, f.variant) == wanted], **SETTINGS)
    assert anew is not None
    places = curve.thresholds.astype(np.float64)
    return np.array([np.interp(x, places, each) for x, each in zip(anew, resampled, strict=True)])


class TestStudy:
    def test_thresholds_are_learnt_on_every_run_of_the_same_model(self, studied: Studied) -> None:
        constant = [(BEST, "this run's own objects"), ("fixed", "constant")]
        for name, variant in VARIANTS:
            sources = ["one"] if name == "other" else ["one", "two"]
            learnt = [(rule, source) for rule in RULES for source in sources]
            assert sorted(studied.rows(name, variant).index) == sorted([*constant, *learnt])

    @pytest.mark.parametrize(("name", "variant"), VARIANTS)
    def test_rows_are_points_of_the_curve(self, studied: Studied, name: str, variant: str) -> None:
        """In every resample the best threshold is chosen, and the others are learnt, anew."""
        curve, images = curve_behind(studied, name, variant), studied.images(name)
        types, highest = study.NEGATIVES, int(np.argmax(curve.f_loc))
        assert 0 < highest < len(curve.f_loc) - 1, "inside the range"
        best = np.nanmax(curve.resampled["f_loc"], axis=1)
        for row in studied.rows(name, variant).reset_index().to_dict("records"):
            row["map_variant"] = variant
            place = int(np.flatnonzero(curve.thresholds == np.float32(row["threshold"])).item())
            at = {key: values[place] for key, values in curve.values.items()}
            for metric in ("f_loc", "f_auc", "ciou", "success_rate"):
                condition = "all" if metric.startswith("f_") else POSITIVE
                assert row[metric] == at[metric, condition]
            assert row["false_alarm_rate"] == max(at["false_alarm_rate", name] for name in types)
            areas = [at["pia", name] for name in types]
            assert row["pia"] == pytest.approx(sum(areas) / 3, abs=1e-12)
            assert row["regret"] == curve.f_loc[highest] - row["f_loc"] >= 0
            again = {
                metric: resampled_at(studied, curve, name, row, curve.resampled[metric])
                for metric in ("f_loc", "ciou", "success_rate")
            }
            ends = {
                metric: study.interval_of_fraction(row[metric], each, images)
                for metric, each in {**again, "regret": best - again["f_loc"]}.items()
            }
            if row["threshold_policy"] == BEST:
                assert place == highest
                ends["regret"] = (0, 0)
            for metric, expected in ends.items():
                found = [row[f"{metric}_ci_low"], row[f"{metric}_ci_high"]]
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)

    def test_false_alarms_are_as_rare_as_their_policy_says(self, studied: Studied) -> None:
        """On the negatives that it is learnt from, of each type; upsampling does not add any."""
        named = [FalseAlarmThreshold(rate=rate, name=f"at_{rate}") for rate in (0.3, 0.6)]
        folders = [studied.runs[name].folder for name in ("one", "two")]
        table = study_thresholds(folders, named, points=2, **SETTINGS).thresholds
        learnt = table[table["in_sample"] & (table["threshold_policy"] != BEST)]
        assert len(learnt) == 2 * 2 * 2
        rates = learnt["threshold_policy"].str.removeprefix("at_").astype(float)
        assert (learnt["false_alarm_rate"] <= rates).all()

    def test_curves_are_written_out(self, studied: Studied) -> None:
        table = studied.study.curves.set_index(["run", "map_variant", "metric", "condition"])
        seen = 0
        for name, variant in VARIANTS:
            curve = curve_behind(studied, name, variant)
            for key, values in curve.values.items():
                points = table.loc[(str(studied.runs[name].folder), variant, *key)]
                np.testing.assert_array_equal(points["threshold"], curve.thresholds)
                np.testing.assert_array_equal(points["value"], values)
                seen += len(points)
        assert seen == len(table)

    def test_every_row_says_what_it_is_of(self, studied: Studied) -> None:
        for table in (studied.study.curves, studied.study.thresholds):
            facts = table.groupby("run")[["model", "dataset", "protocol", "n", "seed"]].first()
            folders = [str(made.folder) for made in studied.runs.values()]
            assert facts.loc[folders].to_numpy().tolist() == [
                ["ezvsl", "one", "corrected", 4, 5],
                ["ezvsl", "two", "corrected", 4, 5],
                ["lvs", "one", "corrected", 4, 5],
            ]
            assert set(table["coverage"]) == {1.0}
            assert set(table["manifest_hash"]) == {"m"}
            assert not table.isna().any().any()
        rows = studied.study.thresholds
        own = (rows["threshold_policy"] == BEST) | (rows["fit_on"] == rows["dataset"])
        assert rows["in_sample"].equals(own)

    @pytest.mark.parametrize(
        "facts",
        [
            {"network_hash": "another front end"},
            {"protocol_switches": {"antialias": False}},
            {"weights": {"sha256": "w"}},
            {"prior": {"alpha": ALPHA, "scale": "corrected", "sha256": "another"}},
        ],
        ids=str,
    )
    def test_a_threshold_is_not_carried_to_another_network_protocol_or_prior(
        self, studied: Studied, tmp_path: Path, facts: dict[str, Any]
    ) -> None:
        other = write_made(tmp_path / "run", seed=4, dataset="three", objects=True, **facts)
        runs = [studied.runs["one"].folder, other.folder]
        table = study_thresholds(runs, policies(), points=2, **SETTINGS).thresholds
        learnt = table[table["threshold_policy"].isin(RULES)]
        assert (learnt["fit_on"] == learnt["dataset"]).all()
        assert len(learnt) == 2 * 2 * len(RULES)

    def test_runs_on_one_test_set_are_told_apart(self, studied: Studied, tmp_path: Path) -> None:
        again = write_made(tmp_path / "again", seed=4, dataset="one", objects=True)
        runs = [studied.runs["one"].folder, again.folder]
        table = study_thresholds(runs, policies(), points=2, **SETTINGS).thresholds
        learnt = table[table["threshold_policy"] == "universal_max"]
        assert sorted(set(learnt["fit_on"])) == ["one (again)", "one (one)"]
        assert len(learnt) == 2 * 2 * 2

    def test_a_policy_is_left_out_where_a_model_cannot_have_it(
        self, studied: Studied, tmp_path: Path
    ) -> None:
        """Released constants exist for the paper's models; the order of runs does not matter."""
        own = write_made(tmp_path / "own", seed=4, dataset="one", model="mine")
        runs = [studied.runs["other"].folder, own.folder]
        named: list[ThresholdPolicy] = [FixedThreshold(), ReleasedThreshold(rule="q3")]
        for order in (runs, runs[::-1]):
            table = study_thresholds(order, named, points=2, **SETTINGS).thresholds
            found = set(zip(table["model"], table["threshold_policy"], strict=True))
            both = {(model, policy) for model in ("lvs", "mine") for policy in (BEST, "fixed")}
            assert found == {*both, ("lvs", "released_q3")}

    def test_constants_are_not_learnt(self, studied: Studied) -> None:
        """Released ones mean nothing on object-guided maps that were rescaled."""
        made = studied.runs["one"]
        table = study_thresholds(
            [made.folder], [ReleasedThreshold(rule="q3"), FixedThreshold()], points=2, **SETTINGS
        ).thresholds
        found = table.set_index(["map_variant", "threshold_policy"])[["fit_on", "threshold"]]
        assert found.loc[("av", "released_q3")].tolist() == ["released code", 0.6382]
        assert ("ogl", "released_q3") not in found.index
        assert found.loc[("ogl", "fixed")].tolist() == ["constant", 0.5]

    def test_a_run_without_negatives_is_refused(self, whole: Made, tmp_path: Path) -> None:
        alone = write_made(tmp_path / "run", negatives=[])
        for runs in ([alone], [whole, alone], [alone, whole]):
            with pytest.raises(UsageError, match=r"run: has no negatives, so it has no F_LOC"):
                study_thresholds([made.folder for made in runs], policies())


@pytest.fixture(scope="module")
def evaluated(prior_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two finished runs of one model with object maps, on other sounds."""
    root = tmp_path_factory.mktemp("evaluated")
    runs = {}
    for place, name in enumerate(("first", "second")):
        data = draw_vggss(root / name / "data")
        for number, clip in enumerate(sorted((data / "audio").iterdir())):
            write_tone(clip, hertz=200.0 + 90 * number, seconds=0.8 + place + number / 3)
        runs[name] = root / name / "run"
        run(
            runs[name],
            *small(Tilted),
            *guided_by(prior_file),
            *("data=vggss", f"data.root={data}", f"data.name={name}"),
            *("negatives.noise.draws=2", "negatives.offscreen.draws=2"),
            *("threshold=fixed", "metrics=pia", "subsets=[]", "bootstrap.resamples=10"),
        )
    return runs


def test_transfer_equals_rescoring_with_a_calibration_run(evaluated: dict[str, Path]) -> None:
    runs = list(evaluated.values())
    table = study_thresholds(runs, policies(), points=POINTS, **SETTINGS).thresholds
    table = table.set_index(["run", "fit_on", "map_variant", "threshold_policy"])
    for source, calibration in evaluated.items():
        for folder in runs:
            summary = score_run(
                scoring_settings(
                    f"calibration={calibration}",
                    f"threshold=[{','.join(RULES)}]",
                    *("metrics=paper", "subsets=[]"),
                    *(f"bootstrap.{key}={value}" for key, value in SETTINGS.items()),
                ),
                folder,
            )
            overall = summary[summary["condition"] == "all"].set_index(
                ["map_variant", "threshold_policy", "metric"]
            )
            for variant in ("av", "ogl"):
                for rule in RULES:
                    row = table.loc[(str(folder), source, variant, rule)]
                    expected = overall.loc[(variant, rule)]
                    assert np.float32(row["threshold"]) == expected.loc["f_loc", "threshold"]
                    for metric in ("f_loc", "f_auc"):
                        value = expected.loc[metric, "value"]
                        assert row[metric] == pytest.approx(value, abs=1e-12)


def test_the_command(evaluated: dict[str, Path], tmp_path: Path) -> None:
    runs = list(evaluated.values())
    options = ("--points", "21", "--resamples", "30", "--seed", "2", "--output", "out")
    done = command("vssl-thresholds", *map(str, runs), *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "curves.csv", "curves.parquet", "thresholds.csv", "thresholds.md", "thresholds.parquet"
    ]  # fmt: skip
    named = policies_named(POLICIES)
    expected = study_thresholds(runs, named, points=21, resamples=30, seed=2)
    for name, frame in (("curves", expected.curves), ("thresholds", expected.thresholds)):
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / f"{name}.parquet"), frame)
        read = pd.read_csv(tmp_path / "out" / f"{name}.csv")
        pd.testing.assert_frame_equal(read, frame, check_dtype=False, check_exact=False)
    markdown = (tmp_path / "out" / "thresholds.md").read_text()
    assert markdown.count("**lvs on ") == 4, "two runs, two map variants"
    assert [name for name in POLICIES if name in markdown] == [policy.name for policy in named]
    flat = " ".join(done.stdout.split())
    for row in expected.thresholds.to_dict("records"):
        itself = " (itself)" if row["fit_on"] == row["dataset"] else ""
        cells = [row["threshold_policy"], row["fit_on"] + itself, f"{row['threshold']:.4f}"]
        assert f"| {' | '.join(cells)} | {100 * row['f_loc']:.1f} [" in markdown
        assert f" | {100 * row['regret']:.1f} [" in markdown
        if row["threshold_policy"].startswith("false_alarm_"):
            guided = ", object-guided maps" if row["map_variant"] == "ogl" else ""
            cells = [cells[0], f"lvs on {row['dataset']}{guided}", *cells[1:]]
            ciou, success = (
                f"{number} [{low}–{high}]"
                for number, low, high in (
                    (f"{100 * row[f'{name}{end}']:.1f}" for end in ("", "_ci_low", "_ci_high"))
                    for name in ("ciou", "success_rate")
                )
            )
            cells += [ciou, success, f"{100 * row['false_alarm_rate']:.1f}"]
            assert f"| {' | '.join(cells)} |" in markdown
    assert "**at equal rates of false alarms**" in markdown
    assert "at equal rates of false alarms" in flat
    for text in (markdown, done.stdout):
        flat = " ".join(text.split())
        assert "lvs on second, object-guided maps, protocol corrected, N = 6 (coverage 100" in flat
        assert "(30 resamples)" in flat


def test_what_is_missing_is_not_rounded_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in all tables: 4999 of 5000 samples are not 100.0 %."""
    made = write_made(tmp_path / "run", coverage=0.9998)
    found = study_thresholds([made.folder], policies(), points=POINTS, **SETTINGS)
    write_study(found, tmp_path / "out", resamples=SETTINGS["resamples"])
    for text in (capsys.readouterr().out, (tmp_path / "out" / "thresholds.md").read_text()):
        assert "coverage 99.98 %" in " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--threshold", "object_area"), 1, "threshold object_area: every map has its own"),
        (("--threshold", "no_such"), 1, "but got `no_such`"),
        (("--points", "0"), 2, "a whole number from 1, got 0"),
        (("--resamples", "0"), 2, "a whole number from 1, got 0"),
        (("--seed", "-1"), 2, "a whole number from 0, got -1"),
    ],
)
def test_faults_of_the_command_line(
    whole: Made,
    tmp_path: Path,
    arguments: Sequence[str],
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    given = [str(whole.folder), "--output", str(out), *arguments]
    monkeypatch.setattr(sys, "argv", ["vssl-thresholds", *given])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == status
    assert message in " ".join(capsys.readouterr().err.split())
    assert not out.exists()
