"""The embedded benchmark: drawn scenes and synthesized sounds, written in the layout of IS3.

It needs no download, so it serves smoke runs, tests and sanity checks of a model or a metric. It
says nothing about how well a model does on photographs and recordings.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from vssl.data.synthetic_scenes import KINDS, draw_background, place_objects
from vssl.data.synthetic_sounds import RATE, synthesize
from vssl.progress import progress_bar

logger = logging.getLogger(__name__)

VERSION = "1"
"""Bumped when the generator's output changes."""

CLASSES = tuple(KINDS)
"""The classes that can be drawn and heard."""

# What a generator is for: the last key of its seed, so that no two parts share their random
# numbers. Sounds take the keys from _SOUND on, one for each object of a scene.
_ORDER, _BACKGROUND, _OBJECTS, _SOUND = range(4)


def generate(folder: Path, *, scenes: int = 240, seed: int = 0) -> None:
    """Write the data set: two objects of different classes a scene, one entry for each of them.

    `folder/IS3_annotation.json` lists `{"image", "audio", "gt_box", "class"}`, two entries a
    scene; `folder/images` holds 224 x 224 PNG files and `folder/audio_wav` 10 s of 16 kHz mono
    sound as 16-bit PCM. Files are called `<first>_<second>_<number>_<sounding>`. `gt_box` is
    `[x0, y0, x1, y1]` in pixels, half-open, tight around what is visible of the sounding object.
    The annotation is written last.

    Scene k depends on `seed` and k only. Over any number of scenes the numbers of entries of two
    classes differ by at most one.

    Args:
        folder: where to write; created if missing.
        scenes: how many scenes, at least 1.
        seed: another seed gives other scenes, at least 0.

    Raises:
        ValueError: for `scenes` below 1 or `seed` below 0.
    """
    _check_request(scenes, seed)
    for name in ("images", "audio_wav"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    entries = []
    with (
        ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool,
        progress_bar("drawing scenes", scenes) as advance,
    ):
        for written in pool.map(lambda n: list(_write_scene(folder, seed, n)), range(scenes)):
            entries += written
            advance(1)
    (folder / "IS3_annotation.json").write_text(json.dumps(entries, indent=1), encoding="utf-8")


def ensure(cache: Path, *, scenes: int = 240, seed: int = 0) -> Path:
    """Return the folder of the data set in `cache`, generating it on first use.

    The data set is made in a temporary folder beside its place and moved there in one step, so
    what is found there is whole. Of several processes that generate it at once the first one
    wins; their data sets are equal.

    Args:
        cache: folder of data sets; created if missing.
        scenes: how many scenes, at least 1.
        seed: another seed gives other scenes, at least 0.

    Returns:
        `cache/"synthetic-v<VERSION>-<scenes>-<seed>"`.

    Raises:
        ValueError: for `scenes` below 1 or `seed` below 0.
    """
    _check_request(scenes, seed)
    folder = cache / f"synthetic-v{VERSION}-{scenes}-{seed}"
    if folder.is_dir():
        return folder
    logger.info("generating %d synthetic scenes (seed %d) in %s", scenes, seed, folder)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=cache) as workplace:
        # One level down, because the temporary folder itself is readable by its owner only.
        draft = Path(workplace) / folder.name
        generate(draft, scenes=scenes, seed=seed)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def _check_request(scenes: int, seed: int) -> None:
    if scenes < 1:
        raise ValueError(f"`scenes` must be at least 1, but is {scenes}.")
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0, but is {seed}.")


def _scene_classes(seed: int, number: int) -> tuple[str, str]:
    """The two classes of a scene: neighbours in a shuffle of all classes, a new one each round."""
    turn, place = divmod(number, len(CLASSES) // 2)
    shuffled = np.random.default_rng([seed, turn, _ORDER]).permutation(len(CLASSES))
    first, second = shuffled[2 * place : 2 * place + 2]
    return CLASSES[first], CLASSES[second]


def _write_scene(folder: Path, seed: int, number: int) -> Iterator[dict[str, Any]]:
    """Write the files of one scene; yields its two annotation entries."""
    names = _scene_classes(seed, number)
    background = draw_background(np.random.default_rng([seed, number, _BACKGROUND]))
    scene = place_objects(background, names, np.random.default_rng([seed, number, _OBJECTS]))
    picture = BytesIO()
    Image.fromarray(scene.image).save(picture, format="PNG")
    for place, (name, box) in enumerate(zip(names, scene.boxes, strict=True)):
        stem = f"{names[0]}_{names[1]}_{number}_{name}"
        (folder / "images" / f"{stem}.png").write_bytes(picture.getvalue())
        waveform = synthesize(name, np.random.default_rng([seed, number, _SOUND + place]))
        soundfile.write(folder / "audio_wav" / f"{stem}.wav", waveform, RATE, subtype="PCM_16")
        yield {
            "image": f"{stem}.png",
            "audio": f"{stem}.wav",
            "gt_box": list(box),
            "class": name,
        }
