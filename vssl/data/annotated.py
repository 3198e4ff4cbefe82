"""What the annotation file of a folder says of one sample, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Region:
    """One annotated object, by one annotator."""

    where: str  # in the annotation file, for messages
    category: str = ""
    box: tuple[float, float, float, float] | None = None  # two corners, in the file's unit
    outline: Any = None  # polygons or run lengths of COCO, or the name of a mask file


@dataclass(slots=True)
class Annotated:
    """One picture with one sound.

    Attributes:
        where: place in the annotation file, for messages.
        image: name of the picture's file, as written there.
        audio: name of the sound's file; empty if the picture's name tells it.
        group: pictures of one group are one picture; empty for the picture alone.
        size: width and height that the file states for the picture, in pixels.
        categories: what sounds, each once.
        annotators: how many people looked at it.
        regions: objects that sound; none where nothing does.
        faults: what cannot be read, with its place.
    """

    where: str
    image: str
    audio: str = ""
    group: str = ""
    size: tuple[int, int] | None = None
    categories: list[str] = field(default_factory=list)
    annotators: int = 1
    regions: list[Region] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Content:
    """Content of an annotation file.

    Attributes:
        samples: in its order.
        understood: how it was read, in a line each.
        has_boxes: whether there are boxes.
        has_masks: whether every object has an outline or mask.
        of_masks: whether it is the place of masks, so that none are sought in a folder.
        has_sizes: whether boxes were written as corner, width and height.
        has_annotators: whether it tells its annotators apart.
    """

    samples: list[Annotated]
    understood: list[str]
    has_boxes: bool
    has_masks: bool
    of_masks: bool
    has_sizes: bool = False
    has_annotators: bool = False
