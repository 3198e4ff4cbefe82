"""MUSIC-Duet: frames of duets with a box for each instrument, by AVGN's list (Mo and Tian,
Audio-Visual Grouping Network for Sound Localization from Mixtures, CVPR 2023).
"""  # noqa: D205

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vssl.data.base import DatasetReader, text_of
from vssl.data.boxes import pixels_of
from vssl.types import Sample

_SOURCES = ("src1", "src2")
_AND = " and "


class MusicDuet(DatasetReader):
    """`frames/<file>.jpg`, `audio/<video>.wav`, and a JSON list of two classes and two boxes.

    A `file` is `<video>_<second>_<frame>`; `class_src1`, `bbox_src1`, `class_src2` and `bbox_src2`
    are its instruments. Boxes are x, y, width and height in fractions of the image, and are brought
    to corners.

    Both instruments sound in the one recording, and no part of it is of one alone. So a frame is
    one sample, its ground truth the union of both boxes, and its category the pair. The picture
    holds every pair that shares an instrument with it, so that a sound is offscreen only where none
    of its instruments is in the picture.

    Source: stoneMo/AVGN `datasets.py`, which takes the boxes for corners; DTaoo's
    Discriminative-Sounding-Objects-Localization `music-exp/duettest.json`, from where they are.
    """

    name = "music_duet"
    annotation_names = ("music_duet.json", "metadata/music_duet.json")
    expected_count = 1020
    citation = "Mo and Tian, Audio-Visual Grouping Network, CVPR 2023; Hu et al., NeurIPS 2020"

    def parse(self, entry: dict[str, Any]) -> Sample:
        """Read one entry."""
        frame = text_of(entry, "file")
        video, *numbers = frame.rsplit("_", 2)
        if len(numbers) != 2 or not video:
            raise ValueError(f"`{frame}` is not <video>_<second>_<frame>")
        classes = sorted({text_of(entry, f"class_{source}") for source in _SOURCES})
        category = _AND.join(classes)
        return Sample(
            sample_id=frame,
            image_path=self.image_folder / f"{frame}.jpg",
            audio_path=self.audio_folder / f"{video}.wav",
            category=category,
            image_categories=tuple(dict.fromkeys((category, *classes))),
            boxes=tuple(pixels_of(box, full=1.0) for box in self.annotated_boxes(entry)),
        )

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """Return the corners of the entry's two boxes in fractions of the image."""
        boxes = []
        for source in _SOURCES:
            x, y, width, height = map(float, entry[f"bbox_{source}"])
            boxes.append([x, y, x + width, y + height])
        return boxes

    def complete(self, samples: Sequence[Sample], annotation: Path) -> list[Sample]:
        """Add the pairs that share an instrument with a picture to its categories."""
        instruments = {each.category: set(each.category.split(_AND)) for each in samples}
        completed = []
        for sample in super().complete(samples, annotation):
            own = instruments[sample.category]
            shared = [pair for pair, played in instruments.items() if played & own]
            names = tuple(dict.fromkeys((*sample.image_categories, *shared)))
            completed.append(replace(sample, image_categories=names))
        return completed
