"""A scores file as arrays: one value for each sample and draw."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vssl.core.arrays import Array, Index, Mask
from vssl.records.conditions import image_sources, sounding_objects
from vssl.records.files import ANEW, RECORDS_FILE
from vssl.records.schema import SCORE_KEY
from vssl.records.store import RecordsError, column_names, read_columns, read_provenance
from vssl.records.truth import GroundTruth, object_area
from vssl.thresholds.base import EACH_MAP
from vssl.thresholds.chosen import BY_CLASS, CHOSEN_ON
from vssl.types import NATURAL, POSITIVE, SoundingObject

_SCORE_AGAIN = "Evaluate again with vssl-evaluate, or score again with vssl-rescore threshold=all."
_SCORE_LABELS = (
    "map_variant",
    "threshold_policy",
    "threshold_source",
    "audio_condition",
    "sample_id",
)


class Part(NamedTuple):
    """Map variant, threshold policy (or `none`) and the source of its threshold."""

    map_variant: str
    threshold_policy: str
    threshold_source: str

    @property
    def is_fitted(self) -> bool:
        """Whether the one threshold was learnt from negatives, or chosen by ground truth."""
        learnt = self.threshold_source.startswith(("fit on", CHOSEN_ON))
        return learnt and self.has_one_threshold

    @property
    def has_one_threshold(self) -> bool:
        """Whether all maps share the threshold."""
        own = self.threshold_source
        return own != EACH_MAP and not (own.startswith(CHOSEN_ON) and own.endswith(BY_CLASS))


@dataclass(frozen=True)
class Samples:
    """The samples of a run, in its order."""

    ids: list[str]
    image_groups: list[str]  # name of each one's picture
    categories: list[str]
    object_areas: Array  # `[N]` of the ground truth, as a fraction of the image
    natural: Mask  # `[N]` whether it is a natural negative
    flags: Sequence[Mapping[str, str]]  # of each one, by kind

    @classmethod
    def of(cls, run: Path) -> Samples:
        """Read them from a run's records and ground truth."""
        columns = ["sample_id", "image_group", "category"]
        positive = pc.field("audio_condition") == POSITIVE
        table = read_columns(run / RECORDS_FILE, columns, positive)
        names, groups, categories = (table.column(name).to_pylist() for name in columns)
        truth = GroundTruth.of(run).of_some(names)
        areas = np.array([object_area(*each) for each in truth.objects(names)])
        return cls(names, groups, categories, areas, truth.natural, truth.flags())

    def flag_kinds(self) -> list[str]:
        """Kinds of flags that some sample has."""
        return list(dict.fromkeys(kind for flags in self.flags for kind in flags))


class Scores:
    """The scores of a run by part, condition and column.

    Rows are held in one order: by part and condition, then sample, then draw. Natural negatives
    have rows under `natural` and where nothing in the picture sounds, the others under all else.

    Args:
        path: scores file.
        ids: names of the samples, in the order of the results.

    Attributes:
        sounding: which object of the picture sounds, by audio condition.
        image_sources: `[N]` number of sounding objects of each sample's picture; 0 if unknown.
        columns: names of the metric columns.

    Raises:
        RecordsError: when the file cannot be read, or is not of these samples.
    """

    def __init__(self, path: Path, ids: list[str]) -> None:
        self._path = path
        provenance = read_provenance(path)
        try:
            self.sounding = sounding_objects(provenance)
            recorded = dict.fromkeys(str(name) for name, _ in provenance.get("pairings") or ())
        except (ValueError, TypeError) as error:  # of a flipped bit
            raise RecordsError(f"{path}: its provenance is damaged ({error}). {ANEW}") from error
        self.image_sources = image_sources(provenance, ids)
        self._place = {name: number for number, name in enumerate(recorded)}
        self._rows: Index | None = None
        self._read: dict[str, tuple[Array, Mask]] = {}
        self._curves: dict[str, Array] = {}
        self.columns = column_names(path)[len(SCORE_KEY) :]
        *labels, (sample, names) = (self._labels(name) for name in _SCORE_LABELS)
        place = {name: n for n, name in enumerate(ids)}
        if not set(names) <= place.keys():
            raise RecordsError(f"{path}: is not of the records beside it. {_SCORE_AGAIN}")
        sample = np.array([place[name] for name in names], np.int64)[sample]
        draw = read_columns(path, ["draw"]).column(0).to_numpy().astype(np.int64)
        sizes = tuple(len(values) for _, values in labels)
        keys = np.ravel_multi_index([codes for codes, _ in labels], sizes)
        self._order = np.lexsort((draw, sample, keys))
        self._samples = len(ids)
        self._blocks: dict[Part, dict[str, tuple[slice, int, Mask]]] = {}
        different, firsts, counts = np.unique(keys, return_index=True, return_counts=True)
        stops = np.cumsum(counts)
        for block in np.argsort(firsts):  # in the order of the file
            digits = np.unravel_index(different[block], sizes)
            *part, condition = (v[d] for (_, v), d in zip(labels, digits, strict=True))
            rows = slice(stops[block] - counts[block], stops[block])
            own = self._order[rows]
            draws = int(draw[own].max()) + 1
            there = np.zeros(len(ids), bool)
            there[sample[own]] = True
            cells = np.flatnonzero(there)[:, None] * draws + np.arange(draws)
            if not np.array_equal(sample[own] * draws + draw[own], cells.ravel()):
                raise RecordsError(f"{path}: rows are missing or doubled. {_SCORE_AGAIN}")
            self._blocks.setdefault(Part(*part), {})[condition] = rows, draws, there
        if not all(map(self._is_whole, self._blocks)):
            raise RecordsError(f"{path}: rows are missing or doubled. {_SCORE_AGAIN}")

    def _is_whole(self, part: Part) -> bool:
        """Whether every condition of a part has the rows of the samples that it should have."""
        there = {name: block[2] for name, block in self._blocks[part].items()}
        natural = there.pop(NATURAL, np.zeros(self._samples, bool))
        none = SoundingObject.NONE
        return all(
            (found == (True if self.sounding[name] == none else ~natural)).all()
            for name, found in there.items()
        )

    def _labels(self, name: str) -> tuple[Index, list[str]]:
        column = read_columns(self._path, [name]).column(0).unify_dictionaries()
        if not pa.types.is_dictionary(column.type):  # a footer with a flipped bit
            raise RecordsError(f"{self._path}: its column {name} is damaged. {_SCORE_AGAIN}")
        codes = [chunk.indices.to_numpy().astype(np.int64) for chunk in column.chunks]
        return np.concatenate(codes), column.chunk(0).dictionary.to_pylist()

    def _column(self, name: str) -> tuple[Array, Mask]:
        """A column's values `[R]`, and where it has one; read once."""
        if name not in self._read:
            column = read_columns(self._path, [name]).column(0)
            valid = column.is_valid().to_numpy()
            if pa.types.is_list(column.type):
                values = self._number_curves(name, column, valid)
            else:
                values = column.to_numpy().astype(np.float64)
            self._read[name] = values[self._order], valid[self._order]
        return self._read[name]

    def _number_curves(self, name: str, column: pa.ChunkedArray, valid: Mask) -> Array:
        """Keep a column's curves; gives the number of each row's, `[R]`, NaN where it has none."""
        flat = column.combine_chunks().flatten().to_numpy()
        self._curves[name] = flat.reshape(max(int(valid.sum()), 1), -1)
        return np.where(valid, np.cumsum(valid) - 1.0, np.nan)

    def read_all(self) -> Scores:
        """Load every column into memory, so that the file may be deleted."""
        for name in (*self.columns, "threshold"):
            self._column(name)
        return self

    def of_samples(self, rows: Index) -> Scores:
        """The scores of some samples, by their places `[n]`."""
        chosen = copy.copy(self)
        chosen._rows = rows
        chosen.image_sources = self.image_sources[rows]
        return chosen

    def parts(self) -> Iterator[Part]:
        """The parts, in the order of the file."""
        yield from self._blocks

    def conditions(self, part: Part) -> list[str]:
        """Audio conditions of a part, in the order of the run; `natural` is the last."""
        return sorted(self._blocks[part], key=lambda name: self._place.get(name, len(self._place)))

    def draws(self, part: Part, condition: str) -> int:
        """Number of draws of a condition."""
        return self._blocks[part][condition][1]

    def threshold(self, part: Part) -> float:
        """The part's one threshold; NaN if every map has its own, or none is used."""
        rows, *_ = next(iter(self._blocks[part].values()))
        value = self._column("threshold")[0][rows.start]
        return float(value) if part.has_one_threshold else float("nan")

    def values(self, part: Part, condition: str, column: str) -> Array:
        """Values of a column, `[N, D]`, to be read only; NaN where undefined or not asked."""
        return self._block(part, condition, self._column(column)[0])

    def curves(self, part: Part, condition: str, column: str) -> Array:
        """Curves of a column, `[N, D, T]` float32; NaN where undefined or not measured."""
        number = self.values(part, condition, column)
        there = ~np.isnan(number)
        curves = self._curves[column]
        found = np.full((*number.shape, curves.shape[1]), np.nan, np.float32)
        found[there] = curves[number[there].astype(np.int64)]
        return found

    def asked(self, part: Part, condition: str, column: str) -> Mask:
        """Which samples a column was measured on, `[N]`.

        The others have null in the file, or no row (see `there`).
        """
        return self._block(part, condition, self._column(column)[1])[:, 0]

    def there(self, part: Part, condition: str) -> Mask:
        """Which samples have rows under a condition, `[N]`: all without natural negatives."""
        if condition not in self._blocks[part]:
            return np.zeros(len(self.image_sources), bool)
        there = self._blocks[part][condition][2]
        return there if self._rows is None else there[self._rows]

    def _block(self, part: Part, condition: str, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        rows, draws, there = self._blocks[part][condition]
        values = column[rows].reshape(-1, draws)
        if not there.all():
            everywhere = np.full((len(there), draws), False if column.dtype == bool else np.nan)
            everywhere[there] = values
            values = everywhere
        return values if self._rows is None else values[self._rows]
