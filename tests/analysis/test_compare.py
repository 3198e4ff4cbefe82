"""vssl-compare: differences, intervals and p values against formulas, enumeration and scipy."""

from __future__ import annotations

import itertools
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.drawn import draw_vggss
from tests.helpers.records import make_sample
from tests.helpers.records import write_made as write_run
from tests.helpers.reporting_runs import compile_latex, on_a_wide_page
from tests.helpers.running import command, run, scoring_settings
from tests.reference import formulas, study
from vssl.analysis import compare as module
from vssl.analysis.compare import (
    ComparedRun,
    common_samples,
    compare_runs,
    equivalent,
    exchanges,
    families,
    holm,
    verdict,
)
from vssl.cli.compare import main
from vssl.config.build import build_metrics
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.bootstrap import ImageBootstrap
from vssl.records.files import SCORES_FILE
from vssl.records.fit import fit_policies
from vssl.records.number import Number
from vssl.records.refit import ResampledRun
from vssl.records.score import score_records
from vssl.records.store import read_provenance
from vssl.reporting.tables.comparison import COMPARISON
from vssl.thresholds.base import FixedThreshold
from vssl.thresholds.size_aware import HalfImage
from vssl.types import POSITIVE

Array = npt.NDArray[np.float64]
Columns = dict[str, dict[str, Array]]  # column, audio condition -> `[N, D]`
Numbers = dict[tuple[str, str], float]

METRICS = build_metrics(scoring_settings())
PAPER = ["ciou", "success_rate", "auc", "pia", "auc_n", "f_loc", "f_auc", "auroc"]
DRAWS = ("negatives.noise.draws=2", "negatives.offscreen.draws=2")


@dataclass
class Made:
    """A run whose maps are drawn at random, and its scores of every sample."""

    folder: Path
    groups: list[str]
    columns: Columns  # of `ciou` and `pia`

    def numbers(self, rows: Any = slice(None)) -> Numbers:
        """Numbers of some samples by formula."""
        return study.numbers(
            {n: {c: v[rows] for c, v in x.items()} for n, x in self.columns.items()}
        )


def write_made(
    folder: Path,
    *,
    seed: int,
    numbers: Sequence[int] = range(8),
    per_image: int = 2,
    holes: bool = False,
) -> Made:
    """A run of some samples, of which several may show one image; thresholds fixed and half."""
    samples = [
        make_sample(
            f"s{i:03}",
            f"image{i // per_image:03}",
            ((10 * (i % 5), 20, 120 + 20 * (i % 4), 200),),
            category=f"class{i % 3}",
        )
        for i in numbers
    ]
    negatives = [Silence(), Noise(draws=2), Offscreen(draws=3)]
    maps = np.random.default_rng(seed).random((len(samples), 1 + 1 + 2 + 3, 3, 3))
    # a positive, and an image and a half in the last offscreen draw
    lost = [(POSITIVE, 1, 0), *(("offscreen", n, 2) for n in (2, 3, 6))] if holes else []
    facts = {"model": f"made{seed}", "value_range": [0.0, 1.0]}
    write_run(folder, samples, maps=maps, negatives=negatives, holes=lost, **facts)
    fitted = fit_policies([FixedThreshold(), HalfImage()], folder)
    score_records(folder, fitted, METRICS, output=folder / SCORES_FILE)
    rows = pd.read_parquet(folder / SCORES_FILE).query("threshold_policy == 'fixed'")
    columns: Columns = {"ciou": {}, "pia": {}}
    for condition, group in rows.groupby("audio_condition", observed=True):
        for name, values in columns.items():
            wide = group.astype({"sample_id": str}).pivot(
                index="sample_id", columns="draw", values=name
            )
            values[str(condition)] = wide.to_numpy()
    return Made(folder, [s.image_group for s in samples], columns)


def differences(*folders: Path, asked: Sequence[str] = PAPER, **options: object) -> pd.DataFrame:
    given = {"thresholds": ["fixed"], **options}
    runs = [ComparedRun.of(folder) for folder in folders]
    return compare_runs(runs, METRICS, asked=asked, **given)  # type: ignore[arg-type]


def change_numbers(
    monkeypatch: pytest.MonkeyPatch, changed: Callable[[Number], Array | None]
) -> None:
    """Leave sounds out of intervals, and so of p, and put another spread of thresholds in."""
    numbers = ResampledRun.numbers

    def without(*given: Any, **more: Any) -> list[list[Number]]:
        (found,) = numbers(*given, **more)
        return [[replace(each, sounds=None, of_threshold=changed(each)) for each in found]]

    monkeypatch.setattr(ResampledRun, "numbers", without)


@pytest.fixture
def images_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave what is not chance over images out of intervals, and so of p."""
    change_numbers(monkeypatch, lambda number: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Made]:
    """Two runs of eight samples, two to an image; the first lost some maps."""
    folder = tmp_path_factory.mktemp("made")
    first = write_made(folder / "first", seed=1, holes=True)
    return first, write_made(folder / "second", seed=2)


def swapped(one: Made, two: Made, signs: Array) -> tuple[Made, Made]:
    """Both runs after images were exchanged: all samples and draws of each together."""
    images = sorted(set(one.groups))
    chosen = np.array([signs[images.index(group)] < 0 for group in one.groups])[:, None]
    first, second = (
        replace(
            own,
            columns={
                name: {c: np.where(chosen, other.columns[name][c], v) for c, v in column.items()}
                for name, column in own.columns.items()
            },
        )
        for own, other in ((one, two), (two, one))
    )
    return first, second


def exchanged(one: Made, two: Made, choices: Iterable[Any]) -> list[tuple[Numbers, Numbers]]:
    """Numbers of both runs by formula, for every choice of images."""
    sides = [swapped(one, two, np.array(signs)) for signs in choices]
    return [(first.numbers(), second.numbers()) for first, second in sides]


@pytest.mark.usefixtures("images_only")
def test_p_is_the_share_of_all_exchanges(made: tuple[Made, Made]) -> None:
    one, two = made
    rows = differences(one.folder, two.folder)
    tested = rows[rows["metric"] != "auroc"]
    assert len(tested) == 2 + 1 + 1 + 4 + 3 + 4 + 4
    sides = exchanged(one, two, itertools.product((1, -1), repeat=4))
    for row in tested.to_dict("records"):
        key = (row["metric"], row["condition"])
        values = [[side[key] for side in both] for both in sides]
        observed = values[0][1] - values[0][0]  # nothing exchanged
        assert row["reference_value"] == pytest.approx(values[0][0], abs=1e-12), key
        assert row["value"] == pytest.approx(values[0][1], abs=1e-12), key
        assert row["difference"] == pytest.approx(observed, abs=1e-12), key
        count = sum(abs(second - first) >= abs(observed) - 1e-12 for first, second in values)
        assert row["p"] == count / 16, key
        assert row["n_images"] == 4
    undefined = rows.set_index(["metric", "condition"])["n_undefined"]
    for key, lost in {("ciou", POSITIVE): 1, ("pia", "offscreen"): 3, ("f_loc", "all"): 4}.items():
        assert undefined[key] == lost


@pytest.mark.usefixtures("images_only")
def test_intervals_equal_a_plain_loop(made: tuple[Made, Made]) -> None:
    one, two = made
    rows = differences(one.folder, two.folder, resamples=60, seed=3)
    bootstrap = ImageBootstrap(one.groups, resamples=60, seed=3)
    images = sorted(set(one.groups))
    samples = np.arange(len(one.groups))
    place = np.array([images.index(group) for group in one.groups])
    again = [
        [run.numbers(np.repeat(samples, times[place].astype(int))) for run in (one, two)]
        for times in bootstrap.weights
    ]
    for row in rows[rows["metric"] != "auroc"].to_dict("records"):
        key = (row["metric"], row["condition"])
        found = [second[key] - first[key] for first, second in again]
        expected = formulas.logit_interval(row["difference"], np.array(found), len(images), None)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected, abs=1e-9), key


@pytest.mark.usefixtures("images_only")
def test_random_exchanges_count_themselves(made: tuple[Made, Made]) -> None:
    one, two = made
    rows = differences(one.folder, two.folder, permutations=15, seed=4)
    signs = np.concatenate(list(exchanges(4, permutations=15, seed=4)))
    assert signs.shape == (15, 4)
    sides = exchanged(one, two, signs)
    for row in rows[rows["metric"].isin(["ciou", "f_loc", "auc_n"])].to_dict("records"):
        key = (row["metric"], row["condition"])
        far = sum(abs(two[key] - one[key]) >= abs(row["difference"]) - 1e-12 for one, two in sides)
        assert row["p"] == (far + 1) / 16


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Made]:
    """Two runs of forty samples, each with its own image."""
    folder = tmp_path_factory.mktemp("many")
    return tuple(  # type: ignore[return-value]
        write_made(folder / str(seed), seed=seed, numbers=range(40), per_image=1) for seed in (3, 4)
    )


def test_pieces_of_exchanges_cannot_matter(
    many: tuple[Made, Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [each.folder for each in many]
    whole = differences(*folders, permutations=700)
    monkeypatch.setattr(module, "_SIGNS_AT_ONCE", 40 * 64)
    pd.testing.assert_frame_equal(differences(*folders, permutations=700), whole)


def test_random_exchanges_are_fair_and_seeded() -> None:
    first, again = (np.concatenate(list(exchanges(30, permutations=4000, seed=1))) for _ in "ab")
    assert np.array_equal(first, again)
    assert not np.array_equal(first, np.concatenate([*exchanges(30, permutations=4000, seed=2)]))
    assert np.abs(first.mean(axis=0)).max() < 5 / math.sqrt(4000)
    assert np.abs(np.corrcoef(first.T) - np.eye(30)).max() < 5 / math.sqrt(4000)


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=8), st.floats(0.001, 0.999))
def test_holm_rejects_what_its_steps_reject(p: list[float], level: float) -> None:
    """At any level: from the smallest p on, reject while p <= level / (number not yet rejected)."""
    corrected = holm(np.array([*p, np.nan]))
    assert math.isnan(corrected[-1])
    rejected: set[int] = set()
    for i in sorted(range(len(p)), key=lambda i: p[i]):
        if p[i] * (len(p) - len(rejected)) > level:
            break
        rejected.add(i)
    ties = {i for i in range(len(p)) if p[i] in {p[k] for k in rejected}}
    assert {i for i in range(len(p)) if corrected[i] <= level} in (rejected, ties)


def test_a_run_does_not_differ_from_itself(made: tuple[Made, Made]) -> None:
    everything = [metric.name for metric in METRICS]
    rows = differences(made[0].folder, made[0].folder, asked=everything)
    assert {"iiou", "agreement", "pointing_game", "detection_ap", "f_loc"} <= set(rows["metric"])
    assert (rows[["difference", "ci_low", "ci_high"]] == 0).all(axis=None)
    assert (rows["p"].dropna() == 1).all()
    assert set(rows[rows["p"].isna()]["metric"]) == {
        metric.name for metric in METRICS if hasattr(metric, "family")
    }


def test_the_order_only_turns_the_sign(made: tuple[Made, Made]) -> None:
    everything = [metric.name for metric in METRICS]
    one, two = (each.folder for each in made)
    there, back = differences(one, two, asked=everything), differences(two, one, asked=everything)
    for name, other in (("difference", "difference"), ("ci_low", "ci_high")):
        np.testing.assert_allclose(there[name], -back[other], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(there["value"], back["reference_value"])
    both = ["p", "p_holm", "sd_besides_images", "n_images", "n_undefined"]
    np.testing.assert_array_equal(there[both], back[both])
    opposite = {"higher": "lower", "lower": "higher"}
    turned = back["verdict"].replace(opposite, regex=True)
    assert there["verdict"].str.split().str[0].tolist() == turned.str.split().str[0].tolist()


@pytest.mark.usefixtures("images_only")
def test_by_image_metrics_exchange_images(made: tuple[Made, Made]) -> None:
    one, two = made
    rows = differences(one.folder, two.folder, asked=["iauc"]).iloc[0]
    found = []
    for signs in itertools.product((1, -1), repeat=4):
        sides = swapped(one, two, np.array(signs))
        values = [
            formulas.interactive_auc(side.columns["ciou"][POSITIVE][:, 0], one.groups)
            for side in sides
        ]
        found.append(values[1] - values[0])
    assert rows["difference"] == pytest.approx(found[0], abs=1e-12)
    assert rows["p"] == np.mean([abs(each) >= abs(found[0]) - 1e-12 for each in found])
    assert rows["n_images"] == 3, (
        "an image of which a sample is undefined has no value in the first"
    )


def test_only_common_samples_count(many: tuple[Made, Made], tmp_path: Path) -> None:
    one = many[0]
    part = write_made(tmp_path / "part", seed=4, numbers=[30, 7, 99, 12, 3], per_image=1)
    runs = [ComparedRun.of(one.folder), ComparedRun.of(part.folder)]
    assert common_samples(runs) == ["s003", "s007", "s012", "s030"]
    row = differences(one.folder, part.folder).set_index(["metric", "condition"])
    for key in (("ciou", POSITIVE), ("f_loc", "all"), ("auc_n", "offscreen")):
        first, second = one.numbers([3, 7, 12, 30])[key], part.numbers(slice(4))[key]
        assert row["reference_value"][key] == pytest.approx(first, abs=1e-12)
        assert row["value"][key] == pytest.approx(second, abs=1e-12)
        assert row["n_images"][key] == 4


def test_several_runs_share_the_reference_and_the_correction(
    many: tuple[Made, Made], tmp_path: Path
) -> None:
    """The primary row is corrected for the number of runs only."""
    third = write_made(tmp_path / "third", seed=9, numbers=range(40), per_image=1).folder
    folders = [many[0].folder, many[1].folder, third]
    options = {"thresholds": ["fixed", "half_image"], "primary": "f_loc/fixed"}
    together = differences(*folders, **options)
    for folder in folders[1:]:
        alone = differences(folders[0], folder, **options)
        own = together[together["run"] == str(folder)].reset_index(drop=True)
        corrected = ["p_holm", "verdict"]
        pd.testing.assert_frame_equal(own.drop(columns=corrected), alone.drop(columns=corrected))
        (row,) = alone[alone["family"] == "primary"].to_dict("records")
        assert row["p_holm"] == row["p"]
        assert row["condition"] == "all"
    assert together["p"].notna().sum() == 2 * (19 + 11), "no F score where maps have their own"
    # at `all` F_LOC and F_AUC have one row each, where by type they have three
    for family, count in (("primary", 2), ("secondary", 2 * (19 - 6 + 11 - 1))):
        rows = together[together["family"] == family]
        assert len(rows) == count
        np.testing.assert_array_equal(rows["p_holm"], holm(rows["p"].to_numpy()))
    assert together[together["family"] == "none"]["p_holm"].isna().all()


TABLE = pd.DataFrame(
    [
        ("a", "f_loc", "silence", "universal_q3", True),
        ("a", "f_loc", "all", "universal_q3", True),
        ("a", "f_loc", "silence", "fixed", True),
        ("a", "f_loc", "all", "fixed", True),
        ("a", "pia", "silence", "fixed", True),
        ("a", "pia", "noise", "fixed", True),
        ("a", "auroc", "all", "none", False),
        ("a", "auroc", "silence", "none", False),
        ("a", "agreement", "positive-silence", "none", True),
        ("b", "f_loc", "all", "universal_q3", False),  # undefined
        ("b", "f_loc", "silence", "universal_q3", True),
        ("b", "f_loc", "all", "fixed", True),
    ],
    columns=["run", "metric", "condition", "threshold_policy", "testable"],
)


@pytest.mark.parametrize(
    ("primary", "expected"),
    [
        (None, "-1-222--2-22"),
        ("f_loc/universal_q3", "-1-222--2-22"),
        ("f_loc/fixed", "-2-122--2-21"),
        ("silence/f_loc/fixed", "-21222--2-22"),
        ("agreement/none", "-2-222--1-22"),
        ("noise/pia/fixed", "-2-221--2-22"),
    ],
    ids=str,
)
def test_families(primary: str | None, expected: str) -> None:
    names = {"1": "primary", "2": "secondary", "-": "none"}
    assert families(TABLE, primary).tolist() == [names[mark] for mark in expected]
    rows = TABLE[TABLE["threshold_policy"] == "fixed"]
    assert "primary" not in families(rows, None), "the default endpoint is not among them"


def test_exchanges_are_raised_with_the_rows(
    many: tuple[Made, Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [each.folder for each in many]
    assert set(differences(*folders, asked=["ciou"])["exchanges"]) == {10_000}
    monkeypatch.setattr("vssl.analysis.compare.FEWEST", 50)
    rows = differences(*folders)
    assert set(rows["exchanges"]) == {100 * 13 - 1}, "of 13 rows"
    assert rows["p"].min() >= 1 / 1300
    assert set(differences(*folders, permutations=70)["exchanges"]) == {70}, "as asked for"


def test_exchanges_have_an_end() -> None:
    counts = [module.enough_exchanges(tests) for tests in (1, 1500, 9000)]
    assert counts == [10_000, 149_999, 200_000]


def test_conditions_that_are_asked_for(many: tuple[Made, Made]) -> None:
    folders = [each.folder for each in many]
    rows = differences(*folders, conditions=["noise"])
    assert sorted(rows["metric"]) == ["auc_n", "auroc", "f_auc", "f_loc", "pia"]
    assert rows["family"].tolist().count("secondary") == 4, "no row at `all` that they repeat"
    whole = differences(*folders).query("condition == 'noise'").reset_index(drop=True)
    pd.testing.assert_series_equal(rows["p"], whole["p"])


def test_p_is_widened_as_the_interval_is(
    made: tuple[Made, Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resamples spread twice as wide as over images alone: exchanged differences are doubled."""
    change_numbers(monkeypatch, lambda number: number.at_threshold)
    one, two = made
    rows = differences(one.folder, two.folder, seed=6)
    everything = np.concatenate(list(exchanges(4, permutations=16, seed=6)))
    sides = exchanged(one, two, everything)
    chance = np.random.default_rng([6, 1]).standard_normal(16)
    for row in rows[rows["metric"] != "auroc"].to_dict("records"):
        key = (row["metric"], row["condition"])
        values = [[side[key] for side in both] for both in sides]
        observed = values[0][1] - values[0][0]
        far = [
            abs(np.sign(observed) * (first - second) + row["sd_besides_images"] * drawn)
            for (first, second), drawn in zip(values, chance, strict=True)
        ]
        count = sum(each >= abs(observed) - 1e-12 for each in far)
        assert row["p"] == (count + 1) / 17, key
        # spreads twice as wide have three times the variance beside that of images
        width = row["ci_high"] - row["ci_low"]
        narrow = row["ci_high_at_threshold"] - row["ci_low_at_threshold"]
        assert width == pytest.approx(2 * narrow)
        assert row["sd_besides_images"] > 0


@given(st.floats(-0.02, 0.02), st.floats(1e-4, 0.02), st.integers(0, 99))
def test_a_tie_is_two_one_sided_tests(difference: float, spread: float, seed: int) -> None:
    """Of normal resamples: as by scipy's normal distribution, but near the edge."""
    resampled = np.random.default_rng(seed).normal(difference, spread, 4000)
    p = max(
        scipy.stats.norm.sf(difference + 0.01, scale=spread),
        scipy.stats.norm.cdf(difference - 0.01, scale=spread),
    )
    if abs(p - 0.05) > 0.02:
        assert equivalent(resampled, 100, 0.01) == (p < 0.05)


@pytest.mark.parametrize(
    ("resampled", "images", "tied"),
    [
        ([0.0, 0.0], 298, False),  # .99 ** 298 > .05: 1 % of all images may differ unseen
        ([0.0, 0.0], 299, True),
        ([0.009, 0.009], 299, False),
        ([np.nan, np.nan], 299, False),
        ([0.0, 0.0], 0, False),
    ],
)
def test_a_tie_of_runs_that_do_not_differ_takes_many_images(
    resampled: list[float], images: int, tied: bool
) -> None:
    assert equivalent(np.array(resampled), images, 0.01) == tied


@pytest.mark.parametrize(
    ("difference", "p", "tied", "words"),
    [
        (0.1, 0.05, False, "higher"),
        (-0.1, 0.01, False, "lower"),
        (0.005, 0.01, True, "higher (within 2.5 points)"),
        (0.005, 0.06, True, "tied (within 2.5 points)"),
        (0.005, np.nan, True, "tied (within 2.5 points)"),
        (0.1, 0.06, False, "not shown"),
        (0.1, np.nan, False, "not tested"),
    ],
)
def test_verdicts(difference: float, p: float, tied: bool, words: str) -> None:
    assert verdict(difference, p, tied=tied, margin=0.025) == words
    one = words.replace("2.5 points", "1 point")
    assert verdict(difference, p, tied=tied, margin=0.01) == one


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real runs on a small test set, and others that differ from them in one way each."""
    root = tmp_path_factory.mktemp("runs")
    data = draw_vggss(root / "vggss")
    data_of = ("data=vggss", f"data.root={data}")
    on = (*data_of, "threshold=[fixed,half_image,universal_q3]", "metrics=[paper,auroc]")
    for model in ("random", "center"):
        run(root / model, f"model={model}", *on, *DRAWS)
    few = ("threshold=[universal_q3,fixed]", "metrics=[ciou,pia,f_loc]")
    center = ("model=center", *data_of, *few)
    run(root / "draws", *center, "negatives.noise.draws=1", DRAWS[1])
    for name, change in {
        "seed": "seed=1",
        "level": "negatives.noise.level=0.1",
        "switch": "protocol.antialias=false",
        "calibrated": f"calibration={root / 'seed'}",
        "fixed": "threshold.fixed.value=0.4",
    }.items():
        run(root / name, *center, *DRAWS, change)
    run(root / "few", "model=center", *data_of, *DRAWS, "threshold=fixed", "metrics=[ciou]")
    run(root / "noise_all", "model=random", *on, "negatives=noise", DRAWS[0])
    other = shutil.copytree(data, root / "other" / "vggss")
    (other / "frames" / "clip2_000010.jpg").unlink()
    part = (*on, "negatives=noise", DRAWS[0], f"data.root={other}", "data.missing=skip")
    run(root / "noise_part", "model=center", *part)
    text = (data / "vggss.json").read_text()
    moved = shutil.copytree(data, root / "moved" / "vggss")
    (moved / "vggss.json").write_text(text.replace("0.5357142857142857", "0.55", 1))
    run(root / "boxes", *center, *DRAWS, f"data.root={moved}")
    return root


@pytest.fixture
def said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Runs the command in this process: exit status and whole output."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["vssl-compare", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as error:
            status = int(error.code or 0)
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return call


REASONS = {
    "draws": r"other negatives: silence x 1, noise x 1, offscreen x 2 \(reference: .*noise x 2",
    "seed": r"other negatives: drawn otherwise for 6 of the 6 common samples; .*manifest=",
    "level": r"other negatives: noise.level=0.1 \(reference: 1.0\)",
    "switch": r"other protocol: antialias=False \(reference: True\)",
    "calibrated": r"other calibration of threshold universal_q3: .*, run \w{8}\) \(reference: fit",
    "fixed": r"other threshold fixed: 0.4 \(reference: 0.5\)",
    "boxes": r"other ground truth: of 1 of the 6 common samples",
}
ASKED = ("--threshold", "universal_q3", "--threshold", "fixed", "--metric", "ciou")
ASKED += ("--metric", "pia", "--metric", "f_loc")


@pytest.mark.parametrize("name", REASONS)
def test_runs_that_are_not_comparable(
    runs: Path, name: str, said: Callable[..., tuple[int, str]]
) -> None:
    status, text = said(runs / "random", runs / name, *ASKED)
    assert status == 1
    assert "these runs cannot be compared" in text
    assert "--anyway" in text
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    assert len(lines) == 1, text
    assert re.search(f"{re.escape(str(runs / name))}: {REASONS[name]}", lines[0]), text


def test_what_cannot_be_compared_at_all(
    runs: Path, is3_folder: Path, tmp_path: Path, said: Callable[..., tuple[int, str]]
) -> None:
    run(tmp_path / "is3", "model=center", "data=is3", f"data.root={is3_folder}", *DRAWS)
    random, center, few = (runs / name for name in ("random", "center", "few"))
    two = [random, center, "--resamples", "20"]
    cases: list[tuple[list[str | Path], str]] = [
        ([random], r"give two runs or more, or --published"),
        ([random, tmp_path / "none"], r"records.parquet: no such file"),
        ([random, runs], r"(?s): there are 12 finished runs below it; name one:.*/center"),
        ([*two, "--primary", "f_loc"], r"expected metric/policy or condition/metric/pol"),
        ([*two, "--primary", "f_lok/fixed"], r"`--metric` to be one of .* Did you mean"),
        (
            [*two, "--primary", "noise/ciou/fixed"],
            r"`--primary` to be one of .*got `noise/ciou/fixed`. Did you mean `noise/pia/fixed`",
        ),
        ([*two, "--primary", "auroc/none"], r"`--primary` to be one of ciou/universal_q3"),
        (
            [*two, "--primary", "pia/fixed"],
            r"several rows; name one: positive/pia/fixed, silence/pia/fixed, noise/pia/fixed, off",
        ),
        ([*two, "--condition", "nois"], r"`--condition` .* Did you mean `noise`"),
        (
            [random, tmp_path / "is3", "--anyway"],
            r"(?s)no sample that all runs have.*other data set: is3 \(reference: vggss\)",
        ),
        ([*two, "--variant", "ogl"], r"has no map variant ogl, but av; .*object_guided"),
        (
            [*two, "--threshold", "released_q3"],
            r"(?s)random: has no scores under threshold released_q3, but under fixed, half_image,"
            r".*vssl-rescore run=.*random threshold=released_q3.*center: has no scores",
        ),
        ([random, few, "--threshold", "fixed"], r"few: has no scores for pia, auc_n; vssl-rescore"),
        ([*two, "--metric", "f_lok"], r"`--metric` to be one of .* Did you mean `f_loc`"),
        (
            [*two, "--metric", "f_loc", "--threshold", "half_image"],
            r"no number of f_loc under half_image",
        ),
        ([random, center, "--published", "--seed", "1"], r"leave out --seed"),
        ([*two, "--permutations", "0"], "a whole number from 1, got 0"),
        ([*two, "--margin", "0"], "expected a number above 0, got 0"),
    ]
    for arguments, message in cases:
        status, text = said(*arguments)
        assert status == (2 if message.endswith("got 0") else 1), arguments
        assert re.search(message, text), text
        assert "Traceback" not in text


def test_the_common_samples_are_said(runs: Path, said: Callable[..., tuple[int, str]]) -> None:
    both = [runs / "noise_all", runs / "noise_part"]
    status, text = said(*both, "--metric", "pia", "--metric", "f_loc")
    assert status == 0, text
    flat = " ".join(text.split())
    assert "N = 5 samples of 5 images that all runs have" in flat
    assert "left out, as not all runs have them: random 1 of 6" in flat
    assert "coverage of the runs 100 %, 83.33 %" in flat
    assert "Thresholds were fitted on all samples of their run" in flat
    assert "all 32 exchanges" in flat


def test_the_command(runs: Path, tmp_path: Path) -> None:
    both = [str(runs / name) for name in ("random", "center")]
    chosen = ("--threshold", "fixed", "--threshold", "half_image", "--output", "out")
    done = command("vssl-compare", *both, *chosen, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    for fact in (
        "center against random on vggss", "protocol corrected", "N = 6 samples of 6 images",
        "1000 bootstrap resamples", "two-sided, all 64 exchanges", "No primary row",
        "Secondary: Holm over 24 rows: ciou, success_rate, auc, pia, auc_n, f_loc, f_auc; under",
        "seed 0", "fixed: random 0.5000, center 0.5000 (constant)", "coverage of the runs 100 %",
    ):  # fmt: skip
        assert fact in text, fact
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "comparison.csv", "comparison.md", "comparison.parquet", "comparison.tex"
    ]  # fmt: skip
    path = tmp_path / "out" / "comparison.parquet"
    assert pq.read_schema(path).remove_metadata().equals(COMPARISON)
    facts = read_provenance(path)
    assert (facts["samples"], facts["exact"], facts["permutations"]) == (6, True, 64)
    assert [each["label"] for each in facts["runs"]] == ["random", "center"]
    written = pd.read_parquet(path)
    expected = differences(*map(Path, both), thresholds=["fixed", "half_image"])
    assert set(written["exchanges"]) == {64}
    pd.testing.assert_frame_equal(written[expected.columns], expected)
    read = pd.read_csv(tmp_path / "out" / "comparison.csv")
    pd.testing.assert_series_equal(read["difference"], written["difference"])
    cell = written.query("threshold_policy == 'fixed' and metric == 'ciou'").iloc[0]
    line = f"| {100 * cell['difference']:+.1f} |"
    assert line in (tmp_path / "out" / "comparison.md").read_text()
    assert written["p"].isna().equals(written["metric"] == "auroc")
    warning = (
        "NO SECONDARY ROW CAN DIFFER SIGNIFICANTLY, whatever the difference: the smallest p that 64"
        " exchanges can give, 0.0312, times 24 rows is above 0.05."
    )
    for shown in (text, " ".join((tmp_path / "out" / "comparison.md").read_text().split())):
        assert warning in shown
    assert "n/a" in done.stdout


def test_too_few_exchanges_are_said(runs: Path, said: Callable[..., tuple[int, str]]) -> None:
    both = (runs / "random", runs / "center", "--metric", "ciou", "--metric", "f_loc")
    for number, said_so in ((18, True), (63, False)):
        status, text = said(*both, "--permutations", str(number))
        flat = " ".join(text.split())
        assert status == 0, text
        assert "Primary: all/f_loc/universal_q3, not corrected" in flat
        assert ("NO PRIMARY ROW CAN DIFFER SIGNIFICANTLY" in flat) == said_so
        assert ("Give --permutations 10000, or leave it out." in flat) == said_so


def test_anyway_says_why_not_and_latex_compiles(
    runs: Path, tmp_path: Path, said: Callable[..., tuple[int, str]]
) -> None:
    three = [runs / name for name in ("random", "center", "switch")]
    status, printed = said(*three, *ASKED, "--anyway", "--output", tmp_path)
    assert status == 0
    why = "other protocol: antialias=False (reference: True)"
    for text in (printed, (tmp_path / "comparison.md").read_text()):
        assert "NOT COMPARABLE" in text
        assert why in text
    rows = pd.read_csv(tmp_path / "comparison.csv", keep_default_na=False)
    reasons = rows.groupby("run")["not_comparable"].unique().map(list)
    assert reasons.to_dict() == {str(three[1]): [""], str(three[2]): [why]}
    text = on_a_wide_page(tmp_path / "comparison.tex")
    assert text.count(r"\caption{") == 2
    bold = re.findall(r"^ *\\textbf\{.*all\} & ", text, re.MULTILINE)
    assert len(bold) == 2, "the primary row of each run"
    in_a_family = int((rows["family"] != "none").sum())
    assert len(re.findall(r" \\\\\[2pt\]$", text, re.MULTILINE)) == in_a_family
    assert "Overfull" not in compile_latex(tmp_path, r"\input{comparison.tex}")
