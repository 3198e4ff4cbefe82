"""Scores to summary: every number with its spread over draws and its interval over images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vssl.progress import progress_bar
from vssl.records.files import RECORDS_FILE
from vssl.records.fit import FittedPolicy
from vssl.records.numbers import Number
from vssl.records.pooled import POOLED, POOLED_SOURCE, pooled_numbers
from vssl.records.refit import ResampledRun
from vssl.records.schema import SUMMARY
from vssl.records.score import AnyMetric
from vssl.records.scores import Part, ScoredRun, Scores
from vssl.records.store import AtomicParquetWriter, read_provenance

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
    fitted: Sequence[FittedPolicy] = (),
    opened: ScoredRun | None = None,
    resampled: ResampledRun | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Summarize a scores file and write the summary.

    Args:
        run: folder with the records.
        scores: scores file.
        metrics: what to report.
        output: file to write.
        fitted: the policies behind the scores; where one is missing, numbers at its fitted
            threshold have no interval but that at the threshold as it stands.
        opened: the scores, where they were read already.
        resampled: the run with its resamples, where it was made already (from `fitted`).
        resamples: bootstrap resamples.
        seed: seed of the bootstrap.

    Returns:
        The summary, one row per number (columns: `records.schema.SUMMARY`).

    Raises:
        RecordsError: when a file cannot be read.
    """
    provenance = read_provenance(run / RECORDS_FILE)
    opened = opened or ScoredRun.of(run, scores)
    table = opened.scores
    rows: list[dict[str, Any]] = []
    parts = list(table.parts())
    with ExitStack() as stack:
        if resampled is None:
            resampled = stack.enter_context(
                ResampledRun.of(run, opened, metrics, fitted, resamples=resamples, seed=seed)
            )
        with progress_bar("summary and intervals", len(parts)) as advance:
            for part in parts:
                rows += part_rows(table, part, resampled, resampled.numbers(part, metrics))
                advance(1)
        bootstrap = resampled.bootstrap
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


def part_rows(
    scores: Scores, part: Part, resampled: ResampledRun, numbers: Iterable[Number]
) -> Iterator[dict[str, Any]]:
    """The summary columns of a part's numbers.

    Without the policy that a threshold was fitted by, only the interval at the threshold is known.
    """
    facts = part_facts(scores, part)
    unknown = is_fitted(part) and not resampled.is_fitted_anew(part)
    nothing = dict.fromkeys(
        ("ci_low", "ci_high", "share_images", "share_sounds", "share_threshold")
    )
    for row in number_rows(numbers):
        yield {**facts, **row, **(nothing if unknown else {})}


def is_fitted(part: Part) -> bool:
    """Whether a part's threshold was learnt from negatives."""
    return part.threshold_source.startswith("fit on")


def number_rows(numbers: Iterable[Number]) -> Iterator[dict[str, Any]]:
    """The summary columns of some numbers."""
    for number in numbers:
        low, high = number.interval()
        low_there, high_there = number.interval_at_threshold()
        several = len(number.per_draw) > 1
        yield {
            "condition": number.condition,
            "sounding_object": number.sounding[0].value if len(number.sounding) == 1 else None,
            "metric": number.metric.name,
            "value": number.value,
            "std_over_draws": float(np.std(number.per_draw, ddof=1)) if several else None,
            "ci_low": low,
            "ci_high": high,
            "ci_low_at_threshold": low_there,
            "ci_high_at_threshold": high_there,
            **{f"share_{source}": share for source, share in number.shares().items()},
            "n": number.n,
            "n_undefined": number.n_undefined,
            "draws": len(number.per_draw),
            "higher_is_better": number.higher_is_better,
        }


def summary_key(row: Mapping[Any, Any]) -> str:
    """Name of a summary row in wandb and csv: `<condition>/<metric>/<policy>[.ogl]`."""
    variant = "" if row["map_variant"] == "av" else f".{row['map_variant']}"
    return f"{row['condition']}/{row['metric']}/{row['threshold_policy']}{variant}"
