"""Numbers of parts of a test set: by class, and by the size of the object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from vssl.checks import check_choice
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.pia import ImageArea
from vssl.metrics.pointing import PointingGame
from vssl.progress import progress_bar
from vssl.records.aggregate import FACTS, part_rows
from vssl.records.files import RECORDS_FILE
from vssl.records.fit import FittedPolicy
from vssl.records.refit import ResampledRun
from vssl.records.schema import SUBSETS
from vssl.records.score import AnyMetric
from vssl.records.scores import Samples, ScoredRun
from vssl.records.store import AtomicParquetWriter, read_provenance
from vssl.records.uncertainty import ImageBootstrap

SUBSET_KINDS = ("category", "object_size")

_METRICS = (ConsensusIoU, SuccessRate, AUC, ImageArea, AUCN, FLoc, FAuc, PointingGame)


def summarize_subsets(
    run: Path,
    scores: Path,
    metrics: Sequence[AnyMetric],
    kinds: Sequence[str],
    *,
    output: Path,
    fitted: Sequence[FittedPolicy] = (),
    opened: ScoredRun | None = None,
    resampled: ResampledRun | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Summarize parts of a run's samples and write the numbers.

    By `category`: the class that sounds. By `object_size`: quarters of the samples by the area of
    their ground truth (a size that `object_area` is told, which is what makes it an oracle).
    Reported are cIoU, success rate, AUC, pIA, AUC_N, F_LOC, F_AUC and the pointing game, as far as
    they are among `metrics`. A subset of a single image has no interval.

    Args:
        run: folder with the records.
        scores: scores file.
        metrics: metrics that were measured.
        kinds: of `SUBSET_KINDS`.
        output: file to write.
        fitted: the policies behind the scores, see `summarize`.
        opened: the scores, where they were read already.
        resampled: the run with its resamples, where it was made already (from `fitted`).
        resamples: bootstrap resamples over the images of each subset. Fitted thresholds are those
            of resamples of the whole run.
        seed: seed of the bootstrap.

    Returns:
        One row per number (columns: `records.schema.SUBSETS`).

    Raises:
        UsageError: for a kind that does not exist.
        RecordsError: when a file cannot be read.
    """
    check_kinds(kinds)
    provenance = read_provenance(run / RECORDS_FILE)
    facts = {key: provenance[key] for key in FACTS}
    opened = opened or ScoredRun.of(run, scores)
    samples, table = opened.samples, opened.scores
    reported = [metric for metric in metrics if type(metric) in _METRICS]
    groups = np.array(samples.image_groups)
    rows: list[dict[str, Any]] = []
    subsets = [(kind, *subset) for kind in kinds for subset in _subsets(kind, samples)]
    with ExitStack() as stack:
        if resampled is None:
            resampled = stack.enter_context(
                ResampledRun.of(run, opened, metrics, fitted, resamples=resamples, seed=seed)
            )
        with progress_bar("subsets and intervals", len(subsets)) as advance:
            for kind, name, members in subsets:
                images = list(groups[members])
                bootstrap = ImageBootstrap(images, resamples=resamples, seed=seed)
                subset = {"subset_kind": kind, "subset": name, **facts}
                for part in table.parts():
                    numbers = resampled.numbers(part, reported, rows=members, bootstrap=bootstrap)
                    found = part_rows(table, part, resampled, numbers)
                    rows += [{**subset, **row} for row in found]
                advance(1)
    summary = pd.DataFrame(rows, columns=SUBSETS.names)
    with AtomicParquetWriter(output, SUBSETS, provenance) as writer:
        writer.write(pa.Table.from_pandas(summary, schema=SUBSETS, preserve_index=False))
    return summary


def check_kinds(kinds: Sequence[str]) -> None:
    """Check what parts are asked for.

    Raises:
        UsageError: for a kind that does not exist.
    """
    for kind in kinds:
        check_choice(kind, SUBSET_KINDS, name="subsets")


def _subsets(kind: str, samples: Samples) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Names of subsets and their samples."""
    if kind == "category":
        categories = np.array(samples.categories)
        for name in np.unique(categories):
            yield str(name), np.flatnonzero(categories == name)
        return
    areas = samples.object_areas
    # equal areas stay together
    quarter = np.searchsorted(np.quantile(areas, [0.25, 0.5, 0.75]), areas, side="left")
    for number in np.unique(quarter):
        members = np.flatnonzero(quarter == number)
        low, high = areas[members].min(), areas[members].max()
        yield f"Q{number + 1}: {low:.4f} to {high:.4f} of the image", members
