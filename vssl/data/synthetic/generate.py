"""Generator of the embedded benchmark, which writes scenes and sounds in the layout of IS3.

It serves smoke runs, tests and sanity checks. Its results do not carry over to photographs and
recordings. See docs/benchmark.md.
"""

from __future__ import annotations

import json
import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from vssl.core.checks import check_choice
from vssl.core.devices import usable_cores
from vssl.core.errors import UsageError
from vssl.core.progress import progress_bar
from vssl.data.synthetic.backgrounds import draw_background
from vssl.data.synthetic.scenes import (
    BACKGROUND,
    NOISE,
    OBJECTS,
    SOUND,
    Cast,
    DrawnScene,
    cast_scene,
    generator_of,
    place_objects,
)
from vssl.data.synthetic.sounds import RATE, add_noise, mix_equally, synthesize
from vssl.data.synthetic.variants import (
    DEFAULT_DIFFICULTY,
    DEFAULT_SPLIT,
    DIFFICULTIES,
    SPLITS,
    snr_name,
)

_log = logging.getLogger(__name__)

VERSION = "1"
"""Increased when the output for any split or difficulty changes."""


@dataclass(frozen=True)
class SceneSet:
    """Settings of a data set; UsageError for values that cannot be."""

    scenes: int = 240  # at least 1; of two samples each, of one for `easy`
    seed: int = 0  # to 2 ** 32 - 1
    split: str = DEFAULT_SPLIT  # splits share no background and no random number
    difficulty: str = DEFAULT_DIFFICULTY  # one of `DIFFICULTIES`
    snr: float | None = None  # of every recording to noise in dB, -40 to 60; None: no noise

    def __post_init__(self) -> None:
        for name, low, high in (("scenes", 1, 2**32 - 1), ("seed", 0, 2**32 - 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise UsageError(
                    f"Expected `data.{name}` to be a whole number from {low} to {high}, but got"
                    f" {value!r}."
                )
        check_choice(str(self.split), SPLITS, name="data.split")
        check_choice(str(self.difficulty), DIFFICULTIES, name="data.difficulty")
        number = isinstance(self.snr, int | float) and not isinstance(self.snr, bool)
        if self.snr is not None and not (number and -40 <= self.snr <= 60):
            raise UsageError(
                "Expected `data.snr` to be null (no noise) or a number of decibels from -40 to"
                f" 60, but got {self.snr!r}."
            )

    @property
    def folder(self) -> str:
        """Name of the data set's folder.

        Example:
            >>> SceneSet().folder, SceneSet(900, split="train", snr=0.0).folder
            ('synthetic-v1-240-0', 'synthetic-v1-900-0-train-two_sources-snr0')
        """
        parts = [f"synthetic-v{VERSION}-{self.scenes}-{self.seed}"]
        if self != SceneSet(self.scenes, self.seed):
            parts += [self.split, self.difficulty]
        return "-".join(parts if self.snr is None else [*parts, snr_name(self.snr)])

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.scenes * (1 if self.difficulty == "easy" else 2)

    def cast(self, number: int) -> Cast:
        """Cast scene `number`."""
        return cast_scene(self.seed, number, self.split, self.difficulty)

    def draw(self, number: int) -> DrawnScene:
        """Draw scene `number`."""
        return place_objects(
            empty_scene(self.seed, number, self.split),
            self.cast(number).names,
            self._generator(number, OBJECTS),
            self.difficulty,
        )

    def record(self, number: int, sample: int) -> NDArray[np.float32]:
        """Synthesize a sample of scene `number`: waveform [160000] at 16 kHz within [-1, 1]."""
        cast = self.cast(number)
        takes = [
            synthesize(cast.names[place], self._generator(number, SOUND + place))
            for place in cast.sounding[sample]
        ]
        recording = takes[0] if len(takes) == 1 else mix_equally(takes)
        if self.snr is None:
            return recording
        return add_noise(recording, self.snr, self._generator(number, NOISE + sample))

    def _generator(self, number: int, part: int) -> np.random.Generator:
        return generator_of(self.seed, number, part, self.split)


def generate(folder: Path, request: SceneSet) -> None:
    """Write a data set into a folder.

    `folder/IS3_annotation.json`, written last, lists `{"image", "audio", "gt_box", "class"}` for
    each sample; `folder/images` holds 224 x 224 PNG files, `folder/audio_wav` 10 s of 16 kHz mono
    16-bit PCM. Files are called `<first>_<second>_<number>_<sounding>` after the two classes in the
    picture (`easy`: `<class>_<number>`). `gt_box` is `[x0, y0, x1, y1]` in pixels, half-open, tight
    around the visible part of the sounding object. Entries of `easy` and `same_class_pair` have a
    list of boxes there, and also `classes` and `group`, which names of IS3 cannot express.

    A scene depends on its number and on all fields of `SceneSet` except `scenes`. Over any number
    of scenes the numbers of entries of two classes differ by at most one.
    """
    for name in ("images", "audio_wav"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    entries = []
    with (
        ThreadPoolExecutor(max_workers=min(4, len(usable_cores()))) as pool,
        progress_bar("drawing scenes", request.scenes) as advance,
    ):
        for of_scene in pool.map(lambda n: _write_scene(folder, request, n), range(request.scenes)):
            entries += of_scene
            advance(1)
    (folder / "IS3_annotation.json").write_text(json.dumps(entries, indent=1), encoding="utf-8")


def ensure(cache: Path, **options: Any) -> Path:
    """Return the folder of a data set in `cache`, and generate it on first use.

    It is generated in a temporary folder and moved to its place in one step. Of several processes
    that generate it at once the first one wins; their results are equal. `options` are fields of
    `SceneSet`.

    Raises:
        UsageError: for a value that `SceneSet` refuses; nothing is written then.
    """
    request = SceneSet(**options)
    folder = cache / request.folder
    if folder.is_dir():
        return folder
    _log.info(
        "generating %d synthetic scenes (seed %d) in %s", request.scenes, request.seed, folder
    )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=cache) as workplace:
        # one level down, because only its owner can read the temporary folder itself
        draft = Path(workplace) / folder.name
        generate(draft, request)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def empty_scene(seed: int, number: int, split: str = DEFAULT_SPLIT) -> NDArray[np.uint8]:
    """Draw the background of a scene, uint8 [224, 224, 3], the same at any difficulty."""
    SceneSet(seed=seed, split=split)
    if not 0 <= number < 2**32:
        raise ValueError(f"Expected `number` from 0 to {2**32 - 1}, but got {number}.")
    return draw_background(generator_of(seed, number, BACKGROUND, split), split)


def _write_scene(folder: Path, request: SceneSet, number: int) -> list[dict[str, Any]]:
    """Write the files of a scene, and return its annotation entries."""
    cast, scene = request.cast(number), request.draw(number)
    group = "_".join((*cast.classes, str(number)))
    picture = BytesIO()
    Image.fromarray(scene.image).save(picture, format="PNG")
    entries = []
    for sample, (name, places) in enumerate(zip(cast.classes, cast.sounding, strict=True)):
        stem = group if len(cast.classes) == 1 else f"{group}_{name}"
        (folder / "images" / f"{stem}.png").write_bytes(picture.getvalue())
        waveform = request.record(number, sample)
        soundfile.write(folder / "audio_wav" / f"{stem}.wav", waveform, RATE, subtype="PCM_16")
        boxes = [list(scene.boxes[place]) for place in places]
        entry: dict[str, Any] = {
            "image": f"{stem}.png",
            "audio": f"{stem}.wav",
            "gt_box": boxes[0],
            "class": name,
        }
        if request.difficulty in ("easy", "same_class_pair"):
            entry |= {"gt_box": boxes, "classes": list(cast.classes), "group": group}
        entries.append(entry)
    return entries
