"""Scores to summary: every number with its interval, of a whole run and of parts of its samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vssl.core.arrays import Index
from vssl.core.progress import progress_bar
from vssl.records.bootstrap import ImageBootstrap
from vssl.records.files import RECORDS_FILE
from vssl.records.number import Number, Subset
from vssl.records.pooled import POOLED, POOLED_SOURCE, pooled_numbers
from vssl.records.refit import ResampledRun
from vssl.records.schema import SUBSETS, SUMMARY
from vssl.records.score import AnyMetric
from vssl.records.scores import Part, Samples
from vssl.records.store import parquet_writer, read_provenance

FACTS = ("model", "dataset", "protocol", "seed", "coverage", "manifest_hash", "config_hash")
"""Provenance that every row of a summary repeats."""

_SUBSETS_TOGETHER = 64  # their resamples are held until all are there


def summarize(
    run: Path, resampled: ResampledRun, metrics: Sequence[AnyMetric], *, output: Path
) -> pd.DataFrame:
    """Summarize the scores of an opened run and write the numbers.

    Without its policy, a fitted threshold counts as known, and `ci_low` and `ci_high` are null.

    Returns:
        The summary, one row per number (columns: `records.schema.SUMMARY`).

    Raises:
        RecordsError: when a file cannot be read.
    """
    provenance = read_provenance(run / RECORDS_FILE)
    rows: list[dict[str, Any]] = []
    parts = list(resampled.scores.parts())
    with progress_bar("summary and intervals", len(parts)) as advance:
        for part in parts:
            (numbers,) = resampled.numbers(part, metrics)
            rows += _part_rows(resampled, part, numbers)
            advance(1)
    if provenance.get("protocol_switches", {}).get("pooled_ciou") == "released":
        pooled = {"threshold_policy": POOLED, "threshold_source": POOLED_SOURCE}
        for variant in dict.fromkeys(part.map_variant for part in parts):
            numbers = pooled_numbers(resampled.scores, variant, resampled.bootstrap)
            rows += [{"map_variant": variant, **pooled, **number.row()} for number in numbers]
    return _write_summary(rows, provenance, SUMMARY, output)


def summarize_subsets(
    run: Path,
    resampled: ResampledRun,
    metrics: Sequence[AnyMetric],
    kinds: Sequence[str],
    *,
    output: Path,
) -> pd.DataFrame:
    """Summarize parts of a run's samples and write the numbers (columns: `records.schema.SUBSETS`).

    By `category`: the class that sounds. By `object_size`: quarters of the samples by the area of
    their ground truth, without natural negatives. By another kind: the values of the samples' flags
    of that kind; samples without one are left out. Reported are the metrics whose class says
    `by_subset`. A subset of a single image has no interval. Fitted thresholds are those of
    resamples of the whole run; the bootstrap is over the images of each subset.

    Raises:
        RecordsError: when a file cannot be read.
    """
    samples, whole = Samples.of(run), resampled.bootstrap
    resamples, seed = len(whole.weights), whole.seed
    reported = [metric for metric in metrics if metric.by_subset]
    names, subsets = [], []
    for kind in kinds:
        for name, members in _subsets(kind, samples):
            images = [samples.image_groups[place] for place in members]
            names.append({"subset_kind": kind, "subset": name})
            subsets.append(Subset(members, ImageBootstrap(images, resamples=resamples, seed=seed)))
    parts = list(resampled.scores.parts())
    rows: list[list[dict[str, Any]]] = [[] for _ in subsets]
    with progress_bar("subsets and intervals", len(parts)) as advance:
        for part in parts:
            for first in range(0, len(subsets), _SUBSETS_TOGETHER):
                some = slice(first, first + _SUBSETS_TOGETHER)
                found = resampled.numbers(part, reported, subsets[some])
                for own, facts, numbers in zip(rows[some], names[some], found, strict=True):
                    own += [{**facts, **row} for row in _part_rows(resampled, part, numbers)]
            advance(1)
    provenance = read_provenance(run / RECORDS_FILE)
    return _write_summary(list(chain.from_iterable(rows)), provenance, SUBSETS, output)


def _part_rows(
    resampled: ResampledRun, part: Part, numbers: Sequence[Number]
) -> Iterator[dict[str, Any]]:
    """Summary columns of a part's numbers, without those of the run."""
    facts = {**part._asdict(), "threshold": resampled.scores.threshold(part)}
    unknown: tuple[str, ...] = ()
    if part.is_fitted and part not in resampled.thresholds:  # then its policy is not known
        unknown = ("ci_low", "ci_high", "share_images", "share_sounds", "share_threshold")
    for number in numbers:
        yield {**facts, **number.row(), **dict.fromkeys(unknown)}


def _write_summary(
    rows: Sequence[Mapping[str, Any]], provenance: dict[str, Any], schema: pa.Schema, output: Path
) -> pd.DataFrame:
    facts = {key: provenance[key] for key in FACTS}
    summary = pd.DataFrame([{**facts, **row} for row in rows], columns=schema.names)
    with parquet_writer(output, schema, provenance) as write:
        write(pa.Table.from_pandas(summary, schema=schema, preserve_index=False))
    return summary


def _subsets(kind: str, samples: Samples) -> Iterator[tuple[str, Index]]:
    """Names of subsets and their samples."""
    if kind == "category":
        categories = np.array(samples.categories)
        for name in np.unique(categories):
            yield str(name), np.flatnonzero(categories == name)
    elif kind == "object_size":
        positives = np.flatnonzero(~samples.natural)
        areas = samples.object_areas[positives]
        # equal areas stay together
        limits = np.quantile(areas, [0.25, 0.5, 0.75]) if len(areas) else areas
        quarter = np.searchsorted(limits, areas, side="left")
        for number in np.unique(quarter):
            members = positives[quarter == number]
            low, high = samples.object_areas[members].min(), samples.object_areas[members].max()
            yield f"Q{number + 1}: {low:.4f} to {high:.4f} of the image", members
    else:
        values = [flags.get(kind) for flags in samples.flags]
        for value in sorted({value for value in values if value is not None}):
            yield value, np.flatnonzero([each == value for each in values])


def summary_key(row: Mapping[Any, Any]) -> str:
    """Name of a summary row in wandb and csv: `<condition>/<metric>/<policy>[.ogl]`."""
    variant = "" if row["map_variant"] == "av" else f".{row['map_variant']}"
    return f"{row['condition']}/{row['metric']}/{row['threshold_policy']}{variant}"
