"""The check of a folder of one's own, against a plain loop over its files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import simplejpeg
import soundfile
from inputs import RATE, encoded_sound, numbered_picture, numbered_sound, timed

from vssl.data.folder import Folder

SMALL, LARGE = 2_000, 20_000
_OBJECTS = 50  # categories


def make_folder(root: Path, samples: int) -> None:
    """A table with a picture of 64 x 48 pixels and a sound of 0.1 s for each row, all different."""
    for name in ("images", "sounds"):
        (root / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    picture = simplejpeg.encode_jpeg(random.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    sound = encoded_sound(random.normal(size=RATE // 10) / 9)
    rows = ["image,audio,x0,y0,x1,y1,category"]
    for number in range(samples):
        (root / "images" / f"{number}.jpg").write_bytes(numbered_picture(picture, number))
        (root / "sounds" / f"{number}.wav").write_bytes(numbered_sound(sound, number))
        box = f"{number % 20},5,{30 + number % 30},40"
        rows.append(f"{number}.jpg,{number}.wav,{box},class {number % _OBJECTS}")
    (root / "samples.csv").write_text("\n".join(rows) + "\n")


def read_plainly(root: Path) -> None:
    """Decode every file and hash it, one after the other."""
    for path in (root / "images").iterdir():
        data = path.read_bytes()
        simplejpeg.decode_jpeg(data, min_height=1, min_width=1)
        hashlib.sha256(data).hexdigest()
    for path in (root / "sounds").iterdir():
        soundfile.read(path)
        hashlib.sha256(path.read_bytes()).hexdigest()


def measure(folder: Path) -> dict[str, float]:
    """Ratios of the check: to a plain loop, and of many samples to few."""
    times = {}
    for samples in (SMALL, LARGE):
        root = folder / f"own{samples}"
        make_folder(root, samples)
        times[samples] = timed(Folder(root).check)
    plain = timed(lambda: read_plainly(folder / f"own{LARGE}"))
    return {
        "check_over_reading": times[LARGE] / plain,
        "check_growth": times[LARGE] / times[SMALL] / (LARGE / SMALL),
    }
