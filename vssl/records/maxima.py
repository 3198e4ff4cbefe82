"""How high a run's maps reach, by audio condition."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from vssl.arrays import Array, Index, Names
from vssl.records.chunks import in_threads
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import Localization
from vssl.records.store import read_provenance

_COLUMNS = ("audio_condition", "similarity_max", "similarity_min")


@dataclass(frozen=True)
class MaximaHistograms:
    """Distributions of the largest value of a map, over records.

    Attributes:
        edges: `[B + 1]` bounds of the bins, the same for all conditions.
        counts: audio condition -> `[B]` number of records.
    """

    edges: Array
    counts: dict[str, Index]


def maxima_histograms(run: Path, *, bins: int = 64) -> MaximaHistograms:
    """Distributions of a run's largest map values, in one pass: one float per record is held.

    The value is the native map's, after the model's post-processing; maps that hold NaN are left
    out.

    Args:
        run: folder with the records.
        bins: number of bins B between the smallest and the largest value.

    Raises:
        RecordsError: when the records cannot be read.
    """
    path = run / RECORDS_FILE
    localization = Localization.of(read_provenance(path))

    def work(rows: pa.RecordBatch) -> tuple[Names, Array]:
        names = rows.column("audio_condition").to_numpy(zero_copy_only=False).astype(str)
        return names, localization.native_maxima(rows)

    found = in_threads(work, path, _COLUMNS, description="map maxima")
    condition, maxima = map(np.concatenate, zip(*found, strict=True))
    finite = np.isfinite(maxima)
    edges = np.histogram_bin_edges(maxima[finite], bins=bins)
    counts = {
        str(name): np.histogram(maxima[finite & (condition == name)], bins=edges)[0]
        for name in dict.fromkeys(condition.tolist())
    }
    return MaximaHistograms(edges, counts)
