"""The report's figures: what is drawn against references, gaps, and files that do not change."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure as Canvas
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve

from tests.helpers.drawn import write_picture
from tests.helpers.records import GROUPS, OBJECTS, make_sample, summary_of, upsampled, write_made
from vssl.analysis.threshold_curves import threshold_curves
from vssl.config.report import report_figures
from vssl.core.errors import UsageError
from vssl.core.negatives import NEGATIVE_TYPES
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.pia import ImageArea
from vssl.metrics.separation import AUROC
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.files import RECORDS_FILE, SCORES_FILE, SUMMARY_FILE
from vssl.records.fit import fit_policies
from vssl.records.read import records_of, samples_by_size, thin_records
from vssl.records.score import score_records
from vssl.records.store import RecordsError, read_provenance
from vssl.reporting.collection import Group, ReportRun
from vssl.reporting.figures.curves import f_loc, maxima, roc, success_pia
from vssl.reporting.figures.data import FigureData, mean_shares, parts_of, separation_roc
from vssl.reporting.figures.grid import cut, draw_grid
from vssl.reporting.figures.overview import overview
from vssl.reporting.figures.report import ReportFigure, draw_figures
from vssl.reporting.figures.samples import read_scenes
from vssl.reporting.figures.style import HOUSE_STYLE, Drawing, Figure, look_of, write
from vssl.thresholds.base import FixedThreshold, ThresholdPolicy
from vssl.thresholds.universal import UniversalThreshold

FIGURES = report_figures()
METRICS = [ConsensusIoU(), AUC(), ImageArea(), AUCN(), FLoc(), FAuc(), AUROC()]
POLICY = "universal_q3"
DRAWS = 3
NEGATIVES = [Silence(), Noise(draws=DRAWS), Offscreen(draws=DRAWS)]
NAMES = ("silence", "noise", "offscreen")
POLICIES: list[ThresholdPolicy] = [
    UniversalThreshold(statistic="mean", name="universal_max"),
    UniversalThreshold(statistic="mean", name="universal_max10", factor=1.1),
    UniversalThreshold(statistic="third_quartile", name=POLICY),
]
EVERYWHERE = [("positive", 1), ("silence", 1), ("noise", DRAWS), ("offscreen", DRAWS)]


def report_run(
    folder: Path,
    label: str = "ezvsl",
    *,
    using: Sequence[ThresholdPolicy] = POLICIES,
    **made: Any,
) -> ReportRun:
    """A run of random maps, scored."""
    write_made(folder, negatives=made.pop("negatives", NEGATIVES), **made)
    fitted = fit_policies(using, folder)
    score_records(folder, fitted, METRICS, output=folder / SCORES_FILE)
    summary = summary_of(
        folder, folder / SCORES_FILE, METRICS, output=folder / SUMMARY_FILE, resamples=20
    )
    facts = read_provenance(folder / RECORDS_FILE)
    return ReportRun(folder, label, facts, summary)


def group_of(*runs: ReportRun) -> Group:
    return Group("made", "corrected", "m" * 64, "made_corrected", runs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    """All negatives, several draws, object maps, one image at hand, a NaN in a map of noise."""
    folder = tmp_path_factory.mktemp("made")
    samples = [
        make_sample(f"s{n}", group, *objects)
        for n, (group, objects) in enumerate(zip(GROUPS, OBJECTS, strict=True))
    ]
    write_picture(folder / "picture.jpg", (20, 30, 150, 160), seed=0)
    samples[1] = replace(samples[1], image_path=folder / "picture.jpg")
    return report_run(folder / "whole", samples=samples, objects=True, holes=[("noise", 1, 2)])


@pytest.fixture(scope="module")
def parts(whole: ReportRun) -> dict[str, FigureData]:
    """What the run's figures are drawn from, by map variant."""
    return {part.variant: part for part in parts_of(group_of(whole))}


@pytest.fixture(scope="module")
def figures(whole: ReportRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    folder = tmp_path_factory.mktemp("figures")
    found = draw_figures(group_of(whole), folder, FIGURES, samples=["s1", "s0"])
    return {figure.name: figure for figure in found}


def drawn(part: FigureData, *names: str) -> list[Drawing]:
    """Figures, all if none is named, not yet written."""
    chosen = [figure for figure in FIGURES if not names or figure.name in names]
    with mpl.rc_context(HOUSE_STYLE):
        return [drawing for figure in chosen for drawing in figure.drawings(part)]


def axes_of(draw: Callable[[FigureData], Drawing], part: FigureData) -> list[Any]:
    """The panels of a figure."""
    with mpl.rc_context(HOUSE_STYLE):
        return draw(part).canvas.axes


def by_draw(values: np.ndarray) -> pd.Series:
    return pd.Series(values, index=np.zeros(len(values), int))


def value_of(run: ReportRun, *key: str) -> float:
    """A number of the run's summary."""
    number = run.number(*key)
    assert number is not None
    return float(number["value"])


def bars_of(axes: Any) -> list[Any]:
    return [patch for patch in axes.patches if hasattr(patch, "get_width")]


class TestData:
    @pytest.mark.parametrize("variant", ["av", "ogl"])
    def test_areas_are_the_summary_s(
        self, whole: ReportRun, parts: dict[str, FigureData], variant: str
    ) -> None:
        part = parts[variant]
        areas = {}
        positives = part.rows(whole, "map_maximum", "positive")
        for name, members in {**{n: [n] for n in NAMES}, "all": NAMES}.items():
            negatives = [part.rows(whole, "map_maximum", member) for member in members]
            curve = separation_roc(positives, negatives)
            assert curve is not None
            areas["auroc", name, "none"] = np.trapezoid(curve[1], curve[0])
        for name in NAMES:
            shares = mean_shares(part.rows(whole, "pia", name), np.less_equal)
            areas["auc_n", name, POLICY] = np.trapezoid(shares, dx=0.05)
        shares = mean_shares(part.rows(whole, "ciou", "positive"), np.greater_equal)
        areas["auc", "positive", POLICY] = np.trapezoid(shares, dx=0.05)
        for key, area in areas.items():
            assert area == pytest.approx(value_of(whole, *key, variant), abs=1e-12), key

    def test_the_roc_is_scikit_learn_s(self) -> None:
        generator = np.random.default_rng(0)
        # many ties
        positive, negative = (generator.integers(0, 9, size=n).astype(float) for n in (40, 90))
        curve = separation_roc(by_draw(positive), [by_draw(negative)])
        assert curve is not None
        truth, score = np.repeat([1, 0], [40, 90]), np.concatenate([positive, negative])
        false, true, _ = roc_curve(truth, score, drop_intermediate=False)
        np.testing.assert_allclose(curve, [false, true])
        assert np.trapezoid(curve[1], curve[0]) == pytest.approx(roc_auc_score(truth, score))
        nothing, ones = by_draw(np.array([np.nan])), by_draw(np.ones(2))
        assert separation_roc(nothing, [ones]) is None
        assert separation_roc(ones, [nothing]) is None


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

    def test_the_sample_of_median_size(self, tmp_path: Path) -> None:
        # areas of 181 x 181 pixels and more do not fit in the 16 bits that sides are kept in
        sides = (22, 213, 202, 224, 190, 45)
        boxes = [((0, 0, side, side),) for side in sides]
        samples = [make_sample(f"s{n}", f"s{n}", box) for n, box in enumerate(boxes)]
        made = write_made(tmp_path / "run", samples, maps=np.zeros((7, 7)))
        assert samples_by_size(made.folder, [0, 0.5, 1]) == ["s0", "s2", "s3"]

    def test_records_of_a_sample(self, whole: ReportRun) -> None:
        columns = ["audio_condition", "similarity_max"]
        found = records_of(whole.folder, ["s2", "s0"], columns)
        every = pd.read_parquet(whole.folder / RECORDS_FILE)
        for name, part in found.items():
            expected = every[(every["sample_id"] == name) & (every["draw"] == 0)][columns]
            pd.testing.assert_frame_equal(
                part.to_pandas(), expected.reset_index(drop=True), check_dtype=False
            )
        with pytest.raises(RecordsError, match="no sample nobody"):
            records_of(whole.folder, ["nobody"], ["draw"])


class TestDrawn:
    def test_maxima_have_their_thresholds_and_quartiles(
        self, whole: ReportRun, parts: dict[str, FigureData]
    ) -> None:
        (axes,) = axes_of(maxima, parts["av"])
        vertical = {
            float(line.get_xdata()[0])
            for line in axes.lines
            if list(line.get_ydata()) == [0, 1] and len(set(line.get_xdata())) == 1
        }
        assert vertical == {whole.threshold(policy.name) for policy in POLICIES}
        (legend,) = axes.figure.legends
        assert [text.get_text() for text in legend.get_texts()] == [each.name for each in POLICIES]
        low, high = axes.get_xlim()
        assert all(low < value < high for value in vertical)
        bars = bars_of(axes)
        for bar, condition in zip(bars, whole.conditions, strict=True):
            values = parts["av"].rows(whole, "map_maximum", condition)
            assert bar.get_x() == pytest.approx(values.quantile(0.25))
            assert bar.get_x() + bar.get_width() == pytest.approx(values.quantile(0.75))

    def test_rows_stand_beside_their_names_in_every_panel(
        self, whole: ReportRun, tmp_path: Path
    ) -> None:
        """Names stand left of the first panel alone, also where runs have other negatives."""
        fewer = report_run(tmp_path / "run", "fewer", negatives=[Offscreen(draws=1)])
        part = parts_of(group_of(fewer, whole))[0]
        panels = axes_of(maxima, part)
        names = [label.get_text() for label in panels[0].get_yticklabels()]
        assert set(names) == set(whole.conditions)
        assert not panels[1].get_yticklabels()
        assert panels[0].get_ylim() == panels[1].get_ylim()
        # quartiles of the other run's noise lie in the row that is named so
        first = part.rows(whole, "map_maximum", "noise").quantile(0.25)
        (noise,) = (bar for bar in bars_of(panels[1]) if bar.get_x() == pytest.approx(first))
        assert round(noise.get_y()) == names.index("noise")
        assert round(bars_of(panels[0])[1].get_y()) == names.index("offscreen")

    def test_the_overview_has_each_model_at_its_threshold(
        self, whole: ReportRun, parts: dict[str, FigureData]
    ) -> None:
        """The run has no false alarm rates in its summary; marked areas stand for them."""
        curves = parts["av"].curves["ezvsl"].by_variant["av"]
        _, line = axes_of(overview, parts["av"])[0].lines
        rates = [curves.values["false_alarm_rate", name] for name in NEGATIVE_TYPES]
        np.testing.assert_allclose(line.get_xdata(), 100 * np.mean(rates, axis=0))
        np.testing.assert_allclose(line.get_ydata(), 100 * curves.ciou)
        areas = whole.summary[
            (whole.summary["metric"] == "pia") & whole.summary["condition"].isin(NEGATIVE_TYPES)
        ].assign(metric="false_alarm_rate")
        run = replace(whole, summary=pd.concat([whole.summary, areas], ignore_index=True))
        *_, mark = axes_of(overview, replace(parts["av"], runs=[run]))[0].lines
        shown = [run.number("pia", name, POLICY)["value"] for name in NEGATIVE_TYPES]
        at = [100 * np.mean(shown), 100 * run.number("ciou", "positive", POLICY)["value"]]
        np.testing.assert_allclose(mark.get_xydata()[0], at)

    def test_the_f_loc_curve_band_and_marks(
        self, whole: ReportRun, parts: dict[str, FigureData]
    ) -> None:
        found = parts["av"].curves["ezvsl"]
        curves = found.by_variant["av"]
        assert found.part is None
        (axes,) = axes_of(f_loc, parts["av"])
        np.testing.assert_allclose(axes.lines[0].get_ydata(), 100 * curves.f_loc)
        np.testing.assert_allclose(axes.lines[0].get_xdata(), curves.thresholds)
        marks = {each.get_marker(): each for each in axes.lines if len(each.get_xdata()) == 1}
        assert marks["v"].get_ydata()[0] == pytest.approx(100 * np.nanmax(curves.f_loc))
        assert marks["o"].get_xdata()[0] == pytest.approx(whole.threshold(POLICY))
        assert marks["o"].get_ydata()[0] == pytest.approx(
            100 * value_of(whole, "f_loc", "all", POLICY)
        )

    @pytest.mark.parametrize(
        ("draw", "numbers"),
        [
            (roc, [("auroc", name, "none") for name in (*NAMES, "all")]),
            (
                success_pia,
                [("auc", "positive", POLICY), *(("auc_n", name, POLICY) for name in NAMES)],
            ),
        ],
    )
    def test_legends_hold_the_summary_s_numbers(
        self, whole: ReportRun, parts: dict[str, FigureData], draw: Any, numbers: list[Any]
    ) -> None:
        (axes,) = axes_of(draw, parts["av"])
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
        assert texts == [f"{key[1]} {100 * value_of(whole, *key):.1f}" for key in numbers]
        handles = axes.get_legend().get_lines()  # which differ in more than colour
        assert len({str(handle._unscaled_dash_pattern) for handle in handles}) == 4

    def test_conditions_of_ones_own_differ_in_more_than_colour(self) -> None:
        names = ["positive", *NAMES, "mixed", "swapped", "reversed", "gain", "mine", "other"]
        looks = [look_of(name, names) for name in names]
        for part in ("colour", "dashes", "hatch"):
            assert len({str(getattr(look, part)) for look in looks}) == len(names)


def grid_of(part: FigureData, rendering: str) -> tuple[Canvas, list[np.ndarray]]:
    """The first sample of the part, drawn, and its pictures."""
    with mpl.rc_context(HOUSE_STYLE):
        canvas = draw_grid(part, part.samples[0], rendering)
    return canvas, [np.asarray(each.get_array()) for axes in canvas.axes for each in axes.images]


class TestGrid:
    def test_maps_are_the_run_s(self, tmp_path: Path) -> None:
        made = write_made(tmp_path / "run", negatives=NEGATIVES)
        scene = read_scenes(made.folder, ["s1"])[0]
        assert scene.conditions == ("positive", *NAMES)
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

    def test_old_stretches_each_map(self, parts: dict[str, FigureData]) -> None:
        """The old rendering of a map and of the same map on a small scale are equal."""
        part, sample = parts["av"], parts["av"].samples[0]
        scene = sample.scenes["ezvsl"]
        low = replace(scene, maps={"av": scene.maps["av"] / 64 + 0.25})
        scaled = replace(part, samples=[sample._replace(scenes={"ezvsl": low})])
        drawn = [np.stack(grid_of(each, "old")[1]).astype(int) for each in (part, scaled)]
        assert np.abs(drawn[0] - drawn[1]).max() <= 4

    def test_least_and_largest_values_are_printed(self, parts: dict[str, FigureData]) -> None:
        canvas, images = grid_of(parts["av"], "new")
        texts = [axes.get_xlabel() for axes in canvas.axes]
        for least, largest in parts["av"].samples[0].scenes["ezvsl"].extremes["av"].tolist():
            assert f"{least:.2f} to {largest:.2f}".replace("-", "\N{MINUS SIGN}") in texts
        assert len(images) == 4

    def test_more_than_eight_runs_take_a_second_block(self, parts: dict[str, FigureData]) -> None:
        part, sizes = parts["av"], []
        assert len(part.samples) == 3, "small, medium and large"
        for count in (8, 9):
            canvas, images = grid_of(replace(part, runs=count * [*part.runs]), "old")
            sizes.append(canvas.get_size_inches())
            assert len(images) == 4 * count
        assert sizes[0][0] == pytest.approx(sizes[1][0])
        assert sizes[1][1] == pytest.approx(2 * sizes[0][1], abs=0.1)

    def test_the_image_is_drawn_where_it_is_at_hand(self, figures: dict[str, Figure]) -> None:
        grids = [figure for name, figure in figures.items() if "grid" in name]
        for figure in grids:
            assert ("drawn on grey" in said(figure)) == ("Sample s1 " not in figure.caption)
            assert "data:image/jpeg" in figure.svg.read_text()
            assert "data:image/png" not in figure.svg.read_text()
        assert len({"drawn on grey" in said(figure) for figure in grids}) == 2


class TestFiles:
    def test_every_figure_is_there_for_both_variants(self, figures: dict[str, Figure]) -> None:
        kinds = ["maxima", "f_loc", "success_pia", "roc", "overview"]
        kinds += [f"grid_{n}_{how}" for n in (1, 2) for how in ("old", "new")]
        assert set(figures) == {f"made_corrected_{k}{v}" for k in kinds for v in ("", "_ogl")}
        for figure in figures.values():
            assert figure.svg.name == f"{figure.name}.svg"
            with Image.open(figure.png) as image:
                assert image.width <= 7.0 * 200 + 1
                assert round(image.info["dpi"][0]) == 200

    def test_svgs_have_text_no_date_and_no_network(self, figures: dict[str, Figure]) -> None:
        for figure in figures.values():
            text = figure.svg.read_text()
            assert "<dc:date>" not in text
            assert not re.findall(r'(?:href|src)="(?!#|data:)[^"]*"', text)
        words = ("positive", *NAMES, POLICY, "universal_max10")
        for name, expected in {"f_loc": [POLICY], "roc": ["AUROC"], "maxima": words}.items():
            root = ElementTree.parse(figures[f"made_corrected_{name}"].svg).getroot()
            text = " ".join(root.itertext())
            assert all(word in text for word in expected)

    def test_the_same_data_give_the_same_files(
        self, parts: dict[str, FigureData], figures: dict[str, Figure], tmp_path: Path
    ) -> None:
        (first,) = (s for s in parts["av"].samples if s.scenes["ezvsl"].sample_id == "s1")
        for drawing in drawn(replace(parts["av"], samples=[first])):
            before = figures[f"made_corrected_{drawing.name}"]
            with mpl.rc_context(HOUSE_STYLE):
                figure = write(drawing, tmp_path, name=before.name, title=before.title)
            assert figure.svg.read_bytes() == before.svg.read_bytes()
            assert figure.png.read_bytes() == before.png.read_bytes()
            assert (figure.caption, figure.details) == (before.caption, before.details)
        assert not list(tmp_path.glob("*.partial"))

    def test_captions_say_what_a_figure_rests_on(self, figures: dict[str, Figure]) -> None:
        for figure in figures.values():
            for fact in ("protocol corrected", "N = 4 samples", "coverage 100 %", "seed 5"):
                assert fact in said(figure)
            assert f"silence x 1, noise x {DRAWS}, offscreen x {DRAWS}" in said(figure)
            assert figure.alt
            assert figure.caption.endswith("N = 4 samples (coverage 100 %), seed 5.")
        for name in ("maxima", "f_loc", "success_pia", "grid_1_new"):
            caption = said(figures[f"made_corrected_{name}"])
            assert f"{POLICY} " in caption
            assert "fit on made (silence+noise+offscreen)" in caption

    def test_texts_whose_braces_nothing_fills_are_refused(
        self, parts: dict[str, FigureData]
    ) -> None:
        figure = ReportFigure("mine", lambda data: Canvas(), "at {policy}", "{{}}", "{typo}")
        with pytest.raises(UsageError, match=r"figure mine: alt: nothing fills .*'typo'.* policy"):
            list(figure.drawings(parts["av"]))


def said(figure: Figure | Drawing) -> str:
    """All that is said of a figure."""
    return " ".join([figure.caption, *figure.details])


def captions(*names: str, of: Sequence[ReportRun], sample: str = "s0") -> dict[str, str]:
    """Texts of some of the audio-visual maps' figures, which need not be written for that."""
    part = parts_of(group_of(*of), samples=[sample])[0]
    return {drawing.name: said(drawing) for drawing in drawn(part, *names)}


class TestGaps:
    def test_a_run_without_negatives(self, whole: ReportRun, tmp_path: Path) -> None:
        alone = report_run(tmp_path / "run", "alone", negatives=[], using=[FixedThreshold()])
        texts = captions("f_loc", "roc", "grids", "maxima", of=[whole, alone])
        assert "alone: no negatives, so no F_LOC" in texts["f_loc"]
        assert "alone: no negatives" in texts["roc"]
        assert f"alone: no threshold {POLICY}" in texts["grid_1_new"]
        assert f"no threshold universal_max, universal_max10, {POLICY}" in texts["maxima"]
        assert "1 maps hold NaN and are left out" in texts["maxima"]

    def test_what_a_run_lacks(self, tmp_path: Path) -> None:
        run = report_run(tmp_path / "run", using=POLICIES[:1], holes=[("positive", 1, 0)])
        texts = captions("success_pia", "f_loc", "maxima", "grids", of=[run], sample="s1")
        assert f"no auc of positive under {POLICY}" in texts["success_pia"]
        assert f"no f_loc of all under {POLICY}" in texts["f_loc"]
        assert f"no threshold universal_max10, {POLICY}" in texts["maxima"]
        assert "a map holds NaN" in texts["grid_1_old"]
        (run.folder / SCORES_FILE).unlink()
        texts = captions("maxima", "success_pia", "roc", of=[run])
        assert len(texts) == 3
        assert all(f"ezvsl: no {SCORES_FILE}" in text for text in texts.values())

    def test_only_nan(self, tmp_path: Path) -> None:
        holes = [(c, s, d) for c, draws in EVERYWHERE for s in range(4) for d in range(draws)]
        run = report_run(tmp_path / "run", holes=holes, using=[])
        texts = captions(of=[run])
        assert "every map holds NaN" in texts["f_loc"]

    def test_constant_maps(self, tmp_path: Path) -> None:
        texts = captions(of=[report_run(tmp_path / "run", maps=np.full((7, 7), -1.0))])
        assert "F_LOC is 0, or undefined, at every threshold" in texts["f_loc"]

    def test_one_sample(self, tmp_path: Path) -> None:
        sample = make_sample("s0", "one", *OBJECTS[0])
        negatives = [Silence(), Noise(draws=1)]
        run = report_run(tmp_path / "run", samples=[sample], negatives=negatives)
        texts = captions(of=[run])
        assert "one image alone has no interval" in texts["f_loc"]
        assert "F_LOC over silence+noise alone" in texts["f_loc"]

    def test_a_part_of_a_large_run_is_said(
        self, whole: ReportRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vssl.reporting.figures.data.CURVE_RECORDS", 10)
        monkeypatch.setattr("vssl.reporting.figures.data.CURVE_SAMPLES", 2)
        texts = captions("f_loc", of=[whole])
        assert re.search(r"ezvsl: \d of 4 samples, evenly spread", texts["f_loc"])
