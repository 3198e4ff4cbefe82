"""F_LOC over the threshold, success and pIA curves, and separation ROC: one panel per run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.transforms import offset_copy

from vssl.metrics.auc import AUC_GRID
from vssl.records.numbers import ALL_NEGATIVES
from vssl.records.schema import NO_POLICY
from vssl.records.uncertainty import interval
from vssl.reporting.report.collection import ReportRun
from vssl.reporting.report.figures_data import (
    CurveOfRun,
    RunScores,
    negative_groups,
    rejection_shares,
    separation_roc,
    success_shares,
)
from vssl.reporting.report.figures_style import (
    GREY,
    Facets,
    facets,
    look_of,
    padded,
    policy_look,
    say_gap,
)
from vssl.reporting.tables import MISSING, percent
from vssl.types import POSITIVE, SoundingObject

_BEST = "#d55e00"
_CURVE = "#0072b2"
_SMALL = 5.6
_FEW = 4  # entries of a legend whose lines may be long: the paper's conditions


def draw_f_loc(
    runs: Sequence[ReportRun],
    curves: Sequence[CurveOfRun | str],
    variant: str,
    policy: str,
) -> Facets:
    """F_LOC over the threshold with its bootstrap band, the policy's threshold and the best one.

    Args:
        runs: R runs.
        curves: the curve of each; where there is none, why.
        variant: map variant.
        policy: threshold policy that is marked, with the summary's F_LOC and interval.
    """
    figure = facets([run.label for run in runs], height=1.45, share_y=True)
    highest = 1.0
    for axes, run, found in zip(figure.axes, runs, curves, strict=True):
        if isinstance(found, str):
            axes.set_xticks([])
            say_gap(axes, found)
            continue
        highest = max(highest, _draw_curve(axes, found))
        _mark_threshold(axes, run, found.curves.condition, variant, policy)
        axes.locator_params(axis="x", nbins=4)
    figure.label("threshold", "F_LOC (%)")
    figure.axes[0].set_ylim(0, 1.08 * highest)
    _legend_of_f_loc(figure, policy)
    return figure


def best_place(found: CurveOfRun) -> int | None:
    """Position of the best threshold on a curve; None where F_LOC is nowhere above 0."""
    f_loc = np.nan_to_num(found.curves.f_loc, nan=0.0)
    return int(f_loc.argmax()) if f_loc.max() > 0 else None


def _draw_curve(axes: Any, found: CurveOfRun) -> float:
    """Draw curve and band; how high they reach."""
    at, f_loc = found.curves.thresholds.astype(np.float64), 100 * found.curves.f_loc
    ends = 100 * np.array([interval(each) for each in found.curves.f_loc_resampled.T])
    axes.fill_between(at, ends[:, 0], ends[:, 1], color=_CURVE, alpha=0.22, linewidth=0)
    axes.plot(at, f_loc, color=_CURVE, marker="." if len(at) == 1 else "")
    axes.set_xlim(padded(at[0], at[-1]))
    best = best_place(found)
    if best is not None:
        axes.plot(
            [at[best]], [f_loc[best]], marker="v", color=_BEST, markersize=5,
            markeredgecolor="black", markeredgewidth=0.4, linestyle="none", zorder=5,
            clip_on=False, transform=offset_copy(axes.transData, axes.figure, y=4, units="points"),
        )  # fmt: skip
    reached = np.concatenate([f_loc, ends[:, 1]])
    return float(reached[~np.isnan(reached)].max(initial=0.0))


def _mark_threshold(axes: Any, run: ReportRun, condition: str, variant: str, policy: str) -> None:
    value = run.threshold(policy, variant)
    if value is None:
        return
    axes.axvline(value, color="black", linestyle=policy_look(policy)[1], linewidth=0.8)
    number = run.number("f_loc", condition, policy, variant)
    if number is None or np.isnan(number["value"]):
        return
    percent = [100 * float(number[name]) for name in ("value", "ci_low", "ci_high")]
    if not np.isnan(percent).any():
        axes.plot([value] * 2, percent[1:], color="black", linewidth=1.6, zorder=4)
    axes.plot(
        [value], percent[:1], marker="o", color="white", markeredgecolor="black", markersize=4,
        markeredgewidth=1.0, linestyle="none", zorder=6, clip_on=False,
    )  # fmt: skip


def _legend_of_f_loc(figure: Facets, policy: str) -> None:
    axes = figure.axes[0]
    handles = [
        axes.plot([], [], color=_CURVE)[0],
        axes.fill_between([], [], [], color=_CURVE, alpha=0.22, linewidth=0),
        axes.plot(
            [], [], color="black", linestyle=policy_look(policy)[1], linewidth=0.8, marker="o",
            markerfacecolor="white", markersize=4,
        )[0],
        axes.plot([], [], marker="v", color=_BEST, markeredgecolor="black", markersize=5,
                  markeredgewidth=0.4, linestyle="none")[0],
    ]  # fmt: skip
    texts = ["F_LOC", "95 % band", policy, "best threshold"]
    wide = figure.canvas.get_figwidth() > 5
    figure.canvas.legend(
        handles, texts, loc="outside lower center", ncols=4 if wide else 2, frameon=False
    )


def draw_shares(
    runs: Sequence[ReportRun], scores: Sequence[RunScores], variant: str, policy: str
) -> Facets:
    """The curves behind AUC and AUC_N at one threshold.

    Where the own object sounds: share with cIoU >= the value on the horizontal axis. Negatives:
    share with pIA <= it. Where another object sounds, there is no curve.
    """
    figure = facets([run.label for run in runs], height=1.6)
    grid = 100 * AUC_GRID.numpy()
    for axes, run, known in zip(figure.axes, runs, scores, strict=True):
        _unit_axes(axes)
        drawn = False
        for condition in run.conditions:
            sounding = run.sounding[condition]
            if sounding == SoundingObject.OTHER:
                continue
            positive = sounding == SoundingObject.OWN
            rows = (known.ciou if positive else known.pia).get((variant, condition))
            if rows is None or not len(rows.defined):
                continue
            shares = success_shares(rows) if positive else rejection_shares(rows)
            metric = "auc" if positive else "auc_n"
            label = f"{condition} {_value(run, metric, condition, policy, variant)}"
            look = look_of(condition, run.conditions)
            axes.plot(grid, 100 * shares, color=look.colour, linestyle=look.dashes, label=label)
            drawn = True
        if not drawn:
            say_gap(axes, f"nothing under {policy}")
    _legends_above(figure, "AUC, AUC_N (%)")
    figure.label("cIoU ≥ x, pIA ≤ x (%)", "samples (%)")
    return figure


def draw_roc(runs: Sequence[ReportRun], scores: Sequence[RunScores], variant: str) -> Facets:
    """ROC of map maxima: positives against each negative, and against the paper's three."""
    figure = facets([run.label for run in runs], height=1.75)
    for axes, run, known in zip(figure.axes, runs, scores, strict=True):
        _unit_axes(axes)
        axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.5, zorder=1)
        positives = known.maxima.get((variant, POSITIVE))
        drawn = False
        for group, members in negative_groups(run.negatives).items():
            rows = [known.maxima[variant, n] for n in members if (variant, n) in known.maxima]
            roc = separation_roc(positives, rows) if positives is not None and rows else None
            if roc is None:
                continue
            look = look_of(group, run.conditions)
            thin = roc.thinned()
            area = _value(run, "auroc", group, NO_POLICY, variant)
            axes.plot(
                100 * thin.false_positive, 100 * thin.true_positive, color=look.colour,
                linestyle=look.dashes, label=f"{group} {area}",
                linewidth=0.9 if group == ALL_NEGATIVES else 1.2,
            )  # fmt: skip
            drawn = True
        if not drawn:
            say_gap(axes, "no defined maxima" if run.negatives else "no negatives")
    _legends_above(figure, "AUROC (%)")
    figure.label("negatives above (%)", "positives above (%)")
    return figure


def _unit_axes(axes: Any) -> None:
    axes.set_xlim(-2, 102)
    axes.set_ylim(-2, 102)
    axes.set_xticks([0, 50, 100])
    axes.set_yticks([0, 50, 100])


def _legends_above(figure: Facets, title: str) -> None:
    """The panels' numbers between title and curves, two to a line: nothing is covered."""
    most = 0
    for axes in figure.axes:
        entries = len(axes.get_legend_handles_labels()[1])
        most = max(most, entries)
        few = entries <= _FEW
        if entries:
            axes.legend(
                loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, title=title,
                fontsize=_SMALL, title_fontsize=_SMALL, handlelength=2.2 if few else 1.6,
                handletextpad=0.5, columnspacing=0.9 if few else 0.6, borderpad=0.2,
                labelspacing=0.15, frameon=False,
            )  # fmt: skip
    if most:
        for axes in figure.axes:
            axes.set_title(axes.get_title(), pad=4 + 1.32 * _SMALL * (1 + -(-most // 2)))


def _value(run: ReportRun, metric: str, condition: str, policy: str, variant: str) -> str:
    """A number of the summary as people read it; n/a where it is not there or undefined."""
    number = run.number(metric, condition, policy, variant)
    return MISSING if number is None else percent(float(number["value"]))
