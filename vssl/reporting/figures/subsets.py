"""CIoU and F_LOC by object size, flags and classes: a panel per run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from vssl.core.negatives import ALL_NEGATIVES
from vssl.reporting.collection import ReportRun
from vssl.reporting.figures.data import FigureData, Gaps
from vssl.reporting.figures.style import Drawing, facets, legend_below, look_of, name_axes, say_gap
from vssl.reporting.tables.columns import CLASSES, SIZES, subset_name, subsets_by_kind
from vssl.types import POSITIVE

_MARKS = {("ciou", POSITIVE): ("o", "cIoU"), ("f_loc", ALL_NEGATIVES): ("s", "F_LOC")}
_ENDS = 8  # classes shown at either end of the order, where there are many
_Subset = tuple[str, str]


def subsets(part: FigureData) -> Iterator[Drawing]:
    """A drawing for object sizes, for flags, and for classes, of what any run has."""
    words = {SIZES: "object size (of the image)", "flags": "flags of the samples", CLASSES: "class"}
    for kind, keys in subsets_by_kind(part.runs).items():
        if kind == CLASSES:
            keys.sort(key=partial(_mean_ciou, part))
        shown = keys if len(keys) <= 2 * _ENDS else [*keys[:_ENDS], *keys[-_ENDS:]]
        if shown:
            yield _draw(part, shown, name=f"by_{kind}", kind=words[kind], all_=len(keys))


def _mean_ciou(part: FigureData, key: _Subset) -> float:
    """Mean cIoU on a subset over the runs; infinity where none has it."""
    values = [_percent(part, run, key, "ciou", POSITIVE)[0] for run in part.runs]
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else np.inf


def _percent(
    part: FigureData, run: ReportRun, key: _Subset, metric: str, condition: str
) -> list[float]:
    """A number on a subset and its interval, in percent; NaN for what is missing."""
    of = run.subsets.get(key)
    number = None if of is None else of.number(metric, condition, part.policy, part.variant)
    if number is None:
        return [np.nan] * 3
    return [100 * float(number[name]) for name in ("value", "ci_low", "ci_high")]


def _draw(part: FigureData, keys: Sequence[_Subset], *, name: str, kind: str, all_: int) -> Drawing:
    panels = facets([run.label for run in part.runs], height=0.5 + 0.2 * len(keys))
    gaps: Gaps = []
    for axes, run in zip(panels, part.runs, strict=True):
        drawn = False
        for (metric, condition), (mark, label) in _MARKS.items():
            numbers = [_percent(part, run, key, metric, condition) for key in keys]
            value, low, high = np.array(numbers).T
            look, shift = look_of(condition, ()), -0.15 if metric == "ciou" else 0.15
            places = np.arange(len(keys)) + shift
            axes.hlines(places, low, high, color=look.colour, linewidth=1.0)
            style: Any = {"color": look.colour, "markersize": 3.2, "clip_on": False}
            axes.plot(value, places, mark, label=label, **style)
            drawn |= bool(np.isfinite(value).any())
        axes.set(xlim=(-2, 102), xticks=(0, 50, 100), ylim=(len(keys) - 0.5, -0.5))
        axes.set_yticks(range(len(keys)), [subset_name(*key, whole=True) for key in keys])
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        if not drawn:
            say_gap(axes, f"no numbers by {kind} at {part.policy}")
            gaps.append((run.label, f"no numbers by {kind} at {part.policy}"))
    name_axes(panels, "cIoU, F_LOC (%)", "")
    legend_below(panels)
    names = "; ".join(subset_name(*key, whole=True) for key in keys)
    some = f"Shown are the {_ENDS} classes with the lowest and the highest mean cIoU of {all_}."
    return Drawing(
        panels[0].figure,
        name=name,
        words={"kind": kind, "subsets": names},
        notes=[some] if all_ > len(keys) else [],
        policies=[part.policy],
        gaps=gaps,
    )
