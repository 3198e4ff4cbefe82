"""Objects of the embedded benchmark, a drawing for each sounding class.

An object's frame has x to the right and y downwards; the object fills about [-1, 1] along its
longer side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vssl.data.synthetic.drawing import (
    BLACK,
    BRASS,
    CREAM,
    DARK,
    GLASS,
    LAMP,
    RED,
    SMOKE,
    STEEL,
    WHITE,
    WOOD,
    Painter,
    Rgb,
    arc,
    mix,
)


def _eye(p: Painter, x: float, y: float, radius: float) -> None:
    p.fill(p.ellipse(x, y, radius, radius), WHITE, 0.025)
    p.fill(p.ellipse(x + radius * 0.2, y, radius * 0.5, radius * 0.58), BLACK, 0)


def _wheel(p: Painter, x: float, y: float, radius: float, rim: Rgb, spokes: int) -> None:
    p.fill(p.ellipse(x, y, radius, radius), (0.16, 0.16, 0.18))
    p.fill(p.ellipse(x, y, radius * 0.66, radius * 0.66), rim, 0.02)
    for tip in arc(x, y, radius * 0.6, radius * 0.6, (20, 380 - 360 / spokes, spokes)):
        p.fill(p.stroke([(x, y), tip], radius * 0.07), DARK, 0)
    p.fill(p.ellipse(x, y, radius * 0.2, radius * 0.2), STEEL, 0.02)


def _draw_drum(p: Painter, main: Rgb, accent: Rgb) -> None:
    p.fill(np.minimum(p.box(0, 0.28, 0.84, 0.4, 0), p.ellipse(0, 0.66, 0.84, 0.26)), main)
    cord = [(0.21 * k - 0.84, 0.25 + 0.5 * (k % 2) - 0.015 * (k - 4) ** 2) for k in range(9)]
    p.fill(p.stroke(cord, 0.03), CREAM, 0)
    p.fill(p.stroke(arc(0, 0.64, 0.84, 0.26, (0, 180, 16)), 0.08), accent)
    p.fill(p.ellipse(0, -0.1, 0.92, 0.32), accent)
    p.fill(p.ellipse(0, -0.14, 0.8, 0.24), CREAM, bevel=0.1)
    both = p.mirrored()
    both.fill(both.stroke([(0.92, -0.86), (0.14, -0.22)], 0.05), WOOD, 0.025)
    both.fill(both.ellipse(0.13, -0.2, 0.12, 0.08, -0.7), WOOD, 0.025)


def _draw_bell(p: Painter, main: Rgb, accent: Rgb) -> None:
    p.fill(p.ring(0, -0.82, 0.15, 0.05), accent, 0.025)
    p.fill(p.ellipse(0, 0.76, 0.17, 0.17), mix(accent, DARK, 0.4))
    down = np.linspace(0, 1, 12)
    widths = 0.3 * down**0.35 + 0.14 * down + 0.36 * down**5
    edge = list(zip(widths.tolist(), (1.36 * down - 0.7).tolist(), strict=True))
    both = p.mirrored()
    body = both.polygon([(-0.5, -0.7), *edge, (-0.5, 0.66)], 0.02)
    p.fill(body, main)
    p.fill(np.maximum(body, p.box(0, 0.24, 1, 0.04, 0)), accent, 0)
    p.fill(p.box(0, 0.64, 0.84, 0.085, 0.08), mix(main, WHITE, 0.2))
    p.fill(p.stroke([(-0.2, -0.5), (-0.27, 0.1)], 0.045), mix(main, WHITE, 0.65), 0)


def _draw_dog(p: Painter, main: Rgb, accent: Rgb) -> None:
    shade = mix(main, DARK, 0.4)
    p.fill(p.stroke([(-0.66, -0.02), (-0.82, -0.3), (-0.76, -0.55)], 0.075), main)
    for x, colour in ((-0.42, shade), (0.34, shade), (-0.62, main), (0.18, main)):
        p.fill(p.stroke([(x, 0.3), (x, 0.8), (x + 0.08, 0.82)], 0.1), colour)
    neck = p.stroke([(0.2, 0.05), (0.46, -0.4)], 0.2)
    p.fill(np.minimum(p.stroke([(-0.46, 0.12), (0.22, 0.1)], 0.3), neck), main)
    p.fill(p.ellipse(-0.38, 0.04, 0.22, 0.17, 0.3), shade, 0, 0)
    p.fill(p.stroke([(0.22, -0.22), (0.52, -0.06)], 0.06), accent, 0.025)
    p.fill(p.ellipse(0.82, -0.2, 0.09, 0.15, 0.3), (0.93, 0.45, 0.5), 0.02)
    snout = p.stroke([(0.6, -0.42), (0.84, -0.36)], 0.15)
    p.fill(np.minimum(p.ellipse(0.5, -0.5, 0.29, 0.27), snout), main)
    p.fill(p.ellipse(0.96, -0.44, 0.09, 0.075), BLACK, 0)
    p.fill(p.ellipse(0.34, -0.42, 0.13, 0.29, 0.3), shade)
    _eye(p, 0.62, -0.58, 0.08)


def _draw_bird(p: Painter, main: Rgb, accent: Rgb) -> None:
    p.fill(p.stroke([(-0.85, 0.84), (0.8, 0.76)], 0.06), WOOD)
    for x in (-0.08, 0.14):
        p.fill(p.stroke([(x, 0.45), (x + 0.02, 0.76)], 0.035), BRASS, 0.015)
    p.fill(p.polygon([(-0.4, 0.08), (-1, 0.36), (-0.8, 0.6), (-0.3, 0.4)]), mix(main, DARK, 0.3))
    p.fill(p.polygon([(0.66, -0.52), (0.66, -0.22), (1.02, -0.34)], 0.02), (0.96, 0.6, 0.12))
    head = p.ellipse(0.42, -0.36, 0.33, 0.32)
    p.fill(np.minimum(p.ellipse(0, 0.14, 0.58, 0.4, -0.45), head), main)
    p.fill(p.ellipse(0.28, 0.16, 0.2, 0.27, 0.2), accent, 0, 0.1)
    for k in range(3):
        feather = p.ellipse(-0.22 - 0.1 * k, 0.1 + 0.1 * k, 0.4 - 0.07 * k, 0.17, -0.5)
        p.fill(feather, mix(main, DARK, 0.18 + 0.14 * k), 0.025)
    _eye(p, 0.5, -0.42, 0.1)


def _draw_car(p: Painter, main: Rgb, accent: Rgb) -> None:
    roof = -0.44 - 0.14 * p.generator.random()
    p.fill(p.polygon([(-0.66, -0.06), (-0.46, roof), (0.2, roof), (0.56, -0.06)], 0.04), main)
    for pane in ([-0.54, -0.4, -0.14, -0.14], [-0.04, -0.04, 0.16, 0.43]):
        heights = (-0.06, roof + 0.07, roof + 0.07, -0.06)
        p.fill(p.polygon(list(zip(pane, heights, strict=True))), GLASS, 0.025)
    p.fill(p.box(0, 0.14, 0.98, 0.22, 0.13), main)
    p.fill(p.box(0, 0.2, 0.93, 0.035), accent, 0)
    p.fill(p.stroke([(-0.09, -0.02), (-0.09, 0.3)], 0.014), DARK, 0)
    p.fill(p.box(0.06, 0.07, 0.07, 0.025), STEEL, 0.012)
    p.fill(p.ellipse(0.9, 0.07, 0.08, 0.07), LAMP, 0.02)
    p.fill(p.box(-0.93, 0.08, 0.05, 0.08), RED, 0.02)
    for x in (-0.55, 0.55):
        _wheel(p, x, 0.34, 0.23, STEEL, 5)


def _draw_guitar(p: Painter, main: Rgb, accent: Rgb) -> None:
    both, dark = p.mirrored(), mix(main, DARK, 0.45)
    p.fill(p.box(0, -0.4, 0.075, 0.5), mix(WOOD, DARK, 0.5))
    for y in (-0.74, -0.63, -0.52, -0.41, -0.3, -0.19):
        p.fill(p.box(0, y, 0.065, 0.012, 0), STEEL, 0)
    p.fill(p.polygon([(-0.09, -0.72), (-0.13, -0.97), (0.13, -0.97), (0.09, -0.72)], 0.02), dark)
    for y in (-0.94, -0.85, -0.76):
        both.fill(both.ellipse(0.18, y, 0.05, 0.04), CREAM, 0.015)
    bouts = np.minimum(p.ellipse(0, 0.58, 0.46, 0.4), p.ellipse(0, 0.1, 0.34, 0.28))
    body = np.minimum(bouts, p.box(0, 0.32, 0.27, 0.2))
    p.fill(body, dark)
    p.fill(body + np.float32(0.06), main, 0)
    p.fill(p.ellipse(0, 0.26, 0.17, 0.17), accent, 0.02)
    p.fill(p.ellipse(0, 0.26, 0.12, 0.12), BLACK, 0)
    p.fill(p.box(0, 0.68, 0.22, 0.045), DARK, 0.02)
    for x in (-0.045, -0.015, 0.015, 0.045):
        p.fill(p.box(x, -0.06, 0.007, 0.74, 0), CREAM, 0)


def _draw_piano(p: Painter, main: Rgb, accent: Rgb) -> None:
    both, dark = p.mirrored(), mix(main, DARK, 0.4)
    both.fill(both.box(0.82, 0.5, 0.09, 0.42), dark)
    p.fill(p.box(0, -0.1, 0.92, 0.78, 0.04), main)
    p.fill(p.box(0, -0.84, 0.99, 0.07), mix(main, WHITE, 0.15))
    both.fill(both.box(0.58, -0.36, 0.24, 0.3), dark, 0.02)
    p.fill(p.box(0, 0.58, 0.7, 0.24, 0.02), dark, 0.02)
    both.fill(both.box(0.2, 0.86, 0.06, 0.04), BRASS, 0.02)
    p.fill(p.box(0, -0.34, 0.26, 0.2, 0.01), WHITE, 0.02)
    for y in (-0.45, -0.37, -0.29, -0.21):
        p.fill(p.box(0, y, 0.2, 0.012, 0), DARK, 0)
    p.fill(p.box(0, 0.15, 0.99, 0.2), dark)
    p.fill(p.box(0, 0.02, 0.9, 0.03, 0), accent, 0)
    for key in range(14):
        p.fill(p.box(0.13 * key - 0.845, 0.18, 0.06, 0.135, 0.01), WHITE, 0.012)
    for key in (0, 1, 3, 4, 5, 7, 8, 10, 11, 12):
        p.fill(p.box(0.13 * key - 0.78, 0.13, 0.04, 0.085, 0.01), BLACK, 0)


def _draw_kettle(p: Painter, main: Rgb, accent: Rgb) -> None:
    p.fill(p.stroke(arc(-0.08, -0.14, 0.5, 0.72, (190, 350, 16)), 0.075), accent)
    spout = [(0.4, 0.42), (0.36, 0.08), (0.68, -0.32), (0.88, -0.3), (0.7, 0.1)]
    p.fill(p.polygon(spout, 0.03), main)
    p.fill(np.maximum(p.ellipse(-0.08, 0.32, 0.68, 0.62), p.box(-0.08, 0.2, 0.9, 0.62)), main)
    p.fill(p.box(-0.08, 0.8, 0.54, 0.06), mix(main, DARK, 0.5))
    p.fill(p.ellipse(-0.08, -0.22, 0.36, 0.1), mix(main, WHITE, 0.2))
    p.fill(p.ellipse(-0.08, -0.36, 0.1, 0.1), accent)
    p.fill(p.stroke(arc(-0.08, 0.32, 0.5, 0.46, (165, 225, 6)), 0.05), mix(main, WHITE, 0.7), 0)
    for k in range(3):
        puff = p.ellipse(0.84 + 0.07 * (k % 2), -0.45 - 0.17 * k, 0.1 + 0.025 * k, 0.09)
        p.fill(puff, SMOKE, 0.015, 0.1)


def _draw_clock(p: Painter, main: Rgb, accent: Rgb) -> None:
    both = p.mirrored()
    both.fill(both.stroke([(0.45, 0.7), (0.6, 0.92)], 0.075), mix(main, DARK, 0.4))
    p.fill(p.ellipse(0, 0, 0.96, 0.96), main)
    p.fill(p.ellipse(0, 0, 0.77, 0.77), CREAM, 0.025, 0.12)
    for hour, (x, y) in enumerate(arc(0, 0, 0.68, 0.68, (0, 330, 12))):
        inner, width = (0.88, 0.022) if hour % 3 else (0.76, 0.04)
        p.fill(p.stroke([(x, y), (x * inner, y * inner)], width), BLACK, 0)
    minutes = 720 * p.generator.random()
    for reach, angle, width in ((0.56, minutes, 0.035), (0.36, minutes / 12, 0.055)):
        p.fill(p.stroke([(0, 0), *arc(0, 0, reach, reach, (angle, angle, 1))], width), BLACK, 0)
    p.fill(p.ellipse(0, 0, 0.075, 0.075), accent, 0.02)


def _draw_train(p: Painter, main: Rgb, accent: Rgb) -> None:
    p.fill(p.polygon([(0.7, 0.42), (1.0, 0.8), (0.7, 0.8)], 0.01), accent)
    funnel = [(0.46, -0.1), (0.42, -0.5), (0.36, -0.62), (0.74, -0.62), (0.68, -0.5), (0.64, -0.1)]
    p.fill(p.polygon(funnel), DARK)
    for k in range(3):
        p.fill(p.ellipse(0.42 - 0.24 * k, -0.78, 0.15 + 0.03 * k, 0.13), SMOKE, 0.015, 0.15)
    p.fill(p.ellipse(0.1, -0.22, 0.14, 0.2), BRASS)
    p.fill(p.box(0.22, 0.08, 0.62, 0.28, 0.1), main)
    for x in (0.06, 0.36, 0.64):
        p.fill(p.box(x, 0.08, 0.025, 0.26, 0), BRASS, 0)
    p.fill(p.ellipse(0.84, -0.06, 0.09, 0.1), LAMP, 0.025)
    p.fill(p.box(-0.58, 0.0, 0.32, 0.42), mix(main, accent, 0.5))
    p.fill(p.box(-0.56, -0.14, 0.17, 0.15), GLASS, 0.025)
    p.fill(p.box(-0.58, -0.44, 0.41, 0.06), accent)
    p.fill(p.box(-0.06, 0.42, 0.9, 0.07), DARK)
    for x, radius in ((-0.6, 0.28), (-0.02, 0.28), (0.42, 0.2), (0.78, 0.16)):
        _wheel(p, x, 0.86 - radius, radius, RED, 6)
    p.fill(p.stroke([(-0.6, 0.66), (-0.02, 0.66), (0.42, 0.7)], 0.035), STEEL, 0.015)


def _draw_frog(p: Painter, main: Rgb, accent: Rgb) -> None:
    both, shade = p.mirrored(), mix(main, DARK, 0.25)
    both.fill(both.ellipse(0.66, 0.42, 0.22, 0.42, 0.5), shade)
    for toe in (0.6, 0.78, 0.95):
        both.fill(both.stroke([(0.66, 0.74), (toe, 0.84)], 0.06), shade, 0.02)
    p.fill(p.ellipse(0, 0.34, 0.58, 0.5), main)
    p.fill(p.ellipse(0, 0.46, 0.4, 0.34), mix(accent, CREAM, 0.7), 0, 0.1)
    both.fill(both.stroke([(0.34, 0.3), (0.3, 0.76), (0.4, 0.82)], 0.09), main)
    p.fill(p.ellipse(0, -0.2, 0.76, 0.44), main)
    both.fill(both.ellipse(0.42, -0.6, 0.27, 0.26), main)
    _eye(both, 0.42, -0.62, 0.18)
    both.fill(both.ellipse(0.08, -0.3, 0.03, 0.03), DARK, 0)
    both.fill(both.ellipse(0.56, -0.2, 0.08, 0.06), shade, 0)
    p.fill(p.stroke(arc(0, -0.28, 0.56, 0.3, (12, 168, 14)), 0.03), mix(RED, DARK, 0.5), 0)


def _draw_siren(p: Painter, main: Rgb, accent: Rgb) -> None:
    for x, y in arc(0, 0, 1, 1, (190, 350, 7)):
        p.fill(p.stroke([(x * 0.74, y * 0.74), (x, y)], 0.05), (1.0, 0.84, 0.2), 0.02)
    p.fill(np.minimum(p.ellipse(0, 0, 0.54, 0.56), p.box(0, 0.26, 0.54, 0.28)), main)
    p.fill(p.ellipse(0, 0.1, 0.22, 0.28), mix(main, WHITE, 0.75), 0.02, 0.1)
    p.fill(p.ellipse(0, 0.1, 0.1, 0.14), LAMP, 0, 0)
    p.fill(p.stroke(arc(0, 0, 0.4, 0.42, (185, 240, 6)), 0.045), mix(main, WHITE, 0.8), 0)
    p.fill(p.box(0, 0.52, 0.66, 0.1), STEEL)
    p.fill(p.box(0, 0.74, 0.8, 0.16, 0.05), accent)


class _Kind(NamedTuple):
    draw: Callable[[Painter, Rgb, Rgb], None]
    colours: tuple[tuple[float, float], ...]
    tilt: float = 0.25


# For each class the ranges of (hue, saturation, value) of its main colour, and its widest tilt.
KINDS = {
    "drum": _Kind(_draw_drum, ((0.0, 1.0), (0.65, 0.9), (0.55, 0.9))),
    "bell": _Kind(_draw_bell, ((0.09, 0.15), (0.55, 0.85), (0.7, 0.95)), 0.4),
    "dog": _Kind(_draw_dog, ((0.05, 0.11), (0.15, 0.7), (0.35, 0.95)), 0.15),
    "bird": _Kind(_draw_bird, ((0.0, 1.0), (0.6, 0.9), (0.6, 0.95))),
    "car": _Kind(_draw_car, ((0.0, 1.0), (0.3, 0.95), (0.4, 0.95)), 0.12),
    "guitar": _Kind(_draw_guitar, ((0.02, 0.12), (0.6, 0.9), (0.5, 0.95)), 0.9),
    "piano": _Kind(_draw_piano, ((0.0, 0.1), (0.1, 0.75), (0.2, 0.55)), 0.1),
    "kettle": _Kind(_draw_kettle, ((0.0, 1.0), (0.0, 0.8), (0.55, 0.9)), 0.12),
    "clock": _Kind(_draw_clock, ((0.0, 1.0), (0.5, 0.9), (0.4, 0.9)), 0.15),
    "train": _Kind(_draw_train, ((0.0, 1.0), (0.5, 0.9), (0.3, 0.65)), 0.1),
    "frog": _Kind(_draw_frog, ((0.2, 0.4), (0.5, 0.85), (0.5, 0.85)), 0.2),
    "siren": _Kind(_draw_siren, ((0.95, 1.12), (0.85, 0.95), (0.8, 0.95))),
}
