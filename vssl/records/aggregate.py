"""Scores to summary: every number with its spread over draws and its interval over images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vssl.progress import progress_bar
from vssl.records.files import RECORDS_FILE
from vssl.records.numbers import Number, numbers_of
from vssl.records.pooled import POOLED, POOLED_SOURCE, pooled_numbers
from vssl.records.schema import SUMMARY
from vssl.records.score import AnyMetric
from vssl.records.scores import Part, ScoredRun, Scores
from vssl.records.store import AtomicParquetWriter, read_provenance
from vssl.records.uncertainty import ImageBootstrap, intervals

FACTS = (
    "model",
    "dataset",
    "protocol",
    "seed",
    "coverage",
    "manifest_hash",
    "config_hash",
)
"""What every row of a summary repeats of the run's provenance."""


def summarize(
    run: Path,
    scores: Path,
    metrics: Sequence[AnyMetric],
    *,
    output: Path,
    opened: ScoredRun | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Summarize a scores file and write the summary.

    Args:
        run: folder with the records.
        scores: scores file.
        metrics: what to report.
        output: file to write.
        opened: the scores, where they were read already.
        resamples: bootstrap resamples over images.
        seed: seed of the bootstrap.

    Returns:
        The summary, one row per number (columns: `records.schema.SUMMARY`).

    Raises:
        RecordsError: when a file cannot be read.
    """
    provenance = read_provenance(run / RECORDS_FILE)
    opened = opened or ScoredRun.of(run, scores)
    table, groups = opened.scores, opened.samples.image_groups
    bootstrap = ImageBootstrap(groups, resamples=resamples, seed=seed)
    rows: list[dict[str, Any]] = []
    parts = list(table.parts())
    with progress_bar("summary and intervals", len(parts)) as advance:
        for part in parts:
            of_part = part_facts(table, part)
            numbers = numbers_of(table, part, metrics, bootstrap)
            rows += [{**of_part, **row} for row in number_rows(numbers)]
            advance(1)
    if provenance.get("protocol_switches", {}).get("pooled_ciou") == "released":
        pooled = {"threshold_policy": POOLED, "threshold_source": POOLED_SOURCE}
        rows += [
            {"map_variant": variant, **pooled, **row}
            for variant in dict.fromkeys(part.map_variant for part in table.parts())
            for row in number_rows(pooled_numbers(table, variant, bootstrap))
        ]
    facts = {key: provenance[key] for key in FACTS}
    summary = pd.DataFrame([{**facts, **row} for row in rows], columns=SUMMARY.names)
    with AtomicParquetWriter(output, SUMMARY, provenance) as writer:
        writer.write(pa.Table.from_pandas(summary, schema=SUMMARY, preserve_index=False))
    return summary


def part_facts(scores: Scores, part: Part) -> dict[str, Any]:
    """The summary columns that all numbers of a part share."""
    return {**part._asdict(), "threshold": scores.threshold(part)}


def number_rows(numbers: Iterable[Number]) -> Iterator[dict[str, Any]]:
    """The summary columns of some numbers."""
    numbers = list(numbers)
    found = intervals([number.resampled for number in numbers])
    for number, (low, high) in zip(numbers, found, strict=True):
        several = len(number.per_draw) > 1
        yield {
            "condition": number.condition,
            "sounding_object": number.sounding[0].value if len(number.sounding) == 1 else None,
            "metric": number.metric.name,
            "value": number.value,
            "std_over_draws": float(np.std(number.per_draw, ddof=1)) if several else None,
            "ci_low": low,
            "ci_high": high,
            "n": number.n,
            "n_undefined": number.n_undefined,
            "draws": len(number.per_draw),
            "higher_is_better": number.higher_is_better,
        }


def summary_key(row: Mapping[Any, Any]) -> str:
    """Name of a summary row in wandb and csv: `<condition>/<metric>/<policy>[.ogl]`."""
    variant = "" if row["map_variant"] == "av" else f".{row['map_variant']}"
    return f"{row['condition']}/{row['metric']}/{row['threshold_policy']}{variant}"
