"""Backgrounds of the embedded benchmark's test split. None of them may change: see `VERSION`."""

from __future__ import annotations

import colorsys

import numpy as np

from vssl.data.synthetic_shapes import (
    BRASS,
    CREAM,
    DARK,
    GLASS,
    LAMP,
    WHITE,
    WOOD,
    Painter,
    mix,
    wash,
)


def _cloud(p: Painter) -> None:
    x, y, size = p.generator.uniform((0, 0.05, 0.03), (1, 0.25, 0.07)).tolist()
    for k in range(4):
        puff = p.ellipse(x + (k - 1.5) * size, y - size / 3 * (k % 3), size, size * 0.7)
        p.fill(puff, WHITE, 0, 0.1)


def _meadow(p: Painter) -> None:
    wash(p, 0, ((0.4, 0.65, 0.95), (0.85, 0.93, 1.0)), (4, 4, 0.06))
    for _ in range(3):
        _cloud(p)
    horizon = p.generator.uniform(0.4, 0.6)
    p.fill(p.ellipse(p.generator.random(), horizon + 0.1, 0.5, 0.2), (0.45, 0.66, 0.4), 0, 0.1)
    wash(p, horizon, ((0.45, 0.7, 0.3), (0.25, 0.5, 0.18)), (70, 110, 0.22))
    for x in p.generator.random(2).tolist():
        p.fill(p.box(x, horizon, 0.015, 0.07), WOOD, 0.004)
        p.fill(p.ellipse(x, horizon - 0.13, 0.07, 0.1), (0.2, 0.48, 0.22), 0.005, 0.2)


def _street(p: Painter) -> None:
    wall = colorsys.hsv_to_rgb(p.generator.uniform(0, 0.11), 0.45, p.generator.uniform(0.5, 0.85))
    wash(p, 0, (wall, wall), (40, 24, 0.15))
    rows = np.floor(p.y * 20 + 0.5)
    beds = np.abs(p.y * 20 % 1 - 0.5) / 20
    joints = np.minimum(beds, np.abs((p.x * 9 + rows % 2 / 2) % 1 - 0.5) / 9)
    p.fill(np.asarray(joints - 0.0035, np.float32), (0.8, 0.78, 0.74), 0, 0)
    x, y = p.generator.uniform((0.1, 0.15), (0.9, 0.4)).tolist()
    p.fill(p.box(x, y, 0.11, 0.13), WHITE, 0.006)
    for pane in (-0.05, 0.05):
        p.fill(p.box(x + pane, y, 0.04, 0.11), GLASS, 0.004)
    wash(p, p.generator.uniform(0.65, 0.8), ((0.6, 0.6, 0.6), (0.42, 0.42, 0.44)), (60, 60, 0.12))


def _room(p: Painter) -> None:
    wall = colorsys.hsv_to_rgb(p.generator.random(), 0.25, p.generator.uniform(0.65, 0.95))
    wash(p, 0, (wall, mix(wall, DARK, 0.15)), (5, 5, 0.05))
    stripes = np.asarray(np.abs(p.x * 11 % 1 - 0.5) / 11 - 0.012, np.float32)
    p.fill(stripes, mix(wall, WHITE, 0.3), 0, 0)
    floor, x = p.generator.uniform(0.65, 0.8), p.generator.uniform(0.12, 0.88)
    p.fill(p.box(x, 0.24, 0.1, 0.13), WOOD, 0.006)
    p.fill(p.box(x, 0.24, 0.075, 0.105), (0.75, 0.85, 0.9), 0.003)
    p.fill(p.ellipse(x + 0.02, 0.3, 0.045, 0.04), (0.4, 0.55, 0.45), 0, 0)
    wash(p, floor, ((0.62, 0.43, 0.27), (0.48, 0.32, 0.2)), (50, 6, 0.14))
    p.fill(p.box(0.5, floor, 1, 0.012, 0), WHITE, 0.003)
    x = p.generator.random()
    for lean in (-0.06, -0.02, 0.03, 0.07):
        p.fill(p.ellipse(x + lean, floor - 0.1, 0.025, 0.09, lean * 6), (0.22, 0.5, 0.25), 0.004)
    pot = [(x - 0.06, floor), (x + 0.06, floor), (x + 0.04, floor + 0.1), (x - 0.04, floor + 0.1)]
    p.fill(p.polygon(pot), (0.72, 0.38, 0.25), 0.005)


def _beach(p: Painter) -> None:
    wash(p, 0, ((0.98, 0.66, 0.45), (0.99, 0.9, 0.7)), (12, 3, 0.05))
    x, horizon = p.generator.random(), p.generator.uniform(0.3, 0.5)
    p.fill(p.ellipse(x, horizon - 0.08, 0.08, 0.08), (1, 0.93, 0.6), 0, 0)
    wash(p, horizon, ((0.25, 0.5, 0.65), (0.35, 0.7, 0.75)), (90, 10, 0.18))
    x = p.generator.random()
    p.fill(p.polygon([(x, horizon - 0.12), (x + 0.07, horizon), (x, horizon)]), WHITE, 0.004)
    p.fill(p.box(x + 0.02, horizon + 0.015, 0.06, 0.015), WOOD, 0.004)
    wash(p, horizon + 0.22, ((0.86, 0.76, 0.55), (0.78, 0.66, 0.44)), (110, 110, 0.1))


def _night(p: Painter) -> None:
    wash(p, 0, ((0.04, 0.06, 0.2), (0.25, 0.2, 0.42)), (6, 6, 0.12))
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
    wash(p, 0.82, ((0.22, 0.22, 0.27), (0.13, 0.13, 0.17)), (40, 40, 0.2))


def _studio(p: Painter) -> None:
    hue = p.generator.random()
    upper, lower = (colorsys.hsv_to_rgb((hue + k) % 1, 0.45, 0.8 - k) for k in (0.0, 0.25))
    wash(p, 0, (upper, lower), (9, 9, 0.15))
    for x, y, size in p.generator.uniform((0, 0, 0.03), (1, 1, 0.1), (6, 3)).tolist():
        p.fill(p.ring(x, y, size, 0.006), mix(upper, WHITE, 0.4), 0, 0)
    table = (mix(lower, DARK, 0.2), mix(lower, DARK, 0.5))
    wash(p, p.generator.uniform(0.7, 0.85), table, (60, 60, 0.07))


TEST = (_meadow, _street, _room, _beach, _night, _studio)
