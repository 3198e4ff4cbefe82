"""Small test sets, drawn on the spot in the layouts of VGG-SS and IS3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

CATEGORIES = ("dog", "bell", "train")


def write_tone(path: Path, *, hertz: float, seconds: float = 2.0, rate: int = 16_000) -> None:
    """A decaying tone as 16-bit wav."""
    time = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * time) * np.exp(-time), rate)


def write_picture(path: Path, box: tuple[int, int, int, int], *, seed: int) -> None:
    """A noisy picture of 64 x 48 pixels with a bright rectangle; `box` in 224-pixel units."""
    pixels = np.random.default_rng(seed).integers(0, 60, size=(48, 64, 3), dtype=np.uint8)
    x0, y0, x1, y1 = (round(v * side / 224) for v, side in zip(box, (64, 48) * 2, strict=True))
    pixels[y0:y1, x0:x1] = (250, 200, 90)
    Image.fromarray(pixels).save(path, quality=95)


def draw_vggss(root: Path) -> Path:
    """Six samples of three classes in the layout of VGG-SS."""
    (root / "frames").mkdir(parents=True)
    (root / "audio").mkdir()
    entries: list[dict[str, Any]] = []
    for number in range(6):
        box = (20 + 15 * number, 30, 120 + 15 * number, 150)
        name = f"clip{number}_000010"
        write_picture(root / "frames" / f"{name}.jpg", box, seed=number)
        write_tone(root / "audio" / f"{name}.wav", hertz=220.0 * (1 + number))
        entries.append(
            {"file": name, "class": CATEGORIES[number % 3], "bbox": [[v / 224 for v in box]]}
        )
    (root / "vggss.json").write_text(json.dumps(entries))
    return root


def draw_is3(root: Path) -> Path:
    """Three pictures of two classes each, six samples, in the layout of IS3."""
    (root / "images").mkdir(parents=True)
    (root / "audio_wav").mkdir()
    entries: list[dict[str, Any]] = []
    pairs = (("dog", "bell"), ("bell", "train"), ("train", "dog"))
    for number, pair in enumerate(pairs):
        for side, sounding in enumerate(pair):
            box = (10 + 110 * side, 40, 100 + 110 * side, 160)
            name = f"{pair[0]}_{pair[1]}_{number}_{sounding}"
            write_picture(root / "images" / f"{name}.jpg", box, seed=number)
            write_tone(root / "audio_wav" / f"{name}.wav", hertz=300.0 * (1 + number + 3 * side))
            entries.append({"image": f"{name}.jpg", "audio": f"{name}.wav", "gt_box": list(box)})
    (root / "IS3_annotation.json").write_text(json.dumps(entries))
    return root
