"""A scores file as arrays: one value for each sample and draw."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from vssl.maps import consensus_map
from vssl.metrics.base import MeanMetric
from vssl.metrics.sets import Family
from vssl.records.conditions import image_sources, sounding_objects
from vssl.records.files import RECORDS_FILE
from vssl.records.store import RecordsError, column_names, read_columns, read_provenance
from vssl.thresholds.base import EACH_MAP
from vssl.types import EVALUATION_SIZE, POSITIVE, Box

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_ANEW = "Evaluate again with vssl-evaluate, or score again with vssl-rescore threshold=all."
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
        columns = ["sample_id", "image_group", "category", "boxes", "box_weights"]
        positive = pc.field("audio_condition") == POSITIVE
        table = read_columns(run / RECORDS_FILE, columns, positive)
        rows = table.to_pylist()
        return cls(
            ids=[row["sample_id"] for row in rows],
            image_groups=[row["image_group"] for row in rows],
            categories=[row["category"] for row in rows],
            object_areas=np.array([object_area(row["boxes"], row["box_weights"]) for row in rows]),
        )


def object_area(boxes: Sequence[Box], weights: Sequence[float]) -> float:
    """Area of the boxes' union as a fraction of the image.

    Args:
        boxes: ground-truth boxes in pixels of the evaluation size.
        weights: one weight per box.
    """
    if len(boxes) == 1:  # most samples have one, whose area needs no drawing
        x0, y0, x1, y1 = (min(int(end), EVALUATION_SIZE) for end in boxes[0])
        pixels = np.float32(max(x1 - x0, 0) * max(y1 - y0, 0))
        return float(pixels / np.float32(EVALUATION_SIZE**2))
    return float((consensus_map(boxes, weights) > 0).sum() / EVALUATION_SIZE**2)


class Scores:
    """The scores of a run by part, condition and column.

    Args:
        path: scores file.
        ids: names of the samples, in the order of the results.

    Attributes:
        sounding: which object of the picture sounds, by audio condition.
        image_sources: `[N]` number of sounding objects of each sample's picture; 0 where a run of
            before does not say.
        families: what set metrics found for all policies of a map variant at once.
        spreads: what shared sounds do to these metrics.
    """

    def __init__(self, path: Path, ids: list[str]) -> None:
        self._path = path
        provenance = read_provenance(path)
        self.sounding = sounding_objects(provenance)
        self.image_sources = image_sources(provenance, ids)
        self._columns: dict[str, Array] = {}
        self._values: dict[tuple[Part, str, str], Array] = {}
        self.families: dict[Hashable, list[Family]] = {}
        self.spreads: dict[Hashable, dict[str, tuple[Array, float]]] = {}
        labels: dict[str, tuple[Index, list[str]]] = {}
        for name in _LABELS:
            column = read_columns(path, [name]).column(0).unify_dictionaries()
            if not pa.types.is_dictionary(column.type):  # a footer with a flipped bit
                raise RecordsError(f"{path}: its column {name} is damaged. {_ANEW}")
            codes = [chunk.indices.to_numpy().astype(np.int64) for chunk in column.chunks]
            labels[name] = np.concatenate(codes), column.chunk(0).dictionary.to_pylist()
        place = {name: n for n, name in enumerate(ids)}
        sample, names = labels["sample_id"]
        if not set(names) <= place.keys():
            raise RecordsError(f"{path}: is not of the records beside it. {_ANEW}")
        self._sample = np.array([place[name] for name in names], np.int64)[sample]
        self._count = len(ids)
        self._draw = self._read("draw").astype(np.int64)
        self._parts: dict[Part, dict[str, Index]] = {}
        sizes = tuple(len(labels[name][1]) for name in _LABELS[:4])
        keys = np.ravel_multi_index([labels[name][0] for name in _LABELS[:4]], sizes)
        different, firsts = np.unique(keys, return_index=True)
        for key in different[np.argsort(firsts)]:  # in the order of the file
            digits = np.unravel_index(key, sizes)
            values = [labels[name][1][d] for name, d in zip(_LABELS, digits, strict=False)]
            rows = np.flatnonzero(keys == key)
            self._parts.setdefault(Part(*values[:3]), {})[values[3]] = rows
            draws = int(self._draw[rows].max()) + 1
            cells = self._sample[rows] * draws + self._draw[rows]
            if len(rows) != len(ids) * draws or len(np.unique(cells)) != len(rows):
                raise RecordsError(f"{path}: rows are missing or doubled. {_ANEW}")

    @cached_property
    def columns(self) -> list[str]:
        """Names of the metric columns."""
        names = column_names(self._path)
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
        found = self._read("threshold")[rows[0]]
        return float("nan") if part.threshold_source == EACH_MAP else float(found)

    def values(self, part: Part, condition: str, column: str) -> Array:
        """Values of a column, `[N, D]`, to be read only; NaN where undefined or not measured."""
        key = (part, condition, column)
        if key not in self._values:
            rows = self._parts[part][condition]
            values = np.full((self._count, self.draws(part, condition)), np.nan)
            values[self._sample[rows], self._draw[rows]] = self._read(column)[rows]
            self._values[key] = values
        return self._values[key]

    def metric_values(self, part: Part, condition: str, metric: MeanMetric) -> Array:
        """A metric's own values, `[N, D]`, to be read only; see `MeanMetric.from_column`."""
        key = (part, condition, f"{metric.column}/{metric.name}")
        if key not in self._values:
            column = self.values(part, condition, metric.column)
            found = metric.from_column(torch.from_numpy(column.flatten())).numpy()
            self._values[key] = found.reshape(column.shape)
        return self._values[key]

    def asked(self, part: Part, condition: str, column: str) -> npt.NDArray[np.bool_]:
        """Which samples a column is about, `[N]`; the others have null in the file."""
        rows = self._parts[part][condition]
        valid = read_columns(self._path, [column]).column(0).is_valid().to_numpy()
        asked = np.zeros(self._count, bool)
        asked[self._sample[rows]] = valid[rows]
        return asked

    def _read(self, column: str) -> Array:
        if column not in self._columns:
            table = read_columns(self._path, [column])
            self._columns[column] = table.column(0).to_numpy().astype(np.float64)
        return self._columns[column]


@dataclass(frozen=True)
class ScoredRun:
    """The samples of a run and its scores, read once for all that is made of them."""

    samples: Samples
    scores: Scores

    @classmethod
    def of(cls, run: Path, scores: Path) -> ScoredRun:
        """Open the scores file of the run in a folder."""
        samples = Samples.of(run)
        return cls(samples, Scores(scores, samples.ids))
