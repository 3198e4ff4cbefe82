"""A folder of one's own: pictures, sounds, and a table, a COCO file or masks."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from vssl.core.checks import check_choice
from vssl.core.devices import each
from vssl.data.annotated import Annotated, Content, Region
from vssl.data.base import DataError, DatasetReader, EntryError, Problem
from vssl.data.boxes import guess_cause, is_far, pixels_of
from vssl.data.coco import draw_outline, read_coco
from vssl.data.mask_files import read_whole_mask, to_grid
from vssl.data.names import IMAGES, SOUNDS, NamedFiles, without_suffix
from vssl.data.table import read_table
from vssl.images import ImageFileError, image_size
from vssl.maps import encode_mask
from vssl.types import Mask, Sample

_TABLES = (".csv", ".tsv")
_IMAGE_FOLDERS = ("images", "frames", "image", "pictures")
_AUDIO_FOLDERS = ("sounds", "audio", "sound", "audio_wav", "wav", "wavs")
_MASK_FOLDERS = ("masks", "mask", "gt_masks")
_TOGETHER = " + "  # between the categories that one sound has
_SLACK = 0.01  # share of a side by which a box may reach beyond its picture unnoticed
_NO_MASK = b""  # a mask that marks nothing of the evaluation grid, and something in its file

_TURNED = "; is it turned by its orientation tag?"

_Result = TypeVar("_Result")
_Size = tuple[int, int]


class Folder(DatasetReader):
    """Pictures and sounds with an annotation file: a table (csv), or COCO's JSON.

    Boxes are brought to fractions of the picture, multiplied by 224 and rounded down, as those of
    VGG-SS. Masks, polygons and run lengths take the nearest pixel (`vssl.data.mask_files.to_grid`).
    docs/own-data.md has the formats.

    Args:
        image_folder: folder of the pictures below `root`; None takes the first of `images`,
            `frames`, `image` and `pictures` that exists, else `root`. Names of files may also
            begin at `root`.
        audio_folder: likewise: `sounds`, `audio`, `sound`, `audio_wav`, `wav` or `wavs`.
        mask_folder: likewise: `masks`, `mask` or `gt_masks`.
        boxes: unit of the boxes of a table: `pixels` of the picture's file, or `fractions`.
        truth: `boxes` or `masks`; `auto` takes masks where every annotated object has one.
        annotators: `union` marks what any annotator marked. `votes` is Flickr-SoundNet's rule: the
            sum of the votes over 2, at most 1; what the only annotator of a sample marks counts 1.
            `auto` takes votes where a table has a column `annotator`.
    """

    name = "folder"
    annotation_names = ()
    box_unit = "picture"
    lists_every_file = False

    def __init__(
        self,
        root: str | Path,
        *,
        image_folder: str | None = None,
        audio_folder: str | None = None,
        mask_folder: str | None = None,
        boxes: Literal["pixels", "fractions"] = "pixels",
        truth: Literal["auto", "boxes", "masks"] = "auto",
        annotators: Literal["auto", "votes", "union"] = "auto",
        empty: Literal["fault", "keep", "negative"] = "negative",
        **options: Any,
    ) -> None:
        check_choice(boxes, ("pixels", "fractions"), name="data.boxes")
        check_choice(truth, ("auto", "boxes", "masks"), name="data.truth")
        check_choice(annotators, ("auto", "votes", "union"), name="data.annotators")
        super().__init__(root, image_folder="", audio_folder="", empty=empty, **options)
        self.image_folder = self._folder("image", image_folder, _IMAGE_FOLDERS)
        self.audio_folder = self._folder("audio", audio_folder, _AUDIO_FOLDERS)
        self.mask_folder = self._folder("mask", mask_folder, _MASK_FOLDERS)
        self.boxes = boxes
        self.truth = truth
        self.annotators = annotators
        self._images = NamedFiles(self.root, self.image_folder, IMAGES)
        self._sounds = NamedFiles(self.root, self.audio_folder, SOUNDS)
        self._masks = NamedFiles(self.root, self.mask_folder, IMAGES)
        self._without_sound: set[Path] = set()
        self._read: tuple[Path, list[dict[str, Any]]] | None = None

    def _folder(self, kind: str, given: str | None, usual: Sequence[str]) -> Path:
        if given is None:
            return next((f for name in usual if (f := self.root / name).is_dir()), self.root)
        folder = self.root / Path(given).expanduser()
        if self.root.is_dir() and not folder.is_dir():
            raise DataError(f"{folder}: no such folder (data.{kind}_folder)")
        return folder

    def parse(self, entry: dict[str, Any]) -> Sample:
        """Return the sample of an entry of `read_entries`."""
        found: Annotated = entry["found"]
        if found.faults:
            raise EntryError("; ".join(found.faults))
        boxes = tuple(pixels_of(box, full=1.0) for box in found.boxes)
        return Sample(
            sample_id=found.sample_id,
            image_path=found.image_path,
            audio_path=found.audio_path,
            category=_TOGETHER.join(found.categories),
            image_categories=tuple(found.categories),
            image_group=found.group or found.picture,
            boxes=boxes,
            box_weights=(found.weight,) * len(boxes),
            masks=tuple(found.masks),
            mask_weights=(found.weight,) * len(found.masks),
        )

    def annotated_boxes(self, entry: dict[str, Any]) -> list[list[float]]:
        """Return the entry's boxes in fractions of the picture."""
        found: Annotated = entry["found"]
        return found.boxes

    def complete(self, samples: Sequence[Sample], annotation: Path) -> list[Sample]:
        """Add facts that depend on all samples: sources of each picture, and its classes.

        A picture's classes are those of all its samples, each joint class that holds one of them,
        and, where it occurs, the unknown class: no sound of these is offscreen.
        """
        sources = Counter(s.image_group for s in samples if s.boxes or s.masks)
        own: dict[str, dict[str, None]] = defaultdict(dict)  # by picture, in order
        for sample in samples:
            own[sample.image_group].update(dict.fromkeys(sample.image_categories))
        joint: dict[str, set[str]] = defaultdict(set)  # by a class that they hold
        for sample in samples:
            if len(sample.image_categories) > 1:
                for category in sample.image_categories:
                    joint[category].add(sample.category)
        unknown = [""] if any(not sample.category for sample in samples) else []
        classes = {}
        for group, categories in own.items():
            together = sorted({name for each in categories for name in joint.get(each, ())})
            classes[group] = tuple(dict.fromkeys([*categories, *together, *unknown]))
        return [
            replace(
                sample,
                image_categories=classes[sample.image_group],
                image_sources=max(1, sources[sample.image_group]),
            )
            for sample in samples
        ]

    def hint(self, path: Path) -> str:
        """Say what is there in place of a missing picture or sound."""
        if path in self._without_sound:
            return "the annotation names no sound, and none has the picture's name"
        files = self._images if path.suffix.lower() in IMAGES else self._sounds
        return files.hint(path)

    def shown_box(self, sample: Sample, box: Sequence[float]) -> str:
        """Write a box as it is annotated, with its place in the annotation file."""
        entry = self._by_id.get(sample.sample_id)
        if entry is None or list(box) not in entry.boxes:
            return super().shown_box(sample, box)
        region = entry.regions[entry.boxes.index(list(box))]
        numbers = ", ".join(f"{value:.6g}" for value in region.box or box)
        return f"[{numbers}] ({region.where})"

    @cached_property
    def _by_id(self) -> dict[str, Annotated]:
        _, entries = self.read_entries()
        return {entry["found"].sample_id: entry["found"] for entry in entries}

    def guess_cause(self, annotated: Sequence[Sequence[float]]) -> str:
        """Guess why boxes are faulty, with the option that mends it."""
        unit = "fractions" if self.boxes == "fractions" else self.box_unit
        cause = guess_cause(annotated, unit)
        if "in pixels rather than fractions" in cause:
            return f"{cause} Then set data.boxes=pixels."
        if "width and height" in cause:
            return f"{cause} Then name the columns x, y, width, height."
        return cause

    def read_entries(self) -> tuple[Path, list[dict[str, Any]]]:
        """Return the annotation file and what it says of each sample, with the files found."""
        if self._read is None:
            path = self._find_annotation()
            content = read_table(path) if path.suffix.lower() in _TABLES else read_coco(path)
            if not content.samples:
                raise DataError(f"{path}: lists no samples, so there is nothing to evaluate.")
            self._find(path, content, self._kind_of_truth(path, content))
            self._read = path, [{"found": each} for each in content.samples]
        return self._read

    def _find_annotation(self) -> Path:
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder. Set data.root=<your folder>.")
        if self._annotation is not None:
            path = self.root / Path(self._annotation).expanduser()
            if not path.is_file():
                raise DataError(f"{path}: no such file (data.annotation)")
            if path.suffix.lower() not in (*_TABLES, ".json"):
                raise DataError(f"{path}: expected a .csv, .tsv or .json file (data.annotation)")
            return path
        for folder in (self.root, self.root / "annotations"):
            there = sorted(folder.iterdir()) if folder.is_dir() else []
            known = [path for path in there if path.suffix.lower() in (*_TABLES, ".json")]
            paths = [path for path in known if not path.name.startswith(".")]
            if len(paths) == 1:
                return paths[0]
            if paths:
                names = ", ".join(str(path.relative_to(self.root)) for path in paths)
                raise DataError(
                    f"{self.root}: holds more than one file that may be the annotation: {names}."
                    f" Name one: data.annotation={paths[0].relative_to(self.root)}"
                )
        names = ", ".join(sorted(path.name for path in self.root.iterdir())[:10])
        masks = "For the masks, write a csv with a column image, one picture a line. "
        remedy = masks if self.mask_folder != self.root else ""
        raise DataError(
            f"{self.root}: holds no annotation file, neither a .csv nor a COCO .json. There is"
            f" {names or 'nothing'}. {remedy}Set data.root, or data.annotation=FILE;"
            " docs/own-data.md has the formats."
        )

    def _kind_of_truth(self, path: Path, content: Content) -> str:
        """`boxes` or `masks`; for masks in a folder the samples get theirs."""
        kind = self.truth
        if kind == "auto":
            kind = "masks" if content.has_masks or not content.has_boxes else "boxes"
        if kind == "boxes" and not content.has_boxes:
            raise DataError(f"{path}: holds no boxes (data.truth=boxes).")
        if kind == "boxes" or content.of_masks:
            return kind
        if self.mask_folder == self.root:
            raise DataError(
                f"{path}: has no columns of boxes (x0, y0, x1, y1) or of masks (mask), and there is"
                f" no folder {self.root / _MASK_FOLDERS[0]}. Set data.mask_folder, or add columns."
                f" It is read as {'; '.join(content.understood)}."
            )
        for sample in content.samples:
            category = _TOGETHER.join(sample.categories)
            stem = without_suffix(sample.image.replace("\\", "/"))
            sample.regions = [Region(sample.where, category, outline=stem)]
        return kind

    def _find(self, path: Path, content: Content, kind: str) -> None:
        """Find the files of all samples, and make their ground truths."""
        samples, is_coco = content.samples, content.is_coco
        votes = self.annotators == "votes"
        votes |= self.annotators == "auto" and content.has_annotators
        for sample in samples:
            sample.image_path = self._images.find(sample.image)
            sample.audio_path = self._audio_of(sample)
            sample.weight = 0.5 if votes and len(sample.annotators) > 1 else 1.0
        _name(samples, [self.image_folder, self.root])
        in_pixels = is_coco or self.boxes == "pixels"
        if is_coco or (kind == "boxes" and in_pixels):
            sizes = _mapped(image_size, dict.fromkeys(s.image_path for s in samples))
            words = f"in {path.name}"
            files = [(s, s.image_path, sizes[s.image_path], words, s.size) for s in samples]
            self.oddities = _other_shapes("pictures of another shape than annotated", files)
            for sample in samples:
                sample.size = sample.size or sizes[sample.image_path]
        what = "box" if kind == "boxes" else "segmentation" if is_coco else "mask"
        for sample in samples:
            lacking = [r for r in sample.regions if not (r.box if what == "box" else r.outline)]
            sample.faults += [f"{region.where}: has no {what}" for region in lacking]
        if kind == "boxes":
            for sample in samples:
                _add_boxes(sample, in_pixels=in_pixels)
            self._check_unit(path, content, in_pixels=in_pixels)
            self.oddities = [*self.oddities, *_beyond(samples)]
        elif is_coco:
            for sample in samples:
                sample.masks = _drawn(sample)
        else:
            self._add_mask_files(samples)
        places = f"pictures in {self.image_folder}, sounds in {self.audio_folder}"
        if kind == "masks" and not is_coco:
            places += f", masks in {self.mask_folder}"
        unit = "pixels of the picture" if in_pixels else "fractions"
        truth = f"boxes in {unit}" if kind == "boxes" else "masks"
        union = "the union of all objects of a sample"
        joined = "votes / 2 of several annotators (data.annotators=votes)" if votes else union
        self.understood = [
            f"{path}: {content.understood[0]}",
            *content.understood[1:],
            places,
            f"ground truth: {truth}, {joined}",
        ]

    def _audio_of(self, sample: Annotated) -> Path:
        """A sample's sound: the one it names, or that of its picture's name."""
        if sample.audio:
            return self._sounds.find(sample.audio)
        stem = _below(sample.image_path, [self.image_folder, self.root])
        found = self._sounds.of_stem(stem) or self._sounds.of_stem(sample.image_path.stem)
        if len(found) > 1 and not sample.faults:
            names = ", ".join(each.name for each in found)
            sample.faults.append(f"{sample.where}: has no `audio`, and may mean any of {names}")
        if found:
            return found[0]
        self._without_sound.add(missing := self.audio_folder / f"{stem}.wav")
        return missing

    def _check_unit(self, path: Path, content: Content, *, in_pixels: bool) -> None:
        """Refuse boxes that are all of another kind than they should be."""
        raw = [r.box for s in content.samples for r in s.regions if r.box is not None]
        if in_pixels and raw and all(-0.5 <= value <= 1.5 for box in raw for value in box):
            multiply = "Multiply them by width and height."
            remedy = multiply if content.is_coco else "Set data.boxes=fractions."
            raise DataError(
                f"{path}: all {len(raw)} boxes lie between 0 and 1, or nearly, so they are"
                f" fractions of the picture, not pixels. {remedy}"
            )
        if not content.has_sizes:
            return
        boxes = [box for sample in content.samples for box in sample.boxes]
        beyond = sum(map(_reaches_beyond, boxes))
        if beyond and all(
            x0 < x1 - x0 <= 1 + _SLACK and y0 < y1 - y0 <= 1 + _SLACK for x0, y0, x1, y1 in boxes
        ):
            remedy = (
                "COCO's bbox is [x, y, width, height]: mend the file, or write a csv with x0, y0,"
                " x1, y1."
            )
            raise DataError(
                f"{path}: {beyond} of {len(boxes)} boxes reach beyond their picture as x, y, width"
                " and height, and all fit in it as two corners."
                f" {remedy if content.is_coco else 'Then name the columns x0, y0, x1, y1.'}"
            )

    def _add_mask_files(self, samples: Sequence[Annotated]) -> None:
        """Read all masks, each file once."""
        named = [(s, region) for s in samples for region in s.regions if region.outline]
        names = dict.fromkeys(region.outline for _, region in named)
        paths = {name: self._masks.find(name) for name in names}
        masks = _mapped(_read_mask_file, dict.fromkeys(paths.values()))
        for sample, region in named:
            mask = masks[paths[region.outline]]
            if isinstance(mask, str):
                sample.faults.append(f"{region.where}: {mask}")
            elif mask is not None:
                sample.masks.append(mask)
        self.truth_files = set(paths.values())
        sizes = _mapped(image_size, {**dict.fromkeys(s.image_path for s in samples), **masks})
        files = [
            (sample, path, size, f"and {sample.image_path.name} is", sizes[sample.image_path])
            for sample, region in named
            if (size := sizes[path := paths[region.outline]])
            if size[0] != size[1]  # a square one was stretched, as it will be
        ]
        self.oddities = _other_shapes("masks of another shape than their picture", files)


def _add_boxes(sample: Annotated, *, in_pixels: bool) -> None:
    """Bring the boxes of a sample to fractions of its picture."""
    boxes = [region.box for region in sample.regions if region.box is not None]
    width = height = 1.0
    if in_pixels and boxes:
        # of a picture that cannot be read the check says so; its boxes are no fault beside that
        largest = (max(1, *(box[2] for box in boxes)), max(1, *(box[3] for box in boxes)))
        width, height = sample.size or largest
    sample.boxes = [[x0 / width, y0 / height, x1 / width, y1 / height] for x0, y0, x1, y1 in boxes]


def _reaches_beyond(box: Sequence[float]) -> bool:
    """Whether a box in fractions of its picture reaches beyond it, by more than a slip."""
    return min(box) < -_SLACK or max(box) > 1 + _SLACK


def _beyond(samples: Sequence[Annotated]) -> Iterator[Problem]:
    """Samples with a box beyond their picture, which is cut there; of far ones the check says."""
    kind = "boxes that reach beyond their picture, and are cut at its edge"
    for sample in samples:
        for region, box in zip(sample.regions, sample.boxes, strict=False):
            if region.box is None or not _reaches_beyond(box) or is_far(box):
                continue
            shown = ", ".join(f"{value:.6g}" for value in region.box)
            text = f"{sample.sample_id}: [{shown}] ({region.where})"
            if size := sample.size:
                text += f", and the picture is {size[0]} x {size[1]}"
                text += _TURNED if region.box[2] <= size[1] and region.box[3] <= size[0] else ""
            yield Problem(kind, sample.sample_id, text)
            break


def _drawn(sample: Annotated) -> list[Mask]:
    """Draw COCO's segmentations of a sample; what cannot be drawn is a fault of it."""
    masks = []
    for region in sample.regions:
        if region.outline is None:
            continue
        if sample.size is None:  # the check says that there is no such picture
            masks.append(_NO_MASK)
            continue
        try:
            grid = draw_outline(region.outline, sample.size)
        except (TypeError, ValueError) as error:
            sample.faults.append(f"{region.where}: {error}")
            continue
        outline = region.outline
        if grid.any():
            masks.append(encode_mask(grid))
        elif isinstance(outline, list) or len(outline["counts"]) > 1:
            masks.append(_NO_MASK)
    return masks


def _read_mask_file(path: Path) -> Mask | str | None:
    """A mask; None where it marks nothing, and a text that says why it cannot be read."""
    try:
        whole = read_whole_mask(path)
        grid = to_grid(whole)
        return encode_mask(grid) if grid.any() else (_NO_MASK if whole.any() else None)
    except ImageFileError as error:
        return str(error)


def _name(samples: Sequence[Annotated], folders: Sequence[Path]) -> None:
    """Name pictures and samples: by the picture's file, by its suffix and sound where need be."""
    pictures = {sample.image_path: _below(sample.image_path, folders) for sample in samples}
    alike = Counter(pictures.values())
    counts = Counter(sample.image_path for sample in samples)
    for sample in samples:
        name = pictures[sample.image_path]
        sample.picture = name if alike[name] == 1 else name + sample.image_path.suffix
        sound = f"+{sample.audio_path.stem}" if counts[sample.image_path] > 1 else ""
        sample.sample_id = sample.picture + sound
    ids = Counter(sample.sample_id for sample in samples)
    for sample in samples:
        if ids[sample.sample_id] > 1 and counts[sample.image_path] > 1:
            sample.sample_id = f"{sample.picture}+{sample.audio_path.name}"


def _below(path: Path, folders: Sequence[Path]) -> str:
    """Name of a file without suffix, below the first of some folders that holds it."""
    text = os.fspath(path)
    for folder in folders:
        if text.startswith(place := f"{folder}{os.sep}"):
            text = text.removeprefix(place)
            break
    return without_suffix(text).strip("/")


def _other_shapes(
    kind: str, files: Iterable[tuple[Annotated, Path, _Size | None, str, _Size | None]]
) -> list[Problem]:
    """Files whose size has another shape than a second one, in words that stand between both."""
    found = []
    for sample, path, own, words, other in files:
        if own and other and abs(own[0] * other[1] - own[1] * other[0]) > max(*own, *other):
            text = f"{path}: is {own[0]} x {own[1]}, {words} {other[0]} x {other[1]}"
            text += _TURNED if own == other[::-1] else ""
            found.append(Problem(kind, sample.sample_id, text))
    return found


def _mapped(work: Callable[[Path], _Result], paths: Iterable[Path]) -> dict[Path, _Result]:
    paths = list(paths)
    return dict(zip(paths, each(work, paths), strict=True))
