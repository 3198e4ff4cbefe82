"""Numbers by class and by object size: against pandas on the scores file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.helpers.drawn import CATEGORIES, draw_vggss
from tests.helpers.records import make_sample, write_made
from tests.helpers.running import run, scoring_settings
from tests.reference import formulas, study
from vssl.config.build import build_metrics
from vssl.core.errors import UsageError
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.aggregate import summarize, summarize_subsets
from vssl.records.bootstrap import ImageBootstrap
from vssl.records.files import RECORDS_FILE, SCORES_FILE, SUBSETS_FILE, SUMMARY_FILE
from vssl.records.fit import fit_policies
from vssl.records.refit import ResampledRun
from vssl.records.schema import SUBSETS, SUMMARY
from vssl.records.score import score_records
from vssl.records.scores import Samples, Scores
from vssl.records.store import read_provenance
from vssl.runs.score import score_run
from vssl.thresholds.base import FixedThreshold
from vssl.thresholds.size_aware import HalfImage
from vssl.thresholds.universal import UniversalThreshold
from vssl.types import POSITIVE, Sample

Array = npt.NDArray[Any]
SETTINGS = {"resamples": 30, "seed": 4}
METRICS = build_metrics(scoring_settings())
REPORTED = ("ciou", "success_rate", "auc", "pia", "auc_n", "f_loc", "f_auc", "pointing_game")
LABELS = ["map_variant", "threshold_policy", "metric", "condition"]
FIXED = "fixed"


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.set_index(LABELS).sort_index()


@dataclass
class Scored:
    """A scored run, its subsets, and which of its samples are in which."""

    folder: Path
    samples: list[Sample]
    resampled: ResampledRun
    subsets: pd.DataFrame
    summary: pd.DataFrame

    @cached_property
    def scores(self) -> pd.DataFrame:
        frame = pd.read_parquet(self.folder / SCORES_FILE)
        return frame.astype(dict.fromkeys(frame.select_dtypes("category"), str))

    def of(self, kind: str) -> dict[str, pd.DataFrame]:
        """A kind's subsets by name, in the order of the file."""
        chosen = self.subsets[self.subsets["subset_kind"] == kind]
        return {str(name): rows for name, rows in chosen.groupby("subset", sort=False)}


def score(
    folder: Path,
    samples: list[Sample],
    *,
    kinds: Sequence[str] = ("category", "object_size"),
    **made: Any,
) -> Scored:
    """Write a run of random maps, score and summarize it."""
    write_made(folder, samples, **made)
    policies = [FixedThreshold(value=0.2, name=FIXED), HalfImage()]
    universal = UniversalThreshold(statistic="mean", name="universal_max")
    scores = folder / SCORES_FILE
    fitted = fit_policies([*policies, universal], folder)
    score_records(folder, fitted, METRICS, output=scores)
    known = Samples.of(folder)
    opened = Scores(scores, known.ids)
    resampled = ResampledRun.of(folder, known, opened, METRICS, fitted, **SETTINGS)
    summary = summarize(folder, resampled, METRICS, output=folder / SUMMARY_FILE)
    found = summarize_subsets(folder, resampled, METRICS, kinds, output=folder / SUBSETS_FILE)
    return Scored(folder, samples, resampled, found, summary)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """Ten samples on five pictures, with object maps and maps that hold NaN.

    `bird` is the class of a picture's both samples and of no other picture.
    """
    categories = ("dog", "cat", "dog", "cat", "bird", "bird", "cat", "dog", "dog", "cat")
    samples = [
        make_sample(
            f"s{n}", f"picture{n // 2}", ((8, 8, 40 + 16 * n, 200),), category=categories[n]
        )
        for n in range(10)
    ]
    return score(
        tmp_path_factory.mktemp("scored") / "run",
        samples,
        negatives=[Silence(), Noise(draws=2), Offscreen(draws=3)],
        holes=[(POSITIVE, 2, 0), ("offscreen", 0, 1), ("noise", 4, 0)],
        objects=True,
    )


def columns(
    scored: Scored, members: Sequence[str], policy: str, variant: str
) -> dict[str, study.Values]:
    """cIoU and pIA of some samples by condition, `[N, D]`, read with pandas."""
    frame = scored.scores.query("threshold_policy == @policy and map_variant == @variant")
    found: dict[str, dict[str, Array]] = {"ciou": {}, "pia": {}}
    for condition, rows in frame.groupby("audio_condition"):
        for name, of_condition in found.items():
            wide = rows.pivot(index="sample_id", columns="draw", values=name)
            of_condition[str(condition)] = wide.loc[list(members)].to_numpy()
    return found


def members_of(scored: Scored) -> dict[tuple[str, str], list[str]]:
    """Names of the samples of each subset: by class, and by quarters of the object's area."""
    found: dict[tuple[str, str], list[str]] = {}
    for sample in scored.samples:
        found.setdefault(("category", sample.category), []).append(sample.sample_id)
    names = list(scored.of("object_size"))
    # areas ascend with the sample's number: of ten, the quartiles lie at 2.25, 4.5 and 6.75
    quarters = ((0, 1, 2), (3, 4), (5, 6), (7, 8, 9))
    for name, numbers in zip(names, quarters, strict=True):
        found["object_size", name] = [f"s{n}" for n in numbers]
    return found


class TestNumbers:
    @pytest.mark.parametrize("policy", [FIXED, "half_image", "universal_max"])
    @pytest.mark.parametrize("variant", ["av", "ogl"])
    def test_equal_pandas(self, scored: Scored, policy: str, variant: str) -> None:
        subsets = members_of(scored)
        assert len(subsets) == 3 + 4
        for (kind, name), members in subsets.items():
            rows = scored.of(kind)[name].pipe(labelled).loc[(variant, policy)]
            values = columns(scored, members, policy, variant)
            # no F score where every map has its own threshold
            asked = [name for name in REPORTED if policy != "half_image" or name[:2] != "f_"]
            expected = {k: v for k, v in study.numbers(values).items() if k[0] in asked}
            assert set(rows.index) == set(expected)
            for key, value in expected.items():
                found = rows.loc[key]
                assert found["value"] == pytest.approx(value, abs=1e-12, nan_ok=True), (name, key)
                if key[0] in study.MEANS:
                    column = values[study.MEANS[key[0]][0]][key[1]]
                    assert found["n_undefined"] == np.isnan(column).sum()
                    assert found["n"] == (~np.isnan(column)).any(axis=1).sum()
                    assert found["draws"] == column.shape[1]
                    drawn = [study.MEANS[key[0]][1](draw) for draw in column.T]
                    spread = np.std(drawn, ddof=1) if len(drawn) > 1 else math.nan
                    assert found["std_over_draws"] == pytest.approx(spread, abs=1e-12, nan_ok=True)

    @pytest.mark.parametrize("variant", ["av", "ogl"])
    def test_the_pointing_game_needs_no_threshold(self, scored: Scored, variant: str) -> None:
        plain = scored.scores.query("threshold_policy == 'none' and audio_condition == 'positive'")
        plain = plain[plain["map_variant"] == variant].set_index("sample_id")["pointing_game"]
        for (kind, name), members in members_of(scored).items():
            rows = scored.of(kind)[name].pipe(labelled).loc[(variant, "none")]
            assert rows.index.tolist() == [("pointing_game", POSITIVE)]
            assert rows["value"].iloc[0] == pytest.approx(plain[members].mean(), abs=1e-12)

    def test_intervals_resample_the_images_of_the_subset(self, scored: Scored) -> None:
        groups = {sample.sample_id: sample.image_group for sample in scored.samples}
        several = 0
        for (kind, name), members in members_of(scored).items():
            images = [groups[member] for member in members]
            rows = scored.of(kind)[name].pipe(labelled).loc[("av", FIXED)]
            if len(set(images)) == 1:
                continue
            several += 1
            bootstrap = ImageBootstrap(images, **SETTINGS)
            values = columns(scored, members, FIXED, "av")
            for condition in study.NEGATIVES:
                column = values["pia"][condition]
                weights = bootstrap.weights[:, bootstrap.image]
                resampled = np.array([study.resampled_mean(column, row) for row in weights])
                row = rows.loc[("pia", condition)]
                count = len(
                    {n for n, v in zip(images, column, strict=True) if not np.isnan(v).all()}
                )
                ends = formulas.logit_interval(row["value"], resampled, count)
                found = row[["ci_low_at_threshold", "ci_high_at_threshold"]].astype(float)
                np.testing.assert_allclose(found, ends, rtol=0, atol=1e-9, err_msg=name)
        assert several == 2 + 4

    def test_a_single_image_has_no_interval(self, scored: Scored) -> None:
        """Also where it has several samples: they are not independent."""
        rows = scored.of("category")["bird"]
        assert rows["n"].max() == 2
        assert rows["value"].notna().any()
        assert rows[["ci_low", "ci_high"]].isna().all(axis=None)
        others = pd.concat([rows for n, rows in scored.of("category").items() if n != "bird"])
        assert others[["ci_low", "ci_high"]].notna().all(axis=None)

    def test_what_is_reported(self, scored: Scored) -> None:
        """What was measured, but not IIoU, which a subset tears apart: it needs whole images."""
        assert {"iiou", "iauc", "auroc", "agreement"} <= {metric.name for metric in METRICS}
        assert set(scored.subsets["metric"]) == set(REPORTED)


class TestSizes:
    @pytest.mark.parametrize(
        ("widths", "expected"),
        [
            ((1, 2, 3, 4, 5, 6, 7, 8), {"Q1": "01", "Q2": "23", "Q3": "45", "Q4": "67"}),
            # equal areas are not torn apart, wherever the quartiles fall
            ((5, 5, 5, 5, 5, 5, 5, 5), {"Q1": "01234567"}),
            ((1, 2, 2, 2, 2, 2, 2, 9), {"Q1": "0123456", "Q4": "7"}),
            ((1, 2, 3, 3, 3, 3, 3, 3), {"Q1": "01", "Q2": "234567"}),
            ((3, 1, 2), {"Q1": "1", "Q2": "2", "Q4": "0"}),
            ((0, 4, 0, 6), {"Q1": "02", "Q3": "1", "Q4": "3"}),  # nothing to find is smallest
        ],
        ids=str,
    )
    def test_quarters(
        self, tmp_path: Path, widths: tuple[int, ...], expected: dict[str, str]
    ) -> None:
        samples = [
            make_sample(f"s{n}", f"p{n}", ((10, 20, 10 + 20 * width, 120),))
            for n, width in enumerate(widths)
        ]
        scored = score(tmp_path / "run", samples, kinds=["object_size"], negatives=[Silence()])
        found = scored.of("object_size")
        assert [name.split(":")[0] for name in found] == list(expected)
        for (name, rows), numbers in zip(found.items(), expected.values(), strict=True):
            areas = [2000 * widths[int(n)] / 224**2 for n in numbers]
            assert name.split(": ")[1] == f"{min(areas):.4f} to {max(areas):.4f} of the image"
            members = [f"s{n}" for n in numbers]
            values = columns(scored, members, FIXED, "av")
            marked = labelled(rows).loc[("av", FIXED, "pia", "silence")]
            assert marked["n"] == len(numbers)
            assert marked["value"] == pytest.approx(values["pia"]["silence"].mean(), abs=1e-12)

    def test_an_area_is_that_of_the_boxes_union(self, tmp_path: Path) -> None:
        """Not their sum, and a vote of a half counts as area."""
        apart, over = ((0, 0, 50, 100), (50, 0, 100, 100)), ((0, 0, 60, 100), (20, 0, 80, 100))
        samples = [
            make_sample("two", "p0", apart, (0.5, 0.5)),
            make_sample("overlapping", "p1", over, (0.5, 0.5)),
        ]
        names = list(score(tmp_path / "run", samples).of("object_size"))
        small, large = (f"{area / 224**2:.4f}" for area in (80 * 100, 100 * 100))
        assert names == [
            f"Q1: {small} to {small} of the image",
            f"Q4: {large} to {large} of the image",
        ]


def test_a_single_class_has_the_numbers_of_the_summary(tmp_path: Path) -> None:
    """As has a single size. Intervals too: the same images are drawn."""
    samples = [
        make_sample(f"s{n}", f"p{n // 2}", ((10 * n, 20, 10 * n + 90, 150),), category="dog")
        for n in range(6)
    ]
    negatives = [Silence(), Noise(draws=2)]
    scored = score(tmp_path / "run", samples, negatives=negatives, holes=[("noise", 1, 1)])
    assert [*scored.of("category")] == ["dog"]
    assert len(scored.of("object_size")) == 1
    expected = scored.summary[scored.summary["metric"].isin(REPORTED)].reset_index(drop=True)
    assert len(expected) > 20
    for kind in ("category", "object_size"):
        (rows,) = scored.of(kind).values()
        own = rows[SUMMARY.names].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, expected, check_dtype=False)


def test_the_file_holds_the_same(scored: Scored) -> None:
    path = scored.folder / SUBSETS_FILE
    table = pq.read_table(path)
    assert table.schema.remove_metadata().equals(SUBSETS)
    pd.testing.assert_frame_equal(table.to_pandas(), scored.subsets, check_dtype=False)
    assert read_provenance(path) == read_provenance(scored.folder / SCORES_FILE)
    # what is undefined is null in the file, so that no reader takes it for a number
    alone, absent = table.to_pandas()["subset"] == "bird", table.column("ci_low").is_null()
    assert absent.to_numpy()[alone].all()
    assert not any(map(math.isnan, table.column("value").drop_null().to_pylist()))


QUICK = ("threshold=fixed", "metrics=[ciou,pia,iiou]", "bootstrap.resamples=10")
BOTH = "subsets=[category,object_size]"
MODEL = ("model=center", "negatives=silence")


def evaluated(folder: Path, *overrides: str) -> Path:
    """A run of a model that needs no weights, and the folder of its results."""
    data = draw_vggss(folder / "data")
    run(folder / "run", *MODEL, *QUICK, BOTH, "data=vggss", f"data.root={data}", *overrides)
    return folder / "run"


class TestCommands:
    def test_evaluation_and_rescoring_write_what_is_asked_for(self, tmp_path: Path) -> None:
        folder = evaluated(tmp_path)
        found = pd.read_parquet(folder / SUBSETS_FILE)
        names = found.groupby("subset_kind")["subset"].unique().map(list)
        assert names["category"] == sorted(CATEGORIES)
        assert len(names["object_size"]) == 1, "all objects have one size"
        assert set(found["metric"]) == {"ciou", "pia"}
        # none: an earlier file would be of other scores
        for kinds in (["object_size"], [], ["category", "object_size"]):
            words = (*QUICK, f"subsets=[{','.join(kinds)}]")
            score_run(scoring_settings(*words), folder)
            assert (folder / SUBSETS_FILE).is_file() == bool(kinds)
            if kinds:
                written = pd.read_parquet(folder / SUBSETS_FILE)["subset_kind"]
                assert set(written) == set(kinds)

    def test_a_kind_that_does_not_exist_is_refused_before_the_networks_run(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match=r"`subsets` to be .* Did you mean `category`"):
            evaluated(tmp_path, "subsets=[categories]")
        assert not (tmp_path / "run" / RECORDS_FILE).exists()
