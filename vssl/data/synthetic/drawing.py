"""Shapes, colours and the canvas of the embedded benchmark.

Every shape is a signed distance (negative inside) sampled on a grid. So edges are antialiased, and
no pixel depends on a drawing library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vssl.core.arrays import Floats

Rgb = tuple[float, float, float]
Point = tuple[float, float]
SIZE = 224
"""Side of a picture in pixels."""

DARK, BLACK, WHITE = (0.13, 0.11, 0.12), (0.05, 0.05, 0.06), (0.97, 0.97, 0.95)
CREAM, STEEL, WOOD = (0.95, 0.9, 0.77), (0.68, 0.71, 0.75), (0.66, 0.43, 0.22)
GLASS, RED, BRASS = (0.68, 0.86, 0.94), (0.85, 0.17, 0.14), (0.88, 0.69, 0.25)
LAMP, SMOKE = (1.0, 0.95, 0.6), (0.88, 0.9, 0.93)


class Painter:
    """Layers of shapes over a premultiplied RGBA canvas, float32 [H, W, 4] in [0, 1]."""

    def __init__(self, x: Floats, y: Floats, pixel: float, generator: np.random.Generator) -> None:
        self.x, self.y, self.pixel, self.generator = x, y, pixel, generator
        self.canvas: Floats = np.zeros((*x.shape, 4), np.float32)

    def fill(self, shape: Floats, colour: Rgb, line: float = 0.035, bevel: float = 0.28) -> None:
        """Paint the inside of a shape, its outermost `line` dark, its rim shaded by `bevel`."""
        near = shape < self.pixel
        rows, columns = np.logical_or.reduce(near, 1), np.logical_or.reduce(near, 0)
        if not rows.any():
            return
        top, left = int(rows.argmax()), int(columns.argmax())
        window = (
            slice(top, len(rows) - int(rows[::-1].argmax())),
            slice(left, len(columns) - int(columns[::-1].argmax())),
        )
        inside = shape[window]
        cover = np.clip(0.5 - inside / self.pixel, 0, 1)[..., None]
        body = np.clip(0.5 - (inside + line) / self.pixel, 0, 1)[..., None] if line else cover
        depth = np.clip(-(inside + line) / 0.22, 0, 1)
        light = 1 - bevel * (1 - depth) ** 2 - 0.5 * bevel * np.clip(self.y[window], -1, 1)
        tone = np.minimum(light[..., None] * np.asarray(colour, np.float32), 1)
        inked = body * tone + (1 - body) * np.asarray(DARK, np.float32) if line else tone
        layer = np.concatenate([inked, np.ones_like(cover)], axis=-1) * cover
        self.canvas[window] = self.canvas[window] * (1 - cover) + layer

    def ellipse(self, x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Floats:
        """Signed distance (to first order) to an ellipse turned by `turn` radians."""
        dx, dy = self.x - x, self.y - y
        u = (math.cos(turn) * dx + math.sin(turn) * dy) / rx
        v = (math.cos(turn) * dy - math.sin(turn) * dx) / ry
        radius = np.sqrt(u * u + v * v)
        slope = np.sqrt((u / rx) ** 2 + (v / ry) ** 2) + 1e-6
        return np.asarray((radius - 1) * np.maximum(radius, 0.05) / slope, np.float32)

    def ring(self, x: float, y: float, radius: float, half: float) -> Floats:
        """Signed distance to a ring of half-width `half`."""
        return np.abs(self.ellipse(x, y, radius, radius)) - np.float32(half)

    def box(self, x: float, y: float, rx: float, ry: float, corner: float = 0.03) -> Floats:
        """Signed distance to a rectangle with rounded corners."""
        dx, dy = np.abs(self.x - x) - rx + corner, np.abs(self.y - y) - ry + corner
        outside = np.sqrt(np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2)
        inside = np.minimum(np.maximum(dx, dy), 0)
        return np.asarray(outside + inside - corner, np.float32)

    def stroke(self, points: Sequence[Point], radius: float) -> Floats:
        """Signed distance to a polyline of the given half-width."""
        legs = [self._leg(*start, *end) for start, end in pairwise(points)]
        return np.asarray(np.minimum.reduce(legs) - radius, np.float32)

    def polygon(self, points: Sequence[Point], corner: float = 0.0) -> Floats:
        """Signed distance to a closed polygon grown by `corner`."""
        distance, inside = np.full(self.x.shape, np.inf, np.float32), np.zeros(self.x.shape, bool)
        for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
            distance = np.minimum(distance, self._leg(ax, ay, bx, by))
            if ay != by:
                crosses = self.x < ax + (self.y - ay) * ((bx - ax) / (by - ay))
                inside ^= ((ay > self.y) != (by > self.y)) & crosses
        return np.asarray(np.where(inside, -distance, distance) - corner, np.float32)

    def _leg(self, ax: float, ay: float, bx: float, by: float) -> Floats:
        dx, dy, ux, uy = self.x - ax, self.y - ay, bx - ax, by - ay
        along = np.clip((dx * ux + dy * uy) / (ux * ux + uy * uy + 1e-9), 0, 1)
        return np.asarray(np.sqrt((dx - along * ux) ** 2 + (dy - along * uy) ** 2), np.float32)

    def mirrored(self) -> Painter:
        """Fold the canvas at x = 0: shapes on the right appear twice."""
        folded = Painter(np.abs(self.x), self.y, self.pixel, self.generator)
        folded.canvas = self.canvas
        return folded


def arc(x: float, y: float, rx: float, ry: float, turns: tuple[float, float, int]) -> list[Point]:
    """List points of an elliptic arc; `turns` is (start, end, count), in degrees clockwise."""
    angles = np.radians(np.linspace(*turns)).tolist()
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


def mix(colour: Rgb, other: Rgb, share: float) -> Rgb:
    """Blend two colours, with a `share` of the other."""
    red, green, blue = (a * (1 - share) + b * share for a, b in zip(colour, other, strict=True))
    return red, green, blue


def smooth_noise(generator: np.random.Generator, rows: int, columns: int) -> Floats:
    """Interpolate a grid of rows x columns random values in [-1, 1] to [224, 224]."""
    grid = generator.uniform(-1, 1, (rows + 1, columns + 1))
    for axis, cells in enumerate((rows, columns)):
        place = np.linspace(0, cells, SIZE, endpoint=False)
        whole = place.astype(int)
        share = (place - whole).reshape(-1, 1) if axis == 0 else place - whole
        grid = grid.take(whole, axis) * (1 - share) + grid.take(whole + 1, axis) * share
    return grid.astype(np.float32)


def wash(p: Painter, start: float, ends: tuple[Rgb, Rgb], grain: tuple[int, int, float]) -> None:
    """Paint everything below `start` with a vertical gradient and noise of the given grain."""
    top = int(start * SIZE)
    down = np.linspace(0, 1, SIZE - top, dtype=np.float32)[:, None, None]
    colour = np.asarray(ends[0]) * (1 - down) + np.asarray(ends[1]) * down
    texture = 1 + grain[2] * smooth_noise(p.generator, *grain[:2])[top:, :, None]
    p.canvas[top:] = 1
    p.canvas[top:, :, :3] = np.clip(colour * texture, 0, 1)
