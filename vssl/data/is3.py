"""IS3, the interactive synthetic test set (Senocak et al., Sound Source Localization is All About
Cross-Modal Alignment, ICCV 2023), original layout.
"""  # noqa: D205

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from vssl.core.checks import check_choice
from vssl.core.media import is_there
from vssl.data.base import DataError, DatasetReader, text_of
from vssl.data.boxes import pixels_of
from vssl.data.check import parsed
from vssl.data.mask_files import truth_masks
from vssl.types import EVALUATION_SIZE, Box, Mask, Sample

_CLASS_FILES = ("IS3_class_files_dict.json", "class_files_dict.json")


class IS3(DatasetReader):
    """`images/`, `audio_wav/`, `gt_segmentation/`, and a JSON list of `image`, `audio`, `gt_box`.

    Names are `<first>_<second>_<number>_<sounding>`: two words for the objects of the picture, its
    number, which may be missing, and the sounding class, which may differ from both words. The two
    samples of a picture form an image group, whose name lacks the sounding class. A `category` in
    an entry replaces the class of its name. Boxes are in pixels of 224 x 224. Of absolute paths
    that are not there, as in SSLalignment's lists, the last part counts.

    Args:
        mask_folder: folder of the masks, `<name>.jpg` or `<name>.png` for each sample.
        truth: `boxes` of the list, or `masks`, by the rule of `vssl.data.mask_files.truth_masks`.
    """

    name = "is3"
    annotation_names = (
        "IS3_annotation.json",
        "metadata/IS3_annotation.json",
        "synthetic3240_bbox.json",
        "metadata/synthetic3240_bbox.json",
    )
    expected_count: int | None = 6480
    citation = "Senocak et al., Sound Source Localization is All About Cross-Modal Alignment, 2023"
    box_unit = "pixels"

    def __init__(
        self,
        root: str | Path,
        *,
        image_folder: str = "images",
        audio_folder: str = "audio_wav",
        mask_folder: str = "gt_segmentation",
        truth: Literal["boxes", "masks"] = "boxes",
        **options: Any,
    ) -> None:
        check_choice(truth, ("boxes", "masks"), name="data.truth")
        super().__init__(root, image_folder=image_folder, audio_folder=audio_folder, **options)
        self.mask_folder = self.root / mask_folder
        self.truth = truth

    def read_entries(self) -> tuple[Path, list[dict[str, Any]]]:
        """Return the annotation file and its entries."""
        path, entries = super().read_entries()
        if self.truth == "masks":
            boxes = " data.truth=boxes does without masks."
            self.require_folder(self.mask_folder, "mask_folder", holds="masks", instead=boxes)
        return path, entries

    def parse(self, entry: dict[str, Any]) -> Sample:
        """Read one entry, with the words of its name as the classes in the picture."""
        image, audio = (_below(text_of(entry, field)) for field in ("image", "audio"))
        group, words, sounding = split_name(Path(image).stem)
        category = entry.get("category")
        boxes: tuple[Box, ...] = ()
        masks: tuple[Mask, ...] = ()
        if self.truth == "boxes":
            boxes = (pixels_of(entry["gt_box"], full=EVALUATION_SIZE),)
        else:
            stem = self.mask_folder / Path(image).stem
            paths = [Path(f"{stem}{suffix}") for suffix in (".jpg", ".png")]
            path = next(filter(is_there, paths), paths[0])
            masks = truth_masks(path)
            self.truth_files.add(path)
        return Sample(
            sample_id=Path(image).stem,
            image_path=self.image_folder / image,
            audio_path=self.audio_folder / audio,
            category=category if isinstance(category, str) and category else sounding,
            image_categories=tuple(dict.fromkeys((*words, sounding))),
            image_group=group,
            boxes=boxes,
            image_sources=2,
            masks=masks,
        )

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """Return the entry's box in fractions of the image; none where masks are the truth."""
        if self.truth == "masks":
            return []
        return [[float(value) / EVALUATION_SIZE for value in entry["gt_box"]]]

    def complete(self, samples: Sequence[Sample], annotation: Path) -> list[Sample]:
        """Add the classes of all samples of a picture to each of them.

        The samples of the file of classes count, too. If a sample of a picture is not listed, its
        class is unknown: then every class that resembles one of the picture's words is added.
        """
        categories: dict[str, list[str]] = defaultdict(list)  # by image group
        for sample in samples:
            categories[sample.image_group].append(sample.category)
        listed = {group: len(members) for group, members in categories.items()}
        for category, names in _class_files(annotation, self.root).items():
            for name in names:
                categories[name.rpartition("_")[0]].append(category)
        everywhere = sorted({category for members in categories.values() for category in members})
        completed = []
        for sample in super().complete(samples, annotation):
            classes = [*sample.image_categories, *categories[sample.image_group]]
            if listed[sample.image_group] < sample.image_sources:
                unknown = set(sample.image_categories) - {sample.category}
                classes += [c for c in everywhere if any(_words_alike(c, word) for word in unknown)]
            completed.append(replace(sample, image_categories=tuple(dict.fromkeys(classes))))
        return completed


def split_name(stem: str) -> tuple[str, tuple[str, ...], str]:
    """Split an IS3 file name into picture, the words for its objects, and the sounding class.

    Example:
        >>> split_name("fireworks_subwaytrain_10415_firework")
        ('fireworks_subwaytrain_10415', ('fireworks', 'subwaytrain'), 'firework')
    """
    group, _, sounding = stem.rpartition("_")
    words = group.split("_")
    if words[-1].isdecimal():
        words.pop()
    if len(words) < 2 or not all(words) or not sounding or sounding.isdecimal():
        raise ValueError(
            f"`{stem}` is not an IS3 name <first>_<second>_<number>_<sounding class>, so the"
            " classes in the picture are not known"
        )
    return group, tuple(words), sounding


def _below(path: str) -> str:
    """A path below the folder of images or sounds; of their authors' absolute paths the name."""
    return Path(path).name if Path(path).is_absolute() and not is_there(Path(path)) else path


def _words_alike(one: str, other: str) -> bool:
    """Whether one of two words contains the other, as `fireworks` does `firework`."""
    one, other = one.casefold().replace(" ", ""), other.casefold().replace(" ", "")
    return one in other or other in one


def _class_files(annotation: Path, root: Path) -> dict[str, list[str]]:
    """Names of samples by class from the file of classes; empty without the file."""
    folders = (annotation.parent, root, root / "metadata")
    paths = [folder / name for folder in folders for name in _CLASS_FILES]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return {}
    classes = parsed(path, "JSON", json.loads)
    if not isinstance(classes, dict) or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in classes.values()
    ):
        raise DataError(
            f"{path}: expected a list of names for each class. Mend the file, or remove it: it is"
            " not needed."
        )
    return classes
