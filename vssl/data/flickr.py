"""Flickr-SoundNet's annotated test set (Senocak et al., Learning to Localize Sound Source in Visual
Scenes, CVPR 2018), in the layout of its authors.
"""  # noqa: D205

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from vssl.data.base import DataError, DatasetReader, text_of
from vssl.data.boxes import pixels_of
from vssl.data.check import parsed
from vssl.types import Sample

_GRID = 256
"""Side of the grid of annotated boxes."""
_VOTE = 0.5
"""Weight of a box in the consensus map: two annotators make a pixel certain."""


class FlickrSoundNet(DatasetReader):
    """`frames/<id>.jpg`, `audio/<id>.wav`, `Annotations/<id>.xml`, and a list of ids.

    The list is a table without header whose first column is the id, with or without a suffix. An
    XML file has an element for each annotator, with a `bbox` for each of his boxes; a `bbox` has
    five children, of which the first is passed over, and the others are xmin, ymin, xmax and ymax
    in whole pixels of 256 x 256. Other names than `bbox` do not matter.

    The ground truth is graded: each box is a vote of a half, and the sum is clipped to 1. So two
    boxes of one annotator that overlap count twice. Boxes that become empty on 224 x 224 are left
    out where another one remains. Without any box nobody saw what sounds. No class is annotated:
    the category is the id, so that the sound of any other image is offscreen.

    Source: hche11/Localizing-Visual-Sounds-the-Hard-Way `utils.py`, `testset_gt`.
    """

    name = "flickr"
    annotation_names = ("flickr_test.csv", "metadata/flickr_test.csv")
    expected_count = 250
    has_tiny_objects = True
    citation = "Senocak et al., Learning to Localize Sound Source in Visual Scenes, CVPR 2018"

    def __init__(
        self,
        root: str | Path,
        *,
        box_folder: str = "Annotations",
        empty: Literal["fault", "keep", "negative"] = "negative",
        **options: Any,
    ) -> None:
        super().__init__(root, empty=empty, **options)
        self.box_folder = self.root / box_folder

    def read_entries(self) -> tuple[Path, list[dict[str, Any]]]:
        """Return the list of ids, and an entry with each."""
        path = self.find_annotation()
        rows = parsed(path, "CSV", lambda text: [*csv.reader(io.StringIO(text))])
        ids = [row[0].strip().removesuffix(".jpg") for row in rows if row and row[0].strip()]
        if not ids:
            raise DataError(f"{path}: lists no samples, so there is nothing to evaluate.")
        self.require_folder(self.box_folder, "box_folder", holds="XML files of boxes")
        return path, [{"id": each} for each in ids]

    def parse(self, entry: dict[str, Any]) -> Sample:
        """Read one entry, and its XML file."""
        sample_id = text_of(entry, "id")
        boxes = [pixels_of(box, full=_GRID) for box in self._boxes(sample_id)]
        marking = [(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes if x0 < x1 and y0 < y1]
        boxes = marking or boxes
        return Sample(
            sample_id=sample_id,
            image_path=self.image_folder / f"{sample_id}.jpg",
            audio_path=self.audio_folder / f"{sample_id}.wav",
            category=sample_id,
            boxes=tuple(boxes),
            box_weights=(_VOTE,) * len(boxes),
        )

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """Return the entry's boxes in fractions of the image."""
        return [[value / _GRID for value in box] for box in self._boxes(text_of(entry, "id"))]

    def _boxes(self, sample_id: str) -> list[list[int]]:
        """All annotators' boxes of an image, as annotated."""
        path = self.box_folder / f"{sample_id}.xml"
        try:
            root = ElementTree.fromstring(path.read_bytes())
        except (OSError, ElementTree.ParseError) as error:
            raise DataError(f"{path}: not readable as XML ({error})") from error
        self.truth_files.add(path)
        boxes = []
        for element in (each for annotator in root for each in annotator):
            numbers = [str(child.text).strip() for child in element][1:]
            if element.tag != "bbox" or len(numbers) != 4:
                raise DataError(
                    f"{path}: has <{element.tag}> with {len(element)} elements, where each"
                    " annotator has <bbox> elements with five"
                )
            try:
                boxes.append([int(number) for number in numbers])
            except ValueError as error:
                raise DataError(f"{path}: the box {numbers} is not of whole numbers") from error
        return boxes
