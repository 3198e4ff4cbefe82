"""What choosing a threshold on the test set buys, against choosing it elsewhere or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vssl.analysis.threshold_study import facts_of_rows, is_usable
from vssl.core.arrays import Array, Index
from vssl.core.errors import UsageError
from vssl.core.progress import progress_bar
from vssl.metrics.auc import AUC
from vssl.metrics.base import FRACTION
from vssl.metrics.ciou import SuccessRate
from vssl.records.bootstrap import ImageBootstrap, interval, interval_around, nanmean
from vssl.records.chosen import Coverage
from vssl.records.files import SCORES_FILE
from vssl.records.fit import FittedPolicy, fit_policies, same_scale
from vssl.records.refit import ResampledRun
from vssl.records.score import score_records
from vssl.records.scores import Samples, Scores
from vssl.records.store import check_records
from vssl.thresholds.base import ThresholdPolicy
from vssl.thresholds.chosen import ChosenThreshold

ON_HALF = "chosen on half of the images, scored on the others"
"""Source of the row in which no image is scored by a threshold that it helped to choose."""

QUALITY = "quality"
"""What the policy maximizes; its mean over classes where each has its own threshold."""

PRICED = (SuccessRate, AUC)


def price_choices(
    runs: Sequence[Path],
    chosen: Sequence[ThresholdPolicy],
    rules: Sequence[ThresholdPolicy],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare thresholds that are chosen by ground truth with the same ones chosen elsewhere.

    Of each run and map variant, the row `chosen on the test set` is the rule as released. Below it
    stand the same rule chosen on random halves of the images and scored on the other halves, the
    same rule chosen on each other given run of the model, and other policies. In each of
    `resamples` divisions into halves every image is scored once.

    Args:
        runs: folders of finished runs.
        chosen: policies that are chosen by ground truth.
        rules: other policies. Those that a run cannot have are logged and left out.
        resamples: number of bootstrap resamples of the images, and of random halves.
        seed: of both.

    Returns:
        One row per origin of a threshold: facts of the run, `priced` (the policy),
        `threshold_policy, threshold_source, threshold` (the median over halves; NaN for several),
        `threshold_low, threshold_high` (2.5 and 97.5 % of the halves), and for each of
        `success_rate, auc, quality` (fractions) the value with `_ci_low, _ci_high`, and `_price`
        (the rule chosen on the test set minus this row) with the same ends. Intervals are over
        images, with the threshold chosen anew in each resample; in the row of the halves the
        interval of the price is over the halves.

    Raises:
        UsageError: for a policy in `chosen` that is not chosen by ground truth.
        RecordsError: when records cannot be read.
    """
    for policy in chosen:
        if not isinstance(policy, ChosenThreshold):
            raise UsageError(
                f"threshold {policy.name} is not chosen by ground truth, so that choosing it costs"
                " nothing. Name one that is, e.g. best_of_19; others go to --threshold."
            )
    facts = {run: check_records(run) for run in runs}
    rows: list[dict[str, Any]] = []
    with progress_bar("pricing thresholds", len(runs)) as advance:
        for run in runs:
            rows += _rows_of_run(run, facts, chosen, rules, resamples, seed)
            advance(1)
    return pd.DataFrame(rows)


def _rows_of_run(
    run: Path,
    facts: Mapping[Path, Mapping[str, Any]],
    chosen: Sequence[ThresholdPolicy],
    rules: Sequence[ThresholdPolicy],
    resamples: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Rows of one run, by map variant and chosen policy."""
    samples = Samples.of(run)
    pictures = np.unique(np.asarray(samples.image_groups, dtype=str))
    bootstrap = ImageBootstrap(samples.image_groups, resamples=resamples, seed=seed)
    others = [each for each in facts if each != run and same_scale(facts[run], facts[each])]
    elsewhere = [f for other in others for f in fit_policies(chosen, run, calibration=other)]
    usable = [rule for rule in rules if is_usable(rule, facts[run])]
    known = [*elsewhere, *fit_policies(usable, run)]
    numbers = _numbers(run, samples, known, resamples, seed)
    for own in fit_policies(chosen, run):
        assert isinstance(own.policy, ChosenThreshold)
        assert own.chosen_from is not None
        image = np.searchsorted(pictures, own.chosen_from.image)
        choice = _Choice(own.policy, own.chosen_from, bootstrap, image)
        best = choice.on_itself()
        halves = choice.on_halves(np.random.default_rng([seed, 1]))
        ends = [np.nan] * 3
        if not own.policy.by_class and halves.thresholds is not None:
            ends = np.quantile(halves.thresholds, [0.5, 0.025, 0.975]).tolist()
        of_halves = dict(zip(("threshold", "threshold_low", "threshold_high"), ends, strict=True))
        name = own.policy.name
        rows = [
            (name, own.source, {"threshold": _constant(own)}, best),
            (name, ON_HALF, of_halves, halves),
            *(
                (each.policy.name, each.source, {"threshold": _constant(each)}, numbers[id(each)])
                for each in known
                if each.variant == own.variant
                and (each not in elsewhere or each.policy.name == name)
            ),
        ]
        common = {**facts_of_rows(run, facts[run], own.variant), "priced": name}
        for policy, source, thresholds, found in rows:
            threshold = {"threshold_policy": policy, "threshold_source": source, **thresholds}
            yield {**common, **threshold, **found.columns(best, bootstrap.images)}


def _constant(fitted: FittedPolicy) -> float:
    """The one threshold of all maps, or NaN."""
    value = None if fitted.by_class is not None else fitted.policy.constant()
    return np.nan if value is None else value


@dataclass(frozen=True)
class _Found:
    """Values of some measures; several thresholds are behind those of the halves."""

    values: Mapping[str, float]
    resampled: Mapping[str, Array]  # `[B]` over images
    halves: Mapping[str, Array] | None = None  # `[B]` over random halves
    thresholds: Array | None = None

    def columns(self, best: _Found, images: int) -> dict[str, float]:
        """Each value and its price with their intervals."""
        found: dict[str, float] = {}
        for name, value in self.values.items():
            price, anew = best.values[name] - value, self.resampled.get(name)
            if self.halves is not None:
                low, high = interval(best.values[name] - self.halves[name])
                found |= {name: value, f"{name}_ci_low": np.nan, f"{name}_ci_high": np.nan}
            else:
                assert anew is not None
                ends = interval_around(value, anew, images=images, bounds=FRACTION)
                found |= {name: value, f"{name}_ci_low": ends[0], f"{name}_ci_high": ends[1]}
                low, high = interval(best.resampled[name] - anew)
            found |= {f"{name}_price": price, f"{name}_price_ci_low": low,
                      f"{name}_price_ci_high": high}  # fmt: skip
        return found


def _numbers(
    run: Path, samples: Samples, fitted: Sequence[FittedPolicy], resamples: int, seed: int
) -> dict[int, _Found]:
    """Success rate and AUC of other policies, by `id`."""
    metrics = [metric() for metric in PRICED]
    found: dict[int, _Found] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SCORES_FILE
        score_records(run, fitted, metrics, output=path)
        scores = Scores(path, samples.ids)
        resampled = ResampledRun.of(
            run, samples, scores, metrics, fitted, resamples=resamples, seed=seed
        )
        parts = {tuple(part): part for part in scores.parts()}
        for each in fitted:
            part = parts[each.variant, each.policy.name, each.source]
            (numbers,) = resampled.numbers(part, metrics)
            numbers = [number for number in numbers if number.condition == "positive"]
            found[id(each)] = _Found(
                {number.metric.name: number.value for number in numbers},
                {number.metric.name: number.resampled for number in numbers},
            )
    return found


@dataclass(frozen=True)
class _Choice:
    """A policy's choice on one run: measures of N samples at T candidates."""

    policy: ChosenThreshold
    coverage: Coverage
    bootstrap: ImageBootstrap
    image: Index  # `[N]` number of each one's picture

    @cached_property
    def measures(self) -> dict[str, tuple[Array, Array]]:
        """Numerator and denominator `[N, T]` of each measure."""
        intersection, union = self.coverage.intersection, self.coverage.union
        with np.errstate(invalid="ignore"):
            ciou = torch.from_numpy(np.asarray(intersection / union))
        found: dict[str, tuple[Array, Array]] = {}
        for metric in PRICED:
            values = metric.from_column(ciou.flatten()).view(ciou.shape).numpy()
            defined = ~np.isnan(values)
            found[metric.name] = np.where(defined, values, 0.0), defined.astype(float)
        found[QUALITY] = self.policy.terms(intersection, union)
        return found

    def on_itself(self) -> _Found:
        """The rule as released: chosen on all images and scored on them."""
        ones = np.ones((1, self.bootstrap.images))
        values, resampled = (
            self._values(self._sums(times, times)[0]) for times in (ones, self.bootstrap.weights)
        )
        return _Found({name: float(each[0]) for name, each in values.items()}, resampled)

    def on_halves(self, generator: np.random.Generator) -> _Found:
        """Chosen on each half of the images, and scored on the other half."""
        count = self.bootstrap.images
        order = generator.permuted(
            np.tile(np.arange(count), (len(self.bootstrap.weights), 1)), axis=1
        )
        first = (order < count // 2).astype(float)
        sums: dict[str, Array] = {}
        thresholds = []
        for own, other in ((first, 1 - first), (1 - first, first)):
            of_half, chosen = self._sums(own, other)
            thresholds.append(chosen)
            for name, each in of_half.items():
                sums[name] = sums.get(name, 0.0) + each
        values = self._values(sums)
        means = {name: float(nanmean(each)) for name, each in values.items()}
        return _Found(means, {}, values, np.concatenate(thresholds))

    def _sums(self, own: Array, scored: Array) -> tuple[dict[str, Array], Array]:
        """Sums `[B, 2, classes]` of measures on images `scored[b]`, and thresholds by `own[b]`."""
        groups = self.coverage.groups
        sums = {name: np.zeros((len(own), 2, len(groups))) for name in self.measures}
        thresholds = np.full(len(own), np.nan)
        for place, group in enumerate(groups):
            rows = self.coverage.group == group
            image = self.image[rows]
            best = self.coverage.best(self.policy, own[:, self.image], group)
            thresholds = self.coverage.candidates[group][best]
            # a class of which no image was there to choose on has no threshold
            known = own[:, image].sum(axis=1, keepdims=True) > 0
            weights = scored[:, image] * known
            for name, terms in self.measures.items():
                for part, values in enumerate(terms):
                    at_best = values[rows].T[best]
                    sums[name][:, part, place] = (weights * at_best).sum(axis=1)
        return sums, thresholds

    def _values(self, sums: Mapping[str, Array]) -> dict[str, Array]:
        """Ratios `[B]`: of all samples, or for the quality by class the mean over classes."""
        values = {}
        with np.errstate(invalid="ignore"):
            for name, each in sums.items():
                if name == QUALITY and self.policy.by_class:
                    values[name] = nanmean(each[:, 0] / each[:, 1], axis=1)
                else:
                    total = each.sum(axis=2)
                    values[name] = total[:, 0] / total[:, 1]
        return values
