"""Facts of the embedded benchmark, kept in a file: the generator must not change unnoticed.

Numbers of two versions of the benchmark cannot be compared, so a change of what the generator draws
or synthesizes needs another `vssl.data.synthetic.generate.VERSION`. After it has one,

    python -m tests.reference.synthetic

writes the facts anew. Facts are not digests: another CPU may round a pixel or a sample otherwise.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vssl.data.synthetic.backgrounds import BACKGROUNDS, paint_background
from vssl.data.synthetic.generate import VERSION, SceneSet
from vssl.data.synthetic.variants import DIFFICULTIES, SPLITS

FILE = Path(__file__).with_suffix(".json")
TOLERANCES = {"colour": 0.5, "inside": 0.5, "decibels": 0.05, "centroid": 5.0}
"""Of colours from 0 to 255, of levels in dB, of spectral centroids in Hz; all else is exact."""

ONE_SIDED = "not in both"

# Two scenes of each data set; those of the first one have every class.
_SCENES = {("test", "easy"): 12}

Facts = dict[str, dict[str, Any]]


def measure() -> Facts:
    """The facts of the generator as it is, by name."""
    return dict(_all_facts())


def differences(kept: Facts, found: Facts) -> list[str]:
    """What differs by more than the tolerances, in words."""
    lines = [f"{name}: {ONE_SIDED}" for name in sorted(kept.keys() ^ found.keys())]
    return lines + [
        f"{name}: {what} was {value}, is {found[name].get(what)}"
        for name in sorted(kept.keys() & found.keys())
        for what, value in kept[name].items()
        if not _same(value, found[name].get(what), TOLERANCES.get(what))
    ]


def _same(first: Any, second: Any, tolerance: float | None) -> bool:
    if tolerance is None or np.shape(first) != np.shape(second):
        return bool(first == second)
    return bool(np.abs(np.subtract(first, second)).max() <= tolerance)


def _all_facts() -> Iterator[tuple[str, dict[str, Any]]]:
    for split in SPLITS:
        for kind in BACKGROUNDS[split]:
            image = paint_background(kind, np.random.default_rng(0))
            yield (
                f"background {split} {kind.__name__[1:]}",
                {
                    "colour": _colour(image),
                    "inside": [_colour(image[y : y + 56, :]) for y in range(0, 224, 56)],
                },
            )
        for difficulty in DIFFICULTIES:
            for number in range(_SCENES.get((split, difficulty), 2)):
                yield from _scene(
                    f"{split} {difficulty}", SceneSet(split=split, difficulty=difficulty), number
                )
    yield from _scene("noisy", SceneSet(difficulty="easy", snr=0), 0)


def _scene(name: str, request: SceneSet, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    cast, scene = request.cast(number), request.draw(number)
    yield (
        f"{name} scene {number}",
        {
            "objects": list(cast.names),
            "boxes": [list(box) for box in scene.boxes],
            "colour": _colour(scene.image),
            "inside": [_colour(scene.image[y0:y1, x0:x1]) for x0, y0, x1, y1 in scene.boxes],
        },
    )
    for sample, sounding in enumerate(cast.classes):
        waveform = request.record(number, sample)
        yield (
            f"{name} sound {number}.{sample}",
            {
                "class": sounding,
                "decibels": round(
                    float(10 * np.log10(np.mean(np.square(waveform, dtype=float)))), 3
                ),
                "centroid": _centroid(waveform),
            },
        )


def _colour(image: NDArray[np.uint8]) -> list[float]:
    return [round(float(value), 2) for value in image.mean((0, 1))]


def _centroid(waveform: NDArray[np.float32]) -> float:
    power = np.abs(np.fft.rfft(waveform.astype(float))) ** 2
    frequencies = np.fft.rfftfreq(waveform.size, 1 / 16_000)
    return round(float((power * frequencies).sum() / power.sum()), 1)


def main() -> None:
    """Write the facts, unless they changed and the version did not."""
    found = measure()
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else None
    if kept is not None and kept["version"] == VERSION:
        changed = [line for line in differences(kept["facts"], found) if ONE_SIDED not in line]
        if changed:
            sys.exit("\n".join([*changed, f"VERSION is still {VERSION}: bump it first."]))
    lines = [f"  {json.dumps(name)}: {json.dumps(facts)}" for name, facts in found.items()]
    body = ",\n".join(lines)
    FILE.write_text(f'{{"version": "{VERSION}",\n "facts": {{\n{body}\n}}}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
