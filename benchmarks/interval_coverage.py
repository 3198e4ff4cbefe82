"""How often 95 % intervals hold the truth, where the truth is known.

    python benchmarks/interval_coverage.py [--seed 0] [--repetitions 400] [--images 50 250 1000]

Test sets of 50, 250 and 1000 images are drawn from a made population, evaluated by vssl's own
thresholds, numbers and intervals, and each interval is compared with the number of the population.
The truth of a number at a fitted threshold is that at the threshold of the population.

An image has one object: its share of the image, how high the map reaches on it and beside it vary.
Maps fall linearly from their maxima, so that cIoU and pIA are known functions of the threshold. How
high a negative's map reaches is the sum of an effect of the image, one of the sound and a rest. An
offscreen sound is the clip of another sample, ten for each image; its effect has 5 or 20 % of the
variance. A noise draw is one waveform for all images, ten of them, with 0.5 % of the variance.
Thresholds are learnt from the test set's own negatives, or from those of a calibration run of 120
other images with other sounds.

Prints a Markdown table, and writes all shares to the output; see docs/metrics.md.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vssl.core.arrays import Mask
from vssl.metrics.auc import AUC
from vssl.metrics.base import MeanMetric
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.metrics.false_alarm import FalseAlarmRate
from vssl.metrics.fscore import FLoc
from vssl.metrics.pia import ImageArea
from vssl.metrics.separation import AUROC
from vssl.metrics.set_metric import MAP_MAXIMUM
from vssl.records.fit import FittedPolicy, NegativeMaxima
from vssl.records.refit import ResampledRun, near_part
from vssl.records.schema import NO_POLICY, NO_THRESHOLD
from vssl.records.scores import Part
from vssl.records.sounds import SharedSounds
from vssl.records.store import Labels
from vssl.thresholds.false_alarm import FalseAlarmThreshold
from vssl.thresholds.universal import LearntThreshold, UniversalThreshold
from vssl.types import POSITIVE, SoundingObject

Array = npt.NDArray[np.float64]

IMAGES = (50, 250, 1000)
CLIP_SHARES = (0.05, 0.20)
CALIBRATION_IMAGES = 120
DRAWS = 10
NEGATIVES = ("silence", "noise", "offscreen")
METRICS = (ConsensusIoU(), SuccessRate(), AUC(), ImageArea(), FalseAlarmRate(), FLoc(), AUROC())
RESAMPLES = 500

_SLOPE = 0.25
"""By how much a map falls over the object."""

_REACH = {"silence": 0.0, "noise": 0.05, "offscreen": 0.12}
_SPREAD = 0.12
_NOISE_SHARE = 0.005
_OF_POPULATION = 400_000


def policies() -> list[LearntThreshold]:
    """The thresholds that are learnt."""
    return [
        UniversalThreshold(statistic="third_quartile", name="universal_q3"),
        UniversalThreshold(statistic="mean", name="universal_max"),
        FalseAlarmThreshold(rate=0.05, name="false_alarm_5"),
    ]


@dataclass(frozen=True)
class TestSet:
    """Images, sounds, and how high the maps reach.

    Attributes:
        size: `[N]` share of the image that the object covers.
        own: `[N]` how high the map reaches on the object under its own sound.
        beside: `[N]` how high it reaches beside it.
        maxima: negative type -> `[N, D]` how high it reaches.
        sounds: negative type -> `[N, D]` the sound that is heard.
    """

    size: Array
    own: Array
    beside: Array
    maxima: Mapping[str, Array]
    sounds: Mapping[str, npt.NDArray[np.int64]]

    @classmethod
    def draw(cls, count: int, clip_share: float, generator: np.random.Generator) -> TestSet:
        """Draw images from the population, and sounds for them."""
        size = generator.beta(1.5, 6, count) * 0.6 + 0.02
        own = generator.normal(0.38, 0.15, count)
        beside = generator.normal(0.05, 0.12, count)
        image = generator.normal(size=(count, 1))
        clips = (np.arange(count)[:, None] + generator.integers(1, count, (count, DRAWS))) % count
        noises = np.broadcast_to(np.arange(DRAWS), (count, DRAWS))
        clip, noise = generator.normal(size=count), generator.normal(size=DRAWS)
        rest = {name: generator.normal(size=(count, DRAWS)) for name in NEGATIVES}
        maxima = {
            "silence": _reach("silence", image, 0.0, 0.0, rest["silence"][:, :1]),
            "noise": _reach("noise", image, noise[noises], _NOISE_SHARE, rest["noise"]),
            "offscreen": _reach("offscreen", image, clip[clips], clip_share, rest["offscreen"]),
        }
        return cls(size, own, beside, maxima, {"noise": noises, "offscreen": clips})

    def ciou(self, threshold: float) -> Array:
        """Find the cIoU of each sample at a threshold, `[N, 1]`."""
        found = np.clip((self.own - threshold) / _SLOPE, 0, 1) * self.size
        wrong = 0.3 * np.clip((self.beside - threshold) / _SLOPE, 0, 1) * (1 - self.size)
        return np.asarray(found / (self.size + wrong))[:, None]

    def pia(self, condition: str, threshold: float) -> Array:
        """Find the pIA of each sample and draw under a negative, `[N, D]`."""
        return np.asarray(0.3 * np.clip((self.maxima[condition] - threshold) / _SLOPE, 0, 1))

    def learnt_from(self, *, own: bool) -> NegativeMaxima:
        """The maxima that thresholds are learnt from."""
        numbers = [f"{n:05d}" for n in range(len(self.size))]
        value, condition, image = [], [], []
        for code, maxima in enumerate(self.maxima.values()):
            value.append(maxima.ravel())
            condition.append(np.full(maxima.size, code))
            image.append(np.repeat(np.arange(len(maxima)), maxima.shape[1]))
        conditions = Labels.of_codes(np.concatenate(condition), list(self.maxima))
        images = Labels.of_codes(np.concatenate(image), numbers)
        sounds = {n: Labels.of_codes(each.ravel(), numbers) for n, each in self.sounds.items()}
        return NegativeMaxima(np.concatenate(value), conditions, images, sounds, own)


def _reach(name: str, image: Array, sound: Any, share: float, rest: Array) -> Array:
    """Maxima: 40 % of the variance are the image's, `share` the sound's."""
    parts = np.sqrt(0.4) * image + np.sqrt(share) * sound + np.sqrt(0.6 - share) * rest
    return np.asarray(_REACH[name] + _SPREAD * parts)


class MadeScores:
    """Scores of a made test set, in place of those of a file (`records.scores.Scores`)."""

    columns: Sequence[str] = ("ciou", "pia", MAP_MAXIMUM)

    def __init__(self, test: TestSet, thresholds: Mapping[Part, float]) -> None:
        self.test, self._thresholds = test, thresholds
        self.image_sources = np.ones(len(test.size), np.int64)
        silent = dict.fromkeys(NEGATIVES, SoundingObject.NONE)
        self.sounding = {POSITIVE: SoundingObject.OWN, **silent}

    def parts(self) -> Iterator[Part]:
        """The parts."""
        yield from self._thresholds

    def conditions(self, part: Part) -> list[str]:
        """The positive and all negatives."""
        return [POSITIVE, *NEGATIVES]

    def draws(self, part: Part, condition: str) -> int:
        """Number of draws."""
        return self.values(part, condition, MAP_MAXIMUM).shape[1]

    def threshold(self, part: Part) -> float:
        """Threshold of a part."""
        return self._thresholds[part]

    def values(self, part: Part, condition: str, column: str) -> Array:
        """Values of a column, `[N, D]`."""
        if column == MAP_MAXIMUM:
            own = np.maximum(self.test.own, self.test.beside)[:, None]
            return own if condition == POSITIVE else self.test.maxima[condition]
        threshold = self._thresholds[part]
        if column == "ciou":
            return self.test.ciou(threshold)
        if condition == POSITIVE:
            return np.zeros((len(self.test.size), 1))  # of no interest here
        return self.test.pia(condition, threshold)

    def there(self, part: Part, condition: str) -> Mask:
        """Which samples have rows, `[N]`: all."""
        return np.ones(len(self.test.size), bool)

    def asked(self, part: Part, condition: str, column: str) -> Mask:
        """Which samples a column was measured on, `[N]`: all."""
        return self.there(part, condition)

    def metric_values(self, part: Part, condition: str, metric: MeanMetric, column: str) -> Array:
        """A metric's own values of a column, `[N, D]`."""
        values = self.values(part, condition, column)
        found = metric.from_column(torch.from_numpy(values.flatten())).numpy()
        return np.asarray(found.reshape(values.shape))


@cache
def truth(clip_share: float) -> dict[tuple[str, str, str], float]:
    """Numbers of the population by metric, condition and policy."""
    generator = np.random.default_rng(20_260_101)
    many = TestSet.draw(_OF_POPULATION, clip_share, generator)
    # one draw each: in the population no two records share a noise draw or a clip
    own, rest = generator.normal(size=(2, _OF_POPULATION, 1))
    image = generator.normal(size=(_OF_POPULATION, 1))
    shares = {"silence": 0.0, "noise": _NOISE_SHARE, "offscreen": clip_share}
    maxima = {n: _reach(n, image, own, share, rest) for n, share in shares.items()}
    many = TestSet(many.size, many.own, many.beside, maxima, {})
    found = {}
    for policy in policies():
        policy.fit(*_flat(maxima))
        scores = MadeScores(many, {Part("av", policy.name, ""): policy.constant()})
        (part,) = scores.parts()
        for metric in METRICS:
            if isinstance(metric, MeanMetric):
                for name in NEGATIVES if metric.column == "pia" else (POSITIVE, "offscreen"):
                    if metric.applies_to(name, scores.sounding[name]):
                        values = scores.metric_values(part, name, metric, metric.column)
                        found[metric.name, name, policy.name] = float(values.mean())
        pia = {n: np.asarray(found["pia", n, policy.name]) for n in NEGATIVES}
        ciou = np.asarray(found["ciou", POSITIVE, policy.name])
        for name in NEGATIVES:
            found["f_loc", name, policy.name] = float(FLoc.combine(ciou, {name: pia[name]}))
        found["f_loc", "all", policy.name] = float(FLoc.combine(ciou, pia))
    reach = np.sort(np.maximum(many.own, many.beside))
    for name in NEGATIVES:
        above = 1 - np.searchsorted(reach, maxima[name][:, 0]) / len(reach)
        found["auroc", name, NO_POLICY] = float(above.mean())
    found["auroc", "all", NO_POLICY] = np.mean([found["auroc", n, NO_POLICY] for n in NEGATIVES])
    return found


def _flat(maxima: Mapping[str, Array]) -> tuple[Array, npt.NDArray[np.str_]]:
    sizes = [values.size for values in maxima.values()]
    return np.concatenate([v.ravel() for v in maxima.values()]), np.repeat(list(maxima), sizes)


def once(images: int, clip_share: float, source: str, seed: int) -> dict[str, list[bool]]:
    """Whether the intervals of one test set hold the truth: all included, and at the threshold."""
    torch.set_num_threads(1)
    generator = np.random.default_rng([seed, images, round(100 * clip_share), source == "own"])
    test = TestSet.draw(images, clip_share, generator)
    learnt = test.learnt_from(own=True)
    if source != "own":
        other = TestSet.draw(CALIBRATION_IMAGES, clip_share, generator)
        learnt = other.learnt_from(own=False)
    fitted, thresholds = [], {}
    for policy in policies():
        policy.fit(learnt.value, learnt.condition[:])
        fitted.append(FittedPolicy(policy, "fit on made", "av", learnt))
        thresholds[Part("av", policy.name, "fit on made")] = policy.constant()
    thresholds[Part("av", NO_POLICY, NO_THRESHOLD)] = np.nan
    heard = {n: np.unique(s, return_inverse=True) for n, s in test.sounds.items()}
    index = {n: codes.reshape(test.sounds[n].shape) for n, (_, codes) in heard.items()}
    names = {n: [f"{k:05d}" for k in different] for n, (different, _) in heard.items()}
    sounds = SharedSounds(index, names, resamples=RESAMPLES, seed=seed)

    def near(wanted: Sequence[tuple[str, float]]) -> Any:
        return MadeScores(test, {near_part(*each): each[1] for each in wanted})

    groups = [f"{n:05d}" for n in range(images)]
    scores: Any = MadeScores(test, thresholds)
    run = ResampledRun(scores, groups, sounds, fitted, near)
    found, known = {}, truth(clip_share)
    for part in scores.parts():
        (numbers,) = run.numbers(part, METRICS)
        for number in numbers:
            key = (number.metric.name, number.condition, part.threshold_policy)
            if key not in known:
                continue
            ends = (number.interval(), number.interval_at_threshold())
            held = [bool(low <= known[key] <= high) for low, high in ends]
            found["/".join((number.condition, number.metric.name, part.threshold_policy))] = held
    return found


def main() -> None:
    """Simulate, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "interval_coverage.json"
    )
    options = parser.parse_args()
    settings = [
        (images, share, source)
        for images in options.images
        for share in CLIP_SHARES
        for source in ("own", "calibration")
    ]
    rows = []
    with ProcessPoolExecutor(options.processes) as pool:
        for setting in settings:
            seeds = range(options.seed * 100_003, options.seed * 100_003 + options.repetitions)
            jobs = [pool.submit(once, *setting, seed) for seed in seeds]
            held = [job.result() for job in jobs]
            row = {
                "images": setting[0],
                "clip_share": setting[1],
                "threshold_from": setting[2],
                "seed": options.seed,
                "repetitions": options.repetitions,
                "coverage": {
                    key: [round(float(np.mean([h[key][n] for h in held])), 4) for n in (0, 1)]
                    for key in held[0]
                },
            }
            rows.append(row)
            shown = ("all/f_loc/universal_q3", "positive/ciou/universal_q3",
                     "offscreen/pia/universal_q3", "all/f_loc/false_alarm_5",
                     "all/auroc/none")  # fmt: skip
            cells = [
                f"{100 * a:.1f} ({100 * b:.1f})" for a, b in (row["coverage"][k] for k in shown)
            ]
            if len(rows) == 1:
                print("| images | clips' share | threshold from |", *(f"{k} |" for k in shown))
                print("| --- | --- | --- |" + " --- |" * len(shown))
            print(
                f"| {setting[0]} | {setting[1]} | {setting[2]} |",
                *(f"{c} |" for c in cells),
                flush=True,
            )
    found = {"resamples": RESAMPLES, "rows": rows}
    options.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
