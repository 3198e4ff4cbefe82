"""Map maxima, F_LOC over the threshold, success and pIA curves, separation ROC: a panel per run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.transforms import offset_copy
from scipy.stats import gaussian_kde

from vssl.analysis.threshold_curves import ThresholdCurves
from vssl.core.arrays import Array
from vssl.core.negatives import ALL_NEGATIVES
from vssl.metrics.auc import AUC_GRID
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.pia import ImageArea
from vssl.metrics.set_metric import MAP_MAXIMUM
from vssl.records.bootstrap import interval
from vssl.records.localization import OBJECT_GUIDED
from vssl.records.schema import NO_POLICY
from vssl.reporting.collection import ReportRun
from vssl.reporting.figures.data import (
    CURVE_RESAMPLES,
    FigureData,
    Gaps,
    by_run,
    mean_shares,
    negative_groups,
    separation_roc,
)
from vssl.reporting.figures.style import (
    GREY,
    UNIVERSAL_POLICIES,
    Drawing,
    dashes_of,
    facets,
    legend_below,
    look_of,
    name_axes,
    say_gap,
)
from vssl.types import POSITIVE, SoundingObject, SoundingObjects

_BEST = "#d55e00"
_CURVE = "#0072b2"
_SMALL_FONT = 5.6
_IN_PERCENT: Any = {
    **dict.fromkeys(("xlim", "ylim"), (-2, 102)),
    **dict.fromkeys(("xticks", "yticks"), (0, 50, 100)),
}
_FEW = 4  # entries of a legend whose lines may be long: the paper's conditions
_POINTS, _MOST_VALUES = 160, 20_000  # of a density


def maxima(part: FigureData) -> Drawing:
    """Density, quartiles, and 5 to 95 % of map maxima by audio condition, and the thresholds."""
    policies = [*dict.fromkeys([*UNIVERSAL_POLICIES, part.policy])]
    # every panel has the rows of all runs, since only the left panel names them
    conditions = list(dict.fromkeys(name for run in part.runs for name in run.conditions))
    panels = facets([run.label for run in part.runs], height=0.75 + 0.28 * len(conditions))
    gaps, medians = part.without_scores(), []
    for axes, run in zip(panels, part.runs, strict=True):
        rows = {name: part.rows(run, MAP_MAXIMUM, name).dropna() for name in run.conditions}
        found = {name: values.to_numpy() for name, values in rows.items() if len(values)}
        lines = {p: v for p in policies if (v := run.threshold(p, part.variant)) is not None}
        _draw_maxima(axes, conditions, found, lines)
        absent = [policy for policy in policies if policy not in lines]
        gaps += [(run.label, f"no threshold {', '.join(absent)}")] if absent else []
        texts = [f"{name} {np.median(values):.3g}" for name, values in found.items()]
        medians.append(f"{run.label} median {', '.join(texts) or 'undefined'}")
    name_axes(panels, "similarity maximum", "")
    legend_below(panels)
    kind = "upsampled object-guided" if part.variant == OBJECT_GUIDED else "native similarity"
    return Drawing(
        panels[0].figure,
        words={"medians": "; ".join(medians)},
        notes=[f"Maxima are of {kind} maps."],
        policies=policies,
        gaps=gaps,
    )


def _draw_maxima(
    axes: Any, conditions: Sequence[str], values: Mapping[str, Array], lines: Mapping[str, float]
) -> None:
    axes.set_yticks(range(len(conditions)), conditions)
    axes.set_ylim(len(conditions) - 0.6, -0.75)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if not values:
        axes.set_xticks([])
        say_gap(axes, "no map has a defined maximum")
        return
    span = float(np.ptp(np.concatenate([*values.values(), [*lines.values()]])))
    axes.locator_params(axis="x", nbins=4)
    for place, condition in enumerate(conditions):
        if condition in values:
            _draw_row(axes, place, values[condition], look_of(condition, conditions), span)
    for policy, value in lines.items():
        look = {"color": "black", "linestyle": dashes_of(policy), "label": policy}
        axes.axvline(value, **look, linewidth=0.8, zorder=5)


def _draw_row(axes: Any, place: int, values: Array, look: Any, span: float) -> None:
    five, first, median, third, ninety_five = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    few = values[:: 1 + len(values) // _MOST_VALUES]
    if np.ptp(few) > span / 400:
        at = np.linspace(values.min(), values.max(), _POINTS)
        density = gaussian_kde(few, "silverman")(at)
        height, base = density / density.max(), place - 0.06
        # a tint, not transparent: SVG would draw hatches as transparent as the area
        tint = 0.55 + 0.45 * np.array(to_rgb(look.colour))
        axes.fill(
            [at[0], *at, at[-1]], [base, *(base - 0.6 * height), base], linewidth=0.6,
            hatch=look.hatch, facecolor=tint, edgecolor=look.colour,
        )  # fmt: skip
    else:  # all the same: a density would be a needle
        axes.plot([median], [place - 0.25], marker="D", markersize=3.5, color=look.colour)
    axes.plot([five, ninety_five], [place + 0.1] * 2, color=look.colour, linewidth=0.8)
    axes.barh(
        place + 0.1, max(third - first, span / 400), left=first, height=0.2,
        facecolor="white", edgecolor=look.colour, linewidth=1.0, zorder=3,
    )  # fmt: skip
    axes.plot([median] * 2, [place, place + 0.2], color="black", linewidth=1.2, zorder=4)


def f_loc(part: FigureData) -> Drawing:
    """F_LOC over the threshold with its bootstrap band, the policy's threshold and the best one."""
    panels = facets([run.label for run in part.runs], height=1.45)
    best: list[str] = []
    in_part: list[tuple[str, str]] = []
    gaps: Gaps = []
    for axes, run in zip(panels, part.runs, strict=True):
        found = part.curves[run.label]
        if found.missing:
            gaps.append((run.label, found.missing))
            axes.set_xticks([])
            say_gap(axes, found.missing)
            continue
        curves = found.by_variant[part.variant]
        gaps += part.missing_number(run, "f_loc", curves.condition)
        place = _best_place(curves)
        if place is None:
            gaps.append((run.label, "F_LOC is 0, or undefined, at every threshold"))
        else:
            value, threshold = 100 * curves.f_loc[place], curves.thresholds[place]
            best.append(f"{run.label} {value:.1f} at {threshold:.4g}")
        if curves.condition != ALL_NEGATIVES:
            gaps.append((run.label, f"F_LOC over {curves.condition} alone"))
        if np.isnan(curves.resampled["f_loc"]).all():
            gaps.append((run.label, "one image alone has no interval"))
        if found.part is not None:
            share = f"{found.part} of {run.provenance['evaluated']} samples"
            text = f"{share}, evenly spread, first draw of each negative"
            in_part.append((run.label, text))
        _draw_curve(axes, curves)
        _mark_threshold(axes, run, curves.condition, part)
        axes.locator_params(axis="x", nbins=4)
    name_axes(panels, "threshold", "F_LOC (%)")
    panels[0].set_ylim(bottom=0)
    legend_below(panels)
    seen = "Curves rest on all images and draws."
    if in_part:
        seen = f"Curves, bands and triangles rest on a part: {by_run(in_part)}."
    return Drawing(
        panels[0].figure,
        words={"resamples": str(CURVE_RESAMPLES), "best": "; ".join(best) or "none"},
        notes=[seen, f"Best: {'; '.join(best)}." if best else ""],
        policies=[part.policy],
        gaps=gaps,
    )


def _best_place(curves: ThresholdCurves) -> int | None:
    """Position of the best threshold on a curve; None where F_LOC is nowhere above 0."""
    values = np.nan_to_num(curves.f_loc, nan=0.0)
    return int(values.argmax()) if values.max() > 0 else None


def _draw_curve(axes: Any, curves: ThresholdCurves) -> None:
    at, values = curves.thresholds.astype(np.float64), 100 * curves.f_loc
    ends = 100 * np.array([interval(each) for each in curves.resampled["f_loc"].T])
    axes.plot(at, values, color=_CURVE, marker="." if len(at) == 1 else "", label="F_LOC")
    axes.fill_between(
        at, ends[:, 0], ends[:, 1], color=_CURVE, alpha=0.22, linewidth=0, label="95 % band"
    )
    best = _best_place(curves)
    if best is not None:
        axes.plot(
            [at[best]], [values[best]], marker="v", color=_BEST, markersize=5,
            markeredgecolor="black", markeredgewidth=0.4, linestyle="none", zorder=5,
            label="best threshold", clip_on=False,
            transform=offset_copy(axes.transData, axes.figure, y=4, units="points"),
        )  # fmt: skip


def _mark_threshold(axes: Any, run: ReportRun, condition: str, part: FigureData) -> None:
    value = run.threshold(part.policy, part.variant)
    if value is None:
        return
    look = {"color": "black", "linestyle": dashes_of(part.policy), "label": part.policy}
    axes.axvline(value, **look, linewidth=0.8)
    number = run.number("f_loc", condition, part.policy, part.variant)
    if number is None or np.isnan(number["value"]):
        return
    percent = [100 * float(number[name]) for name in ("value", "ci_low", "ci_high")]
    if not np.isnan(percent).any():
        axes.plot([value] * 2, percent[1:], color="black", linewidth=1.6, zorder=4)
    axes.plot(
        [value], percent[:1], marker="o", color="white", markeredgecolor="black", markersize=4,
        markeredgewidth=1.0, linestyle="none", zorder=6, clip_on=False,
    )  # fmt: skip


def success_pia(part: FigureData) -> Drawing:
    """The curves behind AUC and AUC_N at one threshold: shares by cIoU or pIA."""
    panels = facets([run.label for run in part.runs], height=1.6)
    grid = 100 * AUC_GRID.numpy()
    gaps, numbers = part.without_scores(), []
    for axes, run in zip(panels, part.runs, strict=True):
        axes.set(**_IN_PERCENT)
        for condition in run.conditions:
            if run.sounding[condition] == SoundingObject.OTHER:
                continue
            positive = run.sounding[condition] == SoundingObject.OWN
            metric = "auc" if positive else "auc_n"
            gaps += part.missing_number(run, metric, condition)
            column = ConsensusIoU.column if positive else ImageArea.column
            rows = part.rows(run, column, condition)
            if rows.isna().all():  # or there is none
                continue
            shares = mean_shares(rows, np.greater_equal if positive else np.less_equal)
            label = f"{condition} {part.number(run, metric, condition)}"
            look = look_of(condition, run.conditions)
            axes.plot(grid, 100 * shares, color=look.colour, linestyle=look.dashes, label=label)
        if not axes.get_legend_handles_labels()[1]:
            say_gap(axes, f"nothing under {part.policy}")
        numbers.append(f"{run.label} {part.number(run, 'auc', POSITIVE)}")
        gaps += [] if run.negatives else [(run.label, "no negatives")]
    _legends_above(panels, "AUC, AUC_N (%)")
    name_axes(panels, "cIoU ≥ x, pIA ≤ x (%)", "samples (%)")
    sounding = SoundingObjects(each for run in part.runs for each in run.sounding.items())
    own = ["Positives", *sounding.besides_positive(SoundingObject.OWN)]
    others = sounding.besides_positive(SoundingObject.OTHER)
    no_curve = f"No curve: {', '.join(others)}, where another object of the picture sounds."
    return Drawing(
        panels[0].figure,
        words={"positives": ", ".join(own), "areas": "; ".join(numbers)},
        notes=[no_curve] if others else [],
        policies=[part.policy],
        gaps=gaps,
    )


def roc(part: FigureData) -> Drawing:
    """ROC of map maxima: positives against each negative, and against the paper's three."""
    panels = facets([run.label for run in part.runs], height=1.75)
    gaps, numbers = part.without_scores(), []
    for axes, run in zip(panels, part.runs, strict=True):
        axes.set(**_IN_PERCENT)
        axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.5, zorder=1)
        gaps += [] if run.negatives else [(run.label, "no negatives")]
        for name in run.negatives:
            gaps += part.missing_number(run, "auroc", name, NO_POLICY)
        groups = negative_groups(run.negatives)
        for name in (ALL_NEGATIVES,) if ALL_NEGATIVES in groups else run.negatives:
            numbers.append(f"{run.label} {name} {part.number(run, 'auroc', name, NO_POLICY)}")
        positives = part.rows(run, MAP_MAXIMUM, POSITIVE)
        for group, members in groups.items():
            rows = [part.rows(run, MAP_MAXIMUM, name) for name in members]
            rows = [each for each in rows if len(each)]
            curve = separation_roc(positives, rows) if rows else None
            if curve is None:
                continue
            look = look_of(group, run.conditions)
            axes.plot(
                *(100 * curve), color=look.colour, linestyle=look.dashes,
                label=f"{group} {part.number(run, 'auroc', group, NO_POLICY)}",
                linewidth=0.9 if group == ALL_NEGATIVES else 1.2,
            )  # fmt: skip
        if not axes.get_legend_handles_labels()[1]:
            say_gap(axes, "no defined maxima" if run.negatives else "no negatives")
    _legends_above(panels, "AUROC (%)")
    name_axes(panels, "negatives above (%)", "positives above (%)")
    return Drawing(panels[0].figure, words={"areas": "; ".join(numbers)}, gaps=gaps)


def _legends_above(panels: Sequence[Any], title: str) -> None:
    """The panels' numbers between title and curves, two to a line: nothing is covered."""
    counts = [len(axes.get_legend_handles_labels()[1]) for axes in panels]
    for axes, entries in zip(panels, counts, strict=True):
        few = entries <= _FEW
        if entries:
            axes.legend(
                loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, title=title,
                fontsize=_SMALL_FONT, title_fontsize=_SMALL_FONT, handlelength=2.2 if few else 1.6,
                handletextpad=0.5, columnspacing=0.9 if few else 0.6, borderpad=0.2,
                labelspacing=0.15, frameon=False,
            )  # fmt: skip
        if any(counts):
            axes.set_title(
                axes.get_title(), pad=4 + 1.32 * _SMALL_FONT * (1 + -(-max(counts) // 2))
            )
