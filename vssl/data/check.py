"""Check of a test set before anything runs: its annotations, ground truths and files."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vssl.audio import AudioFileError, check_audio, is_constant
from vssl.core.errors import UsageError
from vssl.core.hashing import file_sha256
from vssl.core.media import is_there
from vssl.core.progress import progress_bar
from vssl.data.boxes import box_fault, guess_cause, is_far, truth_fault
from vssl.images import ImageFileError, check_image
from vssl.types import EVALUATION_SIZE, SAMPLE_RATE, Sample

if TYPE_CHECKING:
    from vssl.data.base import DatasetReader

_log = logging.getLogger(__name__)
_SHOWN_PROBLEMS = 10
_EMPTY = "empty ground truths"
_NATURAL = "natural negatives (nothing in the picture sounds)"


class DataError(UsageError):
    """A test set that cannot be evaluated; the message names folder, faults and remedy."""


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


@dataclass(frozen=True)
class CheckedData:
    """A checked test set."""

    samples: tuple[Sample, ...]  # to evaluate, in the order of the annotation file
    listed: int  # ids in that file
    problems: tuple[Problem, ...]  # faults, whose samples are left out
    annotation: Path
    resampled: int  # audio files at another rate than 16 kHz
    notes: tuple[Problem, ...] = ()  # oddities, whose samples are evaluated

    @property
    def coverage(self) -> float:
        """Share of the listed ids that can be evaluated."""
        return len(self.samples) / self.listed


class _CheckedFiles(NamedTuple):
    """A sample with its audio length, and facts of its files."""

    sample: Sample
    faults: list[Problem]
    rate: int  # of its sound, in Hz
    constant: bool  # whether its sound is
    hashes: dict[str, str]  # of `images` and `sounds`


def check_listing(reader: DatasetReader, listing: Listing) -> CheckedData:
    """Check the ground truths and files of a test set by the reader's options.

    Raises:
        DataError: as `DatasetReader.check`.
    """
    if reader.empty == "negative":
        marked = [replace(s, is_natural_negative=not (s.boxes or s.masks)) for s in listing.samples]
        listing = listing._replace(samples=marked)
    faults, notes = _check_boxes(reader, listing)
    problems = [*listing.problems, *_unlisted_files(reader, listing.samples), *faults]
    annotated = [box for boxes in listing.boxes.values() for box in boxes]
    cause = guess_cause(annotated, reader.box_unit) if faults or notes else ""
    checked: list[_CheckedFiles] = []
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress_bar(f"checking {reader.name}", len(listing.samples)) as advance,
    ):
        for files in pool.map(lambda sample: _check_files(reader, sample), listing.samples):
            checked.append(files)
            advance(1)
    problems += [fault for files in checked for fault in files.faults]
    bad = {fault.sample_id for fault in faults}
    whole = [each for each in checked if not each.faults and each.sample.sample_id not in bad]
    silent = [
        Problem("silent or constant sounds", each.sample.sample_id, str(each.sample.audio_path))
        for each in whole
        if each.constant
    ]
    stops = bool(problems) and reader.missing == "error"
    if reader.silent == "keep":
        notes += silent
    else:
        problems += silent
        whole = [each for each in whole if not each.constant]
    samples = [each.sample for each in whole]
    notes += _duplicates(whole) + _incomplete(samples)
    rates = Counter(each.rate for each in whole if each.rate != SAMPLE_RATE)
    data = CheckedData(
        samples=tuple(samples),
        listed=listing.total,
        problems=tuple(problems),
        annotation=listing.annotation,
        resampled=sum(rates.values()),
        notes=tuple(notes),
    )
    _report(reader, data, rates, cause, stops=stops)
    return data


def _check_boxes(reader: DatasetReader, listing: Listing) -> tuple[list[Problem], list[Problem]]:
    """Faults of ground truths, and oddities."""
    scale = EVALUATION_SIZE if reader.box_unit == "pixels" else 1

    def shown(box: Sequence[float]) -> str:
        return "[" + ", ".join(f"{value * scale:.4g}" for value in box) + "]"

    faults: list[Problem] = []
    notes: list[Problem] = []
    for sample in listing.samples:
        annotated = listing.boxes[sample.sample_id]
        if sample.is_natural_negative:
            notes.append(Problem(_NATURAL, sample.sample_id, f"{sample.sample_id}: no box or mask"))
            continue
        far = [box for box in annotated if is_far(box)]
        odd = [box for box in annotated if box_fault(box)]
        empty = truth_fault(annotated, sample)
        if far:
            target, kind = faults, "impossible boxes"
            text = f"the box {shown(far[0])} {box_fault(far[0])}"
        elif empty:
            target, kind = faults if reader.empty == "fault" else notes, _EMPTY
            text = f"{shown(annotated[0])} {empty}" if annotated else empty
        elif odd:
            target, kind = notes, "ground truths with an empty box"
            text = f"of {len(annotated)} boxes, {shown(odd[0])} {box_fault(odd[0])}"
        else:
            continue
        target.append(Problem(kind, sample.sample_id, f"{sample.sample_id}: {text}"))
    return faults, notes


def _unlisted_files(reader: DatasetReader, samples: Sequence[Sample]) -> list[Problem]:
    """Media files that belong to no listed sample."""
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


def _check_files(reader: DatasetReader, sample: Sample) -> _CheckedFiles:
    faults, rate, constant = [], 0, False
    hashes = {}

    def fault(kind: str, text: object) -> None:
        faults.append(Problem(kind, sample.sample_id, str(text)))

    try:
        check_image(sample.image_path)
        hashes["images"] = file_sha256(sample.image_path)
    except ImageFileError as error:
        fault(f"{'unreadable' if is_there(sample.image_path) else 'missing'} images", error)
    path = sample.audio_path
    try:
        rate, length = check_audio(path)
        constant = is_constant(path)
        hashes["sounds"] = file_sha256(path)
        sample = replace(sample, audio_length=length)
        if rate != SAMPLE_RATE and not reader.resample:
            fault("audio at another rate", f"{path}: is at {rate} Hz, not {SAMPLE_RATE}")
        if length < reader.least_samples:
            needs = f"the model's front end needs {reader.least_samples}"
            text = f"{path}: is {length} samples long at {SAMPLE_RATE} Hz, and {needs}"
            fault("too short audio files", text)
    except AudioFileError as error:
        fault(f"{'unreadable' if is_there(path) else 'missing'} audio files", error)
    return _CheckedFiles(sample, faults, rate, constant, hashes)


def _duplicates(checked: Sequence[_CheckedFiles]) -> list[Problem]:
    """Files with equal bytes; images of one picture are meant to be."""
    notes = []
    for kind in ("images", "sounds"):
        alike: dict[str, dict[object, tuple[Path, Sample]]] = {}
        for sample, *_, hashes in checked:
            path = sample.image_path if kind == "images" else sample.audio_path
            picture = sample.image_group if kind == "images" else path
            alike.setdefault(hashes[kind], {}).setdefault(picture, (path, sample))
        for (first, _), *others in (list(files.values()) for files in alike.values()):
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


def _report(
    reader: DatasetReader, data: CheckedData, rates: Counter[int], cause: str, *, stops: bool
) -> None:
    """Log problems, oddities and coverage; raise DataError where nothing can be evaluated."""
    more, whole = f"\n{cause}" if cause else "", len(data.samples)
    if data.problems:
        text = f"{reader.root} ({reader.name}, {data.listed} ids listed): "
        text += _describe(data.problems) + more
        if stops:
            text += f"\nMend the {reader.mended}"
            if whole:
                text += f", or set data.missing=skip to evaluate the {whole} samples that are whole"
                if any(problem.kind == _EMPTY for problem in data.problems):
                    text += ". data.empty=keep evaluates empty ground truths too, as the released"
                    text += " code does"
            raise DataError(f"{text}.")
        _log.warning("%s", text)
    if not whole:
        raise DataError(
            f"{reader.root}: none of {data.listed} listed samples can be evaluated."
            f"{cause and f' {cause}'}"
        )
    if data.notes:
        text = _describe(data.notes) + ("" if data.problems else more)
        _log.warning("%s, evaluated all the same: %s", reader.name, text)
    if rates:
        counts = ", ".join(f"{n} at {rate} Hz" for rate, n in sorted(rates.items()))
        text = f"{data.resampled} audio files are resampled to {SAMPLE_RATE} Hz ({counts})"
        _log.warning("%s: %s", reader.name, text)
    text = f"{whole} of {data.listed} listed samples"
    if reader.expected_count not in (None, data.listed):
        text += f" (the published list has {reader.expected_count})"
    _log.info("%s: %s, %.1f %% coverage", reader.name, text, 100 * data.coverage)


def _describe(problems: Sequence[Problem]) -> str:
    """Count problems by kind, and list the first of each."""
    counts = Counter(problem.kind for problem in problems)
    lines = ["; ".join(f"{n} {kind}" for kind, n in counts.items())]
    for kind, n in counts.items():
        details = [p.detail for p in problems if p.kind == kind]
        lines += [f"  {kind}: {detail}" for detail in details[:_SHOWN_PROBLEMS]]
        if n > _SHOWN_PROBLEMS:
            lines.append(f"  {kind}: and {n - _SHOWN_PROBLEMS} more")
    return "\n".join(lines)
