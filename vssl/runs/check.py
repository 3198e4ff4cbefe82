"""What vssl understands of a test set: printed, listed and drawn."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from vssl.config.compose import composed_config
from vssl.config.networks import make
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.core.files import output_folder
from vssl.core.hashing import ids_hash
from vssl.data.base import CheckedData, DataError, DatasetReader
from vssl.data.check import describe, write_problems
from vssl.maps import consensus_map
from vssl.negatives.offscreen import Offscreen
from vssl.records.files import LEFT_OUT_FILE, NOTES_FILE
from vssl.reporting.figures.contact_sheet import Tile, draw_sheet
from vssl.types import Sample

SHEET_FILE = "contact_sheet.png"
_TILES = 24
_FAULTY_TILES = 6
_SHOWN = 12  # of categories, sizes and rates


def check_data_set(overrides: Sequence[str], output: Path | None) -> bool:
    """Check a test set as an evaluation would, say what it is, and draw some of its samples.

    Args:
        overrides: words `key=value` of `vssl-evaluate`.
        output: folder, or a .png file; None for `check-<data>`.

    Returns:
        Whether an evaluation would run: no fault, or `data.missing=skip`.

    Raises:
        UsageError: when the annotations cannot be read at all.
    """
    settings = RunSettings.of(composed_config("evaluate", list(overrides)))
    reader: DatasetReader = make(settings.data.reader)
    if settings.model.frontend is not None:
        from vssl.config import build  # noqa: PLC0415 twice the memory

        build.set_needs(reader, settings)
    stops, reader.missing = reader.missing == "error", "skip"
    log = logging.getLogger("vssl.data")
    level = log.level
    log.setLevel(logging.ERROR)  # it is said below
    try:
        data = reader.check()
    except DataError as error:
        if error.data is None:
            raise
        data = error.data
    finally:
        log.setLevel(level)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for title, text in _facts(reader, data):
        console.print(f"{title:<18}{text}")
    folder = Path(output or f"check-{reader.name}").expanduser().absolute()
    sheet = folder / SHEET_FILE
    if folder.suffix.lower() == ".png":
        sheet, folder = folder, folder.parent
    with output_folder(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if sheet.name == SHEET_FILE:
            for name, found in ((LEFT_OUT_FILE, data.problems), (NOTES_FILE, data.notes)):
                (folder / name).unlink(missing_ok=True)
                if found:
                    write_problems(folder / name, found)
        tiles = _tiles(data)
        if tiles:
            count = f"{len(tiles)} of {data.listed} samples"
            draw_sheet(sheet, tiles, title=f"{reader.name}, {data.annotation.name}: {count}")
    for one, several, found in (
        ("oddity", "oddities", data.notes),
        ("fault", "faults", data.problems),
    ):
        if found:
            name = several if len(found) > 1 else one
            console.print(f"\n{len(found)} {name}: {describe(found)}")
    if data.cause:
        console.print(data.cause)
    console.print(f"\n{'drawn' if tiles else 'nothing to draw':<18}{sheet if tiles else ''}")
    good = bool(data.samples) and not (data.problems and stops)
    console.print(_verdict(data, reader, good=good))
    return good


def _verdict(data: CheckedData, reader: DatasetReader, *, good: bool) -> str:
    if good:
        left_out = f" The {len(data.left_out)} faulty ones are left out." if data.left_out else ""
        return f"{'good':<18}{len(data.samples)} samples can be evaluated.{left_out}"
    text = f"{'not yet':<18}mend the {reader.mended}"
    if data.samples:
        text += f", or set data.missing=skip to evaluate the {len(data.samples)} whole samples"
    return f"{text}."


def _facts(reader: DatasetReader, data: CheckedData) -> Iterable[tuple[str, str]]:
    """Lines of title and text."""
    samples = [*data.samples, *data.left_out]
    understood = reader.understood or [f"{data.annotation}: read as data={reader.name}"]
    for number, line in enumerate(understood):
        yield "" if number else "read", line
    share = f"{len(data.samples)} of {data.listed} listed can be evaluated"
    share += f" ({100 * data.coverage:.1f} %)"
    if reader.expected_count not in (None, data.listed):
        share += f"; the published list has {reader.expected_count}"
    digest = ids_hash(sample.sample_id for sample in data.samples)
    yield "samples", f"{share}, list {digest[:8]}"
    yield "ground truth", _truth(samples)
    negatives = sum(sample.is_natural_negative for sample in samples)
    if negatives:
        yield "natural negatives", f"{negatives}, in whose picture nothing sounds"
    yield "categories", _categories(samples)
    if any(sample.category for sample in data.samples):
        try:
            Offscreen(draws=1).prepare(data.samples)
        except UsageError as error:
            yield "offscreen sounds", f"{error} That is negatives=[silence,noise]."
    images = [image.facts for image in data.images.values() if image.facts]
    sizes = Counter(f"{facts.width} x {facts.height}" for facts in images)
    kinds = Counter(facts.format for facts in images)
    yield "images", f"{len(data.images)} files: {_counted(kinds)}; pixels: {_counted(sizes)}"
    sounds = [sound.facts for sound in data.sounds.values() if sound.facts]
    yield "sounds", f"{len(data.sounds)} files: {_counted(Counter(f.format for f in sounds))}"
    if sounds:
        seconds = np.array([facts.seconds for facts in sounds])
        rates = Counter(f"{facts.rate} Hz" for facts in sounds)
        text = _counted(rates)
        if set(rates) != {f"{reader.rate} Hz"}:
            text += f"; all but {reader.rate} Hz are resampled"
        yield "", text
        names = {1: "mono", 2: "stereo"}
        channels = Counter(names.get(f.channels, f"{f.channels} channels") for f in sounds)
        low, middle, high = np.quantile(seconds, [0, 0.5, 1])
        yield "", f"{_counted(channels)}; {_spanned(low, high, ' s')}, median {middle:.3g}"


def _truth(samples: Sequence[Sample]) -> str:
    """Kinds of ground truth, objects in a sample, and shares of the picture."""
    marked = [sample for sample in samples if sample.boxes or sample.masks]
    if not marked:
        return "none: no picture has an object, so nothing can be localized"
    kinds = Counter(
        " and ".join(
            kind for kind, own in (("boxes", sample.boxes), ("masks", sample.masks)) if own
        )
        for sample in marked
    )
    regions = [len(sample.boxes) + len(sample.masks) for sample in marked]
    graded = sum(any(w < 1 for w in (*s.box_weights, *s.mask_weights)) for s in marked)
    shares = [100 * (_map(sample) > 0).mean() for sample in _spread(marked, 2000)]
    low, middle, high = np.quantile(shares, [0, 0.5, 1])
    text = f"{_counted(kinds)}; {_spanned(min(regions), max(regions))} a sample; marked are"
    text += f" {_spanned(low, high, ' %')} of the picture, median {middle:.2g}"
    return text + (f"; graded by votes in {graded}" if graded else "")


def _spanned(low: float, high: float, unit: str = "") -> str:
    first, last = f"{low:.2g}", f"{high:.2g}"
    return f"{first}{unit}" if first == last else f"{first} to {last}{unit}"


def _map(sample: Sample) -> np.ndarray:
    regions = sample.boxes, sample.box_weights, sample.masks, sample.mask_weights
    return consensus_map(*regions).numpy()


def _categories(samples: Sequence[Sample]) -> str:
    counts = Counter(sample.category for sample in samples)
    unnamed = counts.pop("", 0)
    if not counts:
        return "none, so no offscreen sound can be chosen: negatives=[silence,noise] needs none"
    text = f"{len(counts)}: {_counted(counts)}"
    return text + (f"; without one, so never offscreen: {unnamed}" if unnamed else "")


def _counted(counts: Counter[str]) -> str:
    """The most frequent of some names, with their counts."""
    shown = ", ".join(f"{name} ({count})" for name, count in counts.most_common(_SHOWN))
    more = len(counts) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _tiles(data: CheckedData) -> list[Tile]:
    """Samples spread over the set, some natural negatives and faulty ones among them."""
    faults: dict[str, str] = {}
    for problem in data.problems:
        faults.setdefault(problem.sample_id, problem.kind)
    faulty = _spread(data.left_out, _FAULTY_TILES)
    negative = [sample for sample in data.samples if sample.is_natural_negative]
    share = max(1, _TILES // 6) if negative else 0
    chosen = {sample.sample_id for sample in _spread(negative, share)}
    room = _TILES - len(faulty) - len(chosen)
    positive = [sample for sample in data.samples if not sample.is_natural_negative]
    chosen |= {sample.sample_id for sample in _spread(positive, room)}
    whole = [sample for sample in data.samples if sample.sample_id in chosen]
    return [
        Tile(sample, _map(sample), faults.get(sample.sample_id, "")) for sample in [*whole, *faulty]
    ]


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    places = np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int)
    return [samples[place] for place in places]
