"""VGG-SS (Chen et al., Localizing Visual Sounds the Hard Way, CVPR 2021), original layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vssl.data.base import DatasetReader, text_of
from vssl.data.boxes import pixels_of
from vssl.types import Sample


class VGGSS(DatasetReader):
    """`frames/<file>.jpg`, `audio/<file>.wav`, and a JSON list of `file`, `class`, `bbox`.

    Boxes are `[x0, y0, x1, y1]` in fractions of the image. They are clipped, multiplied by 224 and
    truncated; their union is the ground truth.
    """

    name = "vggss"
    annotation_names = (
        "vggss_annotations.json",
        "vggss.json",
        "metadata/vggss_annotations.json",
        "metadata/vggss.json",
    )
    expected_count = 5158
    citation = "Chen et al., Localizing Visual Sounds the Hard Way, CVPR 2021"

    def __init__(
        self,
        root: str | Path,
        *,
        image_folder: str = "frames",
        audio_folder: str = "audio",
        image_suffix: str = ".jpg",
        audio_suffix: str = ".wav",
        **options: Any,
    ) -> None:
        super().__init__(root, image_folder=image_folder, audio_folder=audio_folder, **options)
        self.image_suffix = image_suffix
        self.audio_suffix = audio_suffix

    def parse(self, entry: dict[str, Any]) -> Sample:
        """Read one entry."""
        sample_id, category = text_of(entry, "file"), text_of(entry, "class")
        boxes = tuple(pixels_of(box, full=1.0) for box in entry["bbox"])
        return Sample(
            sample_id=sample_id,
            image_path=self.image_folder / f"{sample_id}{self.image_suffix}",
            audio_path=self.audio_folder / f"{sample_id}{self.audio_suffix}",
            category=category,
            image_categories=(category,),
            image_group=sample_id,
            boxes=boxes,
            box_weights=(1.0,) * len(boxes),
            audio_length=0,
        )

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """Return the entry's boxes, which are fractions of the image."""
        return [[float(value) for value in box] for box in entry["bbox"]]
