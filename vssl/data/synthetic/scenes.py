"""Scenes of the embedded benchmark: their objects, what of them sounds, and their drawing."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vssl.core.arrays import Floats
from vssl.data.synthetic.drawing import SIZE, Painter
from vssl.data.synthetic.objects import KINDS
from vssl.data.synthetic.variants import SPLITS
from vssl.types import Box

CLASSES = tuple(KINDS)
"""Classes of objects and sounds."""

# Parts of a scene: the third key of a generator's seed, so that no two parts share random numbers.
# Sounds and noises take one key for each object of a scene.
ORDER, BACKGROUND, OBJECTS, SOUND = range(4)
NOISE = 16


@dataclass(frozen=True)
class Cast:
    """The objects of a scene and its samples."""

    names: tuple[str, ...]  # class of each object, from back to front
    sounding: tuple[tuple[int, ...], ...]
    """Positions of the objects that sound together in each sample, all of one class."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class of each sample."""
        return tuple(self.names[places[0]] for places in self.sounding)


def generator_of(seed: int, number: int, part: int, split: str) -> np.random.Generator:
    """Seed the generator of one part of a scene; no other part, scene, seed or split shares it.

    `seed` and `number` (of the scene, or of the round in which classes take turns) are below 2 **
    32: NumPy splits a larger number in two. To `SOUND` and `NOISE` an object's position is added.
    """
    return np.random.default_rng([seed, number, part, SPLITS.index(split)])


def cast_scene(seed: int, number: int, split: str, difficulty: str) -> Cast:
    """Cast a scene from a shuffle of all classes, a new one each round.

    Over the scenes from 0 on, numbers of samples of two classes differ by at most one. So do
    numbers of pairs of a class in `same_class_pair`.
    """
    scenes = len(CLASSES) // (1 if difficulty in ("easy", "same_class_pair") else 2)
    turn, place = divmod(number, scenes)  # of the round
    generator = generator_of(seed, turn, ORDER, split)
    names = [CLASSES[index] for index in generator.permutation(len(CLASSES))]
    if difficulty == "easy":
        return Cast((names[place],), ((0,),))
    if difficulty != "same_class_pair":
        return Cast((names[2 * place], names[2 * place + 1]), ((0,), (1,)))
    # the first half of a round pairs every second class, the other half the classes between them
    late, half = divmod(place, len(CLASSES) // 2)
    pair, single = names[2 * half + late], names[(2 * half + late + 1) % len(CLASSES)]
    depth = int(generator.integers(3, size=len(CLASSES))[place])
    objects = [pair, pair]
    objects.insert(depth, single)
    both = tuple(where for where in range(3) if where != depth)
    return Cast(tuple(objects), (both, (depth,)))


SUPERSAMPLING = 2


@dataclass(frozen=True)
class DrawnScene:
    """A drawn scene."""

    image: NDArray[np.uint8]  # [224, 224, 3]
    boxes: tuple[Box, ...]  # of each object, around its visible part


@dataclass(frozen=True)
class _Arrangement:
    """Bounds on the objects of a scene."""

    sides: tuple[float, float]  # longer side of an object in pixels as drawn, log-uniform
    box_sides: tuple[int, int] = (1, SIZE)  # longer side of a box in pixels
    iou: tuple[float, float] = (0.0, 0.1)  # of any two boxes
    hidden: float = 0.15  # largest share of an object's area that is hidden
    shrinks: bool = True  # objects that find no place shrink until they do; else new sizes


_ARRANGEMENTS = {
    "easy": _Arrangement((90, 150), box_sides=(90, 150), shrinks=False),
    "two_sources": _Arrangement((44, 126)),
    "overlap": _Arrangement((70, 126), iou=(0.1, 0.45), hidden=0.45, shrinks=False),
    "same_class_pair": _Arrangement((44, 105)),
}


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
    difficulty: str,
) -> DrawnScene:
    """Draw objects on a background [224, 224, 3], each in front of those before it."""
    arrangement = _ARRANGEMENTS[difficulty]
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
                return DrawnScene(image, tuple(_tight_box(layer[..., 3]) for layer in seen))
        if arrangement.shrinks:
            sides = sides * 0.9
        else:
            sides = np.exp(generator.uniform(low, high, len(names)))


def _somewhere(patch: Floats, generator: np.random.Generator) -> Floats:
    """Put a patch at a random place of an empty picture, [224, 224, 4]."""
    layer, (height, width) = np.zeros((SIZE, SIZE, 4), np.float32), patch.shape[:2]
    top = generator.integers(1, SIZE - height)
    left = generator.integers(1, SIZE - width)
    layer[top : top + height, left : left + width] = patch
    return layer


def _visible(layers: Sequence[Floats]) -> list[Floats]:
    """Visible part of each layer under those that follow it."""
    seen = list(layers)
    for place, front in enumerate(layers):
        for behind in range(place):
            seen[behind] = seen[behind] * (1 - front[..., 3:])
    return seen


def _keeps(arrangement: _Arrangement, layers: Sequence[Floats], seen: Sequence[Floats]) -> bool:
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
