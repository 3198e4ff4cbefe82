"""Test sets on disk: the list of samples, and the check of every file before anything runs."""

from __future__ import annotations

import json
import logging
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from vssl.audio import AudioFileError, check_audio
from vssl.checks import check_choice
from vssl.errors import UsageError
from vssl.images import ImageFileError, check_image
from vssl.progress import progress_bar
from vssl.types import SAMPLE_RATE, Sample

_log = logging.getLogger(__name__)
_SHOWN = 10


class DataError(UsageError):
    """A test set that cannot be evaluated; the message names the folder, the faults, the mend."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a test set on disk.

    Attributes:
        kind: what, in words; problems are counted by it.
        sample_id: the id concerned.
        detail: file and fault.
    """

    kind: str
    sample_id: str
    detail: str


@dataclass(frozen=True)
class CheckedData:
    """A test set that was checked.

    Attributes:
        samples: what can be evaluated, in the order of the annotation file.
        listed: number of ids in the annotation file.
        problems: what was found wrong and is left out.
        annotation: the annotation file.
        resampled: number of audio files at another rate than 16 kHz.
    """

    samples: tuple[Sample, ...]
    listed: int
    problems: tuple[Problem, ...]
    annotation: Path
    resampled: int

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

    Attributes:
        name: the test set's name in configuration and tables.
        annotation_names: usual names of the annotation file.
        expected_count: number of samples in the published list.
        citation: the paper.
        least_samples: shorter clips are left out; what the front ends need, where any is known.
    """

    name: str
    annotation_names: ClassVar[tuple[str, ...]]
    expected_count: int | None = None
    citation: ClassVar[str] = ""
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
    ) -> None:
        check_choice(missing, ("error", "skip"), name="data.missing")
        self.name = name or self.name
        self.root = Path(root).expanduser().absolute()
        self.image_folder = self.root / image_folder
        self.audio_folder = self.root / audio_folder
        self.missing = missing
        self.resample = resample
        self._annotation = annotation

    @abstractmethod
    def parse(self, entry: dict[str, Any]) -> Sample:
        """Turn an entry of the annotation file into a sample (its audio length still 0).

        Raises:
            KeyError: when a field is missing.
            TypeError: when a field has another type.
            ValueError: when a field has an impossible value.
        """

    def check(self) -> CheckedData:
        """Read the annotations and every file they name.

        Returns:
            What can be evaluated, and what was left out.

        Raises:
            DataError: when the folder is not this test set, nothing can be evaluated, or, unless
                `missing=skip`, anything is wrong.
        """
        annotation = self._find_annotation()
        entries = self._entries(annotation)
        samples, problems = self._parse_all(entries)
        problems += self._without_annotation(samples)
        checked = self._check_files(samples)
        problems += [p for _, faults, _ in checked for p in faults]
        good = tuple(sample for sample, faults, _ in checked if not faults)
        other_rates = Counter(rate for _, faults, rate in checked if not faults)
        other_rates.pop(SAMPLE_RATE, None)
        data = CheckedData(
            good, len(entries), tuple(problems), annotation, sum(other_rates.values())
        )
        self._report(data, other_rates)
        return data

    def count(self) -> int:
        """Number of samples that can be evaluated; writes nothing.

        Raises:
            DataError: as `check` does.
        """
        return len(self.check().samples)

    def _find_annotation(self) -> Path:
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder. Set data.root=<{self.name} folder>.")
        names = (self._annotation,) if self._annotation else self.annotation_names
        for name in names:
            if (self.root / name).is_file():
                return self.root / name
        raise DataError(
            f"{self.root}: holds no annotation file ({' or '.join(names)}). Is it the folder of"
            f" {self.name}? Set data.root, or data.annotation=FILE for another name."
        )

    def _entries(self, annotation: Path) -> list[dict[str, Any]]:
        try:
            entries = json.loads(annotation.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"{annotation}: not readable as JSON ({error})") from error
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise DataError(
                f"{annotation}: expected a list of objects. Is it {self.name}'s annotation file?"
            )
        if not entries:
            raise DataError(f"{annotation}: lists no samples, so there is nothing to evaluate.")
        return entries

    def _parse_all(self, entries: list[dict[str, Any]]) -> tuple[list[Sample], list[Problem]]:
        samples: dict[str, Sample] = {}
        problems = []
        for number, entry in enumerate(entries):
            try:
                sample = self.parse(entry)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                fault = f"entry {number}: {type(error).__name__}: {error}"
                problems.append(Problem("annotations that cannot be read", f"#{number}", fault))
                continue
            if sample.sample_id in samples:
                fault = f"entry {number} repeats an id"
                problems.append(Problem("ids listed twice", sample.sample_id, fault))
                continue
            samples[sample.sample_id] = sample
        return list(samples.values()), problems

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

    def _check_files(self, samples: Sequence[Sample]) -> list[tuple[Sample, list[Problem], int]]:
        checked = []
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,
            progress_bar(f"checking {self.name}", len(samples)) as advance,
        ):
            for result in pool.map(self._check_sample, samples):
                checked.append(result)
                advance(1)
        return checked

    def _check_sample(self, sample: Sample) -> tuple[Sample, list[Problem], int]:
        problems, rate = [], 0
        try:
            check_image(sample.image_path)
        except ImageFileError as error:
            kind = "unreadable" if sample.image_path.is_file() else "missing"
            problems.append(Problem(f"{kind} images", sample.sample_id, str(error)))
        try:
            facts = check_audio(sample.audio_path)
            rate = facts.rate
            sample = replace(sample, audio_length=facts.length)
            if rate != SAMPLE_RATE and not self.resample:
                fault = f"{sample.audio_path}: is at {rate} Hz, not {SAMPLE_RATE}"
                problems.append(Problem("audio at another rate", sample.sample_id, fault))
            if facts.length < self.least_samples:
                fault = (
                    f"{sample.audio_path}: is {facts.length} samples long at {SAMPLE_RATE} Hz, and"
                    f" the model's front end needs {self.least_samples}"
                )
                problems.append(Problem("too short audio files", sample.sample_id, fault))
        except AudioFileError as error:
            kind = "unreadable" if sample.audio_path.is_file() else "missing"
            problems.append(Problem(f"{kind} audio files", sample.sample_id, str(error)))
        return sample, problems, rate

    def _report(self, data: CheckedData, other_rates: Counter[int]) -> None:
        if data.problems:
            text = f"{self.root} ({self.name}, {data.listed} ids listed): {_describe(data)}"
            if self.missing == "error":
                raise DataError(
                    f"{text}\nMend the folder, or set data.missing=skip to evaluate the"
                    f" {len(data.samples)} samples that are whole."
                )
            _log.warning("%s", text)
        if not data.samples:
            raise DataError(f"{self.root}: none of {data.listed} listed samples can be evaluated.")
        if data.resampled:
            rates = ", ".join(f"{n} at {rate} Hz" for rate, n in sorted(other_rates.items()))
            _log.warning(
                "%s: %d audio files are resampled to %d Hz (%s)",
                self.name, data.resampled, SAMPLE_RATE, rates,
            )  # fmt: skip
        published = "" if self.expected_count in (None, data.listed) else (
            f" (the published list has {self.expected_count})"
        )  # fmt: skip
        _log.info(
            "%s: %d of %d listed samples%s, %.1f %% coverage",
            self.name, len(data.samples), data.listed, published, 100 * data.coverage,
        )  # fmt: skip


def text_of(entry: dict[str, Any], field: str) -> str:
    """A text field of an annotation entry.

    Raises:
        KeyError: when the field is missing.
        TypeError: when it is not a text.
    """
    value = entry[field]
    if not isinstance(value, str):
        raise TypeError(f"`{field}` is {value!r}, not a text")
    return value


def _describe(data: CheckedData) -> str:
    counts = Counter(problem.kind for problem in data.problems)
    lines = ["; ".join(f"{n} {kind}" for kind, n in counts.items())]
    for kind, n in counts.items():
        details = [p.detail for p in data.problems if p.kind == kind]
        lines += [f"  {kind}: {detail}" for detail in details[:_SHOWN]]
        if n > _SHOWN:
            lines.append(f"  {kind}: and {n - _SHOWN} more")
    return "\n".join(lines)
