"""Scores to numbers: means over samples and draws, set metrics and combinations, resampled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, islice, product
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import torch

from vssl.core.arrays import Array, Counts, Index, Mask
from vssl.core.negatives import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.metrics.base import (
    CombinedMetric,
    ConditionMetric,
    MapMetric,
    MeanMetric,
    PairMetric,
    SwapMetric,
)
from vssl.metrics.ciou import SUCCESS, ConsensusIoU
from vssl.metrics.curve import CurveMetric, summed
from vssl.metrics.set_metric import Family, SetMetric, Values, joined
from vssl.records.bootstrap import (
    ROUNDING,
    ImageBootstrap,
    interval_around,
    merged_draws,
    nanmean,
    smallest_in_group,
    variance,
    weighted,
)
from vssl.records.read import condition_pairs
from vssl.records.schema import NO_POLICY, NO_THRESHOLD, pair_column
from vssl.records.score import AnyMetric
from vssl.records.scores import Part, Scores
from vssl.records.sounds import SharedSounds, Spread, crossed, total_spread
from vssl.records.summary import PAIR
from vssl.types import NATURAL, POSITIVE, SoundingObject

_CLIP_RESAMPLES = 200
"""Resamples of clips for set metrics, which cost more than means."""


class Subset(NamedTuple):
    """Some samples of a run, by their places, and the bootstrap over their images."""

    rows: Index | slice
    images: ImageBootstrap


@dataclass(frozen=True)
class Number:
    """A number with its spread."""

    metric: AnyMetric
    condition: str  # audio condition, a pair of them (`positive-silence`), or `all`
    value: float  # over samples within each draw, then the mean over draws
    per_draw: Array  # `[D]` the same within each draw
    at_threshold: Array  # `[B]` resamples of `value` over images, at the threshold as it is
    images: int
    n: int  # samples (images, for metrics by image) with a defined value in some draw
    n_undefined: int  # values left out
    sounds: Spread | None = None  # from sounds that several images share, if there are any
    dof_images: float | None = None  # of the spread over images; None for `images - 1`
    near: Array | None = None  # `[K, B]` resamples of `value` at K thresholds near it
    of_threshold: Array | None = None  # `[B]` change by a threshold fitted anew in each resample
    totals: Array | None = None  # `[G, 2, D]` of a mean: sum and number of values by image, draw
    sounding: tuple[SoundingObject, ...] = (SoundingObject.NONE,)  # both objects for a pair
    parts: tuple[Number, Mapping[str, Number]] | None = None  # of a combined: positive, negatives

    @property
    def key(self) -> tuple[str, str]:
        """Metric and condition."""
        return self.metric.name, self.condition

    @cached_property
    def resampled(self) -> Array:
        """`[B]` resamples of images, shared sounds and the fitted threshold together."""
        resampled = self.at_threshold
        if self.sounds is not None:
            resampled = resampled + self.sounds.deviations
        return resampled if self.of_threshold is None else resampled + self.of_threshold

    def interval(self, *, level: float = 0.95) -> tuple[float, float]:
        """Interval over images, shared sounds and fitted thresholds; NaN for a single image."""
        return self._interval(self.resampled, self.dof, level)

    def interval_at_threshold(self, *, level: float = 0.95) -> tuple[float, float]:
        """Interval over images alone, at exactly this threshold and for exactly these sounds."""
        return self._interval(self.at_threshold, self._own_dof, level)

    def _interval(self, resampled: Array, dof: float, level: float) -> tuple[float, float]:
        bounds = self.metric.bounds
        low, high = interval_around(
            self.value, resampled, images=self.images, bounds=bounds, dof=dof, level=level
        )
        if self.parts is None or bounds is None or self.value > bounds[0]:
            return low, high
        # no image has a success: combine the upper end of the positives with the negatives
        assert isinstance(self.metric, CombinedMetric)
        positive, negatives = self.parts
        most = np.asarray(positive.interval(level=level)[1])
        values = {name: np.asarray(number.value) for name, number in negatives.items()}
        return low, max(high, float(self.metric.combine(most, values)))

    @property
    def dof(self) -> float:
        """Degrees of freedom of the spread: few where it rests on few sounds (Satterthwaite)."""
        own = Spread(self.resampled - self.value, self._own_dof)
        if self.sounds is None or not np.isfinite(self.sounds.dof):
            return own.dof
        images = Spread(own.deviations - self.sounds.deviations, own.dof)
        return (images + self.sounds).dof

    @property
    def _own_dof(self) -> float:
        return self.images - 1.0 if self.dof_images is None else self.dof_images

    def shares(self) -> dict[str, float]:
        """Shares of images, shared sounds and fitted threshold in the variance.

        The threshold's share is the rest, which is negative if it reduces the variance. All are NaN
        where resamples are equal but for their rounding.
        """
        total = variance(self.resampled)
        low, high = self.metric.bounds or (0.0, abs(self.value))
        if not total > (ROUNDING * (high - low)) ** 2:
            return dict.fromkeys(("images", "sounds", "threshold"), np.nan)
        images = variance(self.at_threshold) / total
        sounds = 0.0 if self.sounds is None else variance(self.sounds.deviations) / total
        rest = 0.0 if self.of_threshold is None else 1 - images - sounds
        return {"images": images, "sounds": sounds, "threshold": rest}

    @property
    def higher_is_better(self) -> bool:
        """Direction, which for a mean may depend on the object that sounds."""
        if isinstance(self.metric, ConditionMetric):
            return self.metric.is_higher_better(*self.sounding)
        return bool(self.metric.higher_is_better)

    def row(self) -> dict[str, Any]:
        """The summary columns of the number (`records.schema.SUMMARY`)."""
        several = len(self.per_draw) > 1
        low_there, high_there = low, high = self.interval_at_threshold()
        if self.sounds is not None or self.of_threshold is not None:
            low, high = self.interval()
        return {
            "condition": self.condition,
            "sounding_object": self.sounding[0].value if len(self.sounding) == 1 else None,
            "metric": self.metric.name,
            "value": self.value,
            "std_over_draws": float(np.std(self.per_draw, ddof=1)) if several else None,
            "ci_low": low,
            "ci_high": high,
            "ci_low_at_threshold": low_there,
            "ci_high_at_threshold": high_there,
            **{f"share_{source}": share for source, share in self.shares().items()},
            "n": self.n,
            "n_undefined": self.n_undefined,
            "draws": len(self.per_draw),
            "higher_is_better": self.higher_is_better,
        }


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


def set_numbers(
    scores: Scores,
    parts: Sequence[Part],
    metrics: Sequence[AnyMetric],
    subset: Subset,
    sounds: SharedSounds | None = None,
    *,
    plain: Scores | None = None,
) -> dict[Part, list[Number]]:
    """Compute set metrics of parts of one map variant, all with a threshold or all without.

    All parts and all metrics of a family together cost little more than one alone. Shared sounds
    are those of the whole run. `plain` has the columns of maps if `scores` has those of masks
    alone.
    """
    plain = plain or scores
    by_threshold = parts[0].threshold_policy != NO_POLICY
    families: dict[Callable[..., Family], list[SetMetric]] = {}
    for metric in metrics:
        if (
            isinstance(metric, SetMetric)
            and metric.by_threshold == by_threshold
            and needed_columns(metric) <= {*scores.columns, *plain.columns}
        ):
            families.setdefault(metric.family, []).append(metric)
    by_part: dict[Part, list[Number]] = {part: [] for part in parts}
    for members in families.values():
        for condition, group in _set_groups(members[0], scores, parts[0], subset.rows).items():
            args = (members, condition, group, subset, sounds)
            for part, number in _family_numbers(scores, plain, parts, *args):
                by_part[part].append(number)
    return by_part


def needed_columns(metric: MeanMetric | CurveMetric | SetMetric) -> set[str]:
    """Columns of the scores that a metric needs; not for metrics of pairs."""
    by_threshold = isinstance(metric, SetMetric) and metric.by_threshold
    return {metric.column, ConsensusIoU.column} if by_threshold else {metric.column}


def _set_groups(
    metric: SetMetric, scores: Scores, part: Part, rows: Index | slice
) -> dict[str, list[str]]:
    """By reported condition: the condition of the positives, then those of the negatives."""
    names = [n for n in scores.conditions(part) if metric.applies_to(n, scores.sounding[n])]
    names = [name for name in names if scores.there(part, name)[rows].any()]
    if metric.on_positives:
        return {name: [name] for name in names}
    if not scores.there(part, POSITIVE)[rows].any():
        return {}
    groups = {name: [POSITIVE, name] for name in names}
    if set(NEGATIVE_TYPES) <= set(names):
        groups[ALL_NEGATIVES] = [POSITIVE, *NEGATIVE_TYPES]
    return groups


def _family_numbers(
    scores: Scores,
    plain: Scores,
    parts: Sequence[Part],
    members: Sequence[SetMetric],
    condition: str,
    group: Sequence[str],
    subset: Subset,
    sounds: SharedSounds | None,
) -> Iterator[tuple[Part, Number]]:
    """Numbers of a family's members under each part; `group` as in `_set_groups`."""
    of_maps, column = Part(parts[0].map_variant, NO_POLICY, NO_THRESHOLD), members[0].column
    rows, bootstrap = subset
    columns = {name: plain.values(of_maps, name, column)[rows] for name in group}
    asked = {name: plain.asked(of_maps, name, column)[rows] for name in group}
    success = None
    if members[0].by_threshold:
        name = ConsensusIoU.column
        reached = [scores.values(part, group[0], name)[rows] >= SUCCESS for part in parts]
        success = np.stack(reached, axis=2)
    counts = [columns[name].shape[1] for name in group[1:] or group]
    draws = min((count for count in counts if count > 1), default=1)

    def in_draws(weights: Counts, places: Mapping[str, Index]) -> dict[str, Array]:
        """The members `[D, B, K]` where samples at places `[N, D]` are weighted by `[B, C]`."""

        def in_draw(draw: int) -> Family:
            positives, *negatives = (
                _one_draw(columns[name], places[name], draw, success if not n else None)
                for n, name in enumerate(group)
            )
            return members[0].family(positives, joined(negatives), weights)

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            families = list(pool.map(in_draw, range(draws)))
        return {each.name: np.stack([of[each.name] for of in families]) for each in members}

    # a single image says nothing about the spread over images
    weights = bootstrap.with_itself[: None if bootstrap.images > 1 else 1]
    values = in_draws(weights, dict.fromkeys(group, bootstrap.image[:, None]))
    spreads = {} if sounds is None else _set_spreads(columns, values, sounds, in_draws)
    for member in members:
        resampled = nanmean(values[member.name][:, 1:], axis=0)
        dof = bootstrap.dof(resampled)
        for place, part in enumerate(parts):
            drawn = values[member.name][:, 0, place]
            spread = spreads.get(member.name)
            number = Number(
                metric=member,
                condition=condition,
                value=float(nanmean(drawn)),
                per_draw=drawn,
                at_threshold=np.ascontiguousarray(resampled[:, place]),
                images=bootstrap.images,
                dof_images=float(dof[place]) if len(resampled) else None,
                sounds=spread and Spread(spread[0][:, place], spread[1]),
                n=int((~np.isnan(columns[group[0]])).any(axis=1).sum()),
                n_undefined=sum(
                    int(np.isnan(column[asked[name], :draws]).sum())
                    for name, column in columns.items()
                ),
                sounding=(scores.sounding.get(condition, SoundingObject.NONE),),
            )
            yield part, number


def _set_spreads(
    columns: Mapping[str, Array],
    found: Mapping[str, Array],
    sounds: SharedSounds,
    in_draws: Callable[[Counts, Mapping[str, Index]], dict[str, Array]],
) -> dict[str, tuple[Array, float]]:
    """Deviations `[B, K]` of a family's metrics by shared sounds, and their degrees of freedom.

    The share of sounds in the spread is taken from a mean with the same sounds: the share of
    positives that each negative exceeds, whose mean is 1 - AUROC.
    """
    own, *others = columns
    positives = np.sort(columns[own][~np.isnan(columns[own])])
    draws = len(next(iter(found.values())))
    total: dict[str, tuple[Array, float]] = {}
    for heard in (name for name in others if name in sounds.index and len(positives)):
        column, index = columns[heard][:, :draws], sounds.index[heard][:, :draws]
        defined = ~np.isnan(column)
        exceeded = np.searchsorted(positives, column[defined]) / len(positives)
        weights = sounds.weights(heard)
        share, _, dof = crossed(exceeded, index[defined], weights)
        if share == 0:
            continue
        deviations: dict[str, Array] = {}
        if sounds.by_draw(heard):
            # of a mean over draws that are resampled
            drawn = weights[:, index[0]]
            for name, values in found.items():
                known = ~np.isnan(values[:, 0])
                sums = weighted(drawn, np.where(known, values[:, 0], 0.0))
                with np.errstate(invalid="ignore", divide="ignore"):
                    mean = sums / weighted(drawn, known)
                deviations[name] = mean - nanmean(values[:, 0], axis=0)
        else:
            # clips are resampled in a part of the resamples; the last weight is that of all else
            some = weights[:_CLIP_RESAMPLES].T
            few = np.ones((len(some) + 1, some.shape[1] + 1), some.dtype)
            few[:-1, 1:] = some
            rest = np.full((len(column), 1), weights.shape[1])
            by_clip = in_draws(few.T, {**dict.fromkeys(columns, rest), heard: index})
            for name, values in by_clip.items():
                mean = nanmean(values, axis=0)
                deviations[name] = np.resize(mean[1:] - mean[:1], (len(weights), mean.shape[1]))
        for name, each in deviations.items():
            before, least = total.get(name, (0.0, np.inf))
            total[name] = before + share * each, min(least, dof)
    return total


def _one_draw(column: Array, place: Index, draw: int, success: Mask | None) -> Values:
    """One draw of `[N, D]` values and places, the first where there is only one."""
    value = column[:, min(draw, column.shape[1] - 1)]
    group = place[:, min(draw, place.shape[1] - 1)]
    reached = np.zeros((len(value), 1), bool)
    if success is not None:
        reached = success[:, min(draw, success.shape[1] - 1)]
    kept = ~np.isnan(value)
    return Values(value[kept], group[kept], reached[kept])


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
