"""How much of the positives each model keeps at each rate of false alarms: one line for a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas

from vssl.reporting.figures.data import FigureData, by_run
from vssl.reporting.figures.style import GREY, Drawing, look_of, say_gap
from vssl.types import POSITIVE

_SIZE = (4.4, 3.4)
_FONT = 8.5
_MARKERS = "os^DvPX*ph"
_MARK: Any = {"markersize": 6, "markeredgecolor": "black", "markeredgewidth": 0.8}


def overview(part: FigureData) -> Drawing:
    """CIoU over the false alarm rate as the threshold moves, with the policy's threshold."""
    canvas = Canvas(figsize=_SIZE, layout="constrained")
    axes = canvas.subplots()
    axes.set(xlim=(-2, 102), ylim=(-2, 102), xticks=(0, 50, 100), yticks=(0, 50, 100))
    axes.set_xlabel("false alarms: negatives in which anything is marked (%)", fontsize=_FONT)
    axes.set_ylabel("cIoU on positives (%)", fontsize=_FONT)
    axes.tick_params(labelsize=_FONT)
    gaps, numbers, in_part = [], [], []
    everything = [run.label for run in part.runs]
    models = [run.label for run in part.runs if not run.is_baseline] or everything
    for run in part.runs:
        found = part.curves[run.label]
        if found.missing:
            gaps.append((run.label, found.missing))
            continue
        curves = found.by_variant[part.variant]
        if found.part is not None:
            in_part.append((run.label, f"{found.part} of its samples"))
        rates = [curves.values["false_alarm_rate", name] for name in curves.together]
        line = 100 * np.mean(rates, axis=0), 100 * curves.ciou
        if run.label not in models:
            label = None if "baselines" in axes.get_legend_handles_labels()[1] else "baselines"
            axes.plot(*line, label=label, color=GREY, linewidth=0.7, alpha=0.6, zorder=1)
            continue
        look, marker = look_of(run.label, models), _MARKERS[models.index(run.label) % 10]
        style: dict[str, Any] = {"color": look.colour, "linestyle": look.dashes}
        axes.plot([], [], label=run.label, marker=marker, **_MARK, **style)
        axes.plot(*line, **style)
        places = [("ciou", POSITIVE), *(("false_alarm_rate", name) for name in curves.together)]
        gaps += [gap for place in places for gap in part.missing_number(run, *place)]
        shown = [run.number(*place, part.policy, part.variant) for place in places]
        values = [100 * float(number["value"]) for number in shown if number is not None]
        if len(values) < len(places):
            continue
        at = float(np.mean(values[1:])), values[0]
        numbers.append(f"{run.label} {at[1]:.1f} % at {at[0]:.1f} %")
        axes.plot([at[0]], [at[1]], marker=marker, zorder=4, clip_on=False, **_MARK, **style)
    if axes.get_legend_handles_labels()[1]:
        canvas.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=_FONT)
    else:
        say_gap(axes, "no run has negatives")
    return Drawing(
        canvas,
        words={"numbers": "; ".join(numbers) or "none"},
        notes=[f"Lines rest on a part: {by_run(in_part)}."] if in_part else [],
        policies=[part.policy],
        gaps=gaps,
    )
