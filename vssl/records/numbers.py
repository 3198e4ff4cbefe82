"""Scores to numbers: means over samples and draws, largest values of mean curves, combinations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice, product
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import torch

from vssl.core.arrays import Array, Mask
from vssl.core.negatives import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.metrics.base import (
    CombinedMetric,
    ConditionMetric,
    MapMetric,
    MeanMetric,
    PairMetric,
    SwapMetric,
)
from vssl.metrics.curve import CurveMetric, summed
from vssl.records.bootstrap import (
    ImageBootstrap,
    merged_draws,
    nanmean,
    smallest_in_group,
    weighted,
)
from vssl.records.number import Number, Subset
from vssl.records.read import condition_pairs
from vssl.records.schema import NO_POLICY, pair_column
from vssl.records.score import AnyMetric
from vssl.records.scores import Part, Scores
from vssl.records.set_numbers import set_numbers
from vssl.records.sounds import SharedSounds, Spread, total_spread
from vssl.records.summary import PAIR
from vssl.types import NATURAL, POSITIVE, SoundingObject


def numbers_of(
    scores: Scores,
    part: Part,
    metrics: Sequence[AnyMetric],
    subsets: Sequence[Subset],
    *,
    sounds: SharedSounds | None = None,
    sets: Sequence[Sequence[Number]] = (),
    near: tuple[Scores, Sequence[Part]] | None = None,
    totals: bool = False,
) -> list[list[Number]]:
    """All numbers of one map variant and threshold policy, by subset, in the order of the metrics.

    Metrics that need no threshold belong to policy `none`, the others to every other policy.
    Metrics that were not measured are skipped, and conditions that no sample was asked about.
    Combined metrics need one threshold for positives and negatives, so they are not reported for
    policies with a threshold per map.

    Args:
        scores: the run's scores.
        part: map variant and policy.
        metrics: metrics to report.
        subsets: samples to report on.
        sounds: the sounds of the run's records; None ignores their spread.
        sets: for each subset, numbers of set metrics by `set_numbers`; otherwise found here.
        near: scores at thresholds near the part's, and their parts.
        totals: whether means keep theirs of every draw, which are large.
    """
    sets = sets or [set_numbers(scores, [part], metrics, subset)[part] for subset in subsets]
    order = {id(metric): place for place, metric in enumerate(metrics)}
    found = []
    for subset, own, of_means in zip(
        subsets, sets, _means(scores, part, metrics, subsets, sounds, near, totals), strict=True
    ):
        means = {number.key: number for number in of_means}
        for metric in metrics if part.threshold_policy == NO_POLICY else ():
            if isinstance(metric, CurveMetric) and metric.column in scores.columns:
                curves = _of_curves(scores, part, metric, subset, sounds)
                means |= {number.key: number for number in curves}
        numbers = [*own, *means.values()]
        for metric in metrics:
            if isinstance(metric, CombinedMetric) and part.has_one_threshold:
                numbers += combined_numbers(metric, means)
        found.append(sorted(numbers, key=lambda number: order[id(number.metric)]))
    return found


def mean_of_values(
    metric: MeanMetric,
    condition: str,
    values: Array,
    bootstrap: ImageBootstrap,
    sounding: tuple[SoundingObject, ...],
    sounds: Spread | None = None,
    asked: Mask | None = None,
) -> Number:
    """Average a metric's values `[N, D]` (`[G, D]` for metrics by image), without NaN.

    Without resamples, which `resampled_means` gives to many numbers at once.
    Of samples (or images) that were not asked, NaN is not counted as undefined.
    """
    totals = bootstrap.totals(values, by_image=metric.by_image)
    defined = ~np.isnan(values)
    counted = defined if asked is None else defined[asked]
    per_draw = nanmean(values, axis=0)
    return Number(
        metric=metric,
        condition=condition,
        value=float(nanmean(per_draw)),
        per_draw=per_draw,
        at_threshold=np.empty(0),
        images=int(totals[:, 1].any(axis=1).sum()),
        n=int(defined.any(axis=1).sum()),
        n_undefined=int((~counted).sum()),
        sounds=sounds,
        totals=totals,
        sounding=sounding,
    )


def resampled_means(
    numbers: Iterable[tuple[Number, Sequence[Array]]],
    bootstrap: ImageBootstrap,
    *,
    keep: bool = False,
) -> Iterator[Number]:
    """Resample means by `mean_of_values`, each given with its totals at thresholds near its own."""
    given = [(mean, [mean.totals, *near]) for mean, near in numbers if mean.totals is not None]
    found = iter(bootstrap.means_over_draws([each for _, totals in given for each in totals]))
    for mean, totals in given:
        own, *near = islice(found, len(totals))
        of_near, kept = np.array(near) if near else None, mean.totals if keep else None
        yield replace(mean, at_threshold=own, near=of_near, totals=kept)


class _Asked(NamedTuple):
    """A metric under an audio condition, or a pair of them, and where its column is."""

    metric: MeanMetric
    conditions: tuple[str, ...]
    holder: str  # condition of the rows
    column: str


def _read(
    scores: Scores, part: Part, metric: ConditionMetric, condition: str, column: str
) -> tuple[Array, Mask]:
    """Values `[N, D]`, or curves, with natural negatives among positives, and who was asked."""
    values, asked = scores.values(part, condition, column), scores.asked(part, condition, column)
    if metric.with_natural and condition == POSITIVE and NATURAL in scores.conditions(part):
        natural = scores.asked(part, NATURAL, column)
        values, asked = values.copy(), asked | natural
        values[natural] = scores.values(part, NATURAL, column)[natural]
    return values, asked


def _means(
    scores: Scores,
    part: Part,
    metrics: Sequence[AnyMetric],
    subsets: Sequence[Subset],
    sounds: SharedSounds | None,
    near: tuple[Scores, Sequence[Part]] | None,
    keep: bool,
) -> list[list[Number]]:
    """Means of each subset under every condition, or pair of conditions, that they apply to."""
    means: list[list[Number]] = [[] for _ in subsets]
    near_scores, near_parts = near or (scores, [])
    every, by_column = list(_mean_columns(scores, part, metrics)), attrgetter("column")
    order = {(each.metric.name, PAIR.join(each.conditions)): n for n, each in enumerate(every)}
    for _, of_column in groupby(sorted(every, key=by_column), key=by_column):  # each is read once
        asked = list(of_column)
        found: list[dict[int, tuple[Number, list[Array]]]] = [{} for _ in subsets]
        for k, (metric, conditions, *_) in enumerate(asked):
            values = _mean_values(scores, part, asked[k], subsets)
            name, sounding = PAIR.join(conditions), tuple(scores.sounding[c] for c in conditions)
            heard = None if metric.by_image or isinstance(metric, SwapMetric) else sounds
            for of_subset, (rows, images), (own, whom) in zip(found, subsets, values, strict=True):
                if whom.any():
                    spread = None if heard is None else heard.spread(conditions, own, rows)
                    mean = mean_of_values(metric, name, own, images, sounding, spread, whom)
                    of_subset[k] = mean, []
        for part_near, k in product(near_parts, range(len(asked))):
            values = _mean_values(near_scores, part_near, asked[k], subsets)
            for of_subset, (_, images), (own, _) in zip(found, subsets, values, strict=True):
                if k in of_subset:
                    totals = images.totals(own, by_image=asked[k].metric.by_image)
                    of_subset[k][1].append(merged_draws(totals))
        for own_means, of_subset, subset in zip(means, found, subsets, strict=True):
            own_means += resampled_means(of_subset.values(), subset.images, keep=keep)
    return [sorted(own, key=lambda number: order[number.key]) for own in means]


def _mean_columns(scores: Scores, part: Part, metrics: Sequence[AnyMetric]) -> Iterator[_Asked]:
    """What mean metrics average, of those whose column was measured."""
    names = scores.conditions(part)
    paired = [name for name in names if name != NATURAL]
    pairs = condition_pairs([(n, draw) for n in paired for draw in range(scores.draws(part, n))])
    plain = part.threshold_policy == NO_POLICY
    for metric in (metric for metric in metrics if isinstance(metric, MeanMetric)):
        if isinstance(metric, PairMetric):
            found = [
                (tuple(sorted(pair, key=names.index)), pair[1], pair_column(metric.column, pair[0]))
                for pair in pairs
            ]
        else:
            found = [((n,), n, metric.column) for n in _conditions_of(metric, scores, part)]
        if isinstance(metric, MapMetric) == plain:
            yield from (_Asked(metric, *each) for each in found if each[-1] in scores.columns)


def _mean_values(
    scores: Scores, part: Part, each: _Asked, subsets: Sequence[Subset]
) -> Iterator[tuple[Array, Mask]]:
    """Values `[N, D]` of a subset's samples (or images), and whom of them was asked."""
    metric = each.metric
    # of two conditions with several draws, those that both have are compared
    draws = [scores.draws(part, name) for name in each.conditions]
    common = min((count for count in draws if count > 1), default=1)
    whole, whole_asked = _read(scores, part, metric, each.holder, each.column)
    whole = whole[:, :common]
    by_picture = metric.by_image or isinstance(metric, SwapMetric)
    if not by_picture:
        whole = _of_column(metric, whole)
    for rows, images in subsets:
        values, asked = whole[rows], whole_asked[rows]
        if by_picture:
            # undefined where a picture shows other sounding objects that are not among the samples
            there = scores.there(part, each.holder)[rows]
            found = np.bincount(images.image, weights=there)[images.image]
            incomplete = there & (found < scores.image_sources[rows])
            values = np.where(incomplete[:, None], np.nan, values)
            asked = asked | incomplete
            if metric.by_image:
                counted = np.where(asked[:, None], values, np.inf)
                asked = np.bincount(images.image, weights=asked) > 0
                values = smallest_in_group(counted, images.image)
                values = np.where(asked[:, None], values, np.nan)
            values = _of_column(metric, values)
        yield values, asked


def _of_column(metric: MeanMetric, column: Array) -> Array:
    """A metric's own values of a column `[N, D]`."""
    values = metric.from_column(torch.from_numpy(column.flatten())).numpy()
    return np.asarray(values.reshape(column.shape))


def _conditions_of(metric: ConditionMetric, scores: Scores, part: Part) -> list[str]:
    """Audio conditions that a metric is reported for."""
    names = [n for n in scores.conditions(part) if metric.applies_to(n, scores.sounding[n])]
    return [name for name in names if not (metric.with_natural and name == NATURAL)]


def _of_curves(
    scores: Scores,
    part: Part,
    metric: CurveMetric,
    subset: Subset,
    sounds: SharedSounds | None,
) -> Iterator[Number]:
    """A curve metric under every condition that it applies to; batches are resampled whole."""
    bootstrap = subset.images
    for condition in _conditions_of(metric, scores, part):
        curves, asked = _read(scores, part, metric, condition, metric.column)
        curves, asked = curves[subset.rows], asked[subset.rows]
        defined = ~np.isnan(curves[..., 0])
        group = metric.groups(len(curves))
        sums, counts = summed(curves, group)
        largest = metric.largest(sums, counts)
        if metric.batch is None:
            images = len(np.unique(bootstrap.image[defined.any(axis=1)]))
            of_images, number_of = summed(curves, bootstrap.image)
            divisors = weighted(bootstrap.weights, number_of)
            resampled = [
                metric.largest(weighted(bootstrap.weights, of_images[:, draw]), divisors[:, draw])
                for draw in range(curves.shape[1])
            ]
            at_threshold = nanmean(np.stack(resampled, axis=1), axis=1)
            if bootstrap.images < 2:
                at_threshold = np.full_like(at_threshold, np.nan)
        else:
            images = len(largest)
            batches = ImageBootstrap(
                [str(number) for number in range(images)],
                resamples=len(bootstrap.weights),
                seed=bootstrap.seed,
            )
            (at_threshold,) = batches.means_over_draws([batches.totals(largest)])
        spread = None
        if sounds is not None:
            # to first order, sounds move the curve where it is largest
            best = sums.argmax(axis=2)[group]
            share = defined.sum(axis=0) / (len(largest) * np.maximum(counts, 1))
            there = np.take_along_axis(curves, best[..., None], axis=2)[..., 0] * share[group]
            spread = sounds.spread([condition], there, subset.rows)
        yield Number(
            metric=metric,
            condition=condition,
            value=float(nanmean(largest)),
            per_draw=largest.mean(axis=0),
            at_threshold=at_threshold,
            images=images,
            n=int(defined.any(axis=1).sum()),
            n_undefined=int((~defined)[asked].sum()),
            sounds=spread,
            sounding=(scores.sounding[condition],),
        )


def combined_numbers(
    metric: CombinedMetric, means: Mapping[tuple[str, str], Number]
) -> list[Number]:
    """Combine means for each negative type, and over the paper's three if the run has all.

    Negatives are conditions under which nothing in the picture sounds. `means` are mean metrics by
    name and condition.
    """
    positive = means.get((metric.positive, POSITIVE))
    if positive is None:
        return []
    negatives = {
        condition: mean
        for (name, condition), mean in means.items()
        if name == metric.negative and mean.sounding == (SoundingObject.NONE,)
    }
    groups = {condition: {condition: mean} for condition, mean in negatives.items()}
    if all(name in negatives for name in NEGATIVE_TYPES):
        groups[ALL_NEGATIVES] = {name: negatives[name] for name in NEGATIVE_TYPES}
    return [_combine(metric, condition, positive, members) for condition, members in groups.items()]


def _combine(
    metric: CombinedMetric, condition: str, positive: Number, negatives: Mapping[str, Number]
) -> Number:
    """Combine means; a negative with one draw is combined with every draw of the others."""
    draws = min((len(m.per_draw) for m in negatives.values() if len(m.per_draw) > 1), default=1)
    values = {c: np.asarray(m.value) for c, m in negatives.items()}
    drawn = {c: np.broadcast_to(m.per_draw[:draws], draws) for c, m in negatives.items()}
    resampled = {c: m.at_threshold for c, m in negatives.items()}
    near = {c: m.near for c, m in negatives.items() if m.near is not None}
    of_sounds = None
    if any(m.sounds is not None for m in negatives.values()):
        # resamples in which only the sounds of one negative change
        unmoved = np.full_like(positive.at_threshold, positive.value)
        still = {c: np.full_like(unmoved, m.value) for c, m in negatives.items()}
        base = metric.combine(unmoved, still)
        of_sounds = total_spread(
            Spread(metric.combine(unmoved, {**still, c: still[c] + s.deviations}) - base, s.dof)
            for c, m in negatives.items()
            if (s := m.sounds) is not None
        )
    return Number(
        metric=metric,
        condition=condition,
        value=float(metric.combine(np.asarray(positive.value), values)),
        per_draw=metric.combine(np.broadcast_to(positive.per_draw[:draws], draws), drawn),
        at_threshold=metric.combine(positive.at_threshold, resampled),
        near=None if positive.near is None else metric.combine(positive.near, near),
        images=positive.images,
        sounds=of_sounds,
        parts=(positive, negatives),
        n=positive.n,
        n_undefined=positive.n_undefined + sum(m.n_undefined for m in negatives.values()),
    )
