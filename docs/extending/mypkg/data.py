"""A test set: pictures/, sounds/ and boxes.json, a list of entries."""

from pathlib import Path
from typing import Any

from vssl.data.base import DatasetReader, text_of
from vssl.data.boxes import pixels_of
from vssl.types import Sample


class Boxes(DatasetReader):
    name = "boxes"
    annotation_names = ("boxes.json",)

    def __init__(self, root: str | Path, **options: Any) -> None:
        super().__init__(root, image_folder="pictures", audio_folder="sounds", **options)

    def parse(self, entry: dict[str, Any]) -> Sample:
        name, label = text_of(entry, "name"), text_of(entry, "label")
        return Sample(
            sample_id=name,
            image_path=self.image_folder / f"{name}.jpg",
            audio_path=self.audio_folder / f"{name}.wav",
            category=label,
            boxes=(pixels_of(entry["box"], full=1.0),),  # [x0, y0, x1, y1] in shares of the image
        )
