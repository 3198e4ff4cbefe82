"""Contract of a test set on disk: a reader lists its samples, and the check looks at every file."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from vssl.core.checks import check_choice
from vssl.data.boxes import guess_cause
from vssl.data.check import (
    CheckedData,
    DataError,
    Listing,
    Problem,
    check_listing,
    csv_rows,
    parsed,
)
from vssl.data.ids import IdList, first_pictures, read_ids
from vssl.types import EVALUATION_SIZE, SAMPLE_RATE, Sample

__all__ = ["CheckedData", "DataError", "DatasetReader", "EntryError", "Problem", "text_of"]


class EntryError(ValueError):
    """An entry that cannot be read; the message names its place in the annotation file."""


class DatasetReader(ABC):
    """A test set in the layout that its authors published.

    Subclasses implement `parse`; for another annotation file than a JSON list or a CSV table they
    override `read_entries`.

    Args:
        name: its name, if not the class's.
        annotation: annotation file, absolute or below `root`; None takes the first of the
            subclass's usual names that exists.
        image_folder: folder of the images below `root`.
        audio_folder: folder of the audio files below `root`.
        missing: `error` stops at any fault; `skip` evaluates the samples without faults.
        resample: whether audio at other rates than the model's, 16 kHz for all that come with
            vssl, is resampled; False makes it a fault.
        empty: `fault` for a sample whose ground truth marks nothing; `keep` evaluates it as a
            positive; `negative` makes a natural negative of a sample without box and mask, and any
            other ground truth that marks nothing stays a fault.
        silent: `keep` evaluates samples with a silent or constant sound; `skip` leaves them out.
        media: `check` reads every image and sound; `absent` reads none, for models that need none.
        ids: file of the ids to evaluate, see `vssl.data.ids.read_ids`, in the annotation's order;
            None for all. Ids that the annotation lacks are faults. Files of other samples are not
            looked at, and no condition plays them.
        limit: evaluates the first samples alone, see `vssl.data.ids.first_pictures`; None for all.
    """

    name: str  # in configuration and tables
    annotation_names: tuple[str, ...]  # usual names of the annotation file
    expected_count: int | None = None  # number of samples in the published list
    citation: ClassVar[str] = ""  # the paper
    # unit of annotated boxes, for messages; pixels are of 224 x 224, or of each picture
    box_unit: ClassVar[Literal["fractions", "pixels", "picture"]] = "fractions"
    mended: str = "folder"  # what messages about faults ask to mend
    # whether the published list has objects below 16 pixels, which empty=negative takes as odd
    has_tiny_objects: ClassVar[bool] = False
    lists_every_file: ClassVar[bool] = True  # other files in its folders are faults, not just odd
    understood: Sequence[str] = ()  # how the annotations were read, in a line each
    oddities: Sequence[Problem] = ()  # what is odd about them
    media: Literal["check", "absent"] = "check"
    ids: IdList | None = None
    limit: int | None = None
    least_samples: int = 1  # shorter clips are faults: the need of the model's front end, if known
    rate: int = SAMPLE_RATE  # of the model's front end, in Hz; files at others are resampled

    def __init__(
        self,
        root: str | Path,
        *,
        name: str | None = None,
        annotation: str | None = None,
        image_folder: str = "frames",
        audio_folder: str = "audio",
        missing: Literal["error", "skip"] = "error",
        resample: bool = True,
        empty: Literal["fault", "keep", "negative"] = "fault",
        silent: Literal["keep", "skip"] = "keep",
        media: Literal["check", "absent"] = "check",
        ids: str | Path | None = None,
        limit: int | None = None,
    ) -> None:
        check_choice(missing, ("error", "skip"), name="data.missing")
        check_choice(empty, ("fault", "keep", "negative"), name="data.empty")
        check_choice(silent, ("keep", "skip"), name="data.silent")
        check_choice(media, ("check", "absent"), name="data.media")
        self.name = name or self.name
        self.root = Path(root).expanduser().absolute()
        self.image_folder = self.root / image_folder
        self.audio_folder = self.root / audio_folder
        self.missing = missing
        self.resample = resample
        self.empty = empty
        self.silent = silent
        # set where they are not the default: the hash of a run with a reader is of its attributes
        if media != "check":
            self.media = media
        if limit is not None:
            self.limit = limit
        if ids is not None:
            self.ids = read_ids(ids)
            self.mended += f" or {self.ids.path}"
        self.truth_files: set[Path] = set()  # read beside the annotation; a run rests on them
        self._annotation = annotation

    @abstractmethod
    def parse(self, entry: dict[str, Any]) -> Sample:
        """Turn an entry of the annotation file into a sample, with audio length 0.

        What it leaves out follows: the picture is alone in its group and shows the category alone,
        and boxes and masks have weight 1.

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
        """Add facts that depend on all parsed samples: the number of sounds of each picture.

        Natural negatives are not counted: nothing in the picture makes their sounds.
        """
        none = self.empty == "negative"
        listed = Counter(s.image_group for s in samples if s.boxes or s.masks or not none)
        sources = [max(s.image_sources, listed[s.image_group]) for s in samples]
        return [replace(s, image_sources=n) for s, n in zip(samples, sources, strict=True)]

    def excluded(self, sample: Sample) -> str:
        """Say as a kind why the reader's options leave a sample out; empty for a sample that stays.

        Samples left out so are counted and listed, and neither a fault nor part of the coverage.
        """
        return ""

    def listed(self) -> list[Sample]:
        """Return the samples of the annotation file, without a look at their files."""
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

    def find_annotation(self) -> Path:
        """Return the annotation file: the option's, or the first usual name that exists."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder. Set data.root=<{self.name} folder>.")
        names = (self._annotation,) if self._annotation else self.annotation_names
        for path in (self.root / Path(name).expanduser() for name in names):
            if path.is_file():
                return path
        raise DataError(
            f"{self.root}: holds no annotation file ({' or '.join(names)}). Is it the folder of"
            f" {self.name}? Set data.root, or data.annotation=FILE for another name."
        )

    def read_entries(self) -> tuple[Path, list[dict[str, Any]]]:
        """Return the annotation file and its entries, one for each sample.

        A file that ends in `.csv` is a table with a header; its entries hold texts alone.
        """
        path = self.find_annotation()
        is_table = path.suffix.lower() == ".csv"
        entries = csv_rows(path) if is_table else parsed(path, "JSON", json.loads)
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise DataError(
                f"{path}: expected a list of objects. Is it {self.name}'s annotation file?"
            )
        if not entries:
            raise DataError(f"{path}: lists no samples, so there is nothing to evaluate.")
        return path, entries

    def require_folder(self, folder: Path, option: str, *, holds: str, instead: str = "") -> None:
        """Raise a `DataError` where a folder is missing, in place of one for each file."""
        if not folder.is_dir():
            raise DataError(
                f"{folder}: no such folder, where {self.name} has its {holds}. Set data.root to the"
                f" folder of {self.name}, or data.{option} for another name.{instead}"
            )

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
                own = isinstance(error, EntryError)
                fault = f"{error}" if own else f"entry {number}: {type(error).__name__}: {error}"
                problems.append(Problem("annotations that cannot be read", f"#{number}", fault))
                continue
            if sample.sample_id in boxes:
                fault = f"entry {number} repeats an id"
                problems.append(Problem("ids listed twice", sample.sample_id, fault))
                continue
            samples.append(_with_defaults(sample))
            boxes[sample.sample_id] = annotated
        samples = self.complete(samples, annotation)
        return self._restricted(Listing(annotation, len(entries), samples, boxes, problems))

    def _restricted(self, listing: Listing) -> Listing:
        """The part of a listing that `ids`, options of the subclass, and `limit` choose."""
        annotation, total, samples, boxes, problems, _ = listing
        if self.ids is not None:
            wanted, total = set(self.ids.ids), len(self.ids.ids)
            kind = f"ids of {self.ids.path.name} that the annotation lacks"
            example = f"{annotation.name} has ids such as {samples[0].sample_id if samples else ''}"
            lacking = [name for name in self.ids.ids if name not in boxes]
            problems = problems + [Problem(kind, name, f"{name}: {example}") for name in lacking]
            samples = [sample for sample in samples if sample.sample_id in wanted]
        kinds = [(sample, self.excluded(sample)) for sample in samples]
        samples = [sample for sample, kind in kinds if not kind]
        excluded = [(sample, kind) for sample, kind in kinds if kind]
        if self.limit is not None:
            samples = first_pictures(samples, self.limit)
        boxes = {sample.sample_id: boxes[sample.sample_id] for sample in samples}
        return Listing(annotation, total - len(excluded), samples, boxes, problems, excluded)


def _with_defaults(sample: Sample) -> Sample:
    """A sample with what follows from the rest of it, where it is left out."""
    return replace(
        sample,
        image_categories=sample.image_categories or (sample.category,),
        image_group=sample.image_group or sample.sample_id,
        box_weights=sample.box_weights or (1.0,) * len(sample.boxes),
        mask_weights=sample.mask_weights or (1.0,) * len(sample.masks),
    )


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
