"""Distributions of similarity maxima with the universal thresholds drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_rgb
from scipy.ndimage import gaussian_filter1d

from vssl.reporting.report.collection import ReportRun
from vssl.reporting.report.figures_data import RunScores
from vssl.reporting.report.figures_style import (
    GREY,
    Facets,
    facets,
    look_of,
    padded,
    policy_look,
    say_gap,
)

Array = npt.NDArray[np.float64]

_BINS = 160
_ABOVE = 17  # points between a panel and its title: the thresholds' names
_LABEL_GAP = 0.2  # of a panel's width, between threshold labels


def draw_maxima(
    runs: Sequence[ReportRun],
    scores: Sequence[RunScores],
    variant: str,
    thresholds: Sequence[Mapping[str, float]],
) -> Facets:
    """One panel per run: for each audio condition a density, quartiles, and 5 to 95 %.

    Args:
        runs: R runs.
        scores: their scores.
        variant: map variant.
        thresholds: of each run by policy.
    """
    # every panel has the rows of all runs, whose names stand on the left alone
    conditions = list(dict.fromkeys(name for run in runs for name in run.conditions))
    figure = facets([run.label for run in runs], height=0.75 + 0.28 * len(conditions))
    for axes, run, known, lines in zip(figure.axes, runs, scores, thresholds, strict=True):
        found = {
            name: rows.defined
            for name in run.conditions
            if (rows := known.maxima.get((variant, name))) is not None and len(rows.defined)
        }
        _draw_panel(axes, conditions, found, lines)
        axes.set_title(axes.get_title(), pad=_ABOVE)
    figure.label("similarity maximum", "")
    return figure


def _draw_panel(
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
    ends = [end for each in values.values() for end in (each.min(), each.max())]
    low, high = padded(min(*ends, *lines.values()), max(*ends, *lines.values()))
    axes.set_xlim(low, high)
    axes.locator_params(axis="x", nbins=4)
    for place, condition in enumerate(conditions):
        if condition in values:
            _draw_row(axes, place, values[condition], look_of(condition, conditions), high - low)
    _draw_thresholds(axes, lines, low, high)


def _draw_row(axes: Any, place: int, values: Array, look: Any, span: float) -> None:
    five, first, median, third, ninety_five = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    outline = density(values)
    if outline is not None and values.max() - values.min() > span / 400:
        at, height = outline
        base = place - 0.06
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


def density(values: Array) -> tuple[Array, Array] | None:
    """Outline of a distribution: kernel density on a grid, highest point 1.

    Gaussian kernel, Silverman's bandwidth 0.9 min(s, IQR / 1.34) n^(-1/5), over the values' own
    range: nothing is drawn where there is no value.

    Returns:
        Places and heights; None where all values are the same.
    """
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return None
    quartiles = np.quantile(values, [0.25, 0.75])
    spreads = [float(values.std()), float(quartiles[1] - quartiles[0]) / 1.34]
    narrow = min([s for s in spreads if s > 0], default=high - low)
    bandwidth = 0.9 * narrow * len(values) ** -0.2
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
    width = (high - low) / _BINS
    smooth = gaussian_filter1d(counts.astype(np.float64), bandwidth / width, mode="reflect")
    return (edges[:-1] + edges[1:]) / 2, smooth / smooth.max()


def _draw_thresholds(axes: Any, lines: Mapping[str, float], low: float, high: float) -> None:
    """Vertical lines, each with its short name above the panel; names never overlap."""
    named = sorted(lines.items(), key=lambda item: item[1])
    wanted = [(value - low) / (high - low) for _, value in named]
    for (policy, value), place, text_at in zip(named, wanted, spread(wanted), strict=True):
        short, dashes = policy_look(policy)
        axes.axvline(value, color="black", linestyle=dashes, linewidth=0.8, zorder=5)
        axes.annotate(
            short, xy=(place, 1.0), xytext=(text_at, 1.05), xycoords="axes fraction",
            textcoords="axes fraction", ha="center", va="bottom", fontsize=6,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0.5,
                        "shrinkB": 0},
            annotation_clip=False,
        )  # fmt: skip


def spread(places: Sequence[float], gap: float = _LABEL_GAP) -> list[float]:
    """Ascending places in [0, 1], moved as little as needed to stand apart.

    Example:
        >>> spread([0.5, 0.5], gap=0.25)
        [0.375, 0.625]
    """
    clusters: list[list[float]] = []
    for place in places:
        clusters.append([place])
        while len(clusters) > 1 and _first(clusters[-1], gap) - _last(clusters[-2], gap) < gap:
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    found: list[float] = []
    for cluster in clusters:
        start = min(max(_first(cluster, gap), 0.0), 1.0 - gap * (len(cluster) - 1))
        found += [start + gap * n for n in range(len(cluster))]
    return found


def _first(cluster: Sequence[float], gap: float) -> float:
    return sum(cluster) / len(cluster) - gap * (len(cluster) - 1) / 2


def _last(cluster: Sequence[float], gap: float) -> float:
    return _first(cluster, gap) + gap * (len(cluster) - 1)
