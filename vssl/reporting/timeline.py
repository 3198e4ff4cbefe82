"""How high the maps of a video reach over time, under its sound, silence and noise."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from vssl.reporting.captions import Captions
from vssl.reporting.verdict import MapNumbers, Threshold, Verdict
from vssl.types import POSITIVE

_WIDE = 10.0
"""Width in inches."""
_SOUND = "#0072B2"
_NEGATIVES = ("#E69F00", "#7F7F7F", "#CC79A7", "#009E73")
"""Of Okabe and Ito, which differ for every kind of colour vision, and in grey."""


class Timeline:
    """The largest values of a video's maps, a few numbers for each frame."""

    def __init__(self) -> None:
        self.seconds = array("d")
        self.marked = array("d")
        self.lowest: dict[str, array[float]] = {}
        self.highest: dict[str, array[float]] = {}
        self.draws: dict[str, int] = {}

    def add(self, seconds: float, numbers: Sequence[MapNumbers]) -> None:
        """Add a frame."""
        self.seconds.append(seconds)
        for condition in dict.fromkeys(each.condition for each in numbers):
            same = [each.largest for each in numbers if each.condition == condition]
            self.draws[condition] = len(same)
            self.lowest.setdefault(condition, array("d")).append(min(same))
            self.highest.setdefault(condition, array("d")).append(max(same))
        given = next(each for each in numbers if each.condition == POSITIVE)
        self.marked.append(np.nan if given.marked is None else given.marked)


def draw_timeline(
    path: Path,
    timeline: Timeline,
    *,
    threshold: Threshold | None,
    files: str,
    verdict: Verdict,
    note: str,
) -> None:
    """Draw a timeline.

    The line is the largest value of the map under the video's sound. A negative with several draws
    is a band from its lowest to its highest draw. Below, with a threshold: how much is marked.

    Args:
        path: PNG file to write.
        timeline: the numbers.
        threshold: threshold; None for none.
        files: which video and which sound, for the title.
        verdict: the verdict.
        note: where the numbers come from.
    """
    captions = Captions(files, verdict.words, verdict.warnings, verdict.errors, note, _WIDE)
    above, below = captions.above + 0.3, captions.below + 0.48
    tall = 3.0 if threshold is None else 4.1
    height = tall + above + below
    figure = Figure(figsize=(_WIDE, height), dpi=110)
    count = 1 if threshold is None else 2
    grid = figure.subplots(
        count, 1, sharex=True, squeeze=False,
        gridspec_kw={
            "height_ratios": [3, 1][:count], "hspace": 0.12, "left": 0.075, "right": 0.985,
            "top": 1 - above / height, "bottom": below / height,
        },
    )  # fmt: skip
    values = grid[0, 0]
    seconds = np.array(timeline.seconds)
    marker = "o" if len(seconds) == 1 else None
    values.plot(
        seconds, timeline.highest[POSITIVE], color=_SOUND, linewidth=2.2, label="given sound",
        marker=marker,
    )  # fmt: skip
    # negatives on top and thinner: where they are the same, both are seen
    negatives = [name for name in timeline.highest if name != POSITIVE]
    for name, colour in zip(negatives, _NEGATIVES * len(negatives), strict=False):
        low, high = timeline.lowest[name], timeline.highest[name]
        draws = timeline.draws[name]
        if draws > 1:
            values.fill_between(
                seconds, low, high, color=colour, alpha=0.45, linewidth=0.8,
                label=f"{name}, {draws} draws",
            )  # fmt: skip
        else:
            values.plot(
                seconds, high, color=colour, linewidth=1.3, linestyle=(0, (5, 1.5)), label=name,
                marker=marker,
            )  # fmt: skip
    if threshold is not None:
        values.axhline(
            threshold.value, color="black", linewidth=1.1, linestyle=":",
            label=f"threshold {threshold.value:.3f}",
        )  # fmt: skip
        marked = grid[1, 0]
        share = 100 * np.array(timeline.marked)
        marked.fill_between(seconds, 0, share, color=_SOUND, alpha=0.35, linewidth=0, step="post")
        marked.plot(seconds, share, color=_SOUND, linewidth=1.0, drawstyle="steps-post",
                    marker=marker)  # fmt: skip
        marked.set_ylim(bottom=0, top=max(1.0, 1.1 * float(np.nanmax([*share, 0.0]))))
        marked.set_ylabel("pIA (%)", fontsize=9)
    if len(seconds) > 1:
        values.set_xlim(seconds[0], seconds[-1])
    values.set_ylabel("largest value of the map", fontsize=9)
    grid[-1, 0].set_xlabel("time (s)", fontsize=9)
    for axes in grid[:, 0]:
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    values.legend(fontsize=8, ncols=5, loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False,
                  borderaxespad=0.2)  # fmt: skip
    captions.draw(figure)
    figure.savefig(path)
