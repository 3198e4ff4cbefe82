"""Backgrounds of the embedded benchmark's validation split. See `VERSION` before changing one."""

from __future__ import annotations

import colorsys

import numpy as np

from vssl.data.synthetic_shapes import (
    CREAM,
    DARK,
    LAMP,
    RED,
    STEEL,
    WHITE,
    WOOD,
    Painter,
    mix,
    wash,
)


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

VALIDATION = (_bridge, _stage, _garden)
