"""The report's figures: what is drawn against references, gaps, and files that do not change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve

from tests.conftest import write_picture
from tests.test_threshold_study import GROUPS, OBJECTS, make_sample, upsampled, write_made
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.pia import ImageArea
from vssl.metrics.separation import AUROC
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.aggregate import summarize
from vssl.records.curves import threshold_curves
from vssl.records.files import RECORDS_FILE, SCORES_FILE, SUMMARY_FILE
from vssl.records.fit import fit_policies
from vssl.records.rows import records_of, thin_records
from vssl.records.score import score_records
from vssl.records.store import RecordsError, read_provenance
from vssl.reporting.report.collection import Group, ReportRun
from vssl.reporting.report.figures import Figure, draw_figures
from vssl.reporting.report.figures_curves import draw_f_loc, draw_roc, draw_shares
from vssl.reporting.report.figures_data import (
    Roc,
    Rows,
    read_scores,
    rejection_shares,
    separation_roc,
    success_shares,
    threshold_curve,
)
from vssl.reporting.report.figures_grid import GridColumn, cut, draw_grid
from vssl.reporting.report.figures_maxima import density, draw_maxima, spread
from vssl.reporting.report.figures_style import house_style, look_of
from vssl.reporting.scenes import read_scenes
from vssl.thresholds.base import FixedThreshold, ThresholdPolicy
from vssl.thresholds.universal import UniversalThreshold

METRICS = [ConsensusIoU(), AUC(), ImageArea(), AUCN(), FLoc(), FAuc(), AUROC()]
POLICY = "universal_q3"
DRAWS = 3
NEGATIVES = [Silence(), Noise(draws=DRAWS), Offscreen(draws=DRAWS)]


def policies() -> list[ThresholdPolicy]:
    return [
        UniversalThreshold(statistic="mean", name="universal_max"),
        UniversalThreshold(statistic="mean", name="universal_max10", factor=1.1),
        UniversalThreshold(statistic="third_quartile", name=POLICY),
    ]


def report_run(
    folder: Path,
    label: str = "ezvsl",
    *,
    using: Sequence[ThresholdPolicy] | None = None,
    **made: Any,
) -> ReportRun:
    """A run of random maps, scored."""
    write_made(folder, negatives=made.pop("negatives", NEGATIVES), **made)
    chosen = policies() if using is None else using
    fitted = fit_policies(chosen, folder)
    score_records(folder, fitted, METRICS, output=folder / SCORES_FILE)
    summary = summarize(
        folder, folder / SCORES_FILE, METRICS, output=folder / SUMMARY_FILE, resamples=20
    )
    facts = read_provenance(folder / RECORDS_FILE)
    return ReportRun(folder, label, facts["model"], "made", "corrected", facts, summary)


def group_of(*runs: ReportRun) -> Group:
    return Group("made", "corrected", "m" * 64, "made_corrected", runs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    """All negatives, several draws, object maps, and a NaN in a map of a noise draw."""
    folder = tmp_path_factory.mktemp("made") / "whole"
    return report_run(folder, objects=True, holes=[("noise", 1, 2)])


@pytest.fixture(scope="module")
def figures(whole: ReportRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    found = draw_figures(group_of(whole), tmp_path_factory.mktemp("figures"))
    return {figure.name: figure for figure in found}


def frame(run: ReportRun) -> pd.DataFrame:
    return pd.read_parquet(run.folder / SCORES_FILE)


def texts_of(svg: Path) -> str:
    return " ".join(ElementTree.parse(svg).getroot().itertext())


class TestData:
    @pytest.mark.parametrize("variant", ["av", "ogl"])
    @pytest.mark.parametrize("negative", ["silence", "noise", "offscreen", "all"])
    def test_the_area_below_the_roc_is_the_summary_s_auroc(
        self, whole: ReportRun, variant: str, negative: str
    ) -> None:
        maxima = read_scores(whole, POLICY).maxima
        names = ["silence", "noise", "offscreen"] if negative == "all" else [negative]
        roc = separation_roc(maxima[variant, "positive"], [maxima[variant, n] for n in names])
        number = whole.number("auroc", negative, "none", variant)
        assert roc is not None
        assert number is not None
        assert roc.area == pytest.approx(float(number["value"]), abs=1e-12)

    def test_the_roc_is_scikit_learn_s(self) -> None:
        generator = np.random.default_rng(0)
        # many ties
        positive, negative = (generator.integers(0, 9, size=n).astype(float) for n in (40, 90))
        roc = separation_roc(rows(positive), [rows(negative)])
        assert roc is not None
        truth, score = np.repeat([1, 0], [40, 90]), np.concatenate([positive, negative])
        false, true, _ = roc_curve(truth, score, drop_intermediate=False)
        np.testing.assert_allclose(roc.false_positive, false)
        np.testing.assert_allclose(roc.true_positive, true)
        assert roc.area == pytest.approx(roc_auc_score(truth, score))

    def test_a_thin_curve_keeps_its_ends_and_its_shape(self) -> None:
        steps = np.linspace(0, 1, 5001)
        thin = Roc(steps, np.sqrt(steps)).thinned(400)
        assert len(thin.false_positive) <= 402
        assert (thin.false_positive[0], thin.true_positive[-1]) == (0, 1)
        assert thin.area == pytest.approx(2 / 3, abs=1e-3)

    def test_one_side_without_values_has_no_roc(self) -> None:
        nothing = rows(np.array([np.nan]))
        assert separation_roc(nothing, [rows(np.ones(2))]) is None
        assert separation_roc(rows(np.ones(2)), [nothing]) is None

    @pytest.mark.parametrize("variant", ["av", "ogl"])
    def test_areas_below_the_shares_are_the_summary_s(self, whole: ReportRun, variant: str) -> None:
        known = read_scores(whole, POLICY)
        found = {("auc", "positive"): success_shares(known.ciou[variant, "positive"])}
        for name in ("silence", "noise", "offscreen"):
            found["auc_n", name] = rejection_shares(known.pia[variant, name])
        for (metric, condition), shares in found.items():
            number = whole.number(metric, condition, POLICY, variant)
            assert number is not None
            area = np.trapezoid(shares, dx=0.05)
            assert area == pytest.approx(float(number["value"]), abs=1e-12), metric

    def test_shares_by_counting(self, whole: ReportRun) -> None:
        scores = frame(whole)
        chosen = (scores["threshold_policy"] == POLICY) & (scores["map_variant"] == "av")
        offscreen = scores[chosen & (scores["audio_condition"] == "offscreen")]
        shares = rejection_shares(read_scores(whole, POLICY).pia["av", "offscreen"])
        for point in (0, 3, 20):
            expected = (offscreen["pia"] <= 0.05 * point).mean()
            assert shares[point] == pytest.approx(expected)


class TestThin:
    def test_keeps_pictures_whole_and_first_draws(self, whole: ReportRun, tmp_path: Path) -> None:
        kept = thin_records(whole.folder, tmp_path, samples=2)
        part = pd.read_parquet(tmp_path / RECORDS_FILE)
        assert part["sample_id"].nunique() == kept
        assert set(part["draw"]) == {0}
        assert part.groupby("sample_id")["audio_condition"].nunique().eq(4).all()
        every = pd.read_parquet(whole.folder / RECORDS_FILE)
        together = every[every["image_group"].isin(part["image_group"])]
        assert set(together["sample_id"]) == set(part["sample_id"])

    def test_all_of_a_small_run(self, whole: ReportRun, tmp_path: Path) -> None:
        assert thin_records(whole.folder, tmp_path, samples=99) == len(OBJECTS)
        expected = threshold_curves(whole.folder, "av", points=9, resamples=5, draws=1)
        found = threshold_curves(tmp_path, "av", points=9, resamples=5)
        np.testing.assert_allclose(found.ciou, expected.ciou)

    def test_records_of_a_sample(self, whole: ReportRun) -> None:
        columns = ["audio_condition", "similarity_max"]
        found = records_of(whole.folder, ["s2", "s0"], columns)
        every = pd.read_parquet(whole.folder / RECORDS_FILE)
        for name, part in found.items():
            expected = every[(every["sample_id"] == name) & (every["draw"] == 0)][columns]
            pd.testing.assert_frame_equal(
                part.to_pandas(), expected.reset_index(drop=True), check_dtype=False
            )

    def test_an_unknown_sample_is_refused(self, whole: ReportRun) -> None:
        with pytest.raises(RecordsError, match="no sample nobody"):
            records_of(whole.folder, ["nobody"], ["draw"])


class TestDrawn:
    def test_thresholds_stand_where_the_summary_has_them(self, whole: ReportRun) -> None:
        names = ("universal_max", "universal_max10", POLICY)
        lines = {name: float(whole.threshold(name) or 0) for name in names}
        with house_style():
            (axes,) = draw_maxima([whole], [read_scores(whole, POLICY)], "av", [lines]).axes
        vertical = {
            float(line.get_xdata()[0])
            for line in axes.lines
            if list(line.get_ydata()) == [0, 1] and len(set(line.get_xdata())) == 1
        }
        assert vertical == set(lines.values())
        assert {text.get_text() for text in axes.texts} == {"max", "max10", "q3"}
        low, high = axes.get_xlim()
        assert all(low < value < high for value in vertical)

    def test_boxes_are_quartiles_of_all_draws(self, whole: ReportRun) -> None:
        known = read_scores(whole, POLICY)
        with house_style():
            (axes,) = draw_maxima([whole], [known], "av", [{}]).axes
        scores = frame(whole)
        chosen = (scores["threshold_policy"] == "none") & (scores["map_variant"] == "av")
        bars = [patch for patch in axes.patches if hasattr(patch, "get_width")]
        assert len(bars) == 4
        for bar, condition in zip(bars, whole.conditions, strict=True):
            maxima = scores[chosen & (scores["audio_condition"] == condition)]["map_maximum"]
            assert bar.get_x() == pytest.approx(maxima.quantile(0.25))
            assert bar.get_x() + bar.get_width() == pytest.approx(maxima.quantile(0.75))

    def test_rows_stand_beside_their_names_in_every_panel(
        self, whole: ReportRun, tmp_path: Path
    ) -> None:
        """Names stand left of the first panel alone, also where runs have other negatives."""
        fewer = report_run(tmp_path / "run", "fewer", negatives=[Offscreen(draws=1)])
        runs = [fewer, whole]
        scores = [read_scores(run, POLICY) for run in runs]
        with house_style():
            panels = draw_maxima(runs, scores, "av", [{}, {}]).axes
        names = [label.get_text() for label in panels[0].get_yticklabels()]
        assert set(names) == set(whole.conditions)
        assert not panels[1].get_yticklabels()
        assert panels[0].get_ylim() == panels[1].get_ylim()
        # quartiles of the other run's noise lie in the row that is named so
        bars = [patch for patch in panels[1].patches if hasattr(patch, "get_width")]
        first = np.nanquantile(scores[1].maxima["av", "noise"].value, 0.25)
        (noise,) = (bar for bar in bars if bar.get_x() == pytest.approx(first))
        assert round(noise.get_y()) == names.index("noise")
        (_, bar) = (patch for patch in panels[0].patches if hasattr(patch, "get_width"))
        assert round(bar.get_y()) == names.index("offscreen")

    def test_the_f_loc_curve_band_and_marks(self, whole: ReportRun) -> None:
        curve = threshold_curve(whole)["av"]
        assert curve.whole
        with house_style():
            (axes,) = draw_f_loc([whole], [curve], "av", POLICY).axes
        line = axes.lines[0]
        np.testing.assert_allclose(line.get_ydata(), 100 * curve.curves.f_loc)
        np.testing.assert_allclose(line.get_xdata(), curve.curves.thresholds)
        best = next(each for each in axes.lines if each.get_marker() == "v")
        assert best.get_ydata()[0] == pytest.approx(100 * np.nanmax(curve.curves.f_loc))
        circle = next(
            each for each in axes.lines if each.get_marker() == "o" and len(each.get_xdata())
        )
        number = whole.number("f_loc", "all", POLICY)
        assert number is not None
        assert circle.get_xdata()[0] == pytest.approx(whole.threshold(POLICY))
        assert circle.get_ydata()[0] == pytest.approx(100 * number["value"])

    def test_legends_hold_the_summary_s_numbers(self, whole: ReportRun) -> None:
        known = read_scores(whole, POLICY)
        with house_style():
            (roc,) = draw_roc([whole], [known], "av").axes
            (shares,) = draw_shares([whole], [known], "av", POLICY).axes
        expected = {
            roc: [("auroc", n, "none") for n in ("silence", "noise", "offscreen", "all")],
            shares: [
                ("auc", "positive", POLICY),
                *(("auc_n", n, POLICY) for n in ("silence", "noise", "offscreen")),
            ],
        }
        for axes, numbers in expected.items():
            texts = [text.get_text() for text in axes.get_legend().get_texts()]
            for text, (metric, condition, policy) in zip(texts, numbers, strict=True):
                number = whole.number(metric, condition, policy)
                assert number is not None
                assert text == f"{condition} {100 * number['value']:.1f}"

    def test_lines_differ_in_more_than_colour(self, whole: ReportRun) -> None:
        with house_style():
            (axes,) = draw_roc([whole], [read_scores(whole, POLICY)], "av").axes
        handles = axes.get_legend().get_lines()
        styles = {str(handle._unscaled_dash_pattern) for handle in handles}
        assert len(styles) == len(handles) == 4

    def test_conditions_of_ones_own_differ_in_more_than_colour(self) -> None:
        names = [
            "positive",
            "silence",
            "noise",
            "offscreen",
            "mixed",
            "swapped",
            "reversed",
            "gain",
            "mine",
            "other",
        ]
        looks = [look_of(name, names) for name in names]
        for part in ("colour", "dashes"):
            assert len({str(getattr(look, part)) for look in looks}) == len(names)
        assert len({look.hatch for look in looks}) == len(names)

    def test_a_density_is_that_of_scipy(self) -> None:
        from scipy.stats import gaussian_kde

        values = np.random.default_rng(0).normal(size=4000)
        outline = density(values)
        assert outline is not None
        at, height = outline
        reference = gaussian_kde(values, bw_method="silverman")(at)
        middle = np.abs(at) < 2
        assert np.abs(height - reference / reference.max())[middle].max() < 0.08
        assert density(np.full(5, 0.3)) is None

    @pytest.mark.parametrize("places", [[0.0, 0.0, 0.0], [0.9, 0.95, 1.0], [0.1, 0.5, 0.52]])
    def test_labels_stand_apart_in_order(self, places: list[float]) -> None:
        found = spread(places, gap=0.2)
        assert (np.diff(found) >= 0.2 - 1e-9).all()
        assert min(found) >= 0
        assert max(found) <= 1 + 1e-9


class TestGrid:
    def columns(self, run: ReportRun, threshold: float | None = 0.1) -> list[GridColumn]:
        scene = read_scenes(run.folder, ["s0"], variants=["av", "ogl"])[0]
        return [GridColumn(run.label, scene, threshold)]

    def test_maps_are_the_run_s(self, tmp_path: Path) -> None:
        made = write_made(tmp_path / "run", negatives=NEGATIVES)
        scene = read_scenes(made.folder, ["s1"])[0]
        assert scene.conditions == ("positive", "silence", "noise", "offscreen")
        for place, name in enumerate(scene.conditions):
            native = made.native[name][1, 0]
            expected = upsampled(native[None])[0]
            np.testing.assert_allclose(scene.maps["av"][place], expected, atol=1e-6)
            assert scene.extremes["av"][place].tolist() == pytest.approx(
                [native.min(), native.max()]
            )

    def test_nothing_is_drawn_at_or_below_the_threshold(self) -> None:
        maps = torch.linspace(-1, 1, 224 * 224).view(1, 224, 224)
        image = torch.rand(224, 224, 3, generator=torch.Generator().manual_seed(0))
        threshold = float(maps[0, 100, 100])
        drawn = cut(image, maps, 0, threshold)
        same = (drawn == image.numpy()).all(axis=2)
        np.testing.assert_array_equal(same, (maps[0] <= threshold).numpy())

    def test_old_stretches_each_map(self, whole: ReportRun) -> None:
        """The old rendering of a map and of the same map on a small scale are equal."""
        (column,) = self.columns(whole)
        scaled = {"av": column.scene.maps["av"] / 64 + 0.25}
        low = replace(column, scene=replace(column.scene, maps=scaled))
        drawn = []
        for each in (column, low):
            with house_style():
                canvas = draw_grid([each], None, variant="av", rendering="old")
            drawn.append(np.stack([np.asarray(i.get_array()) for i in canvas.axes[0].images]))
        assert np.abs(drawn[0].astype(int) - drawn[1]).max() <= 4

    def test_least_and_largest_values_are_printed(self, whole: ReportRun) -> None:
        with house_style():
            canvas = draw_grid(self.columns(whole), None, variant="av", rendering="new")
        texts = [text.get_text() for text in canvas.axes[0].texts]
        (column,) = self.columns(whole)
        for least, largest in column.scene.extremes["av"].tolist():
            assert f"{least:.2f} to {largest:.2f}".replace("-", "\N{MINUS SIGN}") in texts
        assert len(canvas.axes[0].images) == 4

    def test_more_than_eight_runs_take_a_second_block(self, whole: ReportRun) -> None:
        (column,) = self.columns(whole)
        sizes = []
        for count in (8, 9):
            with house_style():
                canvas = draw_grid([column] * count, None, variant="av", rendering="old")
            sizes.append(canvas.get_size_inches())
            assert len(canvas.axes[0].images) == 4 * count
        assert sizes[0][0] == pytest.approx(sizes[1][0])
        assert sizes[1][1] == pytest.approx(2 * sizes[0][1], abs=0.1)

    def test_the_image_is_drawn_where_it_is_at_hand(self, tmp_path: Path) -> None:
        path = tmp_path / "picture.jpg"
        write_picture(path, (20, 30, 150, 160), seed=0)
        samples = [
            replace(make_sample(f"s{n}", group, *objects), image_path=path)
            for n, (group, objects) in enumerate(zip(GROUPS, OBJECTS, strict=True))
        ]
        run = report_run(tmp_path / "run", samples=samples)
        found = draw_figures(group_of(run), tmp_path / "out", samples=["s1"])
        grids = [figure for figure in found if "grid" in figure.name]
        assert [figure.name[-3:] for figure in grids] == ["old", "new"]
        for figure in grids:
            assert "not at hand" not in figure.caption
            assert "Sample s1" in figure.caption
            assert "data:image/jpeg" in figure.svg.read_text()
            assert "data:image/png" not in figure.svg.read_text()


class TestFiles:
    def test_every_figure_is_there_for_both_variants(self, figures: dict[str, Figure]) -> None:
        kinds = ["maxima", "f_loc", "success_pia", "roc"]
        kinds += [f"grid_{n}_{how}" for n in (1, 2, 3) for how in ("old", "new")]
        expected = {f"made_corrected_{k}{v}" for k in kinds for v in ("", "_ogl")}
        assert set(figures) == expected
        for figure in figures.values():
            assert figure.svg.name == f"{figure.name}.svg"
            with Image.open(figure.png) as image:
                assert image.width <= 7.0 * 200 + 1
                assert round(image.info["dpi"][0]) == 200

    def test_text_is_text_in_the_svg(self, figures: dict[str, Figure]) -> None:
        assert "universal_q3" in texts_of(figures["made_corrected_f_loc"].svg)
        assert "AUROC" in texts_of(figures["made_corrected_roc"].svg)
        maxima = texts_of(figures["made_corrected_maxima"].svg)
        for word in ("positive", "silence", "noise", "offscreen", "q3", "max10"):
            assert word in maxima

    def test_the_same_data_give_the_same_files(
        self, whole: ReportRun, figures: dict[str, Figure], tmp_path: Path
    ) -> None:
        for figure in draw_figures(group_of(whole), tmp_path):
            first = figures[figure.name]
            assert figure.svg.read_bytes() == first.svg.read_bytes()
            assert figure.png.read_bytes() == first.png.read_bytes()
            assert figure.caption == first.caption
        assert not list(tmp_path.glob("*.partial"))

    def test_svgs_have_no_date_and_no_network(self, figures: dict[str, Figure]) -> None:
        for figure in figures.values():
            text = figure.svg.read_text()
            assert "<dc:date>" not in text
            assert not re.findall(r'(?:href|src)="(?!#|data:)[^"]*"', text)

    def test_captions_say_what_a_figure_rests_on(self, figures: dict[str, Figure]) -> None:
        for figure in figures.values():
            for fact in ("protocol corrected", "N = 4 samples", "coverage 100 %", "seed 5"):
                assert fact in figure.caption
            assert f"silence x 1, noise x {DRAWS}, offscreen x {DRAWS}" in figure.caption
            assert figure.alt
        for name in ("maxima", "f_loc", "success_pia", "grid_1_new"):
            caption = figures[f"made_corrected_{name}"].caption
            assert f"{POLICY} " in caption
            assert "fit on made (silence+noise+offscreen)" in caption


class TestGaps:
    def drawn(self, *runs: ReportRun, output: Path, **options: Any) -> dict[str, str]:
        found = draw_figures(group_of(*runs), output, **{"samples": ["s0"], **options})
        return {f.name.removeprefix("made_corrected_"): f.caption for f in found}

    def test_a_run_without_negatives(self, whole: ReportRun, tmp_path: Path) -> None:
        alone = report_run(tmp_path / "run", "alone", negatives=[], using=[FixedThreshold()])
        captions = self.drawn(whole, alone, output=tmp_path / "out")
        assert "alone: no negatives, so no F_LOC" in captions["f_loc"]
        assert "alone: no negatives" in captions["roc"]
        assert f"alone: no threshold {POLICY}" in captions["grid_1_new"]
        assert f"no threshold universal_max, universal_max10, {POLICY}" in captions["maxima"]

    def test_a_policy_that_is_missing(self, tmp_path: Path) -> None:
        run = report_run(tmp_path / "run", using=policies()[:1])
        captions = self.drawn(run, output=tmp_path / "out")
        assert f"no auc of positive under {POLICY}" in captions["success_pia"]
        assert f"no f_loc of all under {POLICY}" in captions["f_loc"]
        assert f"no threshold universal_max10, {POLICY}" in captions["maxima"]

    def test_maps_that_hold_nan(self, whole: ReportRun, tmp_path: Path) -> None:
        captions = self.drawn(whole, output=tmp_path / "out", samples=["s1"])
        assert "1 maps hold NaN and are left out" in captions["maxima"]

    def test_a_sample_whose_map_holds_nan(self, tmp_path: Path) -> None:
        run = report_run(tmp_path / "run", holes=[("positive", 1, 0)])
        captions = self.drawn(run, output=tmp_path / "out", samples=["s1"])
        assert "a map holds NaN" in captions["grid_1_old"]

    def test_only_nan(self, tmp_path: Path) -> None:
        sizes = [("positive", 1), ("silence", 1), ("noise", DRAWS), ("offscreen", DRAWS)]
        holes = [(c, s, d) for c, draws in sizes for s in range(4) for d in range(draws)]
        run = report_run(tmp_path / "run", holes=holes, using=[])
        captions = self.drawn(run, output=tmp_path / "out")
        assert "every map holds NaN" in captions["f_loc"]

    @pytest.mark.parametrize("value", [0.0, 0.5, -1.0])
    def test_constant_maps(self, tmp_path: Path, value: float) -> None:
        run = report_run(tmp_path / "run", maps=np.full((7, 7), value))
        captions = self.drawn(run, output=tmp_path / "out")
        assert "F_LOC is 0, or undefined, at every threshold" in captions["f_loc"]

    def test_one_sample(self, tmp_path: Path) -> None:
        sample = make_sample("s0", "one", *OBJECTS[0])
        negatives = [Silence(), Noise(draws=1)]
        run = report_run(tmp_path / "run", samples=[sample], negatives=negatives)
        captions = self.drawn(run, output=tmp_path / "out")
        assert "one image alone has no interval" in captions["f_loc"]
        assert "F_LOC over silence+noise alone" in captions["f_loc"]

    def test_scores_that_are_gone(self, tmp_path: Path) -> None:
        run = report_run(tmp_path / "run")
        (run.folder / SCORES_FILE).unlink()
        captions = self.drawn(run, output=tmp_path / "out")
        for name in ("maxima", "success_pia", "roc"):
            assert f"ezvsl: no {SCORES_FILE}" in captions[name]

    def test_an_image_that_is_gone_is_said(self, figures: dict[str, Figure]) -> None:
        assert "drawn on grey" in figures["made_corrected_grid_1_old"].caption

    def test_a_part_of_a_large_run_is_said(self, whole: ReportRun, tmp_path: Path) -> None:
        options = {"curve_records": 10, "curve_samples": 2}
        captions = self.drawn(whole, output=tmp_path, **options)
        assert re.search(r"ezvsl: \d of 4 samples, evenly spread", captions["f_loc"])


def rows(values: np.ndarray) -> Rows:
    return Rows(values, np.zeros(len(values), np.int64))
