"""Scores to summary: means over samples and draws, spread, intervals, combined metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from vssl.metrics.base import CombinedMetric, SampleMetric
from vssl.records.files import RECORDS_FILE
from vssl.records.schema import SUMMARY
from vssl.records.store import AtomicParquetWriter, read_provenance
from vssl.records.uncertainty import ImageBootstrap, interval
from vssl.thresholds.base import EACH_MAP
from vssl.types import POSITIVE

Array = npt.NDArray[np.float64]

NEGATIVE_TYPES = ("silence", "noise", "offscreen")
"""The three negatives of the paper, over which F_LOC and F_AUC average."""

ALL_NEGATIVES = "all"
"""Condition under which numbers over all three negative types are reported."""


@dataclass(frozen=True)
class Mean:
    """A mean, or a combination of means, with its spread.

    Attributes:
        value: mean over samples within each draw, then over draws.
        per_draw: `[D]` the same within each draw.
        resampled: `[B]` bootstrap resamples of `value`.
        n: number of samples with a defined value in some draw.
        n_undefined: rows left out.
    """

    value: float
    per_draw: Array
    resampled: Array
    n: int
    n_undefined: int


def mean_of(values: Array, bootstrap: ImageBootstrap) -> Mean:
    """Average per-sample values `[N, D]` (NaN where undefined) with their bootstrap."""
    defined = ~np.isnan(values)
    per_draw = _nanmean(values, axis=0)
    return Mean(
        value=float(_nanmean(per_draw)),
        per_draw=per_draw,
        resampled=_nanmean(bootstrap.means(values), axis=1),
        n=int(defined.any(axis=1).sum()),
        n_undefined=int((~defined).sum()),
    )


def summarize(
    run: Path,
    scores: Path,
    metrics: Sequence[SampleMetric | CombinedMetric],
    *,
    output: Path,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Summarize a scores file and write the summary.

    Args:
        run: folder with the records.
        scores: scores file.
        metrics: what to report.
        output: file to write.
        resamples: bootstrap resamples over images.
        seed: seed of the bootstrap.

    Combined metrics are reported only under one threshold for all maps.

    Returns:
        The summary, one row per number (columns: `records.schema.SUMMARY`).

    Raises:
        RecordsError: when a file cannot be read.
    """
    provenance = read_provenance(run / RECORDS_FILE)
    keys = pq.read_table(run / RECORDS_FILE, columns=["sample_id", "image_group"]).to_pandas()
    images = keys.drop_duplicates("sample_id").set_index("sample_id")["image_group"]
    bootstrap = ImageBootstrap(list(images), resamples=resamples, seed=seed)

    rows: list[dict[str, Any]] = []
    table = pq.read_table(scores).to_pandas()
    by_policy = ["map_variant", "threshold_policy", "threshold_source"]
    for (variant, policy, source), group in table.groupby(by_policy, observed=True, sort=False):
        common = {
            "map_variant": variant,
            "threshold_policy": policy,
            "threshold_source": source,
            "threshold": float("nan") if source == EACH_MAP else group["threshold"].iloc[0],
        }
        # a combined metric wants one threshold for positives and negatives
        reported = [m for m in metrics if source != EACH_MAP or isinstance(m, SampleMetric)]
        means = _means(group, reported, list(images.index), bootstrap)
        rows += [{**common, **row} for row in _rows(means, reported)]
    facts = {
        key: provenance[key]
        for key in (
            "model",
            "dataset",
            "protocol",
            "seed",
            "coverage",
            "manifest_hash",
            "config_hash",
        )
    }
    summary = pd.DataFrame([{**facts, **row} for row in rows], columns=SUMMARY.names)
    with AtomicParquetWriter(output, SUMMARY, provenance) as writer:
        writer.write(pa.Table.from_pandas(summary, schema=SUMMARY, preserve_index=False))
    return summary


def _means(
    group: pd.DataFrame,
    metrics: Sequence[SampleMetric | CombinedMetric],
    sample_ids: list[str],
    bootstrap: ImageBootstrap,
) -> dict[tuple[str, str], Mean]:
    """(metric, audio condition) -> mean, for one policy."""
    means = {}
    for condition, rows in group.groupby("audio_condition", observed=True, sort=False):
        columns: dict[str, torch.Tensor] = {}
        for metric in metrics:
            if not isinstance(metric, SampleMetric) or not metric.applies_to(str(condition)):
                continue
            if metric.column not in columns:
                pivot = rows.pivot(index="sample_id", columns="draw", values=metric.column)
                columns[metric.column] = torch.from_numpy(
                    pivot.reindex(sample_ids).to_numpy(dtype=np.float64, copy=True)
                )
            values = metric.from_column(columns[metric.column].flatten())
            shaped = values.reshape(columns[metric.column].shape).numpy()
            means[metric.name, str(condition)] = mean_of(shaped, bootstrap)
    return means


def _rows(
    means: Mapping[tuple[str, str], Mean], metrics: Sequence[SampleMetric | CombinedMetric]
) -> list[dict[str, Any]]:
    rows = []
    for metric in metrics:
        if isinstance(metric, SampleMetric):
            for (name, condition), mean in means.items():
                if name == metric.name:
                    rows.append(_row(metric, condition, mean))
        else:
            rows += _combined_rows(means, metric)
    return rows


def _combined_rows(
    means: Mapping[tuple[str, str], Mean], metric: CombinedMetric
) -> list[dict[str, Any]]:
    """A combined metric for each negative type, and over the paper's three where all are there."""
    positive = means.get((metric.positive, POSITIVE))
    negatives = {
        c: m for (name, c), m in means.items() if name == metric.negative and c != POSITIVE
    }
    if positive is None:
        return []
    groups = {condition: {condition: mean} for condition, mean in negatives.items()}
    if all(name in negatives for name in NEGATIVE_TYPES):
        groups[ALL_NEGATIVES] = {name: negatives[name] for name in NEGATIVE_TYPES}
    return [
        _row(metric, condition, _combine(metric, positive, members))
        for condition, members in groups.items()
    ]


def _combine(metric: CombinedMetric, positive: Mean, negatives: Mapping[str, Mean]) -> Mean:
    """Combine means; the spread is over the draws that all negatives with several draws have.

    A negative with one draw meets every draw of the others. The value rests on all draws.
    """
    draws = min((len(m.per_draw) for m in negatives.values() if len(m.per_draw) > 1), default=1)
    return Mean(
        value=float(
            metric.combine(
                np.asarray(positive.value), {c: np.asarray(m.value) for c, m in negatives.items()}
            )
        ),
        per_draw=metric.combine(
            np.broadcast_to(positive.per_draw[:draws], draws),
            {c: np.broadcast_to(m.per_draw[:draws], draws) for c, m in negatives.items()},
        ),
        resampled=metric.combine(
            positive.resampled, {c: m.resampled for c, m in negatives.items()}
        ),
        n=positive.n,
        n_undefined=positive.n_undefined + sum(m.n_undefined for m in negatives.values()),
    )


def _row(metric: SampleMetric | CombinedMetric, condition: str, mean: Mean) -> dict[str, Any]:
    low, high = interval(mean.resampled)
    several = len(mean.per_draw) > 1
    return {
        "condition": condition,
        "metric": metric.name,
        "value": mean.value,
        "std_over_draws": float(np.std(mean.per_draw, ddof=1)) if several else None,
        "ci_low": low,
        "ci_high": high,
        "n": mean.n,
        "n_undefined": mean.n_undefined,
        "draws": len(mean.per_draw),
        "higher_is_better": bool(metric.higher_is_better),
    }


def _nanmean(values: Array, axis: int | None = None) -> Array:
    """Mean without NaN; NaN, without a warning, where nothing is left."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0.0).sum(axis=axis) / defined.sum(axis=axis))


def summary_key(row: Mapping[Any, Any]) -> str:
    """Name of a summary row in wandb and csv: `<condition>/<metric>/<policy>[.ogl]`."""
    variant = "" if row["map_variant"] == "av" else f".{row['map_variant']}"
    return f"{row['condition']}/{row['metric']}/{row['threshold_policy']}{variant}"
