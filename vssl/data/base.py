"""Test sets on disk: the list of samples, and the check of every file before anything runs."""

from __future__ import annotations

import json
import logging
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from vssl.audio import AudioFileError, check_audio, is_constant
from vssl.core.checks import check_choice
from vssl.core.errors import UsageError
from vssl.core.hashing import file_sha256
from vssl.core.media import is_there
from vssl.core.progress import progress_bar
from vssl.data.boxes import box_fault, guess_cause, is_far, truth_fault
from vssl.images import ImageFileError, check_image
from vssl.types import EVALUATION_SIZE, SAMPLE_RATE, Sample

_log = logging.getLogger(__name__)
_SHOWN_PROBLEMS = 10
_EMPTY = "empty ground truths"


class DataError(UsageError):
    """A test set that cannot be evaluated; the message names the folder, the faults, the mend."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a test set: its kind, in words, an id, and file and fault."""

    kind: str
    sample_id: str
    detail: str


@dataclass(frozen=True)
class CheckedData:
    """A test set that was checked: what can be evaluated, in the order of the annotation file.

    `listed` is the number of ids in that file, `resampled` that of audio files at another rate than
    16 kHz; `problems` are left out, `notes` are odd and evaluated all the same.
    """

    samples: tuple[Sample, ...]
    listed: int
    problems: tuple[Problem, ...]
    annotation: Path
    resampled: int
    notes: tuple[Problem, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the listed ids that can be evaluated."""
        return len(self.samples) / self.listed


class DatasetReader(ABC):
    """A test set in the layout that its authors published.

    Subclasses know the file format, and nothing else.

    Args:
        root: its folder.
        name: what to call it, where it differs from the class's name.
        annotation: annotation file, absolute or below `root`; None takes the first of the
            subclass's usual names that exists.
        image_folder: folder of the images below `root`.
        audio_folder: folder of the audio files below `root`.
        missing: `error` stops at any fault; `skip` evaluates what is whole.
        resample: whether audio at other rates than 16 kHz is resampled; False makes it a fault.
        empty: `fault` for a sample whose boxes mark nothing; `keep` evaluates it all the same.
        silent: `keep` evaluates samples with a silent or constant sound; `skip` leaves them out.

    Attributes:
        name: the test set's name in configuration and tables.
        box_unit: what boxes are in, for messages: `fractions` of the image, or `pixels` of 224.
        annotation_names: usual names of the annotation file.
        expected_count: number of samples in the published list.
        citation: the paper.
        least_samples: shorter clips are left out; what the front ends need, where any is known.
    """

    name: str
    annotation_names: ClassVar[tuple[str, ...]]
    expected_count: int | None = None
    citation: ClassVar[str] = ""
    box_unit: ClassVar[Literal["fractions", "pixels"]] = "fractions"
    least_samples: int = 1

    def __init__(
        self,
        root: str | Path,
        *,
        name: str | None = None,
        annotation: str | None = None,
        image_folder: str,
        audio_folder: str,
        missing: Literal["error", "skip"] = "error",
        resample: bool = True,
        empty: Literal["fault", "keep"] = "fault",
        silent: Literal["keep", "skip"] = "keep",
    ) -> None:
        check_choice(missing, ("error", "skip"), name="data.missing")
        check_choice(empty, ("fault", "keep"), name="data.empty")
        check_choice(silent, ("keep", "skip"), name="data.silent")
        self.name = name or self.name
        self.root = Path(root).expanduser().absolute()
        self.image_folder = self.root / image_folder
        self.audio_folder = self.root / audio_folder
        self.missing = missing
        self.resample = resample
        self.empty = empty
        self.silent = silent
        self._annotation = annotation

    @abstractmethod
    def parse(self, entry: dict[str, Any]) -> Sample:
        """Turn an entry of the annotation file into a sample (its audio length still 0).

        Raises:
            KeyError, TypeError, ValueError: for a field that is missing, of another type, or
                impossible.
        """

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """The boxes of an entry as annotated: corners as shares of the image, not clipped.

        A reader that does not say so is judged by its boxes in pixels.
        """
        boxes = self.parse(entry).boxes
        return [[value / EVALUATION_SIZE for value in box] for box in boxes]

    def complete(self, samples: Sequence[Sample], annotation: Path) -> list[Sample]:
        """Add to parsed samples what only all of them tell: how many sounds a picture has."""
        listed = Counter(sample.image_group for sample in samples)
        sources = [max(s.image_sources, listed[s.image_group]) for s in samples]
        return [replace(s, image_sources=n) for s, n in zip(samples, sources, strict=True)]

    def listed(self) -> list[Sample]:
        """The samples that the annotation file lists, without a look at their files.

        Raises:
            DataError: when it cannot be read.
        """
        annotation, entries = self._read_annotation()
        return self.complete(self._parse_all(entries)[0], annotation)

    def check(self) -> CheckedData:
        """Read the annotations and every file they name.

        Raises:
            DataError: when the folder is not this test set, nothing can be evaluated, or, unless
                `missing=skip`, anything is wrong.
        """
        annotation, entries = self._read_annotation()
        samples, problems, boxes = self._parse_all(entries)
        samples = self.complete(samples, annotation)
        problems += self._without_annotation(samples)
        faults, notes = self._check_boxes(samples, boxes)
        annotated = [box for each in boxes.values() for box in each]
        cause = guess_cause(annotated, self.box_unit) if faults or notes else ""
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,
            progress_bar(f"checking {self.name}", len(samples)) as advance,
        ):
            checked = []
            for each in pool.map(self._check_files, samples):
                checked.append(each)
                advance(1)
        problems += [*faults, *(fault for each in checked for fault in each.faults)]
        bad = {fault.sample_id for fault in faults}
        whole = [each for each in checked if not each.faults and each.sample.sample_id not in bad]
        silent = [
            Problem("silent or constant sounds", each.sample.sample_id, str(each.sample.audio_path))
            for each in whole
            if each.constant
        ]
        stops = bool(problems) and self.missing == "error"
        if self.silent == "keep":
            notes += silent
        else:
            problems += silent
            whole = [each for each in whole if not each.constant]
        samples = [each.sample for each in whole]
        notes += _duplicates(whole) + _incomplete(samples)
        other_rates = Counter(each.rate for each in whole if each.rate != SAMPLE_RATE)
        data = CheckedData(
            samples=tuple(samples),
            listed=len(entries),
            problems=tuple(problems),
            annotation=annotation,
            resampled=sum(other_rates.values()),
            notes=tuple(notes),
        )
        self._report(data, other_rates, cause, stops=stops)
        return data

    def count(self) -> int:
        """Number of samples that can be evaluated; writes nothing, and raises as `check` does."""
        return len(self.check().samples)

    def _read_annotation(self) -> tuple[Path, list[dict[str, Any]]]:
        """The annotation file and its entries."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder. Set data.root=<{self.name} folder>.")
        names = (self._annotation,) if self._annotation else self.annotation_names
        path = next((self.root / name for name in names if (self.root / name).is_file()), None)
        if path is None:
            raise DataError(
                f"{self.root}: holds no annotation file ({' or '.join(names)}). Is it the folder of"
                f" {self.name}? Set data.root, or data.annotation=FILE for another name."
            )
        try:
            entries = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"{path}: not readable as JSON ({error})") from error
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise DataError(
                f"{path}: expected a list of objects. Is it {self.name}'s annotation file?"
            )
        if not entries:
            raise DataError(f"{path}: lists no samples, so there is nothing to evaluate.")
        return path, entries

    def _parse_all(
        self, entries: list[dict[str, Any]]
    ) -> tuple[list[Sample], list[Problem], dict[str, list[list[float]]]]:
        """The samples, what cannot be read, and by sample its boxes as annotated."""
        samples: dict[str, Sample] = {}
        boxes: dict[str, list[list[float]]] = {}
        problems = []
        for number, entry in enumerate(entries):
            try:
                sample, annotated = self.parse(entry), self.annotated_boxes(entry)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                fault = f"entry {number}: {type(error).__name__}: {error}"
                problems.append(Problem("annotations that cannot be read", f"#{number}", fault))
                continue
            if sample.sample_id in samples:
                fault = f"entry {number} repeats an id"
                problems.append(Problem("ids listed twice", sample.sample_id, fault))
                continue
            samples[sample.sample_id], boxes[sample.sample_id] = sample, annotated
        return list(samples.values()), problems, boxes

    def _check_boxes(
        self, samples: Sequence[Sample], boxes: Mapping[str, list[list[float]]]
    ) -> tuple[list[Problem], list[Problem]]:
        """Ground truths that are faults, and those that are odd."""
        faults: list[Problem] = []
        notes: list[Problem] = []
        for sample in samples:
            annotated = boxes[sample.sample_id]
            far = [box for box in annotated if is_far(box)]
            odd = [box for box in annotated if box_fault(box)]
            empty = truth_fault(annotated, sample.boxes)
            if far:
                found, kind = faults, "impossible boxes"
                text = f"the box {self._shown(far[0])} {box_fault(far[0])}"
            elif empty:
                found, kind = faults if self.empty == "fault" else notes, _EMPTY
                text = f"{self._shown(annotated[0])} {empty}" if annotated else empty
            elif odd:
                found, kind = notes, "ground truths with an empty box"
                text = f"of {len(annotated)} boxes, {self._shown(odd[0])} {box_fault(odd[0])}"
            else:
                continue
            found.append(Problem(kind, sample.sample_id, f"{sample.sample_id}: {text}"))
        return faults, notes

    def _shown(self, box: Sequence[float]) -> str:
        """A box as its annotation has it."""
        scale = EVALUATION_SIZE if self.box_unit == "pixels" else 1
        return "[" + ", ".join(f"{value * scale:.4g}" for value in box) + "]"

    def _without_annotation(self, samples: Sequence[Sample]) -> list[Problem]:
        """Media files whose id the annotation file does not list."""
        problems = []
        for kind, folder, paths in (
            ("images without annotation", self.image_folder, {s.image_path for s in samples}),
            ("audio files without annotation", self.audio_folder, {s.audio_path for s in samples}),
        ):
            suffixes = {path.suffix for path in paths}
            found = folder.iterdir() if folder.is_dir() else ()
            extra = sorted(p for p in found if p.suffix in suffixes and p not in paths)
            problems += [Problem(kind, path.stem, str(path)) for path in extra]
        return problems

    def _check_files(self, sample: Sample) -> _Checked:
        """Look into a sample's image and sound."""
        faults, rate, constant = [], 0, False
        hashes = {}

        def fault(kind: str, text: object) -> None:
            faults.append(Problem(kind, sample.sample_id, str(text)))

        try:
            check_image(sample.image_path)
            hashes["images"] = file_sha256(sample.image_path)
        except ImageFileError as error:
            there = is_there(sample.image_path)
            fault(f"{'unreadable' if there else 'missing'} images", error)
        path = sample.audio_path
        try:
            facts = check_audio(path)
            rate, length = facts.rate, facts.length
            constant = is_constant(path)
            hashes["sounds"] = file_sha256(path)
            sample = replace(sample, audio_length=length)
            if rate != SAMPLE_RATE and not self.resample:
                fault("audio at another rate", f"{path}: is at {rate} Hz, not {SAMPLE_RATE}")
            if length < self.least_samples:
                needs = f"the model's front end needs {self.least_samples}"
                text = f"{path}: is {length} samples long at {SAMPLE_RATE} Hz, and {needs}"
                fault("too short audio files", text)
        except AudioFileError as error:
            fault(f"{'unreadable' if is_there(path) else 'missing'} audio files", error)
        return _Checked(sample, faults, rate, constant, hashes)

    def _report(
        self, data: CheckedData, other_rates: Counter[int], cause: str, *, stops: bool
    ) -> None:
        """Say what was found, and stop where it has to be mended first."""
        more = f"\n{cause}" if cause else ""
        whole = len(data.samples)
        if data.problems:
            text = f"{self.root} ({self.name}, {data.listed} ids listed): "
            text += _describe(data.problems) + more
            if stops:
                mend = "Mend the folder."
                if whole:
                    mend = "Mend the folder, or set data.missing=skip to evaluate the"
                    mend += f" {whole} samples that are whole."
                    if any(problem.kind == _EMPTY for problem in data.problems):
                        mend += " data.empty=keep evaluates empty ground truths too, as the"
                        mend += " released code does."
                raise DataError(f"{text}\n{mend}")
            _log.warning("%s", text)
        if not whole:
            raise DataError(
                f"{self.root}: none of {data.listed} listed samples can be evaluated."
                f"{cause and f' {cause}'}"
            )
        if data.notes:
            text = _describe(data.notes) + ("" if data.problems else more)
            _log.warning("%s, evaluated all the same: %s", self.name, text)
        if data.resampled:
            rates = ", ".join(f"{n} at {rate} Hz" for rate, n in sorted(other_rates.items()))
            text = f"{data.resampled} audio files are resampled to {SAMPLE_RATE} Hz ({rates})"
            _log.warning("%s: %s", self.name, text)
        text = f"{whole} of {data.listed} listed samples"
        if self.expected_count not in (None, data.listed):
            text += f" (the published list has {self.expected_count})"
        _log.info("%s: %s, %.1f %% coverage", self.name, text, 100 * data.coverage)


class _Checked(NamedTuple):
    """A sample with the faults of its files, and of whole files rate and hashes."""

    sample: Sample
    faults: list[Problem]
    rate: int
    constant: bool
    hashes: dict[str, str]


def _duplicates(checked: Sequence[_Checked]) -> list[Problem]:
    """Files that are the same to the byte; images of one picture are meant to be."""
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
    """Pictures of which not every sounding object has a sample that is evaluated."""
    there = Counter(sample.image_group for sample in samples)
    kind = "samples of incomplete images (undefined in IIoU, IAUC and swap delta)"
    return [
        Problem(kind, s.sample_id, f"{s.image_group}: {there[s.image_group]} of {s.image_sources}")
        for s in samples
        if there[s.image_group] < s.image_sources
    ]


def text_of(entry: dict[str, Any], field: str) -> str:
    """A text field of an annotation entry.

    Raises:
        KeyError, TypeError, ValueError: when it is missing, no text, or no file name can hold it.
    """
    value = entry[field]
    if not isinstance(value, str):
        raise TypeError(f"`{field}` is {value!r}, not a text")
    if "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
        raise ValueError(f"`{field}` is {value!r}, with a character that is none")
    return value


def _describe(problems: Sequence[Problem]) -> str:
    counts = Counter(problem.kind for problem in problems)
    lines = ["; ".join(f"{n} {kind}" for kind, n in counts.items())]
    for kind, n in counts.items():
        details = [p.detail for p in problems if p.kind == kind]
        lines += [f"  {kind}: {detail}" for detail in details[:_SHOWN_PROBLEMS]]
        if n > _SHOWN_PROBLEMS:
            lines.append(f"  {kind}: and {n - _SHOWN_PROBLEMS} more")
    return "\n".join(lines)
