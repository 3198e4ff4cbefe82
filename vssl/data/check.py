"""Check of a test set before anything runs: its annotations, ground truths and files."""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from vssl.audio import AudioFileError, SoundFacts, inspect_audio
from vssl.core.devices import each
from vssl.core.errors import UsageError
from vssl.core.files import csv_text, write_text
from vssl.core.hashing import FileState, file_state
from vssl.core.media import is_there
from vssl.core.progress import progress_bar
from vssl.data.boxes import box_fault, is_far, marked_pixels, truth_fault
from vssl.images import ImageFacts, ImageFileError, check_image
from vssl.types import SAMPLE_RATE, Sample

if TYPE_CHECKING:
    from vssl.data.base import DatasetReader

_log = logging.getLogger(__name__)
_SHOWN_PROBLEMS = 10
_EMPTY = "empty ground truths"
_NATURAL = "natural negatives (nothing in the picture sounds)"


_Facts = TypeVar("_Facts")
_Result = TypeVar("_Result")


class DataError(UsageError):
    """A test set that cannot be evaluated; the message names folder, faults and remedy.

    `data` is what the check found, where it came to an end.
    """

    def __init__(self, message: str, data: CheckedData | None = None) -> None:
        super().__init__(message)
        self.data = data


def parsed(path: Path, kind: str, parse: Callable[[str], _Result]) -> _Result:
    """Read a text file of a kind, such as JSON; DataError where it cannot be read as that."""
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"{path}: not readable as {kind} ({error})") from error


def csv_rows(path: Path, *, strict: bool = False) -> list[dict[str, Any]]:
    """Read the rows of a csv file with a header; DataError where it cannot be read."""
    return parsed(path, "CSV", lambda text: [*csv.DictReader(io.StringIO(text), strict=strict)])


@dataclass(frozen=True)
class Problem:
    """A fault or oddity of a test set: its kind, the sample's id, and file and fault in words."""

    kind: str
    sample_id: str
    detail: str


class Listing(NamedTuple):
    """Content of an annotation file."""

    annotation: Path
    total: int  # number of entries
    samples: list[Sample]
    boxes: Mapping[str, list[list[float]]]  # as annotated, by sample id
    problems: list[Problem]  # entries that cannot be read
    excluded: Sequence[tuple[Sample, str]] = ()  # samples that an option leaves out, with the kind


@dataclass(frozen=True)
class CheckedData:
    """A checked test set."""

    samples: tuple[Sample, ...]  # to evaluate, in the order of the annotation file
    listed: int  # ids in that file
    problems: tuple[Problem, ...]  # faults, whose samples are left out
    annotation: Path
    resampled: int  # audio files at another rate than the model's
    notes: tuple[Problem, ...] = ()  # oddities, whose samples are evaluated
    left_out: tuple[Sample, ...] = ()  # samples with faults
    images: Mapping[Path, CheckedFile[ImageFacts]] = field(default_factory=dict)  # faulty ones too
    sounds: Mapping[Path, CheckedFile[SoundFacts]] = field(default_factory=dict)
    cause: str = ""  # a guess at why boxes are faulty

    @property
    def coverage(self) -> float:
        """Share of the listed ids that can be evaluated."""
        return len(self.samples) / self.listed


class CheckedFile(NamedTuple, Generic[_Facts]):
    """What a file holds; None where it is missing or cannot be read."""

    facts: _Facts | None
    state: FileState | None
    fault: str


def check_listing(reader: DatasetReader, listing: Listing) -> CheckedData:
    """Check the ground truths and files of a test set by the reader's options."""
    if reader.empty == "negative":
        marked = [
            sample if sample.boxes or sample.masks else replace(sample, is_natural_negative=True)
            for sample in listing.samples
        ]
        listing = listing._replace(samples=marked)
    faults, notes = _check_boxes(reader, listing)
    everything = [*listing.samples, *(sample for sample, _ in listing.excluded)]
    unlisted = _unlisted_files(reader, everything)
    problems = [*listing.problems, *(unlisted if reader.lists_every_file else ()), *faults]
    annotated = [box for boxes in listing.boxes.values() for box in boxes]
    cause = reader.guess_cause(annotated) if faults or notes else ""
    notes += [*reader.oddities, *(() if reader.lists_every_file else unlisted)]
    images, sounds = _check_files(reader, listing.samples if reader.media == "check" else ())
    bad = {fault.sample_id for fault in faults}
    whole: list[Sample] = []
    left_out: list[Sample] = []
    silent: list[Problem] = []
    for sample in listing.samples:
        image, sound = images.get(sample.image_path), sounds.get(sample.audio_path)
        found = _file_faults(reader, sample, image, sound) if image and sound else []
        problems += found
        facts = sound and sound.facts
        if facts:
            sample = replace(sample, audio_length=facts.length)
        if found or sample.sample_id in bad:
            left_out.append(sample)
            continue
        constant = facts is not None and facts.constant
        if constant:
            path = str(sample.audio_path)
            silent.append(Problem("silent or constant sounds", sample.sample_id, path))
        (left_out if constant and reader.silent == "skip" else whole).append(sample)
    stops = bool(problems) and reader.missing == "error"
    problems += [Problem(kind, s.sample_id, s.sample_id) for s, kind in listing.excluded]
    (notes if reader.silent == "keep" else problems).extend(silent)
    notes += _duplicates(whole, images, sounds) + _incomplete(whole)
    heard = [sounds[sample.audio_path].facts for sample in whole if sample.audio_path in sounds]
    rates = Counter(each.rate for each in heard if each and each.rate != reader.rate)
    data = CheckedData(
        samples=tuple(whole),
        listed=listing.total,
        problems=tuple(problems),
        annotation=listing.annotation,
        resampled=sum(rates.values()),
        notes=tuple(notes),
        left_out=tuple(left_out),
        images=images,
        sounds=sounds,
        cause=cause,
    )
    _report(reader, data, rates, stops=stops)
    return data


def _check_boxes(reader: DatasetReader, listing: Listing) -> tuple[list[Problem], list[Problem]]:
    """Faults of ground truths, and oddities."""
    faults: list[Problem] = []
    notes: list[Problem] = []
    for sample in listing.samples:
        annotated = listing.boxes[sample.sample_id]
        if sample.is_natural_negative:
            notes.append(Problem(_NATURAL, sample.sample_id, f"{sample.sample_id}: no box or mask"))
            continue
        empty = truth_fault(annotated, sample)
        # one that marks nothing is harmless beside a good one, as in the published VGG-SS
        far = [box for box in annotated if is_far(box) and (empty or marked_pixels(box))]
        odd = [box for box in annotated if box_fault(box)]
        if far:
            target, kind = faults, "impossible boxes"
            text = f"the box {reader.shown_box(sample, far[0])} {box_fault(far[0])}"
        elif empty:
            noted = reader.empty == "keep" or (
                reader.empty == "negative" and reader.has_tiny_objects
            )
            target, kind = notes if noted else faults, _EMPTY
            text = f"{reader.shown_box(sample, annotated[0])} {empty}" if annotated else empty
        elif odd:
            target, kind = notes, "ground truths with an empty box"
            shown = reader.shown_box(sample, odd[0])
            text = f"of {len(annotated)} boxes, {shown} {box_fault(odd[0])}"
        else:
            continue
        target.append(Problem(kind, sample.sample_id, f"{sample.sample_id}: {text}"))
    return faults, notes


def _unlisted_files(reader: DatasetReader, samples: Sequence[Sample]) -> list[Problem]:
    """Media files that belong to no listed sample."""
    if reader.ids is not None or reader.limit is not None:
        return []  # those of the other samples
    problems = []
    for kind, folder, paths in (
        ("images without annotation", reader.image_folder, {s.image_path for s in samples}),
        ("audio files without annotation", reader.audio_folder, {s.audio_path for s in samples}),
    ):
        suffixes = {path.suffix for path in paths}
        files = folder.iterdir() if folder.is_dir() else ()
        extra = sorted(path for path in files if path.suffix in suffixes and path not in paths)
        problems += [Problem(kind, path.stem, str(path)) for path in extra]
    return problems


def _check_files(
    reader: DatasetReader, samples: Sequence[Sample]
) -> tuple[dict[Path, CheckedFile[ImageFacts]], dict[Path, CheckedFile[SoundFacts]]]:
    """Read each file once, however many samples have it."""
    pictures = list(dict.fromkeys(sample.image_path for sample in samples))
    clips = list(dict.fromkeys(sample.audio_path for sample in samples))
    with progress_bar(f"checking {reader.name}", len(pictures) + len(clips)) as advance:
        images = each(partial(_checked, check_image), pictures, advance)
        sounds = each(partial(_checked, inspect_audio), clips, advance)
        return dict(zip(pictures, images, strict=True)), dict(zip(clips, sounds, strict=True))


def _checked(inspect: Callable[[Path], _Facts], path: Path) -> CheckedFile[_Facts]:
    try:
        return CheckedFile(inspect(path), file_state(path), "")
    except (ImageFileError, AudioFileError) as error:
        return CheckedFile(None, None, str(error))


def _file_faults(
    reader: DatasetReader,
    sample: Sample,
    image: CheckedFile[ImageFacts],
    sound: CheckedFile[SoundFacts],
) -> list[Problem]:
    """Faults of a sample's two files."""
    faults = []
    files = ("images", sample.image_path, image), ("audio files", sample.audio_path, sound)
    for kind, path, file in files:
        if file.facts is None:
            there = is_there(path)
            hint = "" if there else reader.hint(path)
            text = f"{file.fault}{hint and f'; {hint}'}"
            faults.append((f"{'unreadable' if there else 'missing'} {kind}", text))
    if sound.facts is not None:
        rate, length, needed = sound.facts.rate, sound.facts.length, reader.least_samples
        if rate != reader.rate and not reader.resample:
            text = f"{sample.audio_path}: is at {rate} Hz, not {reader.rate}"
            faults.append(("audio at another rate", text))
        if length < needed:
            text = f"{sample.audio_path}: is {length} samples long at {SAMPLE_RATE} Hz, and the"
            text += f" model's front end needs {needed}"
            faults.append(("too short audio files", text))
    return [Problem(kind, sample.sample_id, text) for kind, text in faults]


def _duplicates(
    whole: Sequence[Sample],
    images: Mapping[Path, CheckedFile[ImageFacts]],
    sounds: Mapping[Path, CheckedFile[SoundFacts]],
) -> list[Problem]:
    """Files with equal bytes; images of one picture are meant to be."""
    notes = []
    for kind, files in (("images", images), ("sounds", sounds)):
        hashes = {path: file.state.sha256 for path, file in files.items() if file.state}
        counts = Counter(hashes.values())
        alike: dict[str, dict[object, tuple[Path, Sample]]] = {}
        for sample in whole:
            path = sample.image_path if kind == "images" else sample.audio_path
            sha256 = hashes.get(path, "")
            if counts[sha256] > 1:
                picture = sample.image_group if kind == "images" else path
                alike.setdefault(sha256, {}).setdefault(picture, (path, sample))
        for (first, _), *others in (list(same.values()) for same in alike.values()):
            for path, sample in others:
                text = f"{path}: is the same file as {first.name}"
                notes.append(Problem(f"duplicated {kind}", sample.sample_id, text))
    return notes


def _incomplete(samples: Sequence[Sample]) -> list[Problem]:
    """Samples of pictures with a sounding object whose sample is not evaluated."""
    counts = Counter(s.image_group for s in samples if not s.is_natural_negative)
    kind = "samples of incomplete images (undefined in IIoU, IAUC and swap delta)"
    return [
        Problem(kind, s.sample_id, f"{s.image_group}: {counts[s.image_group]} of {s.image_sources}")
        for s in samples
        if counts[s.image_group] < s.image_sources and not s.is_natural_negative
    ]


def _report(reader: DatasetReader, data: CheckedData, rates: Counter[int], *, stops: bool) -> None:
    """Log problems, oddities and coverage; raise DataError where nothing can be evaluated."""
    cause, whole = data.cause, len(data.samples)
    more = f"\n{cause}" if cause else ""
    if data.problems:
        text = f"{reader.root} ({reader.name}, {data.listed} ids listed): "
        text += describe(data.problems) + more
        if stops:
            text += f"\nMend the {reader.mended}"
            if whole:
                text += f", or set data.missing=skip to evaluate the {whole} samples that are whole"
                if any(problem.kind == _EMPTY for problem in data.problems):
                    text += ". data.empty=keep evaluates empty ground truths too, as the released"
                    text += " code does"
            raise DataError(f"{text}.", data)
        _log.warning("%s", text)
    if not whole:
        raise DataError(
            f"{reader.root}: none of {data.listed} listed samples can be evaluated."
            f"{cause and f' {cause}'}",
            data,
        )
    if data.notes:
        text = describe(data.notes) + ("" if data.problems else more)
        _log.warning("%s, evaluated all the same: %s", reader.name, text)
    if rates:
        counts = ", ".join(f"{n} at {rate} Hz" for rate, n in sorted(rates.items()))
        text = f"{data.resampled} audio files are resampled to {reader.rate} Hz ({counts})"
        _log.warning("%s: %s", reader.name, text)
    text = f"{whole} of {data.listed} listed samples"
    if reader.expected_count not in (None, data.listed):
        text += f" (the published list has {reader.expected_count})"
    _log.info("%s: %s, %.1f %% coverage", reader.name, text, 100 * data.coverage)


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Write problems as a csv table, each in a row."""
    columns = [each.name for each in fields(Problem)]
    write_text(path, csv_text(columns, map(vars, problems)))


def describe(problems: Sequence[Problem]) -> str:
    """Count problems by kind, and list the first of each."""
    counts = Counter(problem.kind for problem in problems)
    lines = ["; ".join(f"{n} {kind}" for kind, n in counts.items())]
    for kind, n in counts.items():
        details = [p.detail for p in problems if p.kind == kind]
        lines += [f"  {kind}: {detail}" for detail in details[:_SHOWN_PROBLEMS]]
        if n > _SHOWN_PROBLEMS:
            lines.append(f"  {kind}: and {n - _SHOWN_PROBLEMS} more")
    return "\n".join(lines)
