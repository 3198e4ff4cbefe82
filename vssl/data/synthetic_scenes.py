"""Scenes of the embedded benchmark: sounding objects over a silent background."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vssl.data.synthetic_objects import KINDS as KINDS
from vssl.data.synthetic_shapes import SIZE, Floats, Painter
from vssl.types import Box

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Scene:
    """A drawn scene: image uint8 [224, 224, 3] and one half-open pixel box for each object."""

    image: NDArray[np.uint8]
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Arrangement:
    """How the objects of a scene stand.

    Attributes:
        sides: bounds of an object's longer side in pixels as drawn; uniform in its logarithm.
        box_sides: bounds of the longer side of a box in pixels.
        iou: bounds of the IoU of any two boxes.
        hidden: largest share of an object's area that is hidden.
        shrinks: whether objects that find no place shrink until they do; else new sizes are drawn.
    """

    sides: tuple[float, float]
    box_sides: tuple[int, int] = (1, SIZE)
    iou: tuple[float, float] = (0.0, 0.1)
    hidden: float = 0.15
    shrinks: bool = True


ARRANGEMENTS = {
    "easy": Arrangement((90, 150), box_sides=(90, 150), shrinks=False),
    "two_sources": Arrangement((44, 126)),
    "overlap": Arrangement((70, 126), iou=(0.1, 0.45), hidden=0.45, shrinks=False),
    "same_class_pair": Arrangement((44, 105)),
}
"""The arrangement of each difficulty."""


def _render(name: str, side: float, generator: np.random.Generator) -> Floats:
    kind, half = KINDS[name], int(side * 0.72) + 2
    steps = (np.arange(2 * half * SUPERSAMPLING, dtype=np.float32) + 0.5) / SUPERSAMPLING - half
    right, down = np.meshgrid(steps * (2 / float(side)), steps * (2 / float(side)))
    tilt = kind.tilt * generator.uniform(-1, 1)
    cosine, sine, flip = math.cos(tilt), math.sin(tilt), 1 - 2 * int(generator.integers(2))
    x = np.asarray(flip * (cosine * right + sine * down), np.float32)
    y = np.asarray(cosine * down - sine * right, np.float32)
    p = Painter(x, y, 2 / float(side) / SUPERSAMPLING, generator)
    hue, saturation, value = (generator.uniform(*limits) for limits in kind.colours)
    accent = colorsys.hsv_to_rgb(generator.random(), generator.uniform(0.5, 0.9), 0.85)
    kind.draw(p, colorsys.hsv_to_rgb(hue % 1, saturation, value), accent)
    shape = (2 * half, SUPERSAMPLING, 2 * half, SUPERSAMPLING, 4)
    patch = np.asarray(p.canvas.reshape(shape).mean(axis=(1, 3)), np.float32)
    left, top, right_edge, bottom = _tight_box(patch[..., 3])
    return patch[top:bottom, left:right_edge]


def _tight_box(alpha: Floats) -> Box:
    rows, columns = (np.flatnonzero((alpha > 0.2).any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _iou(first: Box, second: Box) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(areas) - shared)


def place_objects(
    background: NDArray[np.uint8],
    names: Sequence[str],
    generator: np.random.Generator,
    arrangement: Arrangement = ARRANGEMENTS["two_sources"],
) -> Scene:
    """Draws objects on a background, each in front of those before it.

    Args:
        background: image [224, 224, 3], left unchanged.
        names: keys of `KINDS`, one for each object.
        generator: source of all randomness.
        arrangement: what sizes, boxes and hidden areas have to keep to.

    Returns:
        The scene: sizes, box IoUs and hidden areas within the arrangement's bounds, and every box
        tight around what is visible.
    """
    low, high = np.log(arrangement.sides[0]), np.log(arrangement.sides[1])
    sides = np.exp(generator.uniform(low, high, len(names)))
    while True:
        patches = [_render(name, side, generator) for name, side in zip(names, sides, strict=True)]
        for _ in range(30):
            layers = [_somewhere(patch, generator) for patch in patches]
            seen = _visible(layers)
            if _keeps(arrangement, layers, seen):
                objects = np.add.reduce(seen)
                blend = background / 255 * (1 - objects[..., 3:]) + objects[..., :3]
                image = (blend * 255 + 0.5).clip(0, 255).astype(np.uint8)
                return Scene(image, tuple(_tight_box(layer[..., 3]) for layer in seen))
        if arrangement.shrinks:
            sides = sides * 0.9
        else:
            sides = np.exp(generator.uniform(low, high, len(names)))


def _somewhere(patch: Floats, generator: np.random.Generator) -> Floats:
    """A patch at a random place of an empty picture, [224, 224, 4]."""
    layer, (height, width) = np.zeros((SIZE, SIZE, 4), np.float32), patch.shape[:2]
    top = generator.integers(1, SIZE - height)
    left = generator.integers(1, SIZE - width)
    layer[top : top + height, left : left + width] = patch
    return layer


def _visible(layers: Sequence[Floats]) -> list[Floats]:
    """What is seen of each layer under those that follow it."""
    seen = list(layers)
    for place, front in enumerate(layers):
        for behind in range(place):
            seen[behind] = seen[behind] * (1 - front[..., 3:])
    return seen


def _keeps(arrangement: Arrangement, layers: Sequence[Floats], seen: Sequence[Floats]) -> bool:
    for whole, rest in zip(layers, seen, strict=True):
        if rest[..., 3].sum() < (1 - arrangement.hidden) * whole[..., 3].sum():
            return False
    boxes = [_tight_box(layer[..., 3]) for layer in seen]
    longest = [max(box[2] - box[0], box[3] - box[1]) for box in boxes]
    low, high = arrangement.box_sides
    if not all(low <= side <= high for side in longest):
        return False
    low_iou, high_iou = arrangement.iou
    return all(low_iou <= _iou(*pair) < high_iou for pair in combinations(boxes, 2))
