"""Time and memory of everything around the networks, on made runs of 10,000 samples and more.

    python benchmarks/scale.py     writes benchmarks/scale.json: 10,000, 50,000, 200,000 samples

A run has the form of VGG-SS: 220 classes, a positive, silence, ten draws of noise and of offscreen
sounds (22 records a sample), maps of 7 x 7 pixels. Maps are drawn at random, since time and memory
depend on no value. Each stage runs in a separate process, whose peak memory is reported, libraries
included. What grows from size to size is divided by the samples that were added. A line
through all sizes gives the figures at 1,000,000 samples, with its largest residual.

    plan      make the audio plan, write the manifest
    manifest  read the manifest, as a run that replays it does
    write     write the records as the networks' loop does, in shards
    join      join the shards into one records file
    check     check the records, as every command that reads a finished run does
    fit       fit the threshold policies
    score     score all records under all policies
    summary   write all numbers with intervals, from 1,000 resamples; thresholds are fitted in each
    subsets   numbers of the 220 classes and of the quarters by object size

`--threshold` chooses the policies (all nine); scoring takes most of the time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vssl.config.build import build_metrics, build_policies
from vssl.config.compose import composed_config
from vssl.config.settings import RunSettings
from vssl.core.memory import keep_freed_memory
from vssl.negatives.manifest import read_manifest, write_manifest
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.plan import AudioPlan, make_plan
from vssl.negatives.silence import Silence
from vssl.records.aggregate import summarize, summarize_subsets
from vssl.records.files import (
    MANIFEST_FILE,
    RECORDS_FILE,
    SCORES_FILE,
    SUBSETS_FILE,
    SUMMARY_FILE,
)
from vssl.records.fit import FittedPolicy, fit_policies
from vssl.records.refit import ResampledRun
from vssl.records.score import score_records
from vssl.records.scores import Samples, Scores
from vssl.records.shards import Shards
from vssl.records.store import check_records, read_provenance
from vssl.records.truth import GroundTruth
from vssl.runs.evaluate import evaluate
from vssl.types import Sample

CLASSES, DRAWS, SIDE = 220, 10, 7
TOGETHER = 640  # samples of a shard
SIZES = (10_000, 50_000, 200_000)
MILLION = 1_000_000


class MadeRun:
    """A made run of some samples in a folder, and the stages that are measured."""

    def __init__(self, folder: Path, count: int, threshold: str) -> None:
        self.folder, self.count, self.threshold = folder, count, threshold

    @cached_property
    def samples(self) -> list[Sample]:
        """Samples with a class, a box and a picture each."""
        random = np.random.default_rng(0)
        boxes = random.integers((0, 0, 30, 30), (120, 120, 104, 104), size=(self.count, 4))
        classes = random.integers(CLASSES, size=self.count)
        return [
            Sample(f"made{n:07d}_000000", Path(f"frames/made{n:07d}_000000.jpg"),
                   Path(f"audio/made{n:07d}_000000.wav"), f"class {kind}", (f"class {kind}",),
                   f"made{n:07d}_000000", ((x, y, x + width, y + height),), (1.0,), 160_000)
            for n, (kind, (x, y, width, height)) in enumerate(zip(
                classes.tolist(), boxes.tolist(), strict=True))
        ]  # fmt: skip

    @cached_property
    def audio_plan(self) -> AudioPlan:
        """The audio plan, as a run makes it."""
        negatives = [Silence(), Noise(draws=DRAWS), Offscreen(draws=DRAWS)]
        return make_plan(self.samples, negatives, seed=0)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Provenance of a small run of a baseline, with this run's facts."""
        small = self.folder / "small"
        if not (small / RECORDS_FILE).is_file():
            small.mkdir(exist_ok=True)
            options = [f"negatives.{kind}.draws={DRAWS}" for kind in ("noise", "offscreen")]
            asked = ["model=center", "data.scenes=6", "logger=none", "trainer=cpu", *options]
            evaluate(RunSettings.of(composed_config("evaluate", asked)), small, quiet=True)
        return {**read_provenance(small / RECORDS_FILE), "dataset": "made", "evaluated": self.count}

    @cached_property
    def settings(self) -> RunSettings:
        """Settings of the scoring."""
        return RunSettings.of(composed_config("evaluate", [f"threshold=[{self.threshold}]"]))

    @cached_property
    def fitted(self) -> list[FittedPolicy]:
        """The threshold policies, fitted."""
        policies = build_policies(self.settings.scoring, model="center", negatives=True)
        return fit_policies(policies, self.folder)

    @cached_property
    def shards(self) -> Shards:
        """The shards of the run."""
        return Shards(self.folder, self.samples, self.audio_plan, key="made")

    @cached_property
    def resampled(self) -> ResampledRun:
        """The opened scores, with thresholds near the fitted ones."""
        samples = Samples.of(self.folder)
        scores = Scores(self.folder / SCORES_FILE, samples.ids)
        metrics, bootstrap = build_metrics(self.settings.scoring), self.settings.scoring.bootstrap
        return ResampledRun.of(self.folder, samples, scores, metrics, self.fitted, **bootstrap)

    def plan(self) -> None:
        """Plan, and write the manifest."""
        write_manifest(self.folder / MANIFEST_FILE, self.audio_plan.manifest)

    def manifest(self) -> None:
        """Read the manifest."""
        read_manifest(self.folder / MANIFEST_FILE)

    def write(self) -> None:
        """Write shards of random maps, and the ground truth."""
        GroundTruth.of_samples(self.samples).write(self.folder, self.provenance)
        random = np.random.default_rng(0)
        for start in range(0, self.count, TOGETHER):
            index = torch.arange(start, min(self.count, start + TOGETHER))
            shape = (len(index), len(self.audio_plan.pairings), SIDE, SIDE)
            maps = torch.from_numpy(random.random(shape, dtype=np.float32))
            self.shards.write(index, maps, None)

    def join(self) -> None:
        """Join the shards."""
        self.shards.join(self.folder / RECORDS_FILE, self.provenance)

    def check(self) -> None:
        """Check the records."""
        check_records(self.folder)

    def fit(self) -> None:
        """Fit the threshold policies."""
        assert self.fitted

    def score(self) -> None:
        """Score all records."""
        metrics = build_metrics(self.settings.scoring)
        score_records(self.folder, self.fitted, metrics, output=self.folder / SCORES_FILE)

    def summary(self) -> None:
        """Write the summary."""
        metrics = build_metrics(self.settings.scoring)
        summarize(self.folder, self.resampled, metrics, output=self.folder / SUMMARY_FILE)

    def subsets(self) -> None:
        """Write the summary of subsets, at the thresholds as they are."""
        samples, scoring = Samples.of(self.folder), self.settings.scoring
        scores, metrics = Scores(self.folder / SCORES_FILE, samples.ids), build_metrics(scoring)
        known = ResampledRun.of(self.folder, samples, scores, metrics, [], **scoring.bootstrap)
        kinds, output = ["category", "object_size"], self.folder / SUBSETS_FILE
        summarize_subsets(self.folder, known, metrics, kinds, output=output)


STAGES = ("plan", "manifest", "write", "join", "check", "fit", "score", "summary", "subsets")
NEEDS = {
    "write": ("samples", "audio_plan", "provenance"),
    "join": ("samples", "audio_plan", "provenance", "shards"),
    "plan": ("samples",),
    "score": ("fitted",),
}
"""What a stage needs of an earlier one; it is made before the clock starts."""


def measure(run: MadeRun, stage: str) -> dict[str, float]:
    """Run one stage in this process; seconds, CPU seconds and peak MiB."""
    keep_freed_memory()
    for name in NEEDS.get(stage, ()):
        getattr(run, name)
    work: Callable[[], None] = getattr(run, stage)
    begin, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": round(time.perf_counter() - begin, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def slopes(found: dict[int, dict[str, float]], key: str) -> dict[str, float]:
    """Growth per sample between sizes, and the line through all of them at a million samples."""
    sizes = np.array(sorted(found), float)
    values = np.array([found[int(size)][key] for size in sizes])
    grown = {
        f"per_1000_from_{int(a)}": 1000 * (y - x) / (b - a)
        for a, b, x, y in zip(sizes, sizes[1:], values, values[1:], strict=False)
    }
    if len(sizes) < 2:
        return {}
    slope, start = np.polyfit(sizes, values, 1)
    residual = np.abs(slope * sizes + start - values).max()
    million = {"at_1000000": slope * MILLION + start, "largest_residual": residual}
    return {name: round(float(value), 3) for name, value in {**grown, **million}.items()}


def main() -> None:
    """Measure all stages at all sizes, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--threshold", default="all", help="policies, e.g. fixed,universal_q3")
    parser.add_argument("--folder", type=Path, help="keep the made runs here")
    parser.add_argument("--only", default=",".join(STAGES), help="stages, by commas")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("scale.json"))
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.stage:
        run = MadeRun(asked.folder, asked.sizes[0], asked.threshold)
        print(json.dumps(measure(run, asked.stage)))
        return
    wanted = asked.only.split(",")
    found: dict[str, dict[int, dict[str, float]]] = {stage: {} for stage in wanted}
    with tempfile.TemporaryDirectory() as temporary:
        for size in asked.sizes:
            folder = (asked.folder or Path(temporary)) / str(size)
            folder.mkdir(parents=True, exist_ok=True)
            for stage in wanted:
                line = [sys.executable, __file__, str(size), "--stage", stage]
                line += ["--folder", str(folder), "--threshold", asked.threshold]
                done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
                found[stage][size] = json.loads(done.stdout.splitlines()[-1])
                print(size, stage, found[stage][size], flush=True)
    result: dict[str, Any] = {
        "threshold": asked.threshold,
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)),
    }
    for stage, of_stage in found.items():
        result[stage] = {
            **{str(size): each for size, each in of_stage.items()},
            **{f"{key}_slope": slopes(of_stage, key) for key in ("cpu_seconds", "mib")},
        }
    asked.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
