"""What the annotation file of a folder says of one sample, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vssl.types import Mask


@dataclass(slots=True)
class Region:
    """One annotated object, by one annotator."""

    where: str  # in the annotation file, for messages
    category: str = ""
    box: tuple[float, float, float, float] | None = None  # two corners, in the file's unit
    outline: Any = None  # polygons or run lengths of COCO, or the name of a mask file


@dataclass(slots=True)
class Annotated:
    """One picture with one sound."""

    where: str  # in the annotation file, for messages
    image: str  # name of the picture's file, as written there
    audio: str = ""  # likewise; empty if the picture's name tells it
    group: str = ""  # pictures of one group are one picture; empty for the picture alone
    size: tuple[int, int] | None = None  # of the picture: width, height; stated or found
    categories: list[str] = field(default_factory=list)  # what sounds, each once
    annotators: set[str] = field(default_factory=set)  # who looked at it, where that is told
    regions: list[Region] = field(default_factory=list)  # objects that sound
    faults: list[str] = field(default_factory=list)  # what cannot be read, with its place

    # what the reader finds
    image_path: Path = Path()
    audio_path: Path = Path()
    picture: str = ""  # name of the picture
    sample_id: str = ""
    boxes: list[list[float]] = field(default_factory=list)
    """Two corners each, in fractions of the picture, not clipped."""
    masks: list[Mask] = field(default_factory=list)
    weight: float = 1.0  # of each box and mask


@dataclass(slots=True)
class Content:
    """Content of an annotation file."""

    samples: list[Annotated]
    understood: list[str]  # how it was read, in a line each
    has_boxes: bool
    has_masks: bool  # whether every object has an outline or mask
    of_masks: bool  # whether it is the place of masks, so that none are sought in a folder
    is_coco: bool = False  # whether boxes and outlines are in pixels whatever `data.boxes` says
    has_sizes: bool = False  # whether boxes were written as corner, width and height
    has_annotators: bool = False  # whether it tells its annotators apart
