"""Scenes of the embedded benchmark: two sounding objects over a silent background."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vssl.data.synthetic_objects import KINDS as KINDS
from vssl.data.synthetic_shapes import (
    BRASS,
    CREAM,
    DARK,
    GLASS,
    LAMP,
    WHITE,
    WOOD,
    Colour,
    Floats,
    Painter,
    mix,
)

SIZE = 224
SUPERSAMPLING = 2
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """A drawn scene: image uint8 [224, 224, 3] and one half-open pixel box for each object."""

    image: NDArray[np.uint8]
    boxes: tuple[Box, Box]


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
    background: NDArray[np.uint8], names: tuple[str, str], generator: np.random.Generator
) -> Scene:
    """Draws two objects on a background, the second one in front.

    Args:
        background: image [224, 224, 3], left unchanged.
        names: two keys of `KINDS`.
        generator: source of all randomness.

    Returns:
        The scene: box IoU below 0.1, at most 15 % of an object's area hidden, and every box
        tight around what is visible.
    """
    sides = np.exp(generator.uniform(np.log(44), np.log(126), 2))
    while True:
        patches = [_render(name, side, generator) for name, side in zip(names, sides, strict=True)]
        for _ in range(30):
            layers = [np.zeros((SIZE, SIZE, 4), np.float32) for _ in names]
            for layer, patch in zip(layers, patches, strict=True):
                height, width = patch.shape[:2]
                top = generator.integers(1, SIZE - height)
                left = generator.integers(1, SIZE - width)
                layer[top : top + height, left : left + width] = patch
            behind, front = layers
            seen = behind * (1 - front[..., 3:])
            if seen[..., 3].sum() < 0.85 * behind[..., 3].sum():
                continue
            boxes = (_tight_box(seen[..., 3]), _tight_box(front[..., 3]))
            if _iou(*boxes) < 0.1:
                objects = seen + front
                blend = background / 255 * (1 - objects[..., 3:]) + objects[..., :3]
                return Scene((blend * 255 + 0.5).clip(0, 255).astype(np.uint8), boxes)
        sides = sides * 0.9


def _noise(generator: np.random.Generator, rows: int, columns: int) -> Floats:
    """Smooth noise [224, 224] in [-1, 1] from a grid of rows x columns random values."""
    grid = generator.uniform(-1, 1, (rows + 1, columns + 1))
    for axis, cells in enumerate((rows, columns)):
        place = np.linspace(0, cells, SIZE, endpoint=False)
        whole = place.astype(int)
        share = (place - whole).reshape(-1, 1) if axis == 0 else place - whole
        grid = grid.take(whole, axis) * (1 - share) + grid.take(whole + 1, axis) * share
    return grid.astype(np.float32)


def _wash(
    p: Painter, start: float, ends: tuple[Colour, Colour], grain: tuple[int, int, float]
) -> None:
    """Paints everything below `start` with a vertical gradient and noise of the given grain."""
    top = int(start * SIZE)
    down = np.linspace(0, 1, SIZE - top, dtype=np.float32)[:, None, None]
    colour = np.asarray(ends[0]) * (1 - down) + np.asarray(ends[1]) * down
    texture = 1 + grain[2] * _noise(p.generator, *grain[:2])[top:, :, None]
    p.canvas[top:] = 1
    p.canvas[top:, :, :3] = np.clip(colour * texture, 0, 1)


def _cloud(p: Painter) -> None:
    x, y, size = p.generator.uniform((0, 0.05, 0.03), (1, 0.25, 0.07)).tolist()
    for k in range(4):
        puff = p.ellipse(x + (k - 1.5) * size, y - size / 3 * (k % 3), size, size * 0.7)
        p.fill(puff, WHITE, 0, 0.1)


def _meadow(p: Painter) -> None:
    _wash(p, 0, ((0.4, 0.65, 0.95), (0.85, 0.93, 1.0)), (4, 4, 0.06))
    for _ in range(3):
        _cloud(p)
    horizon = p.generator.uniform(0.4, 0.6)
    p.fill(p.ellipse(p.generator.random(), horizon + 0.1, 0.5, 0.2), (0.45, 0.66, 0.4), 0, 0.1)
    _wash(p, horizon, ((0.45, 0.7, 0.3), (0.25, 0.5, 0.18)), (70, 110, 0.22))
    for x in p.generator.random(2).tolist():
        p.fill(p.box(x, horizon, 0.015, 0.07), WOOD, 0.004)
        p.fill(p.ellipse(x, horizon - 0.13, 0.07, 0.1), (0.2, 0.48, 0.22), 0.005, 0.2)


def _street(p: Painter) -> None:
    wall = colorsys.hsv_to_rgb(p.generator.uniform(0, 0.11), 0.45, p.generator.uniform(0.5, 0.85))
    _wash(p, 0, (wall, wall), (40, 24, 0.15))
    rows = np.floor(p.y * 20 + 0.5)
    beds = np.abs(p.y * 20 % 1 - 0.5) / 20
    joints = np.minimum(beds, np.abs((p.x * 9 + rows % 2 / 2) % 1 - 0.5) / 9)
    p.fill(np.asarray(joints - 0.0035, np.float32), (0.8, 0.78, 0.74), 0, 0)
    x, y = p.generator.uniform((0.1, 0.15), (0.9, 0.4)).tolist()
    p.fill(p.box(x, y, 0.11, 0.13), WHITE, 0.006)
    for pane in (-0.05, 0.05):
        p.fill(p.box(x + pane, y, 0.04, 0.11), GLASS, 0.004)
    _wash(p, p.generator.uniform(0.65, 0.8), ((0.6, 0.6, 0.6), (0.42, 0.42, 0.44)), (60, 60, 0.12))


def _room(p: Painter) -> None:
    wall = colorsys.hsv_to_rgb(p.generator.random(), 0.25, p.generator.uniform(0.65, 0.95))
    _wash(p, 0, (wall, mix(wall, DARK, 0.15)), (5, 5, 0.05))
    stripes = np.asarray(np.abs(p.x * 11 % 1 - 0.5) / 11 - 0.012, np.float32)
    p.fill(stripes, mix(wall, WHITE, 0.3), 0, 0)
    floor, x = p.generator.uniform(0.65, 0.8), p.generator.uniform(0.12, 0.88)
    p.fill(p.box(x, 0.24, 0.1, 0.13), WOOD, 0.006)
    p.fill(p.box(x, 0.24, 0.075, 0.105), (0.75, 0.85, 0.9), 0.003)
    p.fill(p.ellipse(x + 0.02, 0.3, 0.045, 0.04), (0.4, 0.55, 0.45), 0, 0)
    _wash(p, floor, ((0.62, 0.43, 0.27), (0.48, 0.32, 0.2)), (50, 6, 0.14))
    p.fill(p.box(0.5, floor, 1, 0.012, 0), WHITE, 0.003)
    x = p.generator.random()
    for lean in (-0.06, -0.02, 0.03, 0.07):
        p.fill(p.ellipse(x + lean, floor - 0.1, 0.025, 0.09, lean * 6), (0.22, 0.5, 0.25), 0.004)
    pot = [(x - 0.06, floor), (x + 0.06, floor), (x + 0.04, floor + 0.1), (x - 0.04, floor + 0.1)]
    p.fill(p.polygon(pot), (0.72, 0.38, 0.25), 0.005)


def _beach(p: Painter) -> None:
    _wash(p, 0, ((0.98, 0.66, 0.45), (0.99, 0.9, 0.7)), (12, 3, 0.05))
    x, horizon = p.generator.random(), p.generator.uniform(0.3, 0.5)
    p.fill(p.ellipse(x, horizon - 0.08, 0.08, 0.08), (1, 0.93, 0.6), 0, 0)
    _wash(p, horizon, ((0.25, 0.5, 0.65), (0.35, 0.7, 0.75)), (90, 10, 0.18))
    x = p.generator.random()
    p.fill(p.polygon([(x, horizon - 0.12), (x + 0.07, horizon), (x, horizon)]), WHITE, 0.004)
    p.fill(p.box(x + 0.02, horizon + 0.015, 0.06, 0.015), WOOD, 0.004)
    _wash(p, horizon + 0.22, ((0.86, 0.76, 0.55), (0.78, 0.66, 0.44)), (110, 110, 0.1))


def _night(p: Painter) -> None:
    _wash(p, 0, ((0.04, 0.06, 0.2), (0.25, 0.2, 0.42)), (6, 6, 0.12))
    for x, y in p.generator.random((30, 2)).tolist():
        p.fill(p.ellipse(x, y, 0.004, 0.004), LAMP, 0, 0)
    p.fill(p.ellipse(p.generator.random(), 0.14, 0.06, 0.06), CREAM, 0, 0.1)
    for x in np.arange(0.03, 1, 0.12).tolist():
        top = p.generator.uniform(0.35, 0.7)
        p.fill(p.box(x, 0.5 + top, 0.055, 0.5), (0.16, 0.17, 0.27), 0.003)
        for y in np.arange(top + 0.05, 0.8, 0.07).tolist():
            p.fill(
                p.box(x + 0.02 * (1 - 2 * int(p.generator.integers(2))), y, 0.011, 0.015),
                BRASS,
                0,
                0,
            )
    _wash(p, 0.82, ((0.22, 0.22, 0.27), (0.13, 0.13, 0.17)), (40, 40, 0.2))


def _studio(p: Painter) -> None:
    hue = p.generator.random()
    upper, lower = (colorsys.hsv_to_rgb((hue + k) % 1, 0.45, 0.8 - k) for k in (0.0, 0.25))
    _wash(p, 0, (upper, lower), (9, 9, 0.15))
    for x, y, size in p.generator.uniform((0, 0, 0.03), (1, 1, 0.1), (6, 3)).tolist():
        p.fill(p.ring(x, y, size, 0.006), mix(upper, WHITE, 0.4), 0, 0)
    table = (mix(lower, DARK, 0.2), mix(lower, DARK, 0.5))
    _wash(p, p.generator.uniform(0.7, 0.85), table, (60, 60, 0.07))


BACKGROUNDS = (_meadow, _street, _room, _beach, _night, _studio)


def draw_background(generator: np.random.Generator) -> NDArray[np.uint8]:
    """A random place with clutter that makes no sound, uint8 [224, 224, 3]."""
    steps = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    x, y = (np.asarray(grid, np.float32) for grid in np.meshgrid(steps, steps))
    p = Painter(x, y, 1 / SIZE, generator)
    BACKGROUNDS[generator.integers(len(BACKGROUNDS))](p)
    tint = generator.uniform(0.93, 1.02, 3)
    return np.asarray(p.canvas[..., :3] * tint * 255 + 0.5).clip(0, 255).astype(np.uint8)
