"""How high a run's maps reach, by audio condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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

    edges: npt.NDArray[np.float64]
    counts: dict[str, npt.NDArray[np.int64]]


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

    def work(rows: pa.RecordBatch) -> tuple[Sequence[str], npt.NDArray[np.float64]]:
        return rows.column("audio_condition").to_pylist(), localization.native_maxima(rows)

    values: dict[str, list[npt.NDArray[np.float64]]] = {}
    for names, maxima in in_threads(work, path, _COLUMNS, description="map maxima"):
        for name in dict.fromkeys(names):
            chosen = maxima[np.array(names) == name]
            values.setdefault(name, []).append(chosen[np.isfinite(chosen)])
    joined = {name: np.concatenate(parts) for name, parts in values.items()}
    everything = [part for part in joined.values() if len(part)]
    ends = (
        (min(p.min() for p in everything), max(p.max() for p in everything))
        if everything
        else (0, 1)
    )
    edges = np.histogram_bin_edges(np.empty(0), bins=bins, range=ends)
    counts = {name: np.histogram(part, bins=edges)[0] for name, part in joined.items()}
    return MaximaHistograms(edges, counts)
