"""Backgrounds of the embedded benchmark: silent places with clutter, other kinds in each split.

A kind of background is a function that paints a whole picture; x and y run from 0 to 1, y
downwards. No part of it may resemble a sounding class. The test split's may never change, the
others only with `vssl.data.synthetic.generate.VERSION`.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vssl.data.synthetic.drawing import (
    BRASS,
    CREAM,
    DARK,
    GLASS,
    LAMP,
    RED,
    SIZE,
    STEEL,
    WHITE,
    WOOD,
    Painter,
    Rgb,
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
            side = 0.02 * (1 - 2 * int(p.generator.integers(2)))
            p.fill(p.box(x + side, y, 0.011, 0.015), BRASS, 0, 0)
    wash(p, 0.82, ((0.22, 0.22, 0.27), (0.13, 0.13, 0.17)), (40, 40, 0.2))


def _studio(p: Painter) -> None:
    hue = p.generator.random()
    upper, lower = (colorsys.hsv_to_rgb((hue + k) % 1, 0.45, 0.8 - k) for k in (0.0, 0.25))
    wash(p, 0, (upper, lower), (9, 9, 0.15))
    for x, y, size in p.generator.uniform((0, 0, 0.03), (1, 1, 0.1), (6, 3)).tolist():
        p.fill(p.ring(x, y, size, 0.006), mix(upper, WHITE, 0.4), 0, 0)
    table = (mix(lower, DARK, 0.2), mix(lower, DARK, 0.5))
    wash(p, p.generator.uniform(0.7, 0.85), table, (60, 60, 0.07))


def _bridge(p: Painter) -> None:
    wash(p, 0, ((0.62, 0.74, 0.86), (0.93, 0.9, 0.86)), (5, 7, 0.07))
    bank = p.generator.uniform(0.42, 0.55)
    for x in np.arange(0.05, 1, 0.13).tolist():
        gable = bank - p.generator.uniform(0.1, 0.24)
        plaster = colorsys.hsv_to_rgb(p.generator.uniform(0.02, 0.16), 0.35, 0.85)
        p.fill(p.box(x, (gable + bank) / 2, 0.06, (bank - gable) / 2, 0), plaster, 0.004, 0)
        roof = [(x - 0.07, gable), (x, gable - 0.07), (x + 0.07, gable)]
        p.fill(p.polygon(roof), (0.66, 0.33, 0.26), 0.004, 0)
        for y in np.arange(gable + 0.03, bank - 0.03, 0.05).tolist():
            p.fill(p.box(x, y, 0.012, 0.014, 0), (0.3, 0.35, 0.42), 0, 0)
    wash(p, bank, ((0.36, 0.5, 0.52), (0.22, 0.36, 0.42)), (80, 12, 0.2))
    deck, middle = bank + 0.02, p.generator.uniform(0.25, 0.75)
    stone = (0.64, 0.61, 0.56)
    span = np.minimum(p.box(0.5, deck + 0.09, 0.7, 0.09, 0), p.box(0.5, deck - 0.02, 0.7, 0.025, 0))
    arches = [p.ellipse(middle + k * 0.34, deck + 0.2, 0.14, 0.16) for k in (-2, -1, 0, 1, 2)]
    p.fill(np.maximum(span, -np.minimum.reduce(arches)), stone, 0.005, 0.1)
    for x in np.arange(0.02, 1, 0.07).tolist():
        p.fill(p.box(x, deck - 0.065, 0.006, 0.03, 0), mix(stone, DARK, 0.3), 0.002, 0)
    p.fill(p.box(0.5, deck - 0.095, 0.7, 0.008, 0), mix(stone, DARK, 0.2), 0.002, 0)


def _stage(p: Painter) -> None:
    cloth = colorsys.hsv_to_rgb(p.generator.choice([0.0, 0.6, 0.78, 0.42]), 0.65, 0.5)
    wash(p, 0, ((0.16, 0.13, 0.2), (0.3, 0.24, 0.34)), (7, 7, 0.1))
    for x in p.generator.uniform(0.2, 0.8, 2).tolist():
        lean = p.generator.uniform(-0.2, 0.2)
        beam = [(x - 0.02, 0), (x + 0.02, 0), (x + lean + 0.16, 0.8), (x + lean - 0.16, 0.8)]
        p.fill(p.polygon(beam), (0.46, 0.4, 0.46), 0, 0)
    folds = np.asarray(0.5 + 0.5 * np.cos(2 * np.pi * p.x * 17), np.float32)
    for side, edge in ((0, p.generator.uniform(0.14, 0.26)), (1, p.generator.uniform(0.74, 0.86))):
        drape = edge + (0.05 - 0.1 * side) * np.sin(np.pi * np.clip(p.y / 0.8, 0, 1))
        curtain = np.asarray((p.x - drape) * (1 - 2 * side), np.float32)
        p.fill(curtain, cloth, 0.006, 0)
        p.fill(np.maximum(curtain, 0.02 - 0.03 * folds), mix(cloth, DARK, 0.35), 0, 0)
    for x in np.arange(0.0, 1.1, 0.125).tolist():
        p.fill(p.ellipse(x, 0.0, 0.075, 0.12), mix(cloth, WHITE, 0.08), 0.006, 0.2)
    floor = p.generator.uniform(0.72, 0.84)
    wash(p, floor, ((0.5, 0.36, 0.24), (0.33, 0.22, 0.15)), (6, 60, 0.16))
    for x in np.linspace(-0.6, 1.6, 15).tolist():
        p.fill(p.stroke([(0.5 + 0.55 * (x - 0.5), floor), (x, 1)], 0.003), DARK, 0, 0)
    for x in np.arange(0.06, 1, 0.11).tolist():
        p.fill(p.ellipse(x, 0.985, 0.025, 0.02), LAMP, 0.004, 0.1)


def _garden(p: Painter) -> None:
    wash(p, 0, ((0.55, 0.75, 0.93), (0.88, 0.94, 0.96)), (5, 5, 0.06))
    hedge = p.generator.uniform(0.2, 0.32)
    for x in np.arange(0, 1.1, 0.09).tolist():
        height = p.generator.uniform(0.06, 0.12)
        p.fill(p.ellipse(x, hedge + 0.04, 0.08, height), (0.22, 0.44, 0.24), 0, 0.25)
    wash(p, hedge + 0.04, ((0.2, 0.42, 0.22), (0.26, 0.5, 0.26)), (60, 60, 0.3))
    lawn = p.generator.uniform(0.52, 0.62)
    across = np.abs(p.x * 12 % 1 - 0.5) / 12
    top = lawn - p.generator.uniform(0.17, 0.25)
    pickets = np.maximum.reduce([across - 0.028, top + 1.2 * across - p.y, p.y - lawn])
    p.fill(np.asarray(pickets, np.float32), CREAM, 0.004, 0)
    p.fill(p.box(0.5, lawn - 0.15, 0.7, 0.012, 0), mix(CREAM, WOOD, 0.3), 0.003, 0)
    wash(p, lawn, ((0.48, 0.7, 0.34), (0.34, 0.58, 0.26)), (90, 90, 0.2))
    x = p.generator.uniform(0.2, 0.8)
    path = [(x - 0.05, lawn), (x + 0.05, lawn), (x + 0.24, 1), (x - 0.14, 1)]
    p.fill(p.polygon(path), (0.78, 0.7, 0.58), 0.004, 0.05)
    hues = p.generator.uniform(0.78, 1.16, 10) % 1
    places = p.generator.uniform((0, lawn + 0.03), (1, 0.98), (10, 2)).tolist()
    for hue, (x, y) in zip(hues.tolist(), places, strict=True):
        p.fill(p.box(x, y + 0.02, 0.004, 0.025, 0), (0.2, 0.45, 0.2), 0, 0)
        petals = [p.ellipse(x + a, y + b, 0.012, 0.012) for a, b in _PETALS]
        p.fill(np.minimum.reduce(petals), colorsys.hsv_to_rgb(hue, 0.6, 0.95), 0, 0)
        p.fill(p.ellipse(x, y, 0.008, 0.008), LAMP, 0, 0)
    x = p.generator.uniform(0.1, 0.9)
    p.fill(p.box(x, 0.9, 0.07, 0.045), mix(RED, STEEL, 0.4), 0.005, 0.1)
    p.fill(p.box(x, 0.855, 0.08, 0.014), mix(RED, STEEL, 0.3), 0.004, 0.1)


_PETALS = ((0.013, 0.0), (0.004, 0.012), (-0.01, 0.008), (-0.01, -0.008), (0.004, -0.012))


def _fir(p: Painter, x: float, foot: float, height: float, colour: Rgb) -> None:
    p.fill(p.box(x, foot - 0.04 * height, 0.04 * height, 0.1 * height, 0), WOOD, 0.003, 0)
    for k in range(3):
        top, half = foot - height * (1 - 0.22 * k), height * (0.2 + 0.07 * k)
        tier = [(x, top), (x + half, top + 0.45 * height), (x - half, top + 0.45 * height)]
        p.fill(p.polygon(tier), mix(colour, WHITE, 0.06 * (2 - k)), 0.003, 0)


def _forest(p: Painter) -> None:
    wash(p, 0, ((0.5, 0.66, 0.5), (0.72, 0.82, 0.62)), (9, 9, 0.2))
    ground = p.generator.uniform(0.62, 0.76)
    for depth in (0.55, 0.3, 0.0):
        trunk = mix((0.36, 0.25, 0.17), (0.6, 0.72, 0.56), depth)
        for x in p.generator.random(3).tolist():
            half = 0.035 * (1.1 - depth)
            p.fill(p.box(x, 0.4, half, 0.42 - 0.1 * depth, 0), trunk, 0.004, 0.1)
            for y in p.generator.uniform(0.1, 0.6, 3).tolist():
                p.fill(p.box(x, y, half * 0.5, 0.004, 0), mix(trunk, DARK, 0.4), 0, 0)
        for x, y in p.generator.uniform((0, -0.04), (1, 0.12), (7, 2)).tolist():
            leaves = mix((0.16, 0.4, 0.18), (0.55, 0.72, 0.5), depth)
            p.fill(p.ellipse(x, y, 0.12, 0.07), leaves, 0, 0.25)
    wash(p, ground, ((0.42, 0.42, 0.22), (0.3, 0.27, 0.16)), (70, 70, 0.3))
    for x, y in p.generator.uniform((0, ground), (1, 0.97), (5, 2)).tolist():
        for lean in (-0.5, 0.1, 0.6):
            frond = [(x, y + 0.02), (x + 0.06 * lean, y - 0.04), (x + 0.14 * lean, y - 0.045)]
            p.fill(p.stroke(frond, 0.005), (0.28, 0.5, 0.22), 0, 0)
    for x, y in p.generator.uniform((0, ground + 0.05), (1, 0.95), (3, 2)).tolist():
        p.fill(p.box(x, y, 0.007, 0.018, 0), CREAM, 0.002, 0)
        p.fill(np.maximum(p.ellipse(x, y - 0.015, 0.025, 0.022), p.y - y + 0.012), RED, 0.003, 0)


def _snow(p: Painter) -> None:
    wash(p, 0, ((0.6, 0.68, 0.8), (0.86, 0.89, 0.94)), (6, 6, 0.06))
    for x in p.generator.uniform(-0.1, 1.1, 3).tolist():
        peak, half = p.generator.uniform(0.14, 0.3), p.generator.uniform(0.2, 0.34)
        p.fill(p.polygon([(x, peak), (x + half, 0.62), (x - half, 0.62)]), (0.55, 0.6, 0.7), 0, 0)
        cap = [(x, peak), (x + half / 4, peak + (0.62 - peak) / 4), (x, peak + 0.05)]
        cap += [(x - half / 4, peak + (0.62 - peak) / 4)]
        p.fill(p.polygon(cap), WHITE, 0, 0)
    ground = p.generator.uniform(0.5, 0.62)
    for x in p.generator.random(4).tolist():
        _fir(p, x, ground + 0.04, p.generator.uniform(0.14, 0.26), (0.2, 0.38, 0.32))
    wash(p, ground + 0.03, ((0.93, 0.95, 0.98), (0.82, 0.87, 0.94)), (8, 8, 0.06))
    for x, y in p.generator.uniform((0, ground + 0.1), (1, 1), (3, 2)).tolist():
        p.fill(p.ellipse(x, y, 0.2, 0.035), (0.84, 0.89, 0.96), 0, 0)
    rails = p.generator.uniform(ground + 0.06, 0.8)
    for y in (rails - 0.045, rails - 0.015):
        p.fill(p.box(0.5, y, 0.7, 0.007, 0), WOOD, 0.003, 0)
    for x in np.arange(0.04, 1, 0.16).tolist():
        p.fill(p.box(x, rails - 0.03, 0.01, 0.055, 0), mix(WOOD, DARK, 0.3), 0.003, 0)
        p.fill(p.ellipse(x, rails - 0.086, 0.016, 0.008), WHITE, 0, 0)
    for x, y in p.generator.random((24, 2)).tolist():
        p.fill(p.ellipse(x, y, 0.005, 0.005), WHITE, 0, 0)


def _kitchen(p: Painter) -> None:
    hue = p.generator.random()
    tile, front = colorsys.hsv_to_rgb(hue, 0.12, 0.93), colorsys.hsv_to_rgb(hue, 0.35, 0.72)
    wash(p, 0, (tile, tile), (14, 14, 0.05))
    joints = np.minimum(np.abs(p.x * 12 % 1 - 0.5), np.abs(p.y * 12 % 1 - 0.5)) / 12 - 0.0025
    p.fill(np.asarray(joints, np.float32), mix(tile, DARK, 0.25), 0, 0)
    shelf = p.generator.uniform(0.2, 0.3)
    for x, tall in zip(np.arange(0.08, 1, 0.14).tolist(), p.generator.random(7), strict=True):
        hue = p.generator.random()
        if tall < 0.5:
            jar = colorsys.hsv_to_rgb(hue, 0.4, 0.8)
            p.fill(p.box(x, shelf - 0.05, 0.035, 0.04, 0.01), mix(GLASS, jar, 0.6), 0.004, 0.1)
            p.fill(p.box(x, shelf - 0.095, 0.037, 0.01, 0), STEEL, 0.003, 0)
        else:
            bowl = np.maximum(p.ellipse(x, shelf - 0.06, 0.055, 0.055), shelf - 0.06 - p.y)
            p.fill(bowl, colorsys.hsv_to_rgb(hue, 0.3, 0.9), 0.004, 0.1)
    p.fill(p.box(0.5, shelf, 0.7, 0.012, 0), WOOD, 0.004, 0)
    counter = p.generator.uniform(0.6, 0.7)
    wash(p, counter, (front, mix(front, DARK, 0.2)), (8, 8, 0.05))
    for x in np.arange(p.generator.uniform(-0.1, 0.1), 1.1, 0.27).tolist():
        p.fill(p.box(x, counter + 0.21, 0.12, 0.15, 0.01), mix(front, WHITE, 0.15), 0.005, 0.05)
        p.fill(p.box(x + 0.07, counter + 0.12, 0.03, 0.007, 0), STEEL, 0.002, 0)
    p.fill(p.box(0.5, counter + 0.01, 0.7, 0.022, 0), (0.52, 0.5, 0.5), 0.004, 0)
    x = p.generator.uniform(0.15, 0.85)
    for k, hue in enumerate(p.generator.uniform(0, 0.3, 3).tolist()):
        place = p.ellipse(x - 0.05 + 0.05 * k, counter - 0.08 - 0.02 * (k % 2), 0.032, 0.032)
        p.fill(place, colorsys.hsv_to_rgb(hue, 0.75, 0.9), 0.004, 0.2)
    bowl = np.maximum(p.ellipse(x, counter - 0.075, 0.11, 0.075), counter - 0.075 - p.y)
    p.fill(bowl, CREAM, 0.005, 0.1)


def _harbour(p: Painter) -> None:
    wash(p, 0, ((0.5, 0.7, 0.88), (0.9, 0.92, 0.9)), (5, 8, 0.06))
    horizon = p.generator.uniform(0.4, 0.52)
    x = p.generator.uniform(0.1, 0.9)
    for k in range(5):
        band = (0.86, 0.25, 0.2) if k % 2 else WHITE
        half = 0.026 + 0.004 * k
        p.fill(p.box(x, horizon - 0.22 + 0.048 * k, half, 0.025, 0), band, 0.003, 0)
    p.fill(p.box(x, horizon - 0.262, 0.018, 0.018, 0), LAMP, 0.003, 0)
    p.fill(p.ellipse(x, horizon + 0.02, 0.14, 0.05), (0.42, 0.42, 0.4), 0, 0.15)
    wash(p, horizon, ((0.2, 0.42, 0.56), (0.16, 0.34, 0.44)), (100, 9, 0.22))
    for x, y in p.generator.uniform((0, horizon + 0.02), (1, horizon + 0.12), (4, 2)).tolist():
        hull = colorsys.hsv_to_rgb(p.generator.random(), 0.5, 0.8)
        size = 0.5 + 3 * (y - horizon)
        p.fill(p.box(x, y - 0.13 * size, 0.004, 0.13 * size, 0), WOOD, 0.001, 0)
        sail = [(x + 0.01, y - 0.25 * size), (x + 0.1 * size, y - 0.04), (x + 0.01, y - 0.04)]
        p.fill(p.polygon(sail), CREAM, 0.003, 0)
        deck = ((-0.09, -0.02), (0.11, -0.02), (0.07, 0.02), (-0.07, 0.02))
        p.fill(p.polygon([(x + a * size, y + b) for a, b in deck]), hull, 0.003, 0)
    pier = p.generator.uniform(0.74, 0.84)
    for x in np.arange(0.03, 1, 0.17).tolist():
        p.fill(p.box(x, pier, 0.022, 0.07, 0.01), (0.36, 0.27, 0.2), 0.004, 0.1)
    wash(p, pier, ((0.6, 0.5, 0.4), (0.46, 0.37, 0.3)), (6, 70, 0.16))
    for y in np.linspace(pier, 1, 5)[1:].tolist():
        p.fill(p.box(0.5, y, 0.7, 0.003, 0), DARK, 0, 0)
    for x in p.generator.random(2).tolist():
        p.fill(p.box(x, pier + 0.06, 0.013, 0.03, 0), STEEL, 0.003, 0.1)
        p.fill(p.box(x, pier + 0.03, 0.026, 0.009, 0), STEEL, 0.003, 0.1)


def _desert(p: Painter) -> None:
    wash(p, 0, ((0.96, 0.8, 0.56), (0.99, 0.92, 0.76)), (8, 3, 0.05))
    horizon = p.generator.uniform(0.42, 0.55)
    for x in p.generator.random(2).tolist():
        top, half = horizon - p.generator.uniform(0.08, 0.2), p.generator.uniform(0.08, 0.18)
        mesa = [(x - half, top), (x + half, top), (x + half + 0.07, horizon + 0.02)]
        p.fill(p.polygon([*mesa, (x - half - 0.07, horizon + 0.02)]), (0.75, 0.42, 0.3), 0, 0)
        for k in (1, 2):
            strip = p.box(x, top + 0.05 * k, half + 0.012 * k, 0.008, 0)
            p.fill(strip, (0.64, 0.35, 0.26), 0, 0)
    wash(p, horizon, ((0.9, 0.68, 0.42), (0.82, 0.58, 0.34)), (9, 4, 0.08))
    for k, x in enumerate(p.generator.random(3).tolist()):
        dune = np.maximum(p.ellipse(x, horizon + 0.2 + 0.12 * k, 0.5, 0.14), p.y - 1)
        p.fill(dune, mix((0.93, 0.72, 0.45), (0.8, 0.55, 0.32), 0.25 * k), 0, 0.12)
    for x, y in p.generator.uniform((0, horizon + 0.05), (1, 0.95), (4, 2)).tolist():
        size, green = p.generator.uniform(0.6, 1.2), (0.3, 0.5, 0.28)
        arms = [p.stroke([(x, y), (x, y - 0.17 * size)], 0.02 * size)]
        for side in (-1, 1):
            out, up = x + 0.055 * side * size, y - (0.08 + 0.03 * side) * size
            arms += [p.stroke([(x, up), (out, up), (out, up - 0.06 * size)], 0.013 * size)]
        p.fill(np.minimum.reduce(arms), green, 0.004, 0.15)
    for x, y in p.generator.uniform((0, horizon + 0.1), (1, 1), (6, 2)).tolist():
        p.fill(p.ellipse(x, y, 0.03, 0.016), (0.6, 0.48, 0.38), 0.003, 0.2)


def _garage(p: Painter) -> None:
    grey = p.generator.uniform(0.6, 0.78)
    wash(p, 0, ((grey, grey, grey * 0.97), (grey * 0.9, grey * 0.9, grey * 0.88)), (30, 30, 0.06))
    x = float(p.generator.choice([0.27, 0.73]))
    p.fill(p.box(x, 0.38, 0.24, 0.34, 0), (0.8, 0.82, 0.82), 0.006, 0)
    slats = np.asarray(np.abs(p.y * 16 % 1 - 0.5) / 16 - 0.003, np.float32)
    p.fill(np.maximum(slats, p.box(x, 0.38, 0.235, 0.335, 0)), (0.55, 0.58, 0.6), 0, 0)
    x = 1 - x
    for y in (0.2, 0.38, 0.56):
        for k in range(4):
            half, tall = p.generator.uniform((0.02, 0.025), (0.045, 0.06)).tolist()
            tub = colorsys.hsv_to_rgb(p.generator.random(), 0.45, 0.75)
            place = x - 0.15 + 0.1 * k
            p.fill(p.box(place, y - tall - 0.01, half, tall, 0.008), tub, 0.004, 0.1)
            p.fill(p.box(place, y - tall, half * 0.6, tall * 0.35, 0), CREAM, 0.002, 0)
        p.fill(p.box(x, y, 0.22, 0.011, 0), mix(WOOD, DARK, 0.2), 0.003, 0)
    for place in (x - 0.21, x + 0.21):
        p.fill(p.box(place, 0.4, 0.009, 0.34, 0), STEEL, 0.003, 0)
    floor = p.generator.uniform(0.7, 0.8)
    wash(p, floor, ((0.5, 0.5, 0.5), (0.38, 0.38, 0.4)), (60, 60, 0.14))
    for a, b in p.generator.uniform((0, floor + 0.06), (1, 1), (2, 2)).tolist():
        p.fill(p.ellipse(a, b, 0.1, 0.025), (0.33, 0.33, 0.35), 0, 0)
    a = p.generator.uniform(0.1, 0.9)
    p.fill(p.stroke([(a, floor - 0.3), (a + 0.08, floor + 0.03)], 0.009), WOOD, 0.003, 0)
    brush = [(a + 0.04, floor + 0.02), (a + 0.11, floor + 0.0), (a + 0.14, floor + 0.07)]
    p.fill(p.polygon([*brush, (a + 0.04, floor + 0.1)]), BRASS, 0.004, 0.1)


def _office(p: Painter) -> None:
    hue = p.generator.uniform(0.45, 0.7)
    wall = (colorsys.hsv_to_rgb(hue, 0.1, 0.9), colorsys.hsv_to_rgb(hue, 0.1, 0.8))
    wash(p, 0, wall, (5, 5, 0.04))
    x = float(p.generator.choice([0.28, 0.72]))
    p.fill(p.box(x, 0.3, 0.2, 0.22, 0), WHITE, 0.005, 0)
    p.fill(p.box(x, 0.3, 0.18, 0.2, 0), (0.66, 0.82, 0.95), 0.004, 0)
    for k in range(5):
        tower = p.generator.uniform(0.04, 0.16)
        block = p.box(x - 0.14 + 0.07 * k, 0.5 - tower / 2, 0.03, tower / 2, 0)
        p.fill(block, (0.5, 0.58, 0.68), 0, 0)
    blinds = p.generator.uniform(0.1, 0.3)
    for y in np.arange(0.1, 0.1 + blinds, 0.028).tolist():
        p.fill(p.box(x, y, 0.185, 0.007, 0), CREAM, 0.002, 0)
    x = 1 - x
    p.fill(p.box(x, 0.32, 0.19, 0.3, 0), mix(WOOD, DARK, 0.35), 0.005, 0)
    for y in (0.18, 0.36, 0.54):
        p.fill(p.box(x, y - 0.06, 0.175, 0.075, 0), mix(WOOD, DARK, 0.65), 0, 0)
        for k in range(9):
            tall = p.generator.uniform(0.035, 0.062)
            back = colorsys.hsv_to_rgb(p.generator.random(), 0.5, 0.7)
            book = p.box(x - 0.15 + 0.036 * k, y + 0.015 - tall, 0.015, tall, 0)
            p.fill(book, back, 0.003, 0)
    desk = p.generator.uniform(0.68, 0.8)
    wash(p, desk, ((0.72, 0.6, 0.46), (0.58, 0.46, 0.34)), (40, 5, 0.1))
    p.fill(p.box(0.5, desk, 0.7, 0.012, 0), mix(WOOD, DARK, 0.3), 0.003, 0)
    for a, b in p.generator.uniform((0.05, desk + 0.06), (0.95, 0.96), (3, 2)).tolist():
        sheet = [(a, b), (a + 0.12, b - 0.01), (a + 0.14, b + 0.05), (a + 0.01, b + 0.06)]
        p.fill(p.polygon(sheet), WHITE, 0.003, 0)
        for line in (0.015, 0.03):
            ends = [(a + 0.02, b + line), (a + 0.11, b + line - 0.008)]
            p.fill(p.stroke(ends, 0.002), STEEL, 0, 0)


def _attic(p: Painter) -> None:
    wash(p, 0, ((0.5, 0.36, 0.25), (0.62, 0.46, 0.32)), (5, 40, 0.2))
    ridge = p.generator.uniform(0.35, 0.65)
    inner = p.polygon([(ridge, -0.04), (1.25, 0.75), (1.25, 1), (-0.25, 1), (-0.25, 0.75)])
    boards = np.asarray(np.abs(p.y * 10 % 1 - 0.5) / 10 - 0.003, np.float32)
    p.fill(inner, (0.74, 0.6, 0.45), 0.008, 0)
    p.fill(np.maximum(boards, inner), (0.58, 0.45, 0.33), 0, 0)
    for foot in (-0.25, 1.25):
        p.fill(p.stroke([(ridge, -0.04), (foot, 0.75)], 0.022), mix(WOOD, DARK, 0.45), 0.004, 0)
    p.fill(p.box(ridge, 0.36, 0.02, 0.4, 0), mix(WOOD, DARK, 0.4), 0.004, 0)
    x = ridge + float(p.generator.choice([-0.16, 0.16]))
    p.fill(p.box(x, 0.36, 0.085, 0.1, 0), CREAM, 0.005, 0)
    for a in (-0.035, 0.035):
        for b in (-0.043, 0.043):
            p.fill(p.box(x + a, 0.36 + b, 0.029, 0.037, 0), (0.98, 0.93, 0.72), 0.003, 0)
    floor = p.generator.uniform(0.68, 0.8)
    wash(p, floor, ((0.5, 0.36, 0.24), (0.36, 0.25, 0.17)), (60, 7, 0.18))
    for a, size in p.generator.uniform((0.05, 0.05), (0.95, 0.1), (4, 2)).tolist():
        p.fill(p.box(a, floor + 0.03 - size, size, size * 0.8, 0), (0.76, 0.6, 0.4), 0.005, 0.1)
        p.fill(p.box(a, floor + 0.03 - size, size * 0.12, size * 0.8, 0), CREAM, 0.002, 0)
    a, chest = p.generator.uniform(0.15, 0.85), colorsys.hsv_to_rgb(p.generator.random(), 0.4, 0.5)
    p.fill(p.box(a, floor + 0.02, 0.13, 0.06, 0.01), chest, 0.006, 0.1)
    p.fill(p.box(a, floor - 0.05, 0.13, 0.03, 0.025), mix(chest, WHITE, 0.12), 0.006, 0.1)
    for b in (-0.09, 0.09):
        p.fill(p.box(a + b, floor, 0.012, 0.08, 0), BRASS, 0.003, 0)


BACKGROUNDS: dict[str, tuple[Callable[[Painter], None], ...]] = {
    "test": (_meadow, _street, _room, _beach, _night, _studio),
    "validation": (_bridge, _stage, _garden),
    "train": (_forest, _snow, _kitchen, _harbour, _desert, _garage, _office, _attic),
}
"""Kinds of background of each split; no two splits share one."""


def draw_background(generator: np.random.Generator, split: str = "test") -> NDArray[np.uint8]:
    """Paint a random kind of background of a split, uint8 [224, 224, 3]."""
    kinds = BACKGROUNDS[split]
    return paint_background(kinds[generator.integers(len(kinds))], generator)


def paint_background(
    kind: Callable[[Painter], None], generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Paint a background of a kind, uint8 [224, 224, 3]."""
    steps = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    x, y = (np.asarray(each, np.float32) for each in np.meshgrid(steps, steps))
    p = Painter(x, y, 1 / SIZE, generator)
    kind(p)
    tint = generator.uniform(0.93, 1.02, 3)
    return np.asarray(p.canvas[..., :3] * tint * 255 + 0.5).clip(0, 255).astype(np.uint8)
