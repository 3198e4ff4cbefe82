"""Draws docs/images/benchmark.png: the embedded benchmark's difficulties and backgrounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vssl.data.synthetic.backgrounds import BACKGROUNDS, paint_background
from vssl.data.synthetic.generate import SceneSet
from vssl.data.synthetic.variants import DIFFICULTIES

SIDE, COLUMNS, GAP, TITLE = 168, 6, 6, 26
SOUNDS, SILENT = (0, 235, 255), (255, 255, 255)
WIDTH = COLUMNS * (SIDE + GAP) + GAP


def scene(request: SceneSet, number: int) -> Image.Image:
    """A scene, thick boxes around what sounds in its first sample."""
    drawn, sounding = request.draw(number), request.cast(number).sounding[0]
    picture = Image.fromarray(drawn.image).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(picture)
    for place, box in enumerate(drawn.boxes):
        x0, y0, x1, y1 = (round(edge * SIDE / 224) for edge in box)
        loud = place in sounding
        pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline="black", width=4 if loud else 1)
        inside = (x0 + 1, y0 + 1, x1 - 2, y1 - 2) if loud else (x0, y0, x1 - 1, y1 - 1)
        pen.rectangle(inside, outline=SOUNDS if loud else SILENT, width=2 if loud else 1)
    return picture


def row(title: str, pictures: list[Image.Image]) -> Image.Image:
    """Pictures side by side below a title."""
    side = (WIDTH - GAP) // len(pictures) - GAP
    strip = Image.new("RGB", (WIDTH, TITLE + side + GAP), "white")
    font = ImageFont.load_default(size=15)
    ImageDraw.Draw(strip).text((GAP, 5), title, fill="black", font=font)
    for place, picture in enumerate(pictures):
        shown = picture.resize((side, side), Image.Resampling.LANCZOS)
        strip.paste(shown, (GAP + place * (side + GAP), TITLE))
    return strip


def backgrounds(split: str) -> list[Image.Image]:
    """One background of each kind of a split."""
    kinds = BACKGROUNDS[split]
    return [Image.fromarray(paint_background(k, np.random.default_rng(3))) for k in kinds]


def main() -> None:
    """Draw the picture."""
    rows = []
    for difficulty in DIFFICULTIES:
        request = SceneSet(difficulty=difficulty)
        rows.append(row(difficulty, [scene(request, number) for number in range(COLUMNS)]))
    title = "backgrounds of validation (first three) and of train"
    rows.append(row(title, backgrounds("validation") + backgrounds("train")))
    whole = Image.new("RGB", (WIDTH, sum(each.height for each in rows)), "white")
    top = 0
    for each in rows:
        whole.paste(each, (0, top))
        top += each.height
    # 256 colours keep the file small.
    palette = whole.quantize(256)
    shown = whole.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    shown.save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
