"""Runs whose records are made up: samples without files, maps drawn at random or given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from tests.reference import formulas
from vssl.negatives.base import AudioCondition
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.plan import make_plan
from vssl.negatives.silence import Silence
from vssl.records.aggregate import summarize
from vssl.records.files import RECORDS_FILE
from vssl.records.fit import FittedPolicy
from vssl.records.refit import ResampledRun
from vssl.records.schema import RECORDS
from vssl.records.score import AnyMetric
from vssl.records.scores import Samples, Scores
from vssl.records.store import RecordRows, parquet_writer
from vssl.records.truth import GroundTruth
from vssl.types import POSITIVE, Box, Sample

Array = npt.NDArray[Any]
Maps = dict[str, Array]
"""Audio condition -> `[N, D, h, w]`."""

# one object, two votes that overlap (weights of a half), a whole image, and nothing to find
OBJECTS: list[tuple[tuple[Box, ...], tuple[float, ...]]] = [
    (((20, 30, 150, 160),), (1.0,)),
    (((0, 0, 120, 90), (60, 40, 200, 200)), (0.5, 0.5)),
    (((0, 0, 224, 224),), (1.0,)),
    (((5, 5, 5, 9),), (1.0,)),
]
GROUPS = ["one", "one", "two", "three"]
ALPHA = 0.5
BOXES = [(0, 0, 112, 224), (60, 60, 150, 160), (5, 100, 220, 130), (3, 3, 3, 9)]
FACTS = {
    "model": "ezvsl",
    "dataset": "made",
    "protocol": "corrected",
    "seed": 5,
    "coverage": 0.75,
    "manifest_hash": "m",
    "config_hash": "c" * 64,
}
MAPS = {"value_range": [0.0, 1.0], "map_transform": "none", "prior": None}


def make_sample(
    name: str,
    group: str,
    boxes: tuple[Box, ...],
    weights: tuple[float, ...] = (1.0,),
    *,
    category: str | None = None,
) -> Sample:
    """A sample without files."""
    return Sample(
        sample_id=name,
        image_path=Path("none.jpg"),
        audio_path=Path("none.wav"),
        category=category or f"class_{name}",
        image_categories=(category or f"class_{name}",),
        image_group=group,
        boxes=boxes,
        box_weights=weights,
        audio_length=16000,
    )


def native_maps(samples: Sequence[Sample], seed: int, pairings: Sequence[tuple[str, int]]) -> Maps:
    """Maps of multiples of 1/64 in [-1, 1]: positives are high on their object, negatives lower."""
    generator = np.random.default_rng(seed)
    maps = {}
    for condition in dict.fromkeys(name for name, _ in pairings):
        draws = sum(name == condition for name, _ in pairings)
        highest = 64 if condition == POSITIVE else 16
        shape = (len(samples), draws, 7, 7)
        maps[condition] = (generator.integers(-64, highest + 1, shape) / 64).astype(np.float32)
    for n, sample in enumerate(samples):
        x0, y0, x1, y1 = (round(side / 32) for side in sample.boxes[0])
        maps[POSITIVE][n, 0, y0:y1, x0:x1] = generator.integers(16, 65, (y1 - y0, x1 - x0)) / 64
    return maps


def object_maps(count: int, seed: int) -> Array:
    """Maps of multiples of 1/64 from 0 to exactly 1, so that stretching changes nothing."""
    drawn = np.random.default_rng(seed).integers(0, 65, (count, 7, 7))
    drawn[:, 0, 3], drawn[:, 6, 5] = 0, 64
    return (drawn / 64).astype(np.float32)


@dataclass
class Made:
    """A run on disk, and what it was written from."""

    folder: Path
    samples: Sequence[Sample]
    pairings: Sequence[tuple[str, int]]
    native: Maps
    objects: Array | None


def write_made(
    folder: Path,
    samples: Sequence[Sample] | None = None,
    *,
    seed: int = 1,
    negatives: Sequence[AudioCondition] | None = None,
    holes: Sequence[tuple[str, int, int]] = (),
    objects: bool | Array = False,
    maps: Array | Maps | None = None,
    **facts: Any,
) -> Made:
    """Write the records of a run whose maps are drawn at random, unless they are given.

    Args:
        folder: made here.
        samples: None for those with `OBJECTS`.
        seed: of the maps.
        negatives: None for silence, noise and two draws of offscreen audio.
        holes: condition, sample and draw of maps that get a NaN.
        objects: object maps `[N, h, w]`, or whether some are drawn.
        maps: something that broadcasts to `[N, P, h, w]`, by sample and pairing; or `[N, h, w]` by
            audio condition.
        facts: provenance that is not as usual.
    """
    if samples is None:
        both = enumerate(zip(GROUPS, OBJECTS, strict=True))
        samples = [make_sample(f"s{n}", group, *given) for n, (group, given) in both]
    usual: list[AudioCondition] = [Silence(), Noise(draws=1), Offscreen(draws=2)]
    plan = make_plan(samples, usual if negatives is None else negatives, seed=0)
    names = [name for name, _ in plan.pairings]
    if maps is None:
        native = native_maps(samples, seed, plan.pairings)
    else:
        given = np.stack([maps[n] for n in names], axis=1) if isinstance(maps, dict) else maps
        whole = np.broadcast_to(given, (len(samples), len(names), *given.shape[-2:]))
        native = {name: whole[:, np.array(names) == name].astype(np.float32) for name in names}
    for condition, sample, draw in holes:
        native[condition][sample, draw, -1, -1] = np.nan
    seen = object_maps(len(samples), seed) if objects is True else None
    seen = seen if isinstance(objects, bool) else objects
    prior = None if seen is None else {"alpha": ALPHA, "scale": "corrected", "sha256": "o"}
    provenance = {
        "model": "ezvsl", "dataset": "made", "protocol": "corrected", "protocol_switches": {},
        "seed": 5, "coverage": 1.0, "evaluated": len(samples), "manifest_hash": "m",
        "config_hash": "c" * 64, "network_hash": "n", "weights": None,
        "pairings": [list(pairing) for pairing in plan.pairings],
        "value_range": [-1.0, 1.0], "map_transform": "none", "prior": prior,
        "upsampling": dict.fromkeys(names, "half_pixel"), **facts,
    }  # fmt: skip
    stacked = torch.from_numpy(np.stack([native[name][:, d] for name, d in plan.pairings], axis=1))
    folder.mkdir(parents=True, exist_ok=True)
    with parquet_writer(folder / RECORDS_FILE, RECORDS, provenance) as write:
        index = np.arange(len(samples))
        tensor = None if seen is None else torch.from_numpy(seen)
        write(RecordRows(samples, plan).table(index, stacked, tensor))
    GroundTruth.of_samples(samples).write(folder, provenance)
    return Made(folder, samples, plan.pairings, native, seen)


def upsampled(maps: Array) -> Array:
    """Any shape `[..., 7, 7]` to `[..., 224, 224]`, map by map."""
    flat = [formulas.upsample(m, size=224, rule="half_pixel") for m in maps.reshape(-1, 7, 7)]
    return np.array(flat).reshape(*maps.shape[:-2], 224, 224)


def make_samples() -> list[Sample]:
    """Eight samples, two to a picture; the last two have an empty ground truth."""
    return [
        make_sample(
            f"picture{i // 2}_{'ab'[i % 2]}",
            f"picture{i // 2}",
            (BOXES[i // 2],),
            category=f"class{i % 3}",
        )
        for i in range(8)
    ]


def summary_of(
    run: Path,
    scores: Path,
    metrics: Sequence[AnyMetric],
    *,
    output: Path,
    fitted: Sequence[FittedPolicy] = (),
    **settings: int,
) -> pd.DataFrame:
    """The summary of a scores file."""
    samples = Samples.of(run)
    settings = {"resamples": 1000, "seed": 0} | settings
    opened = Scores(scores, samples.ids)
    resampled = ResampledRun.of(run, samples, opened, metrics, fitted, **settings)
    return summarize(run, resampled, metrics, output=output)
