"""Frames with a mask of what sounds in them, in their original layouts.

AVSBench S4 and MS3 (Zhou et al., Audio-Visual Segmentation, ECCV 2022) and VPO-SS and VPO-MS (Chen
et al., Unraveling Instance Associations, CVPR 2024), all also by SSLalignment's lists.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from vssl.core.checks import check_choice
from vssl.data.base import DataError, DatasetReader, text_of
from vssl.data.boxes import pixels_of
from vssl.data.mask_files import truth_masks
from vssl.types import EVALUATION_SIZE, Box, Mask, Sample

Truth = Literal["masks", "boxes"]


class SegmentedFrames(DatasetReader):
    """Frames, each with a mask of what sounds, or with SSLalignment's box of it.

    SSLalignment's lists hold `image`, `audio` and `gt_box`, which is a box in pixels of 224 x 224
    or the path of a mask. Paths are their authors' absolute ones: the last parts count. A frame
    whose mask or box is all zero has no ground truth: nothing in it sounds.

    Args:
        mask_folder: folder of the masks below `root`, as `image_folder` and `audio_folder`; None
            for the test set's own.
        truth: `masks`, by the rule of `vssl.data.mask_files.truth_masks`, or `boxes`, half-open as
            SSLalignment slices them.

    Source: kaistmm/SSLalignment `datasets.py`, `load_all_bboxes` and `bbox2gtmap`.
    """

    box_unit = "pixels"
    has_tiny_objects = True
    table: ClassVar[str] = ""
    """Their authors' table of videos of five frames, if they have one."""
    columns: ClassVar[tuple[str, ...]] = ()
    """Its columns that `names_of` needs."""
    boxes_are_called: ClassVar[str] = "box"
    """In the names of SSLalignment's lists."""
    home: ClassVar[str]
    """Folder of all files but lists and tables."""
    folders: ClassVar[tuple[str, str, str]]
    """Those of images, sounds and masks in it."""
    depth: ClassVar[int]
    """Parts of a path that name an image or mask below its folder; of a sound one less, if any."""
    image_pattern: ClassVar[str]
    """Names of images below their folder, with the groups `group` and `category`."""
    image_layout: ClassVar[str]
    """The same in words."""

    def __init__(
        self,
        root: str | Path,
        *,
        image_folder: str | None = None,
        audio_folder: str | None = None,
        mask_folder: str | None = None,
        truth: Truth = "masks",
        empty: Literal["fault", "keep", "negative"] = "negative",
        **options: Any,
    ) -> None:
        check_choice(truth, ("masks", "boxes"), name="data.truth")
        images, sounds, masks = (f"{self.home}/{folder}" for folder in self.folders)
        super().__init__(
            root,
            image_folder=image_folder or images,
            audio_folder=audio_folder or sounds,
            empty=empty,
            **options,
        )
        self.mask_folder = self.root / (mask_folder or masks)
        self.truth = truth
        listed = type(self).name.removeprefix("avsbench_")
        listed += "_seg.json" if truth == "masks" else f"_{self.boxes_are_called}.json"
        table = (self.table,) if self.table and truth == "masks" else ()
        self.annotation_names = (*table, f"metadata/{listed}", listed)

    def read_entries(self) -> tuple[Path, list[dict[str, Any]]]:
        """Return the annotation file and an entry for each frame."""
        path, entries = super().read_entries()
        if path.suffix.lower() == ".csv":
            entries = self.frames_of(path, entries)
        image, truth = str(entries[0].get("image")), entries[0].get("gt_box")
        if not re.fullmatch(self.image_pattern, _last(image, self.depth)):
            raise DataError(
                f"{path}: names the image {image}, which does not end as {self.name}'s do:"
                f" {self.image_layout}. Is it the list of another test set?"
            )
        if isinstance(truth, str) != (self.truth == "masks"):
            held = "paths of masks" if isinstance(truth, str) else "boxes"
            raise DataError(
                f"{path}: holds {held}, but data.truth={self.truth}. Set data.annotation to one of"
                f" {', '.join(self.annotation_names)}, or data.truth to the other kind."
            )
        self.require_folder(self.image_folder, "image_folder", holds="frames")
        self.require_folder(self.audio_folder, "audio_folder", holds="sounds")
        if self.truth == "masks":
            boxes = " data.truth=boxes does without masks, by the lists of SSLalignment."
            self.require_folder(self.mask_folder, "mask_folder", holds="masks", instead=boxes)
        return path, entries

    def frames_of(self, path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the entries of five frames for each test video of a table."""
        if not self.table:
            raise DataError(f"{path}: {self.name} is read from a JSON list, not from a table.")
        if not {"split", *self.columns} <= set(rows[0]):
            raise DataError(
                f"{path}: has the columns {', '.join(map(str, rows[0]))}, but"
                f" {', '.join((*self.columns, 'split'))} are needed. Is it the table of another"
                " test set?"
            )
        chosen = [self.names_of(row) for row in rows if row["split"] == "test"]
        if not chosen:
            raise DataError(f"{path}: lists no video with the split test.")
        return [
            {"image": f"{image}_{n}.png", "audio": audio, "gt_box": f"{mask}_{n}.png"}
            for audio, image, mask in chosen
            for n in range(1, 6)
        ]

    def names_of(self, row: dict[str, Any]) -> tuple[str, str, str]:
        """Name the sound of a video of the table, and its frames and masks before their numbers."""
        raise NotImplementedError

    def parse(self, entry: dict[str, Any]) -> Sample:
        """Read one entry, and its mask."""
        image = _last(text_of(entry, "image"), self.depth)
        audio = _last(text_of(entry, "audio"), max(1, self.depth - 1))
        name = re.fullmatch(self.image_pattern, image)
        if name is None:
            raise ValueError(f"`{image}` is not {self.image_layout}")
        boxes: tuple[Box, ...] = ()
        masks: tuple[Mask, ...] = ()
        if self.truth == "masks":
            path = self.mask_folder / _last(text_of(entry, "gt_box"), self.depth)
            masks = truth_masks(path)
            self.truth_files.add(path)
        else:
            boxes = tuple(pixels_of(box, full=EVALUATION_SIZE) for box in _box_of(entry))
        return Sample(
            sample_id=str(PurePosixPath(image).with_suffix("")),
            image_path=self.image_folder / image,
            audio_path=self.audio_folder / audio,
            category=name["category"],
            image_group=name["group"],
            boxes=boxes,
            masks=masks,
        )

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """Return the entry's box in fractions of the image; none for masks and all-zero boxes."""
        boxes = _box_of(entry) if self.truth == "boxes" else []
        return [[float(value) / EVALUATION_SIZE for value in box] for box in boxes]

    def complete(self, samples: Sequence[Sample], annotation: Path) -> list[Sample]:
        """Add the categories of all samples of a picture to each of them."""
        categories: dict[str, dict[str, None]] = defaultdict(dict)  # by image group, in order
        for sample in samples:
            categories[sample.image_group][sample.category] = None
        return [
            replace(sample, image_categories=tuple(categories[sample.image_group]))
            for sample in super().complete(samples, annotation)
        ]


class AVSBenchS4(SegmentedFrames):
    """AVSBench's single-source test set: `Single-source/`, 740 videos of five frames each.

    A frame is an image group of its own; all frames of a video play the video's 5 seconds.
    """

    name = "avsbench_s4"
    expected_count = 3700
    citation = "Zhou et al., Audio-Visual Segmentation, ECCV 2022"
    table = "Single-source/s4_meta_data.csv"
    columns = ("name", "category")
    home = "Single-source/s4_data"
    folders = ("visual_frames/test", "audio_wav/test", "gt_masks/test")
    depth = 3
    image_pattern = r"(?P<group>(?P<category>[^/]+)/([^/]+)/\3_\d+)\.png"
    image_layout = "<category>/<video>/<video>_<1 to 5>.png"

    def names_of(self, row: dict[str, Any]) -> tuple[str, str, str]:
        """Name the files of a video of `name,start,category,split`."""
        sound = f"{row['category']}/{row['name']}"
        frame = f"{sound}/{row['name']}"
        return f"{sound}.wav", frame, frame


class AVSBenchMS3(SegmentedFrames):
    """AVSBench's multi-source test set: `Multi-sources/`, 64 videos of five frames each.

    Classes are not annotated. The category is the video on YouTube, the first eleven characters of
    a name; some videos have several clips. So the sound of any other video is offscreen.
    """

    name = "avsbench_ms3"
    expected_count = 320
    citation = "Zhou et al., Audio-Visual Segmentation, ECCV 2022"
    table = "Multi-sources/ms3_meta_data.csv"
    columns = ("video_id",)
    home = "Multi-sources/ms3_data"
    folders = ("visual_frames", "audio_wav/test", "gt_masks/test")
    depth = 2
    image_pattern = r"(?P<group>((?P<category>[^/]{1,11})[^/]*)/\2\.mp4_\d+)\.png"
    image_layout = "<video>/<video>.mp4_<1 to 5>.png"

    def names_of(self, row: dict[str, Any]) -> tuple[str, str, str]:
        """Name the files of a video of `video_id,split`."""
        video = row["video_id"]
        return f"{video}.wav", f"{video}/{video}.mp4", f"{video}/{video}"


class _VPO(SegmentedFrames):
    """COCO pictures with sounds of VGGSound: `<COCO number>_<annotation>.jpg`, one object each.

    Entries of one COCO number show one picture and form an image group. Classes are not in the
    lists: the category is the object, so that the sound of any other picture is offscreen.
    """

    citation = "Chen et al., Unraveling Instance Associations, CVPR 2024"
    folders = ("visual_frames", "audio_wav", "gray_masks")
    depth = 1
    image_pattern = r"(?P<category>(?P<group>\d+)_\d+)\.jpg"
    image_layout = "<COCO number>_<annotation>.jpg"
    boxes_are_called = "bbox"


class VPOSS(_VPO):
    """VPO-SS, one object of each picture: `SSL_COCO/COCO_AV/`."""

    name = "vpo_ss"
    expected_count = 890
    home = "SSL_COCO/COCO_AV"


class VPOMS(_VPO):
    """VPO-MS, up to five objects of a picture, a sample each: `SSL_COCO/COCO_AV_MS/`."""

    name = "vpo_ms"
    expected_count = 2157
    home = "SSL_COCO/COCO_AV_MS"


def _last(path: str, parts: int) -> str:
    """The last parts of a path."""
    return "/".join(PurePosixPath(path).parts[-parts:])


def _box_of(entry: dict[str, Any]) -> list[list[float]]:
    """An entry's box; none where all of it is zero."""
    box = [float(value) for value in entry["gt_box"]]
    return [box] if any(box) else []
