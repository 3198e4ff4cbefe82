"""Contract of a test set on disk: a reader lists its samples, and the check looks at every file."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from vssl.core.checks import check_choice
from vssl.data.boxes import guess_cause
from vssl.data.check import CheckedData, DataError, Listing, Problem, check_listing
from vssl.types import EVALUATION_SIZE, Sample

__all__ = ["CheckedData", "DataError", "DatasetReader", "EntryError", "Problem", "text_of"]


class EntryError(ValueError):
    """An entry that cannot be read; the message names its place in the annotation file."""


class DatasetReader(ABC):
    """A test set in the layout that its authors published.

    Subclasses implement `parse`; for another annotation file than a JSON list or a CSV table they
    override `read_entries`.

    Args:
        root: its folder.
        name: its name, if not the class's.
        annotation: annotation file, absolute or below `root`; None takes the first of the
            subclass's usual names that exists.
        image_folder: folder of the images below `root`.
        audio_folder: folder of the audio files below `root`.
        missing: `error` stops at any fault; `skip` evaluates the samples without faults.
        resample: whether audio at other rates than 16 kHz is resampled; False makes it a fault.
        empty: `fault` for a sample whose ground truth marks nothing; `keep` evaluates it as a
            positive; `negative` makes a natural negative of a sample without box and mask, and any
            other ground truth that marks nothing stays a fault.
        silent: `keep` evaluates samples with a silent or constant sound; `skip` leaves them out.

    Attributes:
        name: the test set's name in configuration and tables.
        box_unit: unit of annotated boxes, for messages: `fractions` of the image, `pixels` of
            224 x 224, or those of each `picture`.
        mended: what messages about faults ask to mend.
        annotation_names: usual names of the annotation file.
        expected_count: number of samples in the published list.
        citation: the paper.
        lists_every_file: whether a file in its folders that no sample has is a fault, or only odd.
        understood: how the annotations were read, in a line each; filled when they are.
        oddities: what is odd about them, likewise.
        least_samples: shorter clips are faults; the need of the model's front end, if known.
    """

    name: str
    annotation_names: tuple[str, ...]
    expected_count: int | None = None
    citation: ClassVar[str] = ""
    box_unit: ClassVar[Literal["fractions", "pixels", "picture"]] = "fractions"
    mended: ClassVar[str] = "folder"
    lists_every_file: ClassVar[bool] = True
    understood: Sequence[str] = ()
    oddities: Sequence[Problem] = ()
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
        empty: Literal["fault", "keep", "negative"] = "fault",
        silent: Literal["keep", "skip"] = "keep",
    ) -> None:
        check_choice(missing, ("error", "skip"), name="data.missing")
        check_choice(empty, ("fault", "keep", "negative"), name="data.empty")
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
        """Turn an entry of the annotation file into a sample, with audio length 0.

        Raises:
            KeyError, TypeError, ValueError: for a field that is missing, of another type, or
                impossible.
        """

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """Return an entry's boxes, unclipped, as corners in fractions of the image.

        The default takes those of `parse`, which are clipped.
        """
        boxes = self.parse(entry).boxes
        return [[value / EVALUATION_SIZE for value in box] for box in boxes]

    def shown_box(self, sample: Sample, box: Sequence[float]) -> str:
        """Write a sample's box of `annotated_boxes` for a message, in the unit of the file."""
        scale = EVALUATION_SIZE if self.box_unit == "pixels" else 1
        return "[" + ", ".join(f"{value * scale:.4g}" for value in box) + "]"

    def guess_cause(self, annotated: Sequence[Sequence[float]]) -> str:
        """Guess in a sentence why boxes of `annotated_boxes` are faulty."""
        return guess_cause(annotated, self.box_unit)

    def hint(self, path: Path) -> str:
        """Say for a message what there is in place of a missing file; empty for nothing."""
        return ""

    def complete(self, samples: Sequence[Sample], annotation: Path) -> list[Sample]:
        """Add facts that depend on all parsed samples: the number of sounds of each picture."""
        listed = Counter(sample.image_group for sample in samples)
        sources = [max(s.image_sources, listed[s.image_group]) for s in samples]
        return [replace(s, image_sources=n) for s, n in zip(samples, sources, strict=True)]

    def listed(self) -> list[Sample]:
        """Return the samples of the annotation file, without a look at their files.

        Raises:
            DataError: when it cannot be read.
        """
        return self._listing().samples

    def check(self) -> CheckedData:
        """Read the annotations and every file they name.

        Raises:
            DataError: when the folder is not this test set, nothing can be evaluated, or, unless
                `missing=skip`, anything is wrong.
        """
        return check_listing(self, self._listing())

    def count(self) -> int:
        """Number of samples that can be evaluated; writes nothing, and raises as `check` does."""
        return len(self.check().samples)

    def read_entries(self) -> tuple[Path, list[dict[str, Any]]]:
        """Return the annotation file and its entries, one for each sample.

        A file that ends in `.csv` is a table with a header; its entries hold texts alone.

        Raises:
            DataError: when the file is missing, is no JSON list of objects or CSV table, or is
                empty.
        """
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder. Set data.root=<{self.name} folder>.")
        names = (self._annotation,) if self._annotation else self.annotation_names
        path = next((self.root / name for name in names if (self.root / name).is_file()), None)
        if path is None:
            raise DataError(
                f"{self.root}: holds no annotation file ({' or '.join(names)}). Is it the folder of"
                f" {self.name}? Set data.root, or data.annotation=FILE for another name."
            )
        is_table = path.suffix.lower() == ".csv"
        try:
            text = path.read_text(encoding="utf-8-sig")
            entries = list(csv.DictReader(io.StringIO(text))) if is_table else json.loads(text)
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
            kind = "CSV" if is_table else "JSON"
            raise DataError(f"{path}: not readable as {kind} ({error})") from error
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise DataError(
                f"{path}: expected a list of objects. Is it {self.name}'s annotation file?"
            )
        if not entries:
            raise DataError(f"{path}: lists no samples, so there is nothing to evaluate.")
        return path, entries

    def _listing(self) -> Listing:
        """Parse the entries; those that cannot be read become problems."""
        annotation, entries = self.read_entries()
        samples: list[Sample] = []
        boxes: dict[str, list[list[float]]] = {}
        problems = []
        for number, entry in enumerate(entries):
            try:
                sample, annotated = self.parse(entry), self.annotated_boxes(entry)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                fault = f"entry {number}: {type(error).__name__}: {error}"
                fault = str(error) if isinstance(error, EntryError) else fault
                problems.append(Problem("annotations that cannot be read", f"#{number}", fault))
                continue
            if sample.sample_id in boxes:
                fault = f"entry {number} repeats an id"
                problems.append(Problem("ids listed twice", sample.sample_id, fault))
                continue
            samples.append(sample)
            boxes[sample.sample_id] = annotated
        samples = self.complete(samples, annotation)
        return Listing(annotation, len(entries), samples, boxes, problems)


def text_of(entry: dict[str, Any], field: str) -> str:
    """Return a text field of an annotation entry.

    Raises:
        KeyError, TypeError, ValueError: when it is missing, no text, or impossible in a file name.
    """
    value = entry[field]
    if not isinstance(value, str):
        raise TypeError(f"`{field}` is {value!r}, not a text")
    if "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
        raise ValueError(f"`{field}` is {value!r}, with a character that is none")
    return value
