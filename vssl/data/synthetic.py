"""The embedded benchmark: drawn scenes and synthesized sounds, written in the layout of IS3.

It needs no download, so it serves smoke runs, tests and sanity checks of a model or a metric. It
says nothing about how well a model does on photographs and recordings. docs/benchmark.md shows it.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from vssl.checks import check_choice
from vssl.data.base import DataError
from vssl.data.synthetic_backgrounds import draw_background
from vssl.data.synthetic_casts import (
    BACKGROUND,
    NOISE,
    OBJECTS,
    SOUND,
    Cast,
    cast_scene,
    generator_of,
)
from vssl.data.synthetic_casts import CLASSES as CLASSES
from vssl.data.synthetic_recordings import add_noise, mix_equally
from vssl.data.synthetic_scenes import ARRANGEMENTS, Scene, place_objects
from vssl.data.synthetic_sounds import RATE, synthesize
from vssl.data.synthetic_variant import (
    DEFAULT_DIFFICULTY,
    DEFAULT_SPLIT,
    DIFFICULTIES,
    SPLITS,
    folder_name,
)
from vssl.errors import UsageError
from vssl.progress import progress_bar
from vssl.types import Box

logger = logging.getLogger(__name__)

VERSION = "1"
"""Bumped when the generator's output changes, of whatever split or difficulty."""

_SNR_BOUNDS = (-40, 60)


@dataclass(frozen=True)
class Request:
    """What a data set depends on.

    Attributes:
        scenes: how many scenes, at least 1.
        seed: another seed gives other scenes; 0 to 2 ** 32 - 1.
        split: `test`, `validation` or `train`; they share no background and no random number.
        difficulty: `easy`, `two_sources`, `overlap` or `same_class_pair`.
        snr: level of every recording above background noise in dB, -40 to 60; None: no noise.

    Raises:
        DataError: for any other value.
    """

    scenes: int = 240
    seed: int = 0
    split: str = DEFAULT_SPLIT
    difficulty: str = DEFAULT_DIFFICULTY
    snr: float | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("scenes", 1, 2**32 - 1), ("seed", 0, 2**32 - 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise DataError(
                    f"Expected `data.{name}` to be a whole number from {low} to {high}, but got"
                    f" {value!r}."
                )
        for name, choices in (("split", SPLITS), ("difficulty", DIFFICULTIES)):
            try:
                check_choice(str(getattr(self, name)), choices, name=f"data.{name}")
            except UsageError as error:
                raise DataError(str(error)) from None
        low, high = _SNR_BOUNDS
        known = isinstance(self.snr, int | float) and not isinstance(self.snr, bool)
        if self.snr is not None and not (known and low <= self.snr <= high):
            raise DataError(
                f"Expected `data.snr` to be null (no noise) or a number of decibels from {low} to"
                f" {high}, but got {self.snr!r}."
            )

    @property
    def folder(self) -> str:
        """Name of the data set's folder."""
        return folder_name(VERSION, self.scenes, self.seed, self.split, self.difficulty, self.snr)

    @property
    def samples(self) -> int:
        """Number of samples: two a scene, but one where there is one object only."""
        return self.scenes * (1 if self.difficulty == "easy" else 2)

    def cast(self, number: int) -> Cast:
        """The cast of scene `number`."""
        return cast_scene(self.seed, number, self.split, self.difficulty)

    def draw(self, number: int) -> Scene:
        """Draw scene `number`."""
        return place_objects(
            empty_scene(self.seed, number, self.split),
            self.cast(number).names,
            generator_of(self.seed, number, OBJECTS, self.split),
            ARRANGEMENTS[self.difficulty],
        )

    def record(self, number: int, sample: int) -> NDArray[np.float32]:
        """Record a sample of scene `number`: waveform [160000] at 16 kHz within [-1, 1]."""
        cast = self.cast(number)
        takes = [
            synthesize(
                cast.names[place], generator_of(self.seed, number, SOUND + place, self.split)
            )
            for place in cast.sounding[sample]
        ]
        recording = takes[0] if len(takes) == 1 else mix_equally(takes)
        if self.snr is None:
            return recording
        generator = generator_of(self.seed, number, NOISE + sample, self.split)
        return add_noise(recording, self.snr, generator)


def generate(
    folder: Path,
    *,
    scenes: int = 240,
    seed: int = 0,
    split: str = DEFAULT_SPLIT,
    difficulty: str = DEFAULT_DIFFICULTY,
    snr: float | None = None,
) -> None:
    """Write a data set.

    `folder/IS3_annotation.json` lists `{"image", "audio", "gt_box", "class"}`, one entry for each
    sample; `folder/images` holds 224 x 224 PNG files and `folder/audio_wav` 10 s of 16 kHz mono
    sound as 16-bit PCM. Files are called `<first>_<second>_<number>_<sounding>` after the two
    classes in the picture (`easy`: `<class>_<number>`). `gt_box` is `[x0, y0, x1, y1]` in pixels,
    half-open, tight around what is visible of the sounding object. Entries of `easy` and
    `same_class_pair` have a list of boxes there, and `classes` and `group` besides, which names of
    IS3 cannot say. The annotation is written last.

    Scene k depends on its number and on the arguments but `scenes`. Over any number of scenes the
    numbers of entries of two classes differ by at most one.

    Args:
        folder: where to write; created if missing.
        scenes: see `Request`, as for the others.
        seed: see there.
        split: see there.
        difficulty: see there.
        snr: see there.

    Raises:
        DataError: for a value that `Request` does not take; nothing is written then.
    """
    request = Request(scenes, seed, split, difficulty, snr)
    for name in ("images", "audio_wav"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    entries = []
    with (
        ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool,
        progress_bar("drawing scenes", scenes) as advance,
    ):
        for written in pool.map(lambda n: list(_write_scene(folder, request, n)), range(scenes)):
            entries += written
            advance(1)
    (folder / "IS3_annotation.json").write_text(json.dumps(entries, indent=1), encoding="utf-8")


def ensure(
    cache: Path,
    *,
    scenes: int = 240,
    seed: int = 0,
    split: str = DEFAULT_SPLIT,
    difficulty: str = DEFAULT_DIFFICULTY,
    snr: float | None = None,
) -> Path:
    """Return the folder of a data set in `cache`, generating it on first use.

    The data set is made in a temporary folder beside its place and moved there in one step, so
    what is found there is whole. Of several processes that generate it at once the first one
    wins; their data sets are equal.

    Args:
        cache: folder of data sets; created if missing.
        scenes: see `Request`, as for the others.
        seed: see there.
        split: see there.
        difficulty: see there.
        snr: see there.

    Returns:
        The folder in `cache`, named after the generator's version and all arguments.

    Raises:
        DataError: for a value that `Request` does not take; nothing is written then.
    """
    request = Request(scenes, seed, split, difficulty, snr)
    folder = cache / request.folder
    if folder.is_dir():
        return folder
    logger.info("generating %d synthetic scenes (seed %d) in %s", scenes, seed, folder)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=cache) as workplace:
        # One level down, because the temporary folder itself is readable by its owner only.
        draft = Path(workplace) / folder.name
        generate(draft, **vars(request))
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def empty_scene(seed: int, number: int, split: str = DEFAULT_SPLIT) -> NDArray[np.uint8]:
    """The background of a scene, without its objects: a picture in which nothing sounds.

    It is the same at every difficulty.

    Args:
        seed: of the data set, 0 to 2 ** 32 - 1.
        number: of the scene, from 0 on; any number below 2 ** 32 has one.
        split: `test`, `validation` or `train`.

    Returns:
        Image uint8 [224, 224, 3].

    Raises:
        DataError: for another seed or split.
        ValueError: for another number.
    """
    Request(seed=seed, split=split)
    if not 0 <= number < 2**32:
        raise ValueError(f"Expected `number` from 0 to {2**32 - 1}, but got {number}.")
    return draw_background(generator_of(seed, number, BACKGROUND, split), split)


def _write_scene(folder: Path, request: Request, number: int) -> Iterator[dict[str, Any]]:
    """Write the files of one scene; yields its annotation entries."""
    cast, scene = request.cast(number), request.draw(number)
    group = "_".join((*cast.classes, str(number)))
    picture = BytesIO()
    Image.fromarray(scene.image).save(picture, format="PNG")
    for sample, (name, places) in enumerate(zip(cast.classes, cast.sounding, strict=True)):
        stem = group if len(cast.classes) == 1 else f"{group}_{name}"
        (folder / "images" / f"{stem}.png").write_bytes(picture.getvalue())
        waveform = request.record(number, sample)
        soundfile.write(folder / "audio_wav" / f"{stem}.wav", waveform, RATE, subtype="PCM_16")
        entry: dict[str, Any] = {"image": f"{stem}.png", "audio": f"{stem}.wav"}
        boxes: list[Box] = [scene.boxes[place] for place in places]
        if request.difficulty in ("easy", "same_class_pair"):
            told = {"classes": list(cast.classes), "group": group}
            yield entry | {"gt_box": [list(box) for box in boxes], "class": name} | told
        else:
            yield entry | {"gt_box": list(boxes[0]), "class": name}
