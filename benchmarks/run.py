"""Speed as ratios measured in one run: `python benchmarks/run.py` writes benchmarks/latest.json.

Ratios, because seconds say more about the machine than about vssl. Networks have random weights:
speed does not depend on them.

    encode_once_speedup   a re-enactment of the released procedure (for each draw, image and audio
                          network for each of the four audio conditions of each image, per-sample
                          NumPy scoring) over one vssl run; LVS and EZ-VSL, geometric mean
    scoring_speedup       a straightforward NumPy loop, one map at a time, over vssl's scoring: same
                          records, nine policies, both map variants, the same columns
    scoring_growth        scoring time per sample with 400 samples over that with 100
    scoring_memory        peak memory of scoring 400 samples over that of scoring 100
    growth                time per sample with four times the samples over time per sample
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from scoring import make_records, score_by_numpy
from scoring import score as score_made

from vssl.audio import MiddleWindow, SpanWindow
from vssl.data.datamodule import LocalizationDataModule
from vssl.data.embedded import Synthetic
from vssl.engine.callbacks import RecordWriter
from vssl.engine.module import LocalizationModule
from vssl.frontends import LogSpectrogram
from vssl.images import ImageTransform, read_image
from vssl.maps import consensus_map, upsample
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.pia import ImageArea
from vssl.models.ezvsl import EZVSL
from vssl.models.lvs import LVS
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.plan import AudioPlan, make_plan
from vssl.negatives.silence import Silence
from vssl.records.files import RECORDS_FILE, SCORES_FILE
from vssl.records.fit import FittedPolicy
from vssl.records.score import score_records
from vssl.thresholds.base import FixedThreshold
from vssl.thresholds.size_aware import HalfImage, ObjectArea
from vssl.types import POSITIVE, Sample

DRAWS = 10
SAMPLES = 24
REENACTED = 2  # draws of the released procedure that are timed; its cost is linear in draws
MODELS = {
    "lvs": (LVS, LogSpectrogram(SpanWindow(start=3.5, stop=6.5), noverlap=353)),
    "ezvsl": (EZVSL, LogSpectrogram(MiddleWindow(), frames=200)),
}
CONDITIONS = (POSITIVE, "silence", "noise", "offscreen")


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def conditions() -> list[Silence | Noise | Offscreen]:
    """The three negatives, with all draws."""
    return [Silence(), Noise(draws=DRAWS), Offscreen(draws=DRAWS)]


def one_run(name: str, samples: tuple[Sample, ...], folder: Path) -> None:
    """Records and scores of one model, as vssl-evaluate makes them."""
    network, frontend = MODELS[name]
    negatives = conditions()
    plan = make_plan(samples, negatives, seed=0)
    upsampling = dict.fromkeys(CONDITIONS, "half_pixel")
    model, frontends = network(), {POSITIVE: frontend}
    module = LocalizationModule(
        model, name=name, pairings=plan.pairings, upsampling=upsampling, frontends=frontends
    )
    data = LocalizationDataModule(
        samples, plan, negatives, frontends=frontends, transform=ImageTransform()
    )
    provenance = {
        "model": name,
        "dataset": "synthetic",
        "upsampling": upsampling,
        "value_range": list(model.value_range),
        "map_transform": model.map_transform,
        "prior": None,
    }
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False,
        enable_model_summary=False, use_distributed_sampler=False,
        callbacks=[RecordWriter(folder / RECORDS_FILE, samples, plan, provenance)],
    )  # fmt: skip
    trainer.test(module, data, verbose=False)
    score(folder)


def score(folder: Path) -> None:
    """Score a run under three policies."""
    policies = [FittedPolicy(p, "-") for p in (FixedThreshold(), HalfImage(), ObjectArea())]
    score_records(folder, policies, [ConsensusIoU(), ImageArea()], output=folder / SCORES_FILE)


def numpy_scores(localization: np.ndarray, truth: np.ndarray) -> list[float]:
    """One map under the three policies, as the released code scores it."""
    ordered = np.sort(localization.ravel())
    area = int(truth.sum())
    values = []
    for threshold in (0.5, ordered[ordered.size // 2], ordered[ordered.size - area]):
        mask = localization > threshold
        values.append(float(np.sum(mask * truth) / (np.sum(truth) + np.sum(mask * (truth == 0)))))
        values.append(float(mask.mean()))
    return values


@torch.inference_mode()
def released_procedure(name: str, samples: tuple[Sample, ...], plan: AudioPlan) -> None:
    """Every image with every sound through both networks, draw by draw."""
    network, frontend = MODELS[name]
    model, transform = network().eval(), ImageTransform(antialias=False)
    data = LocalizationDataModule(
        samples, plan, conditions(), frontends={POSITIVE: frontend}, transform=transform
    )
    clips = data.test_dataloader()[0].dataset
    column = {pairing: k for k, pairing in enumerate(plan.pairings)}
    for draw in range(REENACTED):
        images = torch.stack([transform(read_image(s.image_path)) for s in samples])
        for condition in CONDITIONS:
            single = condition in (POSITIVE, "silence")
            k = column[condition, 0 if single else draw]
            waveforms = torch.stack([clips[i].waveform for i in plan.index[:, k]])
            vectors = model.encode_audio(frontend(waveforms))[:, None]
            native = model.similarity(model.encode_image(images), vectors)[:, 0]
            for sample, localization in zip(samples, upsample(native), strict=True):
                truth = consensus_map(sample.boxes, sample.box_weights).numpy()
                numpy_scores(localization.numpy(), truth)


def scoring_speedup(folder: Path, *, count: int = 200, by_loop: int = 6) -> float:
    """How many times faster vssl scores records than a NumPy loop."""
    samples = make_records(folder, count)
    score_made(folder)  # kernels compile or load
    ours = timed(lambda: score_made(folder)) / (count * (2 + 2 * DRAWS))
    return score_by_numpy(folder, samples, by_loop) / ours


def scored_apart(count: int) -> dict[str, float]:
    """Seconds and peak memory of scoring in a process of its own."""
    script = Path(__file__).with_name("scoring.py")
    done = subprocess.run(
        [sys.executable, str(script), str(count)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure and write."""
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        everyone = Synthetic(cache=work / "cache", scenes=4 * SAMPLES // 2).check().samples
        few = everyone[:SAMPLES]
        folders = {n: work / n for n in ("lvs", "ezvsl", "few", "many", "scoring")}
        for folder in folders.values():
            folder.mkdir()
        one_run("ezvsl", few[:4], folders["few"])  # libraries warm up

        speedups = []
        for model in MODELS:
            plan = make_plan(few, conditions(), seed=0)
            ours = timed(lambda m=model: one_run(m, few, folders[m]))
            theirs = timed(lambda m=model, p=plan: released_procedure(m, few, p))
            speedups.append(theirs / REENACTED * DRAWS / ours)
            results[f"encode_once_speedup_{model}"] = speedups[-1]
        results["encode_once_speedup"] = math.prod(speedups) ** (1 / len(speedups))

        results["scoring_speedup"] = scoring_speedup(folders["scoring"])
        small, large = (scored_apart(n) for n in (100, 400))
        results["scoring_growth"] = large["seconds"] / small["seconds"] / 4
        results["scoring_memory"] = large["mib"] / small["mib"]

        once = timed(lambda: one_run("ezvsl", few, folders["few"])) / len(few)
        four = timed(lambda: one_run("ezvsl", everyone, folders["many"])) / len(everyone)
        results["growth"] = four / once
    path = Path(__file__).with_name("latest.json")
    path.write_text(json.dumps({k: round(v, 3) for k, v in results.items()}, indent=1) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    main()
