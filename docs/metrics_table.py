"""Write the first table of docs/metrics.md from the metric classes: run this file."""

from __future__ import annotations

from pathlib import Path

from vssl.config.build import build_metrics
from vssl.config.compose import composed_config, whole_group
from vssl.config.settings import ScoringSettings
from vssl.metrics.base import CombinedMetric, ConditionMetric, MapMetric, PairMetric
from vssl.metrics.curve import CurveMetric
from vssl.metrics.set_metric import SetMetric
from vssl.records.schema import pair_column
from vssl.records.score import AnyMetric
from vssl.types import SoundingObject

PAGE = Path(__file__).with_name("metrics.md")
HEADERS = ("number", "column in scores.parquet", "reported for", "policy", "better", "range")
_SOUNDING = {
    SoundingObject.OWN: "own sound",
    SoundingObject.OTHER: "another object's",
    SoundingObject.NONE: "negatives",
}


def table() -> str:
    """One row for each metric in conf/metrics, in the order of all.yaml."""
    config = composed_config("rescore", [whole_group("metrics")])
    metrics = build_metrics(ScoringSettings.of(config))
    rows = [HEADERS, ["---"] * len(HEADERS), *map(_row, metrics)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(metric: AnyMetric) -> list[str]:
    columns, conditions, policy = _place(metric)
    bounds = metric.bounds and "{:g} to {:g}".format(*metric.bounds)
    better = "higher" if metric.higher_is_better else "lower"
    where = " and ".join(f"`{column}`" for column in columns)
    return [f"`{metric.name}`", where, conditions, policy, better, bounds or metric.unit]


def _place(metric: AnyMetric) -> tuple[list[str], str, str]:
    """Columns, audio conditions and threshold policies."""
    if isinstance(metric, CombinedMetric):
        columns = [metric.of_positives.column, metric.of_negatives.column]
        of_curves = issubclass(metric.of_positives, CurveMetric)
        return [*dict.fromkeys(columns)], "negatives, all", "none" if of_curves else "one threshold"
    if isinstance(metric, PairMetric):
        return [pair_column(metric.column, "<other condition>")], "pairs", "each"
    if isinstance(metric, SetMetric):
        columns = [metric.column, *(["ciou"] if metric.by_threshold else [])]
        conditions = "own sound" if metric.on_positives else "negatives, all"
        return columns, conditions, "each" if metric.by_threshold else "none"
    assert isinstance(metric, ConditionMetric)
    named = [_SOUNDING.get(each, each) for each in metric.conditions]  # type: ignore[call-overload]
    conditions = "each" if set(named) == set(_SOUNDING.values()) else ", ".join(named)
    of_maps = isinstance(metric, (MapMetric, CurveMetric))
    return [metric.column], conditions, "none" if of_maps else "each"


def page(text: str) -> str:
    """The page with today's table."""
    begin = text.index(f"| {HEADERS[0]} | {HEADERS[1]}")
    return text[:begin] + table() + text[text.index("\n\n", begin) + 1 :]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
