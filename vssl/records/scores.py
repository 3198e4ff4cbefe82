"""A scores file as arrays: one value for each sample and draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vssl.maps import consensus_map
from vssl.records.chunks import sample_chunks
from vssl.records.files import RECORDS_FILE
from vssl.thresholds.base import EACH_MAP
from vssl.types import POSITIVE

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_LABELS = ("map_variant", "threshold_policy", "threshold_source", "audio_condition", "sample_id")


class Part(NamedTuple):
    """What a block of scores was made under.

    Attributes:
        map_variant: `av` or `ogl`.
        threshold_policy: policy, or `none`.
        threshold_source: what its threshold rests on.
    """

    map_variant: str
    threshold_policy: str
    threshold_source: str


@dataclass(frozen=True)
class Samples:
    """The samples of a run, in its order.

    Attributes:
        ids: `[N]` names.
        image_groups: `[N]` name of each one's picture.
        categories: `[N]`.
        object_areas: `[N]` area of the ground-truth boxes' union as a fraction of the image.
    """

    ids: list[str]
    image_groups: list[str]
    categories: list[str]
    object_areas: Array

    @classmethod
    def of(cls, run: Path) -> Samples:
        """Read the samples of a run's records."""
        ids, groups, categories, areas = [], [], [], []
        columns = ("audio_condition", "image_group", "category", "boxes", "box_weights")
        for chunk in sample_chunks(run / RECORDS_FILE, columns):
            positive = pc.equal(chunk.column("audio_condition"), POSITIVE)
            for row in chunk.filter(positive).to_pylist():
                ids.append(row["sample_id"])
                groups.append(row["image_group"])
                categories.append(row["category"])
                truth = consensus_map(row["boxes"], row["box_weights"])
                areas.append(float((truth > 0).double().mean()))
        return cls(ids, groups, categories, np.array(areas))


class Scores:
    """The scores of a run by part, condition and column.

    Args:
        path: scores file.
        ids: names of the samples, in the order of the results.
    """

    def __init__(self, path: Path, ids: list[str]) -> None:
        self._path = path
        self._columns: dict[str, Array] = {}
        labels: dict[str, tuple[Index, list[str]]] = {}
        for name in _LABELS:
            column = pq.read_table(path, columns=[name]).column(0).unify_dictionaries()
            codes = [chunk.indices.to_numpy().astype(np.int64) for chunk in column.chunks]
            labels[name] = np.concatenate(codes), column.chunk(0).dictionary.to_pylist()
        place = {name: n for n, name in enumerate(ids)}
        sample, names = labels["sample_id"]
        self._sample = np.array([place[name] for name in names], np.int64)[sample]
        self._count = len(ids)
        self._draw = self._read("draw").astype(np.int64)
        self._parts: dict[Part, dict[str, Index]] = {}
        keys = np.stack([labels[name][0] for name in _LABELS[:4]], axis=1)
        different, inverse = np.unique(keys, axis=0, return_inverse=True)
        order = np.argsort(inverse.ravel(), kind="stable")
        starts = np.searchsorted(inverse.ravel()[order], np.arange(len(different) + 1))
        firsts = [order[start] for start in starts[:-1]]
        for k in np.argsort(firsts):  # in the order of the file
            values = [labels[n][1][code] for n, code in zip(_LABELS, different[k], strict=False)]
            rows = order[starts[k] : starts[k + 1]]
            self._parts.setdefault(Part(*values[:3]), {})[values[3]] = rows

    @property
    def columns(self) -> list[str]:
        """Names of the metric columns."""
        names = pq.read_schema(self._path).names
        return [name for name in names if name not in (*_LABELS, "draw", "threshold")]

    def parts(self) -> Iterator[Part]:
        """The parts, in the order of the file."""
        yield from self._parts

    def conditions(self, part: Part) -> list[str]:
        """Audio conditions of a part, in the order of the run."""
        return list(self._parts[part])

    def draws(self, part: Part, condition: str) -> int:
        """Number of draws of a condition."""
        return int(self._draw[self._parts[part][condition]].max()) + 1

    def threshold(self, part: Part) -> float:
        """The part's one threshold; NaN where every map has its own or none is involved."""
        rows = next(iter(self._parts[part].values()))
        found = self._read("threshold")[rows]
        return float("nan") if part.threshold_source == EACH_MAP else float(found[0])

    def values(self, part: Part, condition: str, column: str) -> Array:
        """Values of a column, `[N, D]`; NaN where undefined or not measured."""
        rows = self._parts[part][condition]
        values = np.full((self._count, self.draws(part, condition)), np.nan)
        values[self._sample[rows], self._draw[rows]] = self._read(column)[rows]
        return values

    def asked(self, part: Part, condition: str, column: str) -> npt.NDArray[np.bool_]:
        """Which samples a column is about, `[N]`; the others have null in the file."""
        rows = self._parts[part][condition]
        valid = pq.read_table(self._path, columns=[column]).column(0).is_valid().to_numpy()
        asked = np.zeros(self._count, bool)
        asked[self._sample[rows]] = valid[rows]
        return asked

    def _read(self, column: str) -> Array:
        if column not in self._columns:
            table = pq.read_table(self._path, columns=[column])
            self._columns[column] = table.column(0).to_numpy().astype(np.float64)
        return self._columns[column]
