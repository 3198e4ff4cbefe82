"""The report's figures: SVG and PNG of each, with a caption that says what they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas

from vssl.images import ImageFileError
from vssl.records.files import SCORES_FILE
from vssl.records.localization import AUDIO_VISUAL, OBJECT_GUIDED
from vssl.records.numbers import ALL_NEGATIVES
from vssl.records.rows import samples_by_size
from vssl.records.schema import NO_POLICY
from vssl.reporting.report.collection import Group, ReportRun
from vssl.reporting.report.figures_curves import best_place, draw_f_loc, draw_roc, draw_shares
from vssl.reporting.report.figures_data import (
    CURVE_RECORDS,
    CURVE_RESAMPLES,
    CURVE_SAMPLES,
    CurveOfRun,
    RunScores,
    negative_groups,
    read_scores,
    threshold_curve,
)
from vssl.reporting.report.figures_facts import (
    Gaps,
    facts,
    paragraph,
    thresholds_of,
    variant_words,
)
from vssl.reporting.report.figures_grid import RENDERINGS, GridColumn, Rendering, draw_grid
from vssl.reporting.report.figures_maxima import draw_maxima
from vssl.reporting.report.figures_style import (
    house_style,
    universal_policies,
    write,
)
from vssl.reporting.scenes import Scene, evaluation_image, read_scenes
from vssl.reporting.tables import MISSING, percent
from vssl.types import POSITIVE

GRID_SHARES = (0.1, 0.5, 0.9)
"""Samples of the qualitative grid, as shares of all in ascending size of the ground truth."""


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    Attributes:
        name: of its files, unique in the report.
        title: what it shows.
        caption: how to read it and what it rests on.
        svg: vector file.
        png: the same at 200 dots per inch.
        alt: what is to be seen, for those who do not see it.
    """

    name: str
    title: str
    caption: str
    svg: Path
    png: Path
    alt: str = ""


def draw_figures(
    group: Group,
    output: Path,
    *,
    policy: str = "universal_q3",
    samples: Sequence[str] = (),
    curve_records: int = CURVE_RECORDS,
    curve_samples: int = CURVE_SAMPLES,
) -> list[Figure]:
    """Draw a group's figures, those of object-guided maps apart.

    What a run does not have is said in its panel and in the caption.

    Args:
        group: runs on one test set.
        output: folder for the files `<group>_<figure>.svg` and `.png`.
        policy: threshold policy of the curves and of the new rendering.
        samples: ids of the qualitative grid's samples; none takes three by the object's size.
        curve_records: a run with more records has its threshold curves drawn from a part of it,
            which the caption says.
        curve_samples: about how many samples that part has.

    Raises:
        RecordsError: when records cannot be read, or lack a sample that was asked for.
    """
    variants = [
        variant
        for variant in (AUDIO_VISUAL, OBJECT_GUIDED)
        if any(variant in run.variants for run in group.runs)
    ]
    figures: list[Figure] = []
    with house_style():
        scores = {run.label: read_scores(run, policy) for run in group.runs}
        curves: dict[str, dict[str, CurveOfRun | str]] = {
            run.label: _curves(run, scores[run.label], curve_records, curve_samples)
            for run in group.runs
        }
        grids = list(_grids(group, variants, samples))
        for variant in variants:
            part = _Part(group, output, policy, variant, scores)
            figures += [
                part.maxima(),
                part.f_loc(curves),
                part.shares(),
                part.roc(),
            ]
            figures += part.grids(grids)
    return figures


def _curves(
    run: ReportRun, scores: RunScores, records: int, samples: int
) -> dict[str, CurveOfRun | str]:
    """Threshold curves by map variant; where there is none, why."""
    if not run.negatives:
        return dict.fromkeys(run.variants, "no negatives, so no F_LOC")
    if scores.maxima and not any(len(rows.defined) for rows in scores.maxima.values()):
        return dict.fromkeys(run.variants, "every map holds NaN")
    return dict(threshold_curve(run, records=records, part=samples))


@dataclass(frozen=True)
class _Sample:
    """A sample of the qualitative grid.

    Attributes:
        image: None where it is not at hand.
        missing: why, in words.
        scenes: the sample in each run, by label.
    """

    image: torch.Tensor | None
    missing: str
    scenes: Mapping[str, Scene]


def _grids(group: Group, variants: Sequence[str], samples: Sequence[str]) -> Iterator[_Sample]:
    chosen = list(samples) or samples_by_size(group.runs[0].folder, GRID_SHARES)
    by_run = {run.label: read_scenes(run.folder, chosen, variants=variants) for run in group.runs}
    for place in range(len(chosen)):
        scenes = {label: each[place] for label, each in by_run.items()}
        image, missing = None, ""
        for path in dict.fromkeys(scene.image_path for scene in scenes.values()):
            try:
                image = evaluation_image(path)
                break
            except ImageFileError as error:
                missing = missing or str(error)
        yield _Sample(image, "" if image is not None else missing, scenes)


@dataclass(frozen=True)
class _Part:
    """The figures of one map variant."""

    group: Group
    output: Path
    policy: str
    variant: str
    scores: Mapping[str, RunScores]

    @property
    def runs(self) -> list[ReportRun]:
        return [run for run in self.group.runs if self.variant in run.variants]

    @property
    def own_scores(self) -> list[RunScores]:
        return [self.scores[run.label] for run in self.runs]

    def maxima(self) -> Figure:
        policies = [*universal_policies()]
        policies += [self.policy] if self.policy not in policies else []
        lines = [
            {p: value for p in policies if (value := run.threshold(p, self.variant)) is not None}
            for run in self.runs
        ]
        canvas = draw_maxima(self.runs, self.own_scores, self.variant, lines).canvas
        guided = self.variant == OBJECT_GUIDED
        gaps = Gaps()
        self._without_scores(gaps)
        for run, known in zip(self.runs, lines, strict=True):
            absent = [p for p in policies if p not in known]
            if absent:
                gaps.add(run.label, f"no threshold {', '.join(absent)}")
        self._undefined(gaps)
        caption = paragraph(
            "Largest value of each map, by audio condition, all images and draws; every panel has"
            " the range of its own model. Areas: density (highest point at one height); box:"
            " quartiles and median; line: 5 to 95 %; diamond: all the same. Vertical lines:"
            " universal thresholds.",
            "Maxima are of upsampled object-guided maps." if guided else
            "Maxima are of native similarity maps.",
            facts(self.group, self.runs),
            thresholds_of(self.runs, policies, self.variant),
            gaps.text,
        )  # fmt: skip
        alt = f"Distributions of map maxima: {self._medians()}."
        return self._written(canvas, "maxima", "Similarity maxima by audio condition", caption, alt)

    def f_loc(self, curves: Mapping[str, Mapping[str, CurveOfRun | str]]) -> Figure:
        own = [curves[run.label][self.variant] for run in self.runs]
        canvas = draw_f_loc(self.runs, own, self.variant, self.policy).canvas
        gaps = Gaps()
        best, parts = [], []
        for run, found in zip(self.runs, own, strict=True):
            if isinstance(found, str):
                gaps.add(run.label, found)
                continue
            self._missing_number(run, "f_loc", found.curves.condition, gaps)
            place = best_place(found)
            if place is None:
                gaps.add(run.label, "F_LOC is 0, or undefined, at every threshold")
            else:
                value = 100 * found.curves.f_loc[place]
                at = found.curves.thresholds[place]
                best.append(f"{run.label} {value:.1f} at {at:.4g}")
            if not found.whole:
                parts.append((run.label, found.samples))
            if found.curves.condition != ALL_NEGATIVES:
                gaps.add(run.label, f"F_LOC over {found.curves.condition} alone")
            if np.isnan(found.curves.f_loc_resampled).all():
                gaps.add(run.label, "one image alone has no interval")
        self._undefined(gaps)
        caption = paragraph(
            "F_LOC, the harmonic mean of cIoU and 1 - pIA, if one threshold is used for all maps"
            f" (line; band: 95 % bootstrap over images, {CURVE_RESAMPLES} resamples). Vertical"
            f" line: {self.policy}, circle: its F_LOC and interval as in the summary. Triangle: the"
            " best threshold, which no user could choose.",
            _whole(parts, self.runs),
            f"Best: {'; '.join(best)}." if best else "",
            facts(self.group, self.runs),
            thresholds_of(self.runs, [self.policy], self.variant),
            gaps.text,
        )
        alt = f"F_LOC over the threshold, one panel per run. Best: {'; '.join(best) or 'none'}."
        return self._written(canvas, "f_loc", "F_LOC over the threshold", caption, alt)

    def shares(self) -> Figure:
        canvas = draw_shares(self.runs, self.own_scores, self.variant, self.policy).canvas
        gaps = Gaps()
        self._without_scores(gaps)
        numbers = []
        for run in self.runs:
            self._missing_number(run, "auc", POSITIVE, gaps)
            numbers.append(f"{run.label} {self._number(run, 'auc', POSITIVE)}")
            for name in run.altered:
                self._missing_number(run, "auc", name, gaps)
            for name in run.negatives:
                self._missing_number(run, "auc_n", name, gaps)
            if not run.negatives:
                gaps.add(run.label, "no negatives")
        self._undefined(gaps)
        caption = paragraph(
            f"{self._own_sounds()}: share of samples with cIoU >= x, the curve behind AUC."
            " Negatives: share with pIA <= x, mean over draws, the curve behind AUC_N. Both at 21"
            " points; the areas in the legends are the summary's, in percent. All images and"
            f" draws.{self._without_curve()}",
            facts(self.group, self.runs),
            thresholds_of(self.runs, [self.policy], self.variant),
            gaps.text,
        )
        alt = f"Success and pIA curves, one panel per run. AUC in percent: {'; '.join(numbers)}."
        title = f"Success and marked area at {self.policy}"
        return self._written(canvas, "success_pia", title, caption, alt)

    def roc(self) -> Figure:
        canvas = draw_roc(self.runs, self.own_scores, self.variant).canvas
        gaps = Gaps()
        self._without_scores(gaps)
        numbers = []
        for run in self.runs:
            if not run.negatives:
                gaps.add(run.label, "no negatives")
            for name in run.negatives:
                self._missing_number(run, "auroc", name, gaps, policy=NO_POLICY)
            together = ALL_NEGATIVES in negative_groups(run.negatives)
            for name in (ALL_NEGATIVES,) if together else run.negatives:
                number = self._number(run, "auroc", name, policy=NO_POLICY)
                numbers.append(f"{run.label} {name} {number}")
        self._undefined(gaps)
        caption = paragraph(
            "Do map maxima tell positives from negatives? Share of positives above a threshold over"
            " the share of negatives above it; no threshold policy is involved. A deaf model lies"
            " on the diagonal. The areas in the legends are the summary's, in percent; all images"
            " and draws.",
            facts(self.group, self.runs),
            gaps.text,
        )
        alt = f"ROC of map maxima, one panel per run. AUROC in percent: {'; '.join(numbers)}."
        title = "Separation of positives from negatives"
        return self._written(canvas, "roc", title, caption, alt)

    def grids(self, samples: Sequence[_Sample]) -> Iterator[Figure]:
        for number, sample in enumerate(samples, start=1):
            columns = [
                GridColumn(
                    run.label,
                    sample.scenes[run.label],
                    run.threshold(self.policy, self.variant),
                )
                for run in self.runs
            ]
            for rendering in RENDERINGS:
                yield self._grid(number, sample, columns, rendering)

    def _grid(
        self, number: int, sample: _Sample, columns: Sequence[GridColumn], rendering: Rendering
    ) -> Figure:
        canvas = draw_grid(columns, sample.image, variant=self.variant, rendering=rendering)
        first = columns[0].scene
        gaps = Gaps()
        for column in columns:
            if column.threshold is None and rendering == "new":
                gaps.add(column.label, f"no threshold {self.policy}")
            if not torch.isfinite(column.scene.maps[self.variant]).all():
                gaps.add(column.label, "a map holds NaN")
        others = [
            column.label
            for column in columns
            if any(first.sources.get(k, v) != v for k, v in column.scene.sources.items())
        ]
        how = {
            "old": "Old rendering: each map scaled by its own minimum and maximum, so that every"
            " map seems to find something.",
            "new": f"New rendering: what is not above {self.policy} is not drawn; colours run from"
            " the threshold to the largest value in the column.",
        }
        caption = paragraph(
            f"Sample {first.sample_id} ({first.category}), first draw of each audio condition;"
            " below each map its minimum and maximum; box: ground truth.",
            how[rendering],
            f"The image is not at hand, maps are drawn on grey ({sample.missing})."
            if sample.missing
            else "",
            f"Rows name the sounds of {columns[0].label}; {', '.join(others)} met others."
            if others
            else "",
            facts(self.group, self.runs),
            thresholds_of(self.runs, [self.policy], self.variant) if rendering == "new" else "",
            gaps.text,
        )
        title = f"Maps of a sample with {first.category}, {rendering} rendering"
        alt = (
            f"Grid of maps over one image: rows {', '.join(first.conditions)}, columns"
            f" {', '.join(c.label for c in columns)}. {self._maxima_of(columns)}"
        )
        name = f"grid_{number}_{rendering}"
        return self._written(canvas, name, title, caption, alt, photographs=True)

    def _maxima_of(self, columns: Sequence[GridColumn]) -> str:
        texts = []
        for column in columns:
            values = column.scene.extremes[self.variant][:, 1].tolist()
            pairs = zip(column.scene.conditions, values, strict=True)
            texts.append(f"{column.label} {', '.join(f'{name} {v:.2f}' for name, v in pairs)}")
        return f"Largest values: {'; '.join(texts)}."

    def _own_sounds(self) -> str:
        """Positives, and the other conditions of some run under which the own object sounds."""
        return ", ".join(["Positives", *dict.fromkeys(c for run in self.runs for c in run.altered)])

    def _without_curve(self) -> str:
        """Conditions of some run under which another object of the picture sounds."""
        others = dict.fromkeys(c for run in self.runs for c in run.others)
        text = f" No curve: {', '.join(others)}, where another object of the picture sounds."
        return text if others else ""

    def _medians(self) -> str:
        texts = []
        for run, known in zip(self.runs, self.own_scores, strict=True):
            medians = [
                f"{name} {np.median(rows.defined):.3g}"
                for name in run.conditions
                if (rows := known.maxima.get((self.variant, name))) is not None
                and len(rows.defined)
            ]
            texts.append(f"{run.label} median {', '.join(medians) or 'undefined'}")
        return "; ".join(texts)

    def _without_scores(self, gaps: Gaps) -> None:
        for run, known in zip(self.runs, self.own_scores, strict=True):
            if not known.maxima:
                gaps.add(run.label, f"no {SCORES_FILE}")

    def _undefined(self, gaps: Gaps) -> None:
        for run, known in zip(self.runs, self.own_scores, strict=True):
            count = sum(
                rows.undefined for (v, _), rows in known.maxima.items() if v == self.variant
            )
            if count:
                gaps.add(run.label, f"{count} maps hold NaN and are left out")

    def _missing_number(
        self,
        run: ReportRun,
        metric: str,
        condition: str,
        gaps: Gaps,
        policy: str | None = None,
    ) -> None:
        policy = policy or self.policy
        number = run.number(metric, condition, policy, self.variant)
        if number is not None:
            return
        of = "" if policy == NO_POLICY else f" under {policy}"
        gaps.add(run.label, f"no {metric} of {condition}{of} in the summary")

    def _number(
        self, run: ReportRun, metric: str, condition: str, policy: str | None = None
    ) -> str:
        number = run.number(metric, condition, policy or self.policy, self.variant)
        return MISSING if number is None else percent(float(number["value"]))

    def _written(
        self,
        canvas: Canvas,
        name: str,
        title: str,
        caption: str,
        alt: str,
        *,
        photographs: bool = False,
    ) -> Figure:
        suffix = "" if self.variant == AUDIO_VISUAL else f"_{self.variant}"
        full = f"{self.group.name}_{name}{suffix}"
        title = f"{title}{variant_words(self.variant)}: {self.group.dataset}"
        paths = write(canvas, self.output, full, title=title, alt=alt, photographs=photographs)
        return Figure(full, title, caption, *paths, alt)


def _whole(parts: Sequence[tuple[str, int]], runs: Sequence[ReportRun]) -> str:
    """On how much of the runs their curves rest."""
    if not parts:
        return "Curves rest on all images and draws."
    by_count: dict[int, list[str]] = {}
    for label, count in parts:
        by_count.setdefault(count, []).append(label)
    total = {run.label: run.provenance["evaluated"] for run in runs}
    texts = [
        f"{', '.join(labels)}: {count} of {total[labels[0]]} samples, evenly spread, first draw of"
        " each negative"
        for count, labels in by_count.items()
    ]
    return f"Curves, bands and triangles rest on a part: {'; '.join(texts)}."
