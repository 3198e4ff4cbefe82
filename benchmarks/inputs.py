"""What the benchmarks run on: made test sets of real file sizes, checkpoints of random weights."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
import soundfile
import torch
from PIL import Image

from vssl.config.compose import composed_config
from vssl.config.networks import make_network
from vssl.config.settings import RunSettings

SECONDS, RATE = 10, 16_000
_DIFFERENT = 24  # pictures and sounds that are made; the others are these with a number inside


def make_test_set(
    root: Path, samples: int, *, size: tuple[int, int] = (1280, 720), classes: int = 12
) -> None:
    """Write noisy pictures with 10 s of noise each, in the layout of VGG-SS.

    Files are as large as real ones, all different, and take as long to read.

    Args:
        root: folder to make.
        samples: how many.
        size: width and height of the pictures.
        classes: different classes of the samples.
    """
    (root / "frames").mkdir(parents=True)
    (root / "audio").mkdir()
    random = np.random.default_rng(0)
    pictures = [_picture(random, *size) for _ in range(min(samples, _DIFFERENT))]
    sounds = [
        encoded_sound(random.normal(scale=0.1, size=SECONDS * RATE)) for _ in range(len(pictures))
    ]
    entries = []
    for number in range(samples):
        name, kind = f"made{number:06d}_000000", number % len(pictures)
        (root / "frames" / f"{name}.jpg").write_bytes(numbered_picture(pictures[kind], number))
        (root / "audio" / f"{name}.wav").write_bytes(numbered_sound(sounds[kind], number))
        corner = random.uniform(0, 0.6, 2)
        box = [*corner, *(corner + random.uniform(0.1, 0.4, 2))]
        entries.append({"file": name, "class": f"class {number % classes}", "bbox": [box]})
    (root / "vggss.json").write_text(json.dumps(entries))


def _picture(random: np.random.Generator, width: int, height: int) -> bytes:
    """A JPEG of smooth colours under grain: 250 kB at 1280 x 720, 70 kB at 640 x 360."""
    smooth = Image.fromarray(random.integers(0, 256, (9, 16, 3), dtype=np.uint8))
    large = np.asarray(smooth.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    pixels = large + random.integers(-12, 13, size=large.shape, dtype=np.int16)
    encoded: bytes = simplejpeg.encode_jpeg(
        np.clip(pixels, 0, 255).astype(np.uint8), quality=90, colorsubsampling="420"
    )
    return encoded


def numbered_picture(picture: bytes, number: int) -> bytes:
    """A JPEG with a number in a comment: as long to decode, but another file."""
    return picture[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + picture[2:]


def encoded_sound(samples: np.ndarray) -> bytes:
    """A 16-bit WAV file of samples in [-1, 1]."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV")
    return file.getvalue()


def numbered_sound(sound: bytes, number: int) -> bytes:
    """A WAV file whose first samples are a number."""
    return sound[:44] + number.to_bytes(4, "little") + sound[48:]


def make_checkpoint(model: str, folder: Path) -> None:
    """Random weights of a model in a file as its authors publish it: speed depends on no value."""
    model_settings = settings(f"model={model}", f"paths.weights={folder}").model
    torch.manual_seed(0)
    network = make_network(model_settings)
    layout = network.layouts()[""]
    (wrapper, *_) = layout.wrappers
    prefix = "module." if layout.prefixed else ""
    state = {}
    for key, tensor in network.state_dict().items():
        for published, own in layout.rename.items():
            key = key.replace(own, published, 1) if key.startswith(own) else key
        state[prefix + key] = tensor
    content = state if wrapper is None else {wrapper: state}
    torch.save(content, model_settings.weights[""])


def settings(*overrides: str) -> RunSettings:
    """The settings that a command line gives."""
    return RunSettings.of(composed_config("evaluate", overrides))


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
