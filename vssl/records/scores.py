"""A scores file as arrays: one value for each sample and draw; its parts are read one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vssl.core.arrays import AnyFloats, Array, Index, Mask
from vssl.records.conditions import image_sources, sounding_objects
from vssl.records.files import ANEW, RECORDS_FILE
from vssl.records.schema import SCORE_KEY
from vssl.records.store import RecordsError, open_parquet, read_columns, read_provenance, reading
from vssl.records.truth import GroundTruth, object_area
from vssl.thresholds.base import EACH_MAP
from vssl.thresholds.chosen import BY_CLASS, CHOSEN_ON
from vssl.types import NATURAL, POSITIVE, SoundingObject

_SCORE_AGAIN = "Evaluate again with vssl-evaluate, or score again with vssl-rescore threshold=all."
_OBJECTS_READ = 4096  # at once
_ROWS_COPIED = 1 << 13  # rows that are copied together when they are scored
_ROWS_SORTED = 1 << 20  # rows that are sorted by part before they are written
_BYTES_KEPT = 1 << 29  # of the columns that were read last


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
        table = read_columns(run / RECORDS_FILE, columns, positive, columns)
        names, groups, categories = (table.column(name).to_pylist() for name in columns)
        truth = GroundTruth.of(run).of_some(names)
        some = (
            names[start : start + _OBJECTS_READ] for start in range(0, len(names), _OBJECTS_READ)
        )
        areas = np.array([object_area(*each) for own in some for each in truth.objects(own)])
        return cls(names, groups, categories, areas, truth.natural, truth.flags())


def in_parts(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Sort rows of a scores file into tables of one part, which become its row groups."""
    # NumPy's small columns, kept for long between large maps, would tear the free memory to pieces
    copied = _joined(tables, rows=_ROWS_COPIED)
    for rows in _joined(copied, rows=_ROWS_SORTED):
        yield from (rows.filter(own) for own in _parts(rows).values())


def _joined(tables: Iterable[pa.Table], *, rows: int) -> Iterator[pa.Table]:
    """Copies of tables, joined to so many rows."""
    held: list[pa.Table] = []
    for table in chain(tables, [None]):
        held += [] if table is None else [table]
        if held and (table is None or sum(map(len, held)) >= rows):
            # a single chunk would stay as it is
            yield pa.concat_tables([*held, held[0][:0]]).unify_dictionaries().combine_chunks()
            held = []


def _parts(table: pa.Table) -> dict[Part, pa.Array]:
    """Which rows are of each part; the parts in the order of their first rows."""
    codes, names = zip(*(_labels(table.column(name)) for name in Part._fields), strict=True)
    keys = np.ravel_multi_index(codes, [len(each) for each in names])
    firsts = np.unique(keys, return_index=True)[1]
    parts = {}
    for row in np.sort(firsts).tolist():
        part = Part(*(name[code[row]] for name, code in zip(names, codes, strict=True)))
        parts[part] = pa.array(keys == keys[row])
    return parts


def _labels(column: pa.ChunkedArray) -> tuple[Index, list[str]]:
    """Code of each row, and what the codes stand for."""
    column = column.unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks])
    return codes, column.chunk(0).dictionary.to_pylist()


class Scores:
    """The scores of a run by part, condition and column.

    Natural negatives have rows under `natural` and where nothing in the picture sounds, the others
    under all else. A column is read for one part at a time, and dropped when others need its place.

    Args:
        path: scores file, which stays open as long as the scores are there.
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
        self._read: dict[tuple[Part, str], tuple[AnyFloats, Mask]] = {}
        self._pieces: dict[Part, list[tuple[int, pa.Array]]] = {}  # row groups, and rows of them
        self._open = ExitStack()
        self._file = file = self._open.enter_context(open_parquet(path))
        with reading(path):
            found = {field.name: field.type for field in file.schema_arrow}
            if not {field.name: field.type for field in SCORE_KEY}.items() <= found.items():
                raise RecordsError(f"{path}: has other columns than vssl writes. {_SCORE_AGAIN}")
            self.columns = [*found][len(SCORE_KEY) :]
            for group in range(file.num_row_groups):
                labels = file.read_row_group(group, Part._fields)
                labels.validate(full=True)
                for part, own in _parts(labels).items():
                    self._pieces.setdefault(part, []).append((group, own))
        place = {name: n for n, name in enumerate(ids)}
        # of each condition: which cells, number of draws, `[N]` which samples have rows
        self._blocks: dict[Part, dict[str, tuple[slice, int, Mask]]] = {}
        self._cells: dict[Part, Index] = {}  # of the rows of a part
        self._thresholds: dict[Part, float | None] = {}
        cells = np.empty(0, np.int64)
        for part in self._pieces:
            columns = ["sample_id", "audio_condition", "draw", "threshold"]
            rows = pa.concat_tables(self.rows(part, columns))
            own, self._blocks[part] = self._arranged(rows, place)
            cells = cells if np.array_equal(cells, own) else own  # mostly the same for all parts
            self._cells[part], self._thresholds[part] = cells, rows.column("threshold")[0].as_py()

    def rows(self, part: Part, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Read the rows of a part in the file's order, some at a time; None for all columns."""
        for group, own in self._pieces[part]:
            with reading(self._path):
                table = self._file.read_row_group(group, columns)
                table.validate(full=True)  # a page's header has no checksum, see `check_pages`
            yield table.filter(own)

    def _arranged(
        self, rows: pa.Table, place: Mapping[str, int]
    ) -> tuple[Index, dict[str, tuple[slice, int, Mask]]]:
        """Cell of each row, by condition, then sample, then draw."""
        sample, names = _labels(rows.column("sample_id"))
        condition, conditions = _labels(rows.column("audio_condition"))
        if not set(names) <= place.keys():
            raise RecordsError(f"{self._path}: is not of the records beside it. {_SCORE_AGAIN}")
        sample = np.array([place[name] for name in names], np.int64)[sample]
        draw = rows.column("draw").to_numpy()
        cells, blocks, start, whole = np.empty_like(sample), {}, 0, bool((draw >= 0).all())
        for code in np.flatnonzero(np.bincount(condition)):
            own, name = np.flatnonzero(condition == code), conditions[code]
            draws, there = int(draw[own].max()) + 1, np.zeros(len(place), bool)
            there[sample[own]] = True
            whole = whole and len(own) == there.sum() * draws
            if whole:
                cells[own] = start + sample[own] * draws + draw[own]
                blocks[name] = slice(start, start + draws * len(place)), draws, there
                start += draws * len(place)
        natural = np.zeros(len(place), bool)
        natural |= blocks[NATURAL][2] if NATURAL in blocks else False
        for name, (_, _, there) in blocks.items():
            everywhere = self.sounding[name] == SoundingObject.NONE
            whole &= name == NATURAL or bool((there == (everywhere | ~natural)).all())
        if not whole or np.bincount(cells).max(initial=0) > 1:
            raise RecordsError(f"{self._path}: rows are missing or doubled. {_SCORE_AGAIN}")
        return cells, blocks

    def _column(self, part: Part, name: str) -> tuple[AnyFloats, Mask]:
        """Values `[C]` of a part's cells, or curves `[C, T]`, and where there are any."""
        found = self._read.pop((part, name), None)
        if found is None:
            pieces, start = [], 0
            for rows in self.rows(part, [name]):
                column, start = rows.column(0), start + len(rows)
                cells = self._cells[part][start - len(rows) : start][column.is_valid().to_numpy()]
                values = column.drop_null().combine_chunks()
                if pa.types.is_list(values.type):
                    values = values.flatten().to_numpy()
                    values = values.reshape(len(cells), len(values) // max(len(cells), 1))
                pieces.append((cells, np.asarray(values)))
            count = max(cells.stop for cells, *_ in self._blocks[part].values())
            shape = max(values.shape[1:] for _, values in pieces)
            kind = pieces[0][1].dtype
            found = np.full((count, *shape), np.nan, kind), np.zeros(count, bool)
            for cells, values in pieces:
                if len(cells):
                    found[0][cells], found[1][cells] = values, True
            sizes = [v.nbytes + there.nbytes for v, there in (*self._read.values(), found)]
            while self._read and sum(sizes) > _BYTES_KEPT:
                del self._read[next(iter(self._read))], sizes[0]
        self._read[part, name] = found  # the last one stands last
        return found

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
        value = self._thresholds[part] if part.has_one_threshold else None
        return np.nan if value is None else value

    def values(self, part: Part, condition: str, column: str) -> Array:
        """Values of a column, `[N, D]`, or curves `[N, D, T]` float32, to be read only.

        NaN where undefined or not asked.
        """
        return self._own(part, condition, self._column(part, column)[0])

    def asked(self, part: Part, condition: str, column: str) -> Mask:
        """Which samples a column was measured on, `[N]`.

        The others have null in the file, or no row (see `there`).
        """
        return self._own(part, condition, self._column(part, column)[1])[:, 0]

    def there(self, part: Part, condition: str) -> Mask:
        """Which samples have rows under a condition, `[N]`: all without natural negatives."""
        if condition not in self._blocks[part]:
            return np.zeros(len(self.image_sources), bool)
        return self._blocks[part][condition][2]

    def _own(self, part: Part, condition: str, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        cells, draws, _ = self._blocks[part][condition]
        return column[cells].reshape(-1, draws, *column.shape[1:])
