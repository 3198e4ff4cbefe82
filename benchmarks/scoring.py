"""Scoring of records against a straightforward NumPy loop, and its growth with the test set.

`python benchmarks/scoring.py SAMPLES` scores made records of that many samples once and prints the
seconds and the peak memory in MiB; `benchmarks/run.py` calls it in processes of their own.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from vssl.core.environment import environment
from vssl.core.hashing import ids_hash
from vssl.metrics.agreement import Agreement
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.detection import DetectionAP
from vssl.metrics.pia import ImageArea
from vssl.metrics.pointing import PointingGame
from vssl.metrics.swap import SwapDelta
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.plan import AudioPlan, make_plan
from vssl.negatives.silence import Silence
from vssl.records.files import RECORDS_FILE, SCORES_FILE
from vssl.records.fit import fit_policies
from vssl.records.schema import RECORDS
from vssl.records.score import score_records
from vssl.records.store import RecordRows, parquet_writer
from vssl.records.truth import GroundTruth
from vssl.thresholds.base import FixedThreshold, ThresholdPolicy
from vssl.thresholds.released import CONSTANTS, RULES, ReleasedThreshold
from vssl.thresholds.size_aware import HalfImage, ObjectArea
from vssl.thresholds.universal import UniversalThreshold
from vssl.types import Sample

DRAWS = 10
SIZE = 224
ALPHA = 0.4
METRICS = [
    *(ConsensusIoU(), ImageArea(), Agreement(), SwapDelta(), PointingGame(), DetectionAP()),
]


def policies() -> list[ThresholdPolicy]:
    """All nine threshold policies."""
    return [
        FixedThreshold(),
        HalfImage(),
        ObjectArea(),
        UniversalThreshold(statistic="mean", name="universal_max"),
        UniversalThreshold(statistic="mean", name="universal_max10", factor=1.1),
        UniversalThreshold(statistic="third_quartile", name="universal_q3"),
        *(ReleasedThreshold(rule=rule) for rule in RULES),
    ]


def make_records(folder: Path, count: int, *, side: int = 14, **options: Any) -> list[Sample]:
    """Records as a ten-draw run of EZ-VSL has them; `options` of `write_random_maps`."""
    generator = np.random.default_rng(0)
    samples = []
    for n in range(count):
        x, y, width, height = generator.integers((0, 0, 30, 30), (120, 120, 104, 104))
        box = (int(x), int(y), int(x + width), int(y + height))
        samples.append(
            Sample(f"s{n}", Path("none.jpg"), Path("none.wav"), f"class{n % 20}",
                   (f"class{n % 20}",), f"image{n // 2}", (box,), (1.0,), 16000)
        )  # fmt: skip
    plan = make_plan(samples, [Silence(), Noise(draws=DRAWS), Offscreen(draws=DRAWS)], seed=0)
    write_random_maps(folder, samples, plan, side=side, together=50, **options)
    return samples


def write_random_maps(
    folder: Path,
    samples: list[Sample],
    plan: AudioPlan,
    *,
    side: int,
    together: int,
    change: Callable[[torch.Tensor], torch.Tensor] = torch.clone,
    **facts: Any,
) -> None:
    """Write records of maps that are drawn at random, so many samples at a time.

    `change` is what becomes of the maps `[N, K, h, w]`; `facts` stand in the provenance in place of
    those of a run with object maps.
    """
    generator = np.random.default_rng(0)
    conditions = dict.fromkeys(condition for condition, _ in plan.pairings)
    facts = {
        "model": "ezvsl", "dataset": "made", "protocol": "corrected", "protocol_switches": {},
        "negatives": {name: {} for name in list(conditions)[1:]}, "seed": 0,
        "config_hash": "", "annotation_sha256": "", "listed": len(samples),
        "evaluated": len(samples), "coverage": 1.0,
        "manifest_hash": ids_hash(s.sample_id for s in samples),
        "negatives_manifest_sha256": "", "pairings": [list(each) for each in plan.pairings],
        "environment": environment(),
        "upsampling": dict.fromkeys(conditions, "half_pixel"), "value_range": [0.0, 1.0],
        "map_transform": "none", "weights": {"sha256": "", "file": ""},
        "prior": {"alpha": ALPHA, "scale": "corrected", "sha256": ""},
        **facts,
    }  # fmt: skip
    GroundTruth.of_samples(samples).write(folder, facts)
    rows = RecordRows(samples, plan)
    with parquet_writer(folder / RECORDS_FILE, RECORDS, facts) as write:
        for start in range(0, len(samples), together):
            index = np.arange(start, min(len(samples), start + together))
            shape = (len(index), len(plan.pairings), side, side)
            maps = change(torch.from_numpy(generator.random(shape, dtype=np.float32)))
            objects = torch.from_numpy(generator.random((len(index), 7, 7), dtype=np.float32))
            seen = None if facts["prior"] is None else objects
            write(rows.table(index, maps, seen))


def score(folder: Path) -> None:
    """Fit all policies and score all records, as vssl-rescore does."""
    fitted = fit_policies(policies(), folder)
    score_records(folder, fitted, METRICS, output=folder / SCORES_FILE)


def upsampled(cells: np.ndarray) -> np.ndarray:
    """One map, bilinear."""
    place = np.clip((np.arange(SIZE) + 0.5) * len(cells) / SIZE - 0.5, 0, len(cells) - 1)
    left = place.astype(int)
    right = np.minimum(left + 1, len(cells) - 1)
    weight = (place - left).astype(np.float32)
    rows = cells[left] * (1 - weight[:, None]) + cells[right] * weight[:, None]
    return rows[:, left] * (1 - weight) + rows[:, right] * weight


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Consensus IoU as the released code computes it."""
    return float(np.sum(mask * truth) / (np.sum(truth) + np.sum(mask * (truth == 0))))


def score_by_numpy(folder: Path, samples: list[Sample], count: int) -> float:
    """Score the first samples one map at a time; seconds for each record."""
    pairings = 2 + 2 * DRAWS
    columns = ["audio_condition", "draw", "map_height", "similarity_map", "object_map"]
    rows = pq.ParquetFile(folder / RECORDS_FILE).read_row_group(0, columns=columns)
    frame = rows.slice(0, count * pairings).to_pandas()
    truths = []
    for sample in samples[:count]:
        truth = np.zeros((SIZE, SIZE))
        x0, y0, x1, y1 = sample.boxes[0]
        truth[y0:y1, x0:x1] = 1
        truths.append(truth)
    start = time.perf_counter()
    constants = [0.5, 0.6, 0.66, 0.64, *CONSTANTS["ezvsl"].values()]
    for n in range(count):
        masks: dict[tuple[str, int, str, int], np.ndarray] = {}
        truth, other = truths[n], truths[n ^ 1]
        own = frame.iloc[n * pairings : (n + 1) * pairings]
        for _, row in own.iterrows():
            condition, draw, side = row["audio_condition"], row["draw"], row["map_height"]
            av = upsampled(row["similarity_map"].reshape(side, side))
            seen = upsampled(row["object_map"].reshape(7, 7))
            for variant, full in (("av", av), ("ogl", ALPHA * av + (1 - ALPHA) * seen)):
                ordered = np.sort(full.ravel())
                ordered[-ordered.size // 4 :].mean()
                if condition == "positive":
                    truth.ravel()[full.argmax()]
                levels = [
                    *constants, ordered[ordered.size // 2], ordered[ordered.size - int(truth.sum())]
                ]  # fmt: skip
                for place, level in enumerate(levels):
                    mask = full > level
                    iou(mask, truth)
                    mask.mean()
                    if condition == "positive":
                        iou(mask, other)
                    masks[condition, draw, variant, place] = mask
        for (condition, draw, variant, place), mask in masks.items():
            for partner in ("positive", "silence", "noise"):
                met = masks.get((partner, draw if partner == "noise" else 0, variant, place))
                if met is None or ("positive", "silence", "noise", "offscreen").index(
                    condition
                ) <= ("positive", "silence", "noise").index(partner):
                    continue
                either = np.logical_or(mask, met).sum()
                np.logical_and(mask, met).sum() / max(either, 1)
    return (time.perf_counter() - start) / (count * pairings)


def main() -> None:
    """Score once and print what it took."""
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder, few = Path(name), Path(name) / "few"
        few.mkdir()
        make_records(few, 4)
        score(few)  # kernels compile or load
        make_records(folder, count)
        start = time.perf_counter()
        score(folder)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "mib": peak}))


if __name__ == "__main__":
    main()
