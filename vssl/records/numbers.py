"""Scores to numbers: means over samples and draws, set metrics and combinations, resampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from vssl.metrics.base import CombinedMetric, MapMetric, MeanMetric, PairMetric, SwapMetric
from vssl.metrics.ciou import SUCCESS, ConsensusIoU
from vssl.metrics.sets import Family, SetMetric, Values, joined
from vssl.records.chunks import condition_pairs
from vssl.records.schema import NO_POLICY, NO_THRESHOLD, pair_column
from vssl.records.score import AnyMetric
from vssl.records.scores import Part, Scores
from vssl.records.summary import PAIR
from vssl.records.uncertainty import ImageBootstrap
from vssl.thresholds.base import EACH_MAP
from vssl.types import POSITIVE, SoundingObject

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

NEGATIVE_TYPES = ("silence", "noise", "offscreen")
"""The three negatives of the paper, over which F_LOC and F_AUC average."""

_SUCCESS_COLUMN = ConsensusIoU.column

ALL_NEGATIVES = "all"
"""Condition under which numbers over all three negative types are reported."""


@dataclass(frozen=True)
class Number:
    """A number with its spread.

    Attributes:
        metric: what it is.
        condition: audio condition, a pair of them (`positive-silence`), or `all`.
        value: over samples within each draw, then the mean over draws.
        per_draw: `[D]` the same within each draw.
        resampled: `[B]` bootstrap resamples of `value`.
        n: number of samples (of images, for metrics by image) with a defined value in some draw.
        n_undefined: values left out.
        totals: `[G, 2, D]` for a mean: sum and number of the values of every image and draw.
        sounding: the object that sounds under the condition; those of both for a pair.
    """

    metric: MeanMetric | SetMetric | CombinedMetric
    condition: str
    value: float
    per_draw: Array
    resampled: Array
    n: int
    n_undefined: int
    totals: Array | None = None
    sounding: tuple[SoundingObject, ...] = (SoundingObject.NONE,)

    @property
    def higher_is_better(self) -> bool:
        """Direction, which for a mean may depend on the object that sounds."""
        if isinstance(self.metric, MeanMetric):
            return self.metric.is_higher_better(*self.sounding)
        return bool(self.metric.higher_is_better)


def numbers_of(
    scores: Scores,
    part: Part,
    metrics: Sequence[AnyMetric],
    bootstrap: ImageBootstrap,
    *,
    rows: Index | None = None,
) -> list[Number]:
    """All numbers of one map variant and threshold policy, in the order of the metrics.

    Metrics that need no threshold belong to policy `none`, the others to every other policy;
    combined metrics want one threshold for positives and negatives, so that they are not reported
    where every map has its own.

    Args:
        scores: the run's scores.
        part: map variant and policy.
        metrics: what to report, as far as it was measured.
        bootstrap: over the images of the samples.
        rows: samples to report on; None for all. The bootstrap is of these.
    """
    table = _Table(scores, part, bootstrap, rows)
    means: dict[tuple[str, str], Number] = {}
    found: list[Number] = []
    sets = table.sets([m for m in metrics if isinstance(m, SetMetric)])
    for metric in metrics:
        if isinstance(metric, MeanMetric):
            new = table.means(metric)
            means |= {(metric.name, number.condition): number for number in new}
            found += new
        elif isinstance(metric, SetMetric):
            found += sets.get(metric.name, [])
    for metric in metrics:
        if isinstance(metric, CombinedMetric) and part.threshold_source != EACH_MAP:
            found += combined_numbers(metric, means)
    order = {id(metric): place for place, metric in enumerate(metrics)}
    return sorted(found, key=lambda number: order[id(number.metric)])


def mean_number(
    metric: MeanMetric,
    condition: str,
    column: Array,
    bootstrap: ImageBootstrap,
    sounding: tuple[SoundingObject, ...],
) -> Number:
    """The mean of a metric's column `[N, D]` (NaN where undefined) with its bootstrap."""
    reduced = bootstrap.smallest_by_image(column) if metric.by_image else column
    values = metric.from_column(torch.from_numpy(reduced.flatten())).numpy().reshape(reduced.shape)
    return mean_of_values(metric, condition, values, bootstrap, sounding)


def mean_of_values(
    metric: MeanMetric,
    condition: str,
    values: Array,
    bootstrap: ImageBootstrap,
    sounding: tuple[SoundingObject, ...],
) -> Number:
    """The mean of a metric's own values `[N, D]`, or `[G, D]` for metrics by image."""
    totals = bootstrap.totals(values, by_image=metric.by_image)
    defined = ~np.isnan(values)
    per_draw = nanmean(values, axis=0)
    return Number(
        metric=metric,
        condition=condition,
        value=float(nanmean(per_draw)),
        per_draw=per_draw,
        resampled=nanmean(bootstrap.means_of_totals(totals), axis=1),
        n=int(defined.any(axis=1).sum()),
        n_undefined=int((~defined).sum()),
        totals=totals,
        sounding=sounding,
    )


class _Table:
    """One part of the scores, restricted to some samples."""

    def __init__(
        self, scores: Scores, part: Part, bootstrap: ImageBootstrap, rows: Index | None
    ) -> None:
        self._scores = scores
        self._part = part
        self._bootstrap = bootstrap
        self._rows = rows
        self._names = scores.conditions(part)
        self._sounding = {name: scores.sounding[name] for name in self._names}
        sources = scores.image_sources if rows is None else scores.image_sources[rows]
        # samples whose picture shows other sounding objects that are not among the samples
        self._incomplete = np.bincount(bootstrap.image)[bootstrap.image] < sources

    def column(self, condition: str, column: str, part: Part | None = None) -> Array:
        values = self._scores.values(part or self._part, condition, column)
        return values if self._rows is None else values[self._rows]

    def _of_whole_images(self, condition: str, column: str) -> Array:
        """A column that is about all objects of a picture: undefined where one is missing."""
        return np.where(self._incomplete[:, None], np.nan, self.column(condition, column))

    def means(self, metric: MeanMetric) -> list[Number]:
        """A mean metric under every condition that it applies to."""
        if isinstance(metric, MapMetric) != (self._part.threshold_policy == NO_POLICY):
            return []
        if isinstance(metric, PairMetric):
            return self._pairs(metric)
        if metric.column not in self._scores.columns:
            return []
        if isinstance(metric, SwapMetric):
            return self._swaps(metric)
        found = []
        for name in self._names:
            sounding = self._sounding[name]
            if not metric.applies_to(name, sounding):
                continue
            if metric.by_image:
                column = self._of_whole_images(name, metric.column)
                found.append(mean_number(metric, name, column, self._bootstrap, (sounding,)))
            else:
                values = self._scores.metric_values(self._part, name, metric)
                values = values if self._rows is None else values[self._rows]
                found.append(mean_of_values(metric, name, values, self._bootstrap, (sounding,)))
        return found

    def _swaps(self, metric: SwapMetric) -> list[Number]:
        """Over the samples whose image shows other objects; nothing where there are none."""
        found = []
        for name, sounding in self._sounding.items():
            if not metric.applies_to(name, sounding):
                continue
            asked = self._scores.asked(self._part, name, metric.column)
            asked = (asked if self._rows is None else asked[self._rows]) | self._incomplete
            if asked.any():
                column = self._of_whole_images(name, metric.column)
                number = mean_number(metric, name, column, self._bootstrap, (sounding,))
                found.append(replace(number, n_undefined=int(np.isnan(column[asked]).sum())))
        return found

    def _pairs(self, metric: PairMetric) -> list[Number]:
        draws = {name: self._scores.draws(self._part, name) for name in self._names}
        pairings = [(name, draw) for name in self._names for draw in range(draws[name])]
        found = []
        for partner, condition in condition_pairs(pairings):
            column = pair_column(metric.column, partner)
            if column in self._scores.columns:
                both = sorted((partner, condition), key=self._names.index)
                # of two conditions with several draws, those that both have are compared
                common = draws[partner] if draws[partner] > 1 else draws[condition]
                values = self.column(condition, column)[:, :common]
                sounding = tuple(self._sounding[name] for name in both)
                found.append(
                    mean_number(metric, PAIR.join(both), values, self._bootstrap, sounding)
                )
        return found

    def sets(self, metrics: Sequence[SetMetric]) -> dict[str, list[Number]]:
        """Set metrics by name; those of one family are found together."""
        by_threshold = self._part.threshold_policy != NO_POLICY
        families: dict[Callable[..., Family], list[SetMetric]] = {}
        for metric in metrics:
            needed = {metric.column, *([_SUCCESS_COLUMN] if by_threshold else [])}
            if metric.by_threshold == by_threshold and needed <= set(self._scores.columns):
                families.setdefault(metric.family, []).append(metric)
        found: dict[str, list[Number]] = {metric.name: [] for metric in metrics}
        for members in families.values():
            for condition, group in self._groups(members[0]).items():
                for number in self._family(members, condition, group):
                    found[number.metric.name].append(number)
        return found

    def _groups(self, metric: SetMetric) -> dict[str, list[str]]:
        """By reported condition: the condition of the positives, and those of the negatives."""
        names = [name for name in self._names if metric.applies_to(name, self._sounding[name])]
        if metric.on_positives:
            return {name: [name] for name in names}
        groups = {name: [POSITIVE, name] for name in names}
        if set(NEGATIVE_TYPES) <= set(names):
            groups[ALL_NEGATIVES] = [POSITIVE, *NEGATIVE_TYPES]
        return groups

    def _family(
        self, members: Sequence[SetMetric], condition: str, group: Sequence[str]
    ) -> list[Number]:
        """The members' numbers: of every draw, then over draws."""
        metric, own = members[0], group[0]
        plain = Part(self._part.map_variant, NO_POLICY, NO_THRESHOLD)
        columns = {name: self.column(name, metric.column, plain) for name in group}
        families, place = self._families(metric, condition, columns)
        numbers = []
        for member in members:
            found = np.stack([family[member.name][:, place] for family in families], axis=1)
            numbers.append(
                Number(
                    metric=member,
                    condition=condition,
                    value=float(nanmean(found[0])),
                    per_draw=found[0],
                    resampled=nanmean(found[1:], axis=1),
                    n=int((~np.isnan(columns[own])).any(axis=1).sum()),
                    n_undefined=sum(
                        int(np.isnan(c[:, : len(families)]).sum()) for c in columns.values()
                    ),
                    sounding=(self._sounding.get(condition, SoundingObject.NONE),),
                )
            )
        return numbers

    def _families(
        self, metric: SetMetric, condition: str, columns: Mapping[str, Array]
    ) -> tuple[list[Family], int]:
        """A family's values `[1 + B, K]` in every draw, and which of the K are this part's.

        The positives' column comes first, then those of the negatives. Metrics with a threshold are
        found for all policies of the map variant at once, which costs little more than for one, and
        kept for the policies to come.
        """
        parts = [self._part]
        if metric.by_threshold and self._rows is None:
            parts = [
                part
                for part in self._scores.parts()
                if part.map_variant == self._part.map_variant and part.threshold_policy != NO_POLICY
            ]
        place = parts.index(self._part)
        # the bootstrap itself, so that it lives as long as what was found with it
        key = (self._bootstrap, self._part.map_variant, metric.family, condition)
        if self._rows is None and key in self._scores.families:
            return self._scores.families[key], place
        success = None
        own = next(iter(columns))
        if metric.by_threshold:
            ciou = [self.column(own, _SUCCESS_COLUMN, part) for part in parts]
            success = np.stack([column >= SUCCESS for column in ciou], axis=2)
        weights = np.ones((1, self._bootstrap.images))
        if self._bootstrap.images > 1:  # a single image says nothing about the spread over images
            weights = np.concatenate([weights, self._bootstrap.weights])

        def one_draw(draw: int) -> Family:
            positives = self._draw(columns[own], draw, success)
            negatives = [
                self._draw(column, draw) for name, column in columns.items() if name != own
            ]
            return metric.family(positives, joined(negatives), weights)

        counts = [c.shape[1] for name, c in columns.items() if name != own]
        counts = counts or [columns[own].shape[1]]
        draws = min((count for count in counts if count > 1), default=1)
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            families = list(pool.map(one_draw, range(draws)))
        if self._rows is None:
            self._scores.families[key] = families
        return families, place

    def _draw(
        self, column: Array, draw: int, success: npt.NDArray[np.bool_] | None = None
    ) -> Values:
        """One draw of a column `[N, D]`, the first where it has only one."""
        place = min(draw, column.shape[1] - 1)
        value = column[:, place]
        kept = ~np.isnan(value)
        reached = np.zeros((len(kept), 1), bool) if success is None else success[:, place]
        return Values(value[kept], self._bootstrap.image[kept], reached[kept])


def combined_numbers(
    metric: CombinedMetric, means: Mapping[tuple[str, str], Number]
) -> list[Number]:
    """A combined metric for each negative type, and over the paper's three where all are there.

    Only conditions under which nothing in the picture sounds are negatives.

    Args:
        metric: the metric.
        means: mean metrics by (name, condition).
    """
    positive = means.get((metric.positive, POSITIVE))
    negatives = {
        c: m
        for (name, c), m in means.items()
        if name == metric.negative and m.sounding == (SoundingObject.NONE,)
    }
    if positive is None:
        return []
    groups = {condition: {condition: mean} for condition, mean in negatives.items()}
    if all(name in negatives for name in NEGATIVE_TYPES):
        groups[ALL_NEGATIVES] = {name: negatives[name] for name in NEGATIVE_TYPES}
    return [_combine(metric, condition, positive, members) for condition, members in groups.items()]


def _combine(
    metric: CombinedMetric, condition: str, positive: Number, negatives: Mapping[str, Number]
) -> Number:
    """Combine means; the spread is over the draws that all negatives with several draws have.

    A negative with one draw meets every draw of the others. The value rests on all draws.
    """
    draws = min((len(m.per_draw) for m in negatives.values() if len(m.per_draw) > 1), default=1)
    return Number(
        metric=metric,
        condition=condition,
        value=float(
            metric.combine(
                np.asarray(positive.value), {c: np.asarray(m.value) for c, m in negatives.items()}
            )
        ),
        per_draw=metric.combine(
            np.broadcast_to(positive.per_draw[:draws], draws),
            {c: np.broadcast_to(m.per_draw[:draws], draws) for c, m in negatives.items()},
        ),
        resampled=metric.combine(
            positive.resampled, {c: m.resampled for c, m in negatives.items()}
        ),
        n=positive.n,
        n_undefined=positive.n_undefined + sum(m.n_undefined for m in negatives.values()),
    )


def nanmean(values: Array, axis: int | None = None) -> Array:
    """Mean without NaN; NaN, without a warning, where nothing is left."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0.0).sum(axis=axis) / defined.sum(axis=axis))
