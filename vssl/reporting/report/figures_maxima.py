"""Distributions of similarity maxima with the universal thresholds drawn in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from scipy.ndimage import gaussian_filter1d

from vssl.arrays import Array
from vssl.metrics.sets import MAP_MAXIMUM
from vssl.records.localization import OBJECT_GUIDED
from vssl.reporting.report.figures_data import FigureData
from vssl.reporting.report.figures_style import (
    GREY,
    UNIVERSAL_POLICIES,
    Drawing,
    facets,
    look_of,
    name_axes,
    padded,
    policy_look,
    say_gap,
)

_BINS = 160
_ABOVE = 17  # points between a panel and its title: the thresholds' names
_LABEL_GAP = 0.2  # of a panel's width, between threshold labels


def maxima(part: FigureData) -> Iterator[Drawing]:
    """Density, quartiles, and 5 to 95 % of map maxima by audio condition, and the thresholds."""
    policies = [*dict.fromkeys([*UNIVERSAL_POLICIES, part.policy])]
    # every panel has the rows of all runs, whose names stand on the left alone
    conditions = list(dict.fromkeys(name for run in part.runs for name in run.conditions))
    panels = facets([run.label for run in part.runs], height=0.75 + 0.28 * len(conditions))
    gaps, medians = part.without_scores(), []
    for axes, run in zip(panels, part.runs, strict=True):
        rows = {name: part.rows(run, MAP_MAXIMUM, name).dropna() for name in run.conditions}
        found = {name: values.to_numpy() for name, values in rows.items() if len(values)}
        every = {policy: run.threshold(policy, part.variant) for policy in policies}
        lines = {policy: value for policy, value in every.items() if value is not None}
        _draw_panel(axes, conditions, found, lines)
        axes.set_title(axes.get_title(), pad=_ABOVE)
        absent = [policy for policy in policies if policy not in lines]
        gaps += [(run.label, f"no threshold {', '.join(absent)}")] if absent else []
        texts = [f"{name} {np.median(values):.3g}" for name, values in found.items()]
        medians.append(f"{run.label} median {', '.join(texts) or 'undefined'}")
    name_axes(panels, "similarity maximum", "")
    guided = part.variant == OBJECT_GUIDED
    yield Drawing(
        panels[0].figure,
        "maxima",
        "Similarity maxima by audio condition",
        part.caption(
            "Largest value of each map, by audio condition, all images and draws; every panel has"
            " the range of its own model. Areas: density (highest point at one height); box:"
            " quartiles and median; line: 5 to 95 %; diamond: all the same. Vertical lines:"
            " universal thresholds.",
            f"Maxima are of {'upsampled object-guided' if guided else 'native similarity'} maps.",
            policies=policies,
            gaps=[*gaps, *part.undefined()],
        ),
        f"Distributions of map maxima: {'; '.join(medians)}.",
    )


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
    """Outline of a distribution, places and heights: kernel density on a grid, highest point 1.

    Gaussian kernel, Silverman's bandwidth 0.9 min(s, IQR / 1.34) n^(-1/5), over the values' own
    range: nothing is drawn where there is no value. None where all values are the same.
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

    def start(cluster: Sequence[float]) -> float:
        return sum(cluster) / len(cluster) - gap * (len(cluster) - 1) / 2

    for place in places:
        clusters.append([place])
        while len(clusters) > 1:
            last, own = clusters[-2:]
            if start(own) - (start(last) + gap * (len(last) - 1)) >= gap:
                break
            clusters[-2:] = [last + own]
    found: list[float] = []
    for cluster in clusters:
        first = min(max(start(cluster), 0.0), 1.0 - gap * (len(cluster) - 1))
        found += [first + gap * n for n in range(len(cluster))]
    return found
