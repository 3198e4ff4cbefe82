"""Extended VGG-SS and Extended Flickr: a test set and pairs in which nothing visible sounds.

Source: Mo and Morgado, A Closer Look at Weakly-Supervised Audio-Visual Source Localization, NeurIPS
2022; github.com/stoneMo/SLAVC, `metadata/{vggss,flickr}_test_plus_silent.csv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from vssl.core.checks import check_choice
from vssl.data.base import DataError, DatasetReader, text_of
from vssl.data.check import csv_rows
from vssl.data.flickr import FlickrSoundNet
from vssl.data.vggss import VGGSS
from vssl.types import Sample

_COLUMNS = ("video", "audio", "label")
_LABEL = "non-sounding"  # of every row of the authors' files
_SAME = ("same_class", "yes")


class Extended(DatasetReader):
    """A test set, and a natural negative for each row of a csv `video,audio,label`.

    A row is the image of `video` with the sound of `audio`. Its sample `<video>+<audio>` has no
    ground truth, the image group of the video, and the class of its sound where that is known. The
    flag `extended` is `positive`, `mismatched` (video and audio differ) or `own_sound` (a clip
    whose own sound comes from nothing visible). `same_class` is `yes` or `no` for mismatched pairs
    of two known classes.

    A subclass has the reader of the test set as its second base.

    Args:
        pairs: the csv, absolute or below `root`; None takes the first usual name that exists.
        same_class: `skip` leaves out the pairs whose sound has the class of the picture.
    """

    pair_names: ClassVar[tuple[str, ...]]
    has_classes: ClassVar[bool] = True
    citation = (
        "Mo and Morgado, A Closer Look at Weakly-Supervised Audio-Visual Source Localization, 2022"
    )
    image_suffix: str = ".jpg"
    audio_suffix: str = ".wav"

    def __init__(
        self,
        *args: Any,
        pairs: str | None = None,
        same_class: Literal["keep", "skip"] = "keep",
        **options: Any,
    ) -> None:
        check_choice(same_class, ("keep", "skip"), name="data.same_class")
        super().__init__(*args, **options)
        self.same_class = same_class
        self._pairs = pairs

    def read_entries(self) -> tuple[Path, list[dict[str, Any]]]:
        """Return the annotation file, and its entries before those of the pairs."""
        annotation, entries = super().read_entries()
        names = (self._pairs,) if self._pairs else self.pair_names
        path = next(filter(Path.is_file, (self.root / name for name in names)), None)
        if path is None:
            raise DataError(
                f"{self.root}: holds no list of pairs ({' or '.join(names)}). Put SLAVC's there,"
                " metadata/ of github.com/stoneMo/SLAVC, or set data.pairs=FILE."
            )
        rows = csv_rows(path, strict=True)
        if not rows or tuple(name for name in rows[0] if name is not None) != _COLUMNS:
            raise DataError(
                f"{path}: expected rows below the columns {', '.join(_COLUMNS)}, as SLAVC's list"
                " has (data.pairs)."
            )
        self.truth_files.add(path)
        return annotation, [*entries, *({"pair": row} for row in rows)]

    def parse(self, entry: dict[str, Any]) -> Sample:
        """Read an entry of the test set, or a pair, whose classes follow in `complete`."""
        if "pair" not in entry:
            sample = super().parse(entry)  # type: ignore[safe-super]  # that of the second base
            return replace(sample, flags=(*sample.flags, ("extended", "positive")))
        video, audio, label = (text_of(entry["pair"], name) for name in _COLUMNS)
        if label != _LABEL:
            raise ValueError(f"the label of {video} with {audio} is {label!r}, not {_LABEL}")
        return Sample(
            sample_id=f"{video}+{audio}",
            image_path=self.image_folder / f"{video}{self.image_suffix}",
            audio_path=self.audio_folder / f"{audio}{self.audio_suffix}",
            image_group=video,
            flags=(("extended", "own_sound" if video == audio else "mismatched"),),
            is_natural_negative=True,
        )

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """Return the entry's boxes in fractions of the image; a pair has none."""
        return [] if "pair" in entry else super().annotated_boxes(entry)

    def complete(self, samples: Sequence[Sample], annotation: Path) -> list[Sample]:
        """Add the classes of both sides to the pairs, which are no further objects of a picture."""
        positives = [sample for sample in samples if ("extended", "positive") in sample.flags]
        positives = super().complete(positives, annotation)
        classes = {sample.sample_id: sample.category for sample in positives if sample.category}
        return positives + [
            self._with_classes(sample, classes)
            for sample in samples
            if ("extended", "positive") not in sample.flags
        ]

    def excluded(self, sample: Sample) -> str:
        """Leave out pairs of one class, if the option says so."""
        if self.same_class == "skip" and _SAME in sample.flags:
            return "mismatched pairs whose sound has the class of the picture"
        return super().excluded(sample)

    def _with_classes(self, pair: Sample, classes: dict[str, str]) -> Sample:
        """A pair with the class of its sound, and whether its picture has the same."""
        seen, heard = classes.get(pair.image_group), classes.get(pair.audio_path.stem)
        known = tuple(each for each in dict.fromkeys((seen, heard)) if each is not None)
        flags = pair.flags
        if self.has_classes and seen is not None and heard is not None:
            flags += (_SAME if seen == heard else ("same_class", "no"),)
        if heard is None:
            return replace(pair, image_categories=("", *known))
        return replace(pair, category=heard, image_categories=known, flags=flags)


class ExtendedVGGSS(Extended, VGGSS):
    """Extended VGG-SS: 5,158 positives, 4,779 mismatched pairs, 379 clips with their own sound.

    The 379 clips are not in VGG-SS. Of the mismatched pairs 1,185 have one class on both sides.
    """

    name = "extended_vggss"
    pair_names = ("vggss_test_plus_silent.csv", "metadata/vggss_test_plus_silent.csv")
    expected_count = 10316


class ExtendedFlickr(Extended, FlickrSoundNet):
    """Extended Flickr: 250 positives and 250 mismatched pairs of them, without classes."""

    name = "extended_flickr"
    pair_names = ("flickr_test_plus_silent.csv", "metadata/flickr_test_plus_silent.csv")
    has_classes = False
    expected_count = 500
