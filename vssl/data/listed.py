"""Samples listed in one JSON file, wherever their images and sounds are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vssl.core.errors import UsageError
from vssl.core.files import write_text
from vssl.core.hashing import text_hash
from vssl.data.base import DatasetReader, text_of
from vssl.data.boxes import pixels_of
from vssl.types import EVALUATION_SIZE, Sample

_FOUND = ("audio_length", "is_natural_negative")  # by the check of the list


class SampleList(DatasetReader):
    """A JSON list of samples, each with the fields of `vssl.types.Sample`.

    `image_path` and `audio_path` are absolute, or below the folder of the list. `boxes` are in
    pixels of 224 x 224. `sample_id` (the image's name), `category`, `image_categories`,
    `image_group`, `image_sources`, `flags`, `masks` (hexadecimal, of
    `vssl.maps.encode_mask`) and the weights may be left out.
    """

    name = "samples"
    annotation_names = ("samples.json",)
    box_unit = "pixels"
    mended = "samples"

    def __init__(self, root: str | Path, **options: Any) -> None:
        # files may be anywhere: no folder is looked through for what the list lacks
        super().__init__(root, image_folder="", audio_folder="", **options)
        self.image_folder = self.audio_folder = self.root / self.annotation_names[0]

    def parse(self, entry: dict[str, Any]) -> Sample:
        """Read one entry."""
        image, audio = text_of(entry, "image_path"), text_of(entry, "audio_path")
        known = {name: text_of(entry, name) for name in ("sample_id", "category", "image_group")
                 if name in entry}  # fmt: skip
        boxes = tuple(pixels_of(box, full=EVALUATION_SIZE) for box in entry["boxes"])
        masks = tuple(map(bytes.fromhex, entry.get("masks") or ()))
        categories = entry.get("image_categories") or ()
        if isinstance(categories, str):
            raise TypeError(f"`image_categories` is {categories!r}, not a list")
        return Sample(
            sample_id=known.get("sample_id") or Path(image).stem,
            image_path=self.root / image,
            audio_path=self.root / audio,
            category=known.get("category", ""),
            image_categories=tuple(map(str, categories)),
            image_group=known.get("image_group", ""),
            boxes=boxes,
            box_weights=_weights(entry, "box_weights", len(boxes)),
            image_sources=int(entry.get("image_sources", 1)),
            masks=masks,
            mask_weights=_weights(entry, "mask_weights", len(masks)),
            flags=tuple((str(kind), str(value)) for kind, value in entry.get("flags") or ()),
        )

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """The entry's boxes as shares of the image."""
        return [[float(value) / EVALUATION_SIZE for value in box] for box in entry["boxes"]]


def _weights(entry: dict[str, Any], name: str, count: int) -> tuple[float, ...]:
    kind = "boxes" if name == "box_weights" else "masks"
    weights = tuple(map(float, entry.get(name) or ()))
    if weights and len(weights) != count:
        raise ValueError(f"{len(weights)} `{name}` for {count} {kind}")
    if not all(0 < weight <= 1 for weight in weights):
        raise ValueError(f"`{name}` are {list(weights)}, not above 0 and up to 1")
    return weights


def write_samples(samples: Iterable[Sample], folder: Path) -> str:
    """Write a list of samples for `SampleList`; return the file's name, which tells its content.

    Raises:
        UsageError: when something of a sample cannot be written.
    """
    entries = []
    for number, sample in enumerate(samples):
        if not isinstance(sample, Sample):
            raise UsageError(
                f"Expected `data` to be a list of vssl.types.Sample, but got"
                f" {type(sample).__name__} at {number}."
            )
        # lengths are read from the files
        facts = {k: v for k, v in vars(sample).items() if k not in _FOUND}
        try:
            for name in ("image_path", "audio_path"):
                facts[name] = str(Path(facts[name]).expanduser().absolute())
            facts["boxes"] = [[float(value) for value in box] for box in sample.boxes]
            facts["box_weights"] = [float(weight) for weight in sample.box_weights]
            facts["masks"] = [mask.hex() for mask in sample.masks]
            facts["mask_weights"] = [float(weight) for weight in sample.mask_weights]
            entries.append(facts)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"data: sample {number}, `{sample.sample_id}`, does not hold two paths and boxes"
                f" [(x0, y0, x1, y1), ...]: {error}."
            ) from error
    try:
        text = json.dumps(entries, indent=1, default=np.generic.item)
    except TypeError as error:
        raise UsageError(f"data: a sample cannot be written as JSON ({error}).") from error
    name = f"samples-{text_hash(text)[:8]}.json"
    write_text(folder / name, text)
    return name
