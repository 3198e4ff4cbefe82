"""What a report takes from the configuration: its figures, and how metrics appear."""

from __future__ import annotations

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig

from vssl.config.compose import composed_config, whole_group
from vssl.core.errors import UsageError
from vssl.reporting.figures.report import ReportFigure

_TEXTS = ("title", "caption", "alt")


def report_figures() -> list[ReportFigure]:
    """The figures of the group `figure`: those of `all.yaml` in its order, then further ones.

    Raises:
        UsageError: for a figure without a text.
    """
    config = composed_config("report", [whole_group("figure")])
    return [_figure(str(name), node) for name, node in config.figure.items()]


def _figure(name: str, node: DictConfig) -> ReportFigure:
    missing = [key for key in ("_target_", *_TEXTS) if not node.get(key)]
    if missing:
        raise UsageError(
            f"figure {name}: its yaml lacks {', '.join(missing)}. A figure has _target_ (a function"
            " of a vssl.reporting.figures.data.FigureData), title, caption and alt,"
            " and may have details."
        )
    texts = {key: str(node[key]) for key in (*_TEXTS, "details") if key in node}
    options = {key: value for key, value in node.items() if key not in texts}
    draw = instantiate(options, _partial_=True)
    return ReportFigure(name, draw, **texts)


def import_metrics() -> None:
    """Import the classes of all metrics in the group `metrics`, which say how tables show them."""
    for node in composed_config("rescore", [whole_group("metrics")]).metrics.values():
        get_object(node._target_)
