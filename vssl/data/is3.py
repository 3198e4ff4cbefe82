"""IS3, the interactive synthetic test set (Senocak et al., Sound Source Localization is All About
Cross-Modal Alignment, ICCV 2023), original layout.
"""  # noqa: D205

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vssl.data.base import DatasetReader, text_of
from vssl.types import EVALUATION_SIZE, Box, Sample


class IS3(DatasetReader):
    """`images/`, `audio_wav/`, and a JSON list of `image`, `audio`, `gt_box`.

    Names are `<first>_<second>_<number>_<sounding>`: the two classes in the picture, the picture's
    number, and the class that sounds. The two samples of a picture form an image group. Boxes are
    already in pixels of 224 x 224 (QUIRKS 25).
    """

    name = "is3"
    annotation_names = ("IS3_annotation.json", "metadata/IS3_annotation.json")
    expected_count: int | None = 6480
    citation = "Senocak et al., Sound Source Localization is All About Cross-Modal Alignment, 2023"

    def __init__(
        self,
        root: str | Path,
        *,
        image_folder: str = "images",
        audio_folder: str = "audio_wav",
        **options: Any,
    ) -> None:
        super().__init__(root, image_folder=image_folder, audio_folder=audio_folder, **options)

    def parse(self, entry: dict[str, Any]) -> Sample:
        """Read one entry."""
        image, audio = text_of(entry, "image"), text_of(entry, "audio")
        group, classes, sounding = split_name(Path(image).stem)
        return Sample(
            sample_id=Path(image).stem,
            image_path=self.image_folder / image,
            audio_path=self.audio_folder / audio,
            category=sounding,
            image_categories=classes,
            image_group=group,
            boxes=(read_pixels(entry["gt_box"]),),
            box_weights=(1.0,),
            audio_length=0,
        )


def split_name(stem: str) -> tuple[str, tuple[str, ...], str]:
    """Split an IS3 file name.

    Args:
        stem: name without suffix.

    Returns:
        Name of the picture, the classes in it, and the class that sounds.

    Raises:
        ValueError: when the name does not follow the pattern.

    Example:
        >>> split_name("accordion_child_10519_accordion")
        ('accordion_child_10519', ('accordion', 'child'), 'accordion')
    """
    match = re.fullmatch(r"(?P<group>(?P<pair>.+)_\d+)_(?P<sounding>[^\d].*)", stem)
    if match:
        group, pair, sounding = match["group"], match["pair"], match["sounding"]
        if pair.startswith(f"{sounding}_"):
            return group, (sounding, pair.removeprefix(f"{sounding}_")), sounding
        if pair.endswith(f"_{sounding}"):
            return group, (pair.removesuffix(f"_{sounding}"), sounding), sounding
    raise ValueError(
        f"`{stem}` is not an IS3 name <first>_<second>_<number>_<first or second>, so the classes"
        " in the picture are not known"
    )


def read_pixels(box: list[float]) -> Box:
    """A box in pixels of the evaluation size, rounded down and cut at the picture's edges."""
    x0, y0, x1, y1 = (int(min(max(float(v), 0.0), EVALUATION_SIZE)) for v in box)
    return x0, y0, x1, y1
