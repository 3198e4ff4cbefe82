"""Numbers at thresholds that are fitted anew in every resample.

A threshold learnt from negatives is an estimate: each resample of images (and shared sounds) gives
another threshold, and so other numbers. Numbers are computed at a few thresholds and interpolated
linearly.
"""

from __future__ import annotations

import copy
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import special

from vssl.core.arrays import Array, Counts, Index
from vssl.metrics.base import MapMetric
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.curve import CurveMetric
from vssl.metrics.set_metric import SetMetric
from vssl.records.binarize import HOST
from vssl.records.bootstrap import ImageBootstrap
from vssl.records.chosen import Coverage
from vssl.records.fit import FittedPolicy, NegativeMaxima
from vssl.records.number import Number, Subset
from vssl.records.numbers import numbers_of
from vssl.records.schema import NO_POLICY
from vssl.records.score import AnyMetric, score_records
from vssl.records.scores import Part, Samples, Scores
from vssl.records.set_numbers import set_numbers
from vssl.records.sounds import SharedSounds, crossed, sound_weights
from vssl.thresholds.base import FixedThreshold, ThresholdPolicy
from vssl.thresholds.chosen import ChosenThreshold
from vssl.thresholds.universal import LearntThreshold

_SHARES = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Quantiles of a resampled threshold at which numbers are computed."""

_CALIBRATION_SEED = 1
"""Added to the seed for the images of a calibration run, which are others than the scored run's."""


def refit(fitted: Sequence[FittedPolicy], *, resamples: int, seed: int) -> list[Array | None]:
    """Fit thresholds anew in every resample of the negatives behind them: `[B]`, or None, each.

    Resamples of the scored run's own negatives are those of its numbers. Deviations by a
    calibration run are widened for its few images (Student's t for their number). What is chosen
    by ground truth is chosen anew. A policy that is not fitted gives None.
    """
    anew: list[Array | None] = [
        None if each.chosen_from is None else _chosen_anew(each, each.chosen_from, resamples, seed)
        for each in fitted
    ]
    for maxima in {id(m): m for each in fitted if (m := each.learnt_from) is not None}.values():
        seeds = [seed] if maxima.own else [seed, _CALIBRATION_SEED]
        images = ImageBootstrap(maxima.image.names.tolist(), resamples=resamples, seed=seeds)
        count, wider = images.images, 1.0
        if not maxima.own and count > 1:
            # the interval of a number knows the number of its own images alone
            wider = np.sqrt(count / (count - 1)) * special.stdtrit(count - 1, 0.975)
            wider /= special.ndtri(0.975)
        learnt: dict[int, LearntThreshold] = {}
        for place, each in enumerate(fitted):
            if each.learnt_from is maxima and isinstance(each.policy, LearntThreshold):
                learnt[place] = each.policy
            elif each.learnt_from is maxima:
                anew[place] = _fitted_anew(each.policy, maxima, images)
        levels = _levels_anew(list(learnt.values()), maxima, images, seeds)
        for (place, policy), level in zip(learnt.items(), levels, strict=True):
            anew[place] = thresholds = policy.from_levels(level)
            if wider != 1:
                anew[place] = policy.constant() + wider * (thresholds - policy.constant())
    return anew


def _chosen_anew(
    fitted: FittedPolicy, coverage: Coverage, resamples: int, seed: int
) -> Array | None:
    """Thresholds `[B]` that are chosen anew in every resample of images; None where by class."""
    policy = fitted.policy
    if fitted.by_class is not None or not isinstance(policy, ChosenThreshold):
        return None
    seeds = [seed] if coverage.own else [seed, _CALIBRATION_SEED]
    images = ImageBootstrap(coverage.image.tolist(), resamples=resamples, seed=seeds)
    places = coverage.best(policy, images.weights[:, images.image])
    return coverage.candidates[""].astype(np.float64)[places]


def _fitted_anew(policy: ThresholdPolicy, maxima: NegativeMaxima, images: ImageBootstrap) -> Array:
    """Thresholds `[B]` of a policy by its own `fit`, over images alone."""
    policy, thresholds = copy.deepcopy(policy), []
    for times in images.weights:
        rows = np.repeat(np.arange(len(maxima.value)), times[maxima.image.codes])
        policy.fit(maxima.value[rows], maxima.condition[rows])
        value = policy.constant()
        thresholds.append(np.nan if value is None else value)
    return np.array(thresholds)


def _levels_anew(
    policies: Sequence[LearntThreshold],
    maxima: NegativeMaxima,
    images: ImageBootstrap,
    seeds: Sequence[int],
) -> Array:
    """Largest levels over negative types, `[P, B]`, in resamples of images and of shared sounds."""
    levels = [np.full((len(policies), len(images.weights)), -np.inf)]
    for name, rows in maxima.condition.rows().items() if policies else ():
        finite = np.flatnonzero(np.isfinite(maxima.value[rows]))
        if not len(finite):
            continue
        order = finite[np.argsort(maxima.value[rows[finite]], kind="stable")]
        values, shown = maxima.value[rows[order]], maxima.image.codes[rows[order]]
        levels.append(_levels(policies, values, images.weights, shown.astype(np.int64)))
        if name in maxima.sounds:
            sound = maxima.sounds[name]
            names, resamples = sound.names.tolist(), len(images.weights)
            weights = sound_weights(name, names, resamples=resamples, seed=seeds)
            heard = sound.codes[order].astype(np.int64)
            by_sound = _levels(policies, values, weights, heard)
            for policy, level, moved in zip(policies, levels[-1], by_sound, strict=True):
                # the sounds' own share is that in the mean of what exceeds the threshold
                share, _, _ = crossed((values > policy.constant()).astype(float), heard, weights)
                shift = np.where(np.isfinite(moved), moved - policy.level(values), 0.0)
                level += share * shift
    return np.asarray(np.max(levels, axis=0))


def _levels(
    policies: Sequence[LearntThreshold], values: Array, weights: Counts, group: Index
) -> Array:
    """Levels `[P, B]` of values `[R]` that are repeated as often as their groups are drawn."""
    levels = np.full((len(policies), len(weights)), -np.inf)
    for b, times in enumerate(weights):
        repeated = np.repeat(values, np.ascontiguousarray(times)[group])
        if len(repeated):
            levels[:, b] = [policy.level(repeated) for policy in policies]
    return levels


class ResampledRun:
    """A run's numbers, with images, shared sounds and fitted thresholds resampled.

    Args:
        scores: the run's scores.
        image_groups: `[N]` name of each sample's picture.
        sounds: the sounds of its records.
        fitted: policies behind the scores; a fitted part without one counts as known exactly.
        near: gives the scores for pairs of map variant and threshold, as parts `near_part`.

    Attributes:
        scores: the run's scores.
        bootstrap: over the run's images.
        thresholds: fitted parts -> `[B]` their thresholds, fitted anew.
    """

    def __init__(
        self,
        scores: Scores,
        image_groups: Sequence[str],
        sounds: SharedSounds,
        fitted: Sequence[FittedPolicy],
        near: Callable[[Sequence[tuple[str, float]]], Scores],
    ) -> None:
        self.scores, self._sounds = scores, sounds
        resamples, seed = sounds.resamples, sounds.seed
        parts = set(scores.parts())
        anew = refit(fitted, resamples=resamples, seed=seed)
        self.thresholds = {
            part: thresholds
            for each, thresholds in zip(fitted, anew, strict=True)
            if (part := Part(each.variant, each.policy.name, each.source)) in parts
            and thresholds is not None
        }
        wanted = dict.fromkeys(
            (part.map_variant, value)
            for part, thresholds in self.thresholds.items()
            for value in _places(thresholds)
        )
        self._near = near(list(wanted)) if wanted else scores
        # after the thresholds, since its weights are large
        self.bootstrap = ImageBootstrap(image_groups, resamples=resamples, seed=seed)
        self._sets: dict[tuple[Part, tuple[str, ...]], list[Number]] = {}

    @classmethod
    def of(
        cls,
        run: Path,
        samples: Samples,
        scores: Scores,
        metrics: Sequence[AnyMetric],
        fitted: Sequence[FittedPolicy],
        *,
        resamples: int,
        seed: int,
        device: torch.device = HOST,
    ) -> ResampledRun:
        """Open the run in a folder; `metrics` are those that will be asked for.

        Maps are measured on `device`.

        Raises:
            RecordsError: when the records cannot be read.
        """

        def near(wanted: Sequence[tuple[str, float]]) -> Scores:
            policies = []
            for variant, value in wanted:
                _, name, source = near_part(variant, value)
                policy = FixedThreshold(value=value, name=name)
                policies.append(FittedPolicy(policy, source, variant))
            # set metrics take the columns of maps from the run's scores, and cIoU from these
            by_threshold = [
                ConsensusIoU() if isinstance(each, SetMetric) else each
                for each in metrics
                if not isinstance(each, (MapMetric, CurveMetric))
            ]
            folder = tempfile.TemporaryDirectory()
            path = Path(folder.name) / "near.parquet"
            score_records(run, policies, by_threshold, output=path, device=device)
            near_scores = Scores(path, samples.ids)
            weakref.finalize(near_scores, folder.cleanup)
            return near_scores

        sounds = SharedSounds.of(run, samples.ids, resamples=resamples, seed=seed)
        return cls(scores, samples.image_groups, sounds, fitted, near)

    def numbers(
        self,
        part: Part,
        metrics: Sequence[AnyMetric],
        subsets: Sequence[Subset] = (),
        *,
        totals: bool = False,
    ) -> list[list[Number]]:
        """All numbers of a part by subset, see `numbers_of`; without any, of the whole run."""
        thresholds = self.thresholds.get(part)
        values = [] if thresholds is None else _places(thresholds)
        near = [near_part(part.map_variant, value) for value in values]
        subsets = subsets or [Subset(slice(None), self.bootstrap)]
        sets = []
        for subset in subsets:
            (own,) = self._set_numbers(self.scores, [part], metrics, subset).values()
            others = self._set_numbers(self._near, near, metrics, subset).values()
            sets.append(
                [
                    replace(number, near=np.array([each.at_threshold for each in same]))
                    for number, *same in zip(own, *others, strict=True)
                ]
            )
        of_subsets = numbers_of(
            self.scores, part, metrics, subsets,
            sounds=self._sounds, sets=sets, near=(self._near, near), totals=totals,
        )  # fmt: skip
        if thresholds is None:
            return of_subsets
        # where one of the places is the fitted threshold, it comes first
        places, chosen = np.unique([*values, self.scores.threshold(part)], return_index=True)
        found = []
        for numbers in of_subsets:
            fixed = np.array([number.at_threshold for number in numbers])
            refitted = fixed
            if near and numbers:
                known = np.array([number.near for number in numbers])
                known = np.concatenate([known, fixed[:, None]], axis=1)
                refitted = interpolated(thresholds, places, known[:, chosen])
            changes = zip(numbers, refitted - fixed, strict=True)
            found.append([replace(n, near=None, of_threshold=change) for n, change in changes])
        return found

    def _set_numbers(
        self, scores: Scores, parts: Sequence[Part], metrics: Sequence[AnyMetric], subset: Subset
    ) -> dict[Part, list[Number]]:
        """Numbers of set metrics; of the whole run for all policies of the map variant at once."""
        if subset.images is not self.bootstrap:
            return set_numbers(scores, parts, metrics, subset, plain=self.scores) if parts else {}
        names = tuple(metric.name for metric in metrics)
        for part in parts:
            if (part, names) not in self._sets:
                plain = part.threshold_policy == NO_POLICY
                alike = [p for p in scores.parts() if p.map_variant == part.map_variant]
                alike = [p for p in alike if (p.threshold_policy == NO_POLICY) == plain]
                sounds = self._sounds if scores is self.scores else None
                found = set_numbers(scores, alike, metrics, subset, sounds, plain=self.scores)
                self._sets |= {(p, names): numbers for p, numbers in found.items()}
        return {part: self._sets[part, names] for part in parts}


def _places(thresholds: Array) -> list[float]:
    """Ascending thresholds at which numbers are computed; none if all resamples are equal."""
    finite = thresholds[np.isfinite(thresholds)]
    if not len(finite):
        return []
    places = np.unique(np.quantile(finite, _SHARES).astype(np.float32)).tolist()
    return places if len(places) > 1 else []


def near_part(variant: str, value: float) -> Part:
    """The part of the scores at a threshold near a fitted one."""
    return Part(variant, f"near {value!r}", "near a fitted threshold")


def interpolated(x: Array, places: Array, values: Array) -> Array:
    """Values at `x[b]` of B functions `[..., K, B]` that are known at K > 1 ascending places.

    Beyond the places the value at the nearest one is taken.

    Example:
        >>> interpolated(np.array([0.5, 3.0]), np.array([0.0, 2.0]), np.array([[0, 1], [4, 5.0]]))
        array([1., 5.])
    """
    x = np.clip(x, places[0], places[-1])
    left = np.clip(np.searchsorted(places, x, side="right") - 1, 0, len(places) - 2)
    share = (x - places[left]) / (places[left + 1] - places[left])
    each = np.arange(len(x))
    before, behind = values[..., left, each], values[..., left + 1, each]
    return np.asarray((1 - share) * before + share * behind)
