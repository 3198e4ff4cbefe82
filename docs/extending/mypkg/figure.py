"""A figure of the report: one bar for each run."""

from matplotlib.figure import Figure

from vssl.reporting.figures.data import FigureData
from vssl.types import POSITIVE


def outside(data: FigureData) -> Figure:
    """How much of what a run marks lies beside the object."""
    canvas = Figure(figsize=(3.4, 2))
    axes = canvas.subplots()
    for run in data.runs:
        number = run.number("outside", POSITIVE, data.policy, data.variant)
        axes.bar(run.label, 0 if number is None else 100 * number["value"])
    axes.set_ylabel("outside (%)")
    return canvas
