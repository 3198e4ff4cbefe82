"""Maps that another program computed, as a model: no network, no images, no sounds.

Layouts: docs/stored-maps.md.
"""

from __future__ import annotations

import difflib
import importlib
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

from vssl.core.arrays import Floats
from vssl.core.errors import UsageError
from vssl.core.hashing import content_sha256
from vssl.core.progress import progress_bar
from vssl.models.base import LocalizationModel
from vssl.types import POSITIVE, ImageBatch

Key = tuple[str, str, int]
"""Sample, audio condition and draw of a map."""

_IMAGES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"}
_SUFFIXES = {".npy", *_IMAGES}
_ID_NAMES = ("sample_id", "ids", "sample_ids", "id")
_SHOWN = 5
_TOLERANCE = 1e-4  # as of any model's declared range
_WHITE = {"1": 1.0, "L": 255.0, "I;16": 65535.0, "I;16B": 65535.0, "I;16L": 65535.0, "F": 1.0}
"""Value of white by Pillow's mode; of images of other modes nobody knows what they mean."""


class MapsError(UsageError):
    """Stored maps that cannot be scored; the message names place, faults with counts and remedy."""


@dataclass(frozen=True)
class MapsReport:
    """What a check of stored maps found."""

    missing: dict[str, str]  # by sample that lacks maps: which
    surplus: dict[str, str]  # by map that nothing of the run asks for: where it is
    undefined: int  # maps that hold NaN or infinite values


class StoredMaps(LocalizationModel):
    """Similarity maps from a folder of files, or from one npz, h5 or zarr file.

    Args:
        maps: the folder or file; None for nothing, as where models are only listed.
        key: name of the array of maps in a file; None takes `maps`, or the one array of 3 axes.
        value_range: lowest and highest value that maps can have; None for no known bounds.

    Raises:
        MapsError: when there is nothing, or a file does not have the layout.
    """

    takes_images: ClassVar[bool] = False

    def __init__(
        self,
        *,
        maps: str | Path | None = None,
        key: str | None = None,
        value_range: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        low, high = (-np.inf, np.inf) if value_range is None else value_range
        self.value_range = (float(low), float(high))
        self.map_size = (0, 0)
        self._store: _Folder | _File | None = None
        self.maps_sha256: str | None = None  # by which runs tell this model from another one
        if maps is not None:
            place = Path(maps).expanduser()
            self._store = _opened(place, key)
            self.map_size = _size(self._store)
            self.maps_sha256 = content_sha256(place)

    def check(
        self, sample_ids: Sequence[str], pairings: Sequence[tuple[str, int]], *, skip: bool = False
    ) -> MapsReport:
        """Read every map that a run needs, once, for its (audio condition, draw) pairs.

        With `skip` samples that lack maps are reported rather than an error.

        Raises:
            MapsError: for missing, unreadable or unfit maps, all of them in one message.
        """
        store = self._stored()
        places: dict[Any, Key] = {}
        missing: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        draws = Counter(condition for condition, _ in pairings)
        for sample_id in sample_ids:
            for condition, draw in pairings:
                place = store.find((sample_id, condition, draw), alone=draws[condition] == 1)
                if place is None:
                    missing[sample_id].append((condition, draw))
                else:
                    places[place] = (sample_id, condition, draw)
        surplus = dict(store.describe(each) for each in store.places() if each not in places)
        if missing and (not skip or len(missing) == len(sample_ids)):
            raise MapsError(self._missing(missing, draws, len(sample_ids), surplus))
        left_out = set(missing)
        # in the order of the store, which keeps rows that are compressed together
        wanted = sorted(place for place, key in places.items() if key[0] not in left_out)
        faults: defaultdict[str, list[str]] = defaultdict(list)
        undefined, measured = 0, False
        with progress_bar("checking the maps", len(wanted)) as advance:
            for place in wanted:
                advance(1)
                try:
                    values = store.read(place)
                except MapsError as error:
                    kind, _, detail = str(error).partition(": ")
                    faults[kind].append(f"{store.describe(place)[1]}: {detail}")
                    continue
                undefined += bool(np.isnan(values).any())
                if not measured:  # a file that nothing asks for may have another size
                    self.map_size, measured = values.shape, True
                if values.shape != self.map_size:
                    shapes = f"{_shown(values.shape)}, the first is {_shown(self.map_size)}"
                    faults["other sizes"].append(f"{store.describe(place)[1]}: {shapes}")
                    continue
                low, high = self.value_range
                defined = values[~np.isnan(values)]
                if defined.size and (
                    defined.min() < low - _TOLERANCE or defined.max() > high + _TOLERANCE
                ):
                    text = f"values from {defined.min():.6g} to {defined.max():.6g}"
                    faults[f"outside of model.value_range=[{low:g},{high:g}]"].append(
                        f"{store.describe(place)[1]}: {text}"
                    )
        if faults:
            raise MapsError(f"{store.root}: {_listed(faults, len(wanted))}")
        reasons = {sample_id: _in_words(lacks) for sample_id, lacks in missing.items()}
        return MapsReport(reasons, surplus, undefined)

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """Read the maps of a batch, `[N, K, h, w]`.

        Raises:
            MapsError: for a map that is not stored.
        """
        store = self._stored()
        draws = Counter(condition for condition, _ in batch.pairings)
        places = []
        for sample_id in batch.sample_ids:
            for condition, draw in batch.pairings:
                place = store.find((sample_id, condition, draw), alone=draws[condition] == 1)
                if place is None:
                    raise MapsError(f"{store.root}: no map of {sample_id}, {condition}, {draw}")
                places.append(place)
        read = {place: store.read(place) for place in sorted(places)}
        found = torch.from_numpy(np.stack([read[place] for place in places]))
        shape = len(batch.sample_ids), len(batch.pairings), *found.shape[1:]
        return found.view(shape).to(batch.images.device)

    def _stored(self) -> _Folder | _File:
        if self._store is None:
            raise MapsError("model.maps is not set. Set model.maps=DIR or FILE.")
        return self._store

    def _missing(
        self,
        missing: Mapping[str, list[tuple[str, int]]],
        draws: Mapping[str, int],
        samples: int,
        surplus: Mapping[str, str],
    ) -> str:
        """What lacks, in words, with what may have been meant."""
        store, (first, lacks) = self._stored(), next(iter(missing.items()))
        lacking = Counter(condition for each in missing.values() for condition, _ in each)
        counts = ", ".join(
            f"{count} of {samples * draws[condition]} of {condition}"
            for condition, count in lacking.items()
        )
        shown = [f"{name} ({_in_words(own[:_SHOWN])})" for name, own in missing.items()][:_SHOWN]
        text = (
            f"{store.root}: {sum(lacking.values())} maps are missing ({counts}), e.g. of"
            f" {', '.join(shown)}."
        )
        if lacking == {name: samples * count for name, count in draws.items() if name != POSITIVE}:
            return f"{text} There is no map of any negative: negatives=none scores positives alone."
        text += f" Expected {store.expected((first, *lacks[0]))}."
        stems = {name.rpartition("/")[2]: name for name in surplus}
        near = difflib.get_close_matches(Path(first).name, list(stems)[:10_000], n=1, cutoff=0.7)
        if near:
            text += f" Is {stems[near[0]]!r} meant? Ids are as in the csv of vssl-export-plan."
        elif surplus:
            text += f" There are {len(surplus)} other maps, e.g. {next(iter(surplus))!r}."
        if len(missing) < samples:
            whole = samples - len(missing)
            text += f" model.missing=skip evaluates the {whole} samples with all their maps."
        return text


class _Folder:
    """A file for each map; a place, what tells one of them, is its name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[str, Path] = {}
        twice = []
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() in _SUFFIXES:
                name = path.relative_to(root).as_posix()[: -len(path.suffix)]
                if name in self._files:
                    twice.append(f"{self._files[name].name} and {path.name}")
                self._files[name] = path
        if twice:
            raise MapsError(f"{root}: {len(twice)} maps have two files, e.g. {twice[0]}.")

    def places(self) -> Iterator[str]:
        return iter(self._files)

    def find(self, key: Key, *, alone: bool) -> str | None:
        """The place of a map, or None; `alone` where its condition has one draw."""
        sample_id, condition, draw = key
        names = [f"{condition}/{draw}/{sample_id}"]
        names += [f"{condition}/{sample_id}"] if alone else []
        names += [sample_id] if condition == POSITIVE else []
        return next((name for name in names if name in self._files), None)

    def read(self, place: Any) -> Floats:
        """A map `[h, w]`, infinite values as NaN; MapsError with kind and detail of a fault."""
        path = self._files[place]
        try:
            if path.suffix.lower() == ".npy":
                values = np.load(path)
            else:
                with Image.open(path) as image:
                    white = _WHITE.get(image.mode)
                    # Pillow before 11.3 opens PNG of 16 bits so
                    white = 65535.0 if image.mode == "I" and image.format == "PNG" else white
                    if white is None:
                        raise MapsError(f"images that are not grey: mode {image.mode}")
                    values = np.asarray(image, np.float32) / np.float32(white)
        except MapsError:
            raise
        except Exception as error:  # of any decoder
            raise MapsError(f"unreadable files: {' '.join(str(error).split())}") from error
        return _checked(values)

    def describe(self, place: Any) -> tuple[str, str]:
        """Name and whereabouts."""
        return place, str(self._files[place])

    def expected(self, key: Key) -> str:
        """Where a map was looked for, in words."""
        sample_id, condition, draw = key
        return f"{self.root}/{condition}/{draw}/{sample_id}.npy (or .png, .tif)"


class _File:
    """Arrays of maps and their ids in one file; a place is a row."""

    def __init__(self, root: Path, key: str | None) -> None:
        self.root = root
        arrays = _open_arrays(root)
        ids = next((name for name in _ID_NAMES if name in arrays), None)
        listed = ", ".join(f"{name} {list(each.shape)}" for name, each in arrays.items())
        if ids is None:
            raise MapsError(
                f"{root}: has no array `sample_id` (or `ids`), which says whose the maps are. It"
                f" has {listed or 'no arrays'}."
            )
        stacks = [name for name, each in arrays.items() if len(each.shape) == 3]
        if key is None:
            key = "maps" if "maps" in arrays else stacks[0] if len(stacks) == 1 else None
        if key is None or key not in arrays:
            wanted = "" if key is None else f" `{key}`"
            raise MapsError(
                f"{root}: which array has the maps{wanted}? It has {listed}. Set model.key=NAME of"
                " one with shape [n, h, w]."
            )
        self._maps = arrays[key]
        self._is_matlab = _is_matlab(self._maps)
        names = _texts(arrays[ids], root)
        count, shape = len(names), tuple(self._maps.shape)
        self._last = self._is_matlab and len(shape) == 3 and shape[0] != count == shape[-1]
        if len(shape) != 3 or shape[-1 if self._last else 0] != count:
            hint = " Is its last axis the first?" if len(shape) == 3 and count == shape[-1] else ""
            raise MapsError(
                f"{root}: `{key}` has shape {list(shape)} for {count} ids: expected [{count}, h,"
                f" w].{hint}"
            )
        # compressed rows are unpacked together, and anew for each of them unless they are kept
        chunks = getattr(self._maps, "chunks", None)
        self._block = chunks[-1 if self._last else 0] if chunks else 1
        self._held: tuple[int, Any] = (-1, None)
        columns: dict[str, list[Any]] = {"condition": [POSITIVE] * count, "draw": [0] * count}
        if "condition" in arrays:
            columns["condition"] = _texts(arrays["condition"], root)
        if "draw" in arrays:
            columns["draw"] = [int(n) for n in np.asarray(arrays["draw"][()]).ravel()]
        for name, values in columns.items():
            if len(values) != count:
                raise MapsError(f"{root}: `{name}` has {len(values)} values for {count} ids.")
        self._keys: list[Key] = list(zip(names, columns["condition"], columns["draw"], strict=True))
        self._rows = {each: row for row, each in enumerate(self._keys)}
        if len(self._rows) < count:
            twice = next(each for each, n in Counter(self._keys).items() if n > 1)
            raise MapsError(
                f"{root}: {count - len(self._rows)} rows repeat sample, condition and draw of"
                f" another, e.g. {twice}."
            )

    def places(self) -> Iterator[int]:
        return iter(range(len(self._keys)))

    def find(self, key: Key, *, alone: bool) -> int | None:
        return self._rows.get(key)

    def read(self, place: Any) -> Floats:
        start = place - place % self._block
        try:
            if start != self._held[0]:
                self._held = start, self._read(start)
            values = np.asarray(self._held[1][place - start])
        except Exception as error:  # of any decoder
            raise MapsError(f"unreadable rows: {' '.join(str(error).split())}") from error
        return _checked(values.T if self._is_matlab else values)

    def _read(self, start: int) -> Any:
        """Rows that are compressed together; MATLAB's lie in files with their axes in reverse."""
        rows = slice(start, start + self._block)
        return np.moveaxis(self._maps[:, :, rows], -1, 0) if self._last else self._maps[rows]

    def describe(self, place: Any) -> tuple[str, str]:
        sample_id, condition, draw = self._keys[place]
        return f"{condition}/{draw}/{sample_id}", f"row {place} ({sample_id}, {condition}, {draw})"

    def expected(self, key: Key) -> str:
        sample_id, condition, draw = key
        return f"a row with sample_id {sample_id}, condition {condition}, draw {draw}"


def _opened(place: Path, key: str | None) -> _Folder | _File:
    if not place.exists():
        raise MapsError(f"{place}: no such file or folder (model.maps)")
    is_zarr = place.is_dir() and any((place / n).exists() for n in ("zarr.json", ".zgroup"))
    return _Folder(place) if place.is_dir() and not is_zarr else _File(place, key)


def _size(store: _Folder | _File) -> tuple[int, int]:
    """Height and width of the first map that can be read; without any `check` says why."""
    for place in store.places():
        with suppress(MapsError):
            height, width = store.read(place).shape
            return height, width
    return 0, 0


def _open_arrays(root: Path) -> dict[str, Any]:
    """Arrays of a file by name, of which a row is read at a time."""
    suffix = root.suffix.lower()
    try:
        if suffix == ".npz":
            return _npz_arrays(root)
        if root.is_dir() or suffix == ".zarr":
            return dict(_package("zarr", root).open_group(str(root), mode="r").arrays())
        if suffix in (".h5", ".hdf5", ".mat"):
            h5py = _package("h5py", root)
            return {k: v for k, v in h5py.File(root, "r").items() if isinstance(v, h5py.Dataset)}
    except MapsError:
        raise
    except Exception as error:  # of any library
        hint = " MATLAB writes h5 with save(..., '-v7.3')." if suffix == ".mat" else ""
        raise MapsError(f"{root}: not readable ({' '.join(str(error).split())}).{hint}") from error
    raise MapsError(f"{root}: expected a folder, or a file that ends in .npz, .h5, .mat or .zarr.")


def _npz_arrays(root: Path) -> dict[str, Any]:
    """Arrays of an npz; those of 3 axes are unpacked to a temporary file and mapped to memory."""
    arrays: dict[str, Any] = {}
    with zipfile.ZipFile(root) as archive, tempfile.TemporaryDirectory() as folder:
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            try:
                values = np.load(archive.extract(member, folder), mmap_mode="r")
            except ValueError as error:  # of texts that pandas or a list with dtype=object holds
                hint = "Save ids and conditions as np.array(ids, dtype=str)."
                raise MapsError(f"{root}: `{name}`: not readable ({error}) {hint}") from error
            # the mapping outlives the file's name
            arrays[name] = values if values.ndim == 3 else values[()].copy()
    return arrays


def _package(name: str, root: Path) -> Any:
    """h5py or zarr, which few need."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MapsError(f"{root}: reading it needs {name}: pip install 'vssl[maps]'") from error


def _texts(array: Any, root: Path) -> list[str]:
    """An array of texts; MATLAB's cells are references to arrays of characters."""
    values = np.asarray(array[()])
    if values.dtype == object and _is_matlab(array):
        return ["".join(map(chr, array.file[each][()].ravel())) for each in values.ravel()]
    if values.dtype.kind not in "SUOT" or (values.ndim != 1 and not _is_matlab(array)):
        raise MapsError(
            f"{root}: ids and conditions must be texts, one for each map, but are"
            f" {values.dtype} {list(values.shape)}. In MATLAB, save a cell array of char vectors."
        )
    return [each.decode() if isinstance(each, bytes) else str(each) for each in values.ravel()]


def _is_matlab(array: Any) -> bool:
    return "MATLAB_class" in getattr(array, "attrs", ())


def _checked(values: Any) -> Floats:
    """A map `[h, w]` as float32, infinite values as NaN; MapsError for what is none."""
    if values.dtype.kind not in "fiub":
        raise MapsError(f"other values than numbers: dtype {values.dtype}")
    if values.ndim != 2 or 0 in values.shape:
        raise MapsError(f"other shapes than [h, w]: {_shown(values.shape)}")
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
    numbers[np.isinf(numbers)] = np.nan
    return numbers  # type: ignore[no-any-return]


def _shown(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _in_words(pairings: Sequence[tuple[str, int]]) -> str:
    return "; ".join(f"{condition}, draw {draw}" for condition, draw in pairings)


def _listed(faults: Mapping[str, Sequence[str]], count: int) -> str:
    """Faults by kind with counts, and the first of each."""
    counts = "; ".join(f"{len(each)} with {kind}" for kind, each in faults.items())
    lines = [f"of {count} maps, {counts}"]
    for kind, each in faults.items():
        lines += [f"  {kind}: {detail}" for detail in each[:_SHOWN]]
        lines += [f"  {kind}: and {len(each) - _SHOWN} more"] if len(each) > _SHOWN else []
    return "\n".join(lines)
