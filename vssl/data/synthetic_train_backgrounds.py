"""Backgrounds of the embedded benchmark's train split. See `VERSION` before changing one."""

from __future__ import annotations

import colorsys

import numpy as np

from vssl.data.synthetic_shapes import (
    BRASS,
    CREAM,
    DARK,
    GLASS,
    LAMP,
    RED,
    STEEL,
    WHITE,
    WOOD,
    Colour,
    Painter,
    mix,
    wash,
)


def _fir(p: Painter, x: float, foot: float, height: float, colour: Colour) -> None:
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
        deck = [
            (x - 0.09 * size, y - 0.02),
            (x + 0.11 * size, y - 0.02),
            (x + 0.07 * size, y + 0.02),
        ]
        p.fill(p.polygon([*deck, (x - 0.07 * size, y + 0.02)]), hull, 0.003, 0)
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
    wash(
        p, 0, (colorsys.hsv_to_rgb(hue, 0.1, 0.9), colorsys.hsv_to_rgb(hue, 0.1, 0.8)), (5, 5, 0.04)
    )
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
            p.fill(
                p.stroke([(a + 0.02, b + line), (a + 0.11, b + line - 0.008)], 0.002), STEEL, 0, 0
            )


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


TRAIN = (_forest, _snow, _kitchen, _harbour, _desert, _garage, _office, _attic)
