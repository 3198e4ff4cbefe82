"""A scores file as arrays: one value for each sample and draw; its parts are read one at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vssl.core.arrays import Array, Floats, Index, Mask
from vssl.records.conditions import image_sources, sounding_objects
from vssl.records.files import ANEW, RECORDS_FILE
from vssl.records.schema import SCORE_KEY
from vssl.records.store import RecordsError, open_parquet, read_columns, read_provenance, reading
from vssl.records.truth import GroundTruth
from vssl.thresholds.base import EACH_MAP
from vssl.thresholds.chosen import BY_CLASS, CHOSEN_ON
from vssl.types import NATURAL, POSITIVE, SoundingObject

_SCORE_AGAIN = "Evaluate again with vssl-evaluate, or score again with vssl-rescore threshold=all."
_PART_LABELS = ("map_variant", "threshold_policy", "threshold_source")
_ROW_KEYS = ("sample_id", "audio_condition", "draw")
_ROWS_SORTED = 1 << 20  # rows that are sorted by part before they are written
_BYTES_KEPT = 1 << 30  # of the columns that were read last


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
        areas = truth.object_areas(names)
        return cls(names, groups, categories, areas, truth.natural, truth.flags())

    def flag_kinds(self) -> list[str]:
        """Kinds of flags that some sample has."""
        return list(dict.fromkeys(kind for flags in self.flags for kind in flags))


def by_part(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Sort the rows of a scores file into tables of one part, which become row groups."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= _ROWS_SORTED:
            yield from _split(pa.concat_tables(held))
            held = []
    if held:
        yield from _split(pa.concat_tables(held))


def _split(table: pa.Table) -> Iterator[pa.Table]:
    table = table.unify_dictionaries().combine_chunks()
    parts, codes = _parts(table)
    for number in range(len(parts)):
        yield table.filter(pa.array(codes == number))


def row_groups(path: Path) -> Iterator[pa.Table]:
    """Read a scores file one row group at a time."""
    with open_parquet(path) as file:
        for group in range(file.num_row_groups):
            yield _row_group(path, file, group)


def _row_group(
    path: Path, file: pq.ParquetFile, group: int, columns: Sequence[str] | None = None
) -> pa.Table:
    table = file.read_row_group(group, columns=columns and list(columns))
    table.validate(full=True)  # a page's header has no checksum, see `store.check_pages`
    if len(table) != file.metadata.row_group(group).num_rows:
        raise RecordsError(f"{path}: its pages hold other numbers of rows. {ANEW}")
    return table


def _parts(table: pa.Table) -> tuple[list[Part], npt.NDArray[np.uint16]]:
    """Parts of some rows in the order of their first ones, and the number of each row's."""
    codes, names = zip(*(_labels(table.column(name)) for name in _PART_LABELS), strict=True)
    keys = np.ravel_multi_index(codes, [len(each) for each in names])
    different, firsts, place = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    digits = np.unravel_index(different[order], [len(each) for each in names])
    parts = [Part(*map(list.__getitem__, names, own)) for own in zip(*digits, strict=True)]
    return parts, np.argsort(order).astype(np.uint16)[place]


def _labels(column: pa.ChunkedArray) -> tuple[Index, list[str]]:
    """Code of each row, and what the codes stand for."""
    column = column.unify_dictionaries()
    codes = [chunk.indices.to_numpy().astype(np.int64) for chunk in column.chunks]
    return np.concatenate(codes), column.chunk(0).dictionary.to_pylist()


class _Piece(NamedTuple):
    """Rows of one part in a row group."""

    group: int
    number: int  # of the part among those of the row group
    parts: npt.NDArray[np.uint16] | None  # number of each row's; None where all rows are its own

    def own_rows(self, table: pa.Table) -> pa.Table:
        return table if self.parts is None else table.filter(pa.array(self.parts == self.number))


class _Block(NamedTuple):
    """The rows of an audio condition among those of a part."""

    rows: slice
    draws: int
    there: Mask  # `[N]` which samples have rows


class _Column(NamedTuple):
    """A column of a part."""

    values: Array  # `[R]`, of a column of curves their numbers
    valid: Mask  # `[R]` whether it has a value
    curves: Floats  # `[V, T]`

    @classmethod
    def of(cls, column: pa.ChunkedArray, order: Index) -> _Column:
        """Sort the rows of a column."""
        valid = column.is_valid().to_numpy()
        if not pa.types.is_list(column.type):
            values, curves = column.to_numpy().astype(np.float64), np.empty((0, 0), np.float32)
        else:
            flat = column.combine_chunks().flatten().to_numpy()
            curves = flat.reshape(max(int(valid.sum()), 1), -1)
            values = np.where(valid, np.cumsum(valid) - 1.0, np.nan)
        return cls(values[order], valid[order], curves)

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return sum(each.nbytes for each in self)


class Scores:
    """The scores of a run by part, condition and column.

    Rows are held in one order: by condition, then sample, then draw. Natural negatives have rows
    under `natural` and where nothing in the picture sounds, the others under all else. A column is
    read for one part at a time, and dropped when others need its place.

    Args:
        path: scores file, which is read as long as there are questions.
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
        self._kept: dict[tuple[Part, str], _Column] = {}
        self._blocks: dict[Part, dict[str, _Block]] = {}
        self._orders: dict[Part, Index] = {}
        with open_parquet(path) as file:
            self._metadata = file.metadata
            self.columns = file.schema_arrow.names[len(SCORE_KEY) :]
            self._check_columns(file.schema_arrow)
            self._pieces = self._find_parts(file)
        place = {name: n for n, name in enumerate(ids)}
        order = np.empty(0, np.int64)
        for part in self._pieces:
            own, self._blocks[part] = self._order(part, place)
            order = order if np.array_equal(order, own) else own  # mostly that of all parts
            self._orders[part] = order
            if not self._is_whole(part):
                raise self._faulty()

    def _check_columns(self, schema: pa.Schema) -> None:
        names = {field.name for field in SCORE_KEY}
        for name in names - set(schema.names):
            raise RecordsError(f"{self._path}: lacks the column {name}. {ANEW}")
        for name in (*_PART_LABELS, *_ROW_KEYS[:2]):
            if not pa.types.is_dictionary(schema.field(name).type):  # a footer with a flipped bit
                raise RecordsError(f"{self._path}: its column {name} is damaged. {_SCORE_AGAIN}")

    def _find_parts(self, file: pq.ParquetFile) -> dict[Part, list[_Piece]]:
        """Row groups that hold rows of each part, in the order of the file."""
        found: dict[Part, list[_Piece]] = {}
        for group in range(file.num_row_groups):
            parts, codes = _parts(_row_group(self._path, file, group, _PART_LABELS))
            for number, part in enumerate(parts):
                piece = _Piece(group, number, codes if len(parts) > 1 else None)
                found.setdefault(part, []).append(piece)
        return found

    def _table(self, part: Part, columns: Sequence[str]) -> pa.Table:
        """Columns of a part's rows, in the order of the file."""
        with (
            reading(self._path),
            pq.ParquetFile(
                self._path, metadata=self._metadata, page_checksum_verification=True
            ) as file,
        ):
            pieces = [
                piece.own_rows(_row_group(self._path, file, piece.group, columns))
                for piece in self._pieces[part]
            ]
        return pa.concat_tables(pieces)

    def _order(self, part: Part, place: Mapping[str, int]) -> tuple[Index, dict[str, _Block]]:
        """Order of a part's rows, `[R]`, and where in it each condition is."""
        table = self._table(part, _ROW_KEYS)
        (sample, names), (condition, conditions) = (
            _labels(table.column(name)) for name in _ROW_KEYS[:2]
        )
        if not set(names) <= place.keys():
            raise RecordsError(f"{self._path}: is not of the records beside it. {_SCORE_AGAIN}")
        sample = np.array([place[name] for name in names], np.int64)[sample]
        draw = table.column("draw").to_numpy().astype(np.int64)
        by_code = (np.flatnonzero(condition == code) for code in range(len(conditions)))
        rows = sorted((own for own in by_code if len(own)), key=lambda own: int(own[0]))
        order, blocks, start = [], {}, 0
        for own in rows:
            draws, there = int(draw[own].max()) + 1, np.zeros(len(place), bool)
            there[sample[own]] = True
            cells = (np.cumsum(there) - 1)[sample[own]] * draws + draw[own]
            in_cell = np.full(len(own), -1)
            if there.sum() * draws == len(own) and draw[own].min() >= 0:
                in_cell[cells] = own
            if (in_cell < 0).any():
                raise self._faulty()
            order.append(in_cell)
            block = slice(start, start + len(own))
            blocks[conditions[condition[own[0]]]] = _Block(block, draws, there)
            start = block.stop
        return np.concatenate(order), blocks

    def _faulty(self) -> RecordsError:
        return RecordsError(f"{self._path}: rows are missing or doubled. {_SCORE_AGAIN}")

    def _is_whole(self, part: Part) -> bool:
        """Whether every condition of a part has the rows of the samples that it should have."""
        there = {name: block.there for name, block in self._blocks[part].items()}
        natural = there.pop(NATURAL, np.zeros(len(self.image_sources), bool))
        none = SoundingObject.NONE
        return all(
            (found == (True if self.sounding[name] == none else ~natural)).all()
            for name, found in there.items()
        )

    def _column(self, part: Part, name: str) -> _Column:
        """A column of a part; read again if it was not among the last."""
        column = self._kept.pop((part, name), None)
        if column is None:
            column = _Column.of(self._table(part, [name]).column(0), self._orders[part])
            free = _BYTES_KEPT - column.size
            while self._kept and sum(each.size for each in self._kept.values()) > free:
                del self._kept[next(iter(self._kept))]
        self._kept[part, name] = column
        return column

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
        return self._blocks[part][condition].draws

    def threshold(self, part: Part) -> float:
        """The part's one threshold; NaN if every map has its own, or none is used."""
        if not part.has_one_threshold:
            return float("nan")
        return float(self._column(part, "threshold").values[0])

    def values(self, part: Part, condition: str, column: str) -> Array:
        """Values of a column, `[N, D]`, to be read only; NaN where undefined or not asked."""
        return self._block(part, condition, self._column(part, column).values)

    def curves(self, part: Part, condition: str, column: str) -> Array:
        """Curves of a column, `[N, D, T]` float32; NaN where undefined or not measured."""
        number = self.values(part, condition, column)
        there = ~np.isnan(number)
        curves = self._column(part, column).curves
        found = np.full((*number.shape, curves.shape[1]), np.nan, np.float32)
        found[there] = curves[number[there].astype(np.int64)]
        return found

    def asked(self, part: Part, condition: str, column: str) -> Mask:
        """Which samples a column was measured on, `[N]`.

        The others have null in the file, or no row (see `there`).
        """
        return self._block(part, condition, self._column(part, column).valid)[:, 0]

    def there(self, part: Part, condition: str) -> Mask:
        """Which samples have rows under a condition, `[N]`: all without natural negatives."""
        if condition not in self._blocks[part]:
            return np.zeros(len(self.image_sources), bool)
        there = self._blocks[part][condition].there
        return there if self._rows is None else there[self._rows]

    def _block(self, part: Part, condition: str, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        block = self._blocks[part][condition]
        values, there = column[block.rows].reshape(-1, block.draws), block.there
        if not there.all():
            everywhere = np.full(
                (len(there), block.draws), False if column.dtype == bool else np.nan
            )
            everywhere[there] = values
            values = everywhere
        return values if self._rows is None else values[self._rows]
