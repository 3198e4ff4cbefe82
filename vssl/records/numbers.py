"""Scores to numbers: means over samples and draws, set metrics and combinations, resampled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from vssl.records.sounds import Sounds, Spread, crossed
from vssl.records.summary import PAIR
from vssl.records.uncertainty import ImageBootstrap, interval_around, nanmean, variance
from vssl.thresholds.base import EACH_MAP
from vssl.types import POSITIVE, SoundingObject

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

NEGATIVE_TYPES = ("silence", "noise", "offscreen")
"""The three negatives of the paper, over which F_LOC and F_AUC average."""

_SUCCESS_COLUMN = ConsensusIoU.column

_CLIP_RESAMPLES = 200
"""Resamples of clips that set metrics, which cost more than means, are found for."""

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
        at_threshold: `[B]` bootstrap resamples of `value` over images, at the threshold as it is.
        images: number of images behind them.
        sounds: what resampled sounds that several images share do to it; None where there are none.
        dof_images: degrees of freedom of their spread; None for one less than there are images.
        of_threshold: `[B]` what a threshold that is fitted anew in each resample adds; None where
            nothing is fitted.
        n: number of samples (of images, for metrics by image) with a defined value in some draw.
        n_undefined: values left out.
        totals: `[G, 2, D]` for a mean: sum and number of the values of every image and draw.
        sounding: the object that sounds under the condition; those of both for a pair.
    """

    metric: MeanMetric | SetMetric | CombinedMetric
    condition: str
    value: float
    per_draw: Array
    at_threshold: Array
    images: int
    n: int
    n_undefined: int
    sounds: Spread | None = None
    dof_images: float | None = None
    of_threshold: Array | None = None
    totals: Array | None = None
    sounding: tuple[SoundingObject, ...] = (SoundingObject.NONE,)
    parts: tuple[Number, Mapping[str, Number]] | None = None

    @property
    def resampled(self) -> Array:
        """`[B]` resamples of images, shared sounds and the fitted threshold together."""
        found = self.at_threshold
        if self.sounds is not None:
            found = found + self.sounds.deviations
        return found if self.of_threshold is None else found + self.of_threshold

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Smallest and largest value that the number can have; None for any."""
        return self.metric.bounds

    def interval(self, *, level: float = 0.95) -> tuple[float, float]:
        """Interval over images, shared sounds and fitted thresholds; NaN for a single image."""
        return self._interval(self.resampled, self.dof, level)

    def interval_at_threshold(self, *, level: float = 0.95) -> tuple[float, float]:
        """Interval over images alone, at exactly this threshold and for exactly these sounds."""
        return self._interval(self.at_threshold, self._own_dof, level)

    def _interval(self, resampled: Array, dof: float, level: float) -> tuple[float, float]:
        found = interval_around(
            self.value, resampled, images=self.images, bounds=self.bounds, dof=dof, level=level
        )
        if self.parts is None or self.bounds is None or self.value > self.bounds[0]:
            return found
        # nothing is found in any image: what could be found at most, combined with the negatives
        positive, negatives = self.parts
        _, most = positive.interval(level=level)
        values = {name: np.asarray(number.value) for name, number in negatives.items()}
        assert isinstance(self.metric, CombinedMetric)
        return found[0], max(found[1], float(self.metric.combine(np.asarray(most), values)))

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
        """Shares of images, of shared sounds and of the fitted threshold in the variance.

        NaN where there is no spread. That of the threshold is what it adds to the others; below 0
        where its movement evens theirs out.
        """
        total = variance(self.resampled)
        if total == 0:
            return dict.fromkeys(("images", "sounds", "threshold"), np.nan)
        images = variance(self.at_threshold) / total
        sounds = 0.0 if self.sounds is None else variance(self.sounds.deviations) / total
        rest = 0.0 if self.of_threshold is None else 1 - images - sounds
        return {"images": images, "sounds": sounds, "threshold": rest}

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
    sounds: Sounds | None = None,
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
        sounds: the sounds of the run's records; None leaves their spread out.
    """
    table = _Table(scores, part, bootstrap, rows, sounds)
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
    spread: Callable[[Array], Spread | None] | None = None,
) -> Number:
    """The mean of a metric's column `[N, D]` (NaN where undefined) with its bootstrap."""
    reduced = bootstrap.smallest_by_image(column) if metric.by_image else column
    values = metric.from_column(torch.from_numpy(reduced.flatten())).numpy().reshape(reduced.shape)
    return mean_of_values(metric, condition, values, bootstrap, sounding, spread)


def mean_of_values(
    metric: MeanMetric,
    condition: str,
    values: Array,
    bootstrap: ImageBootstrap,
    sounding: tuple[SoundingObject, ...],
    spread: Callable[[Array], Spread | None] | None = None,
) -> Number:
    """The mean of a metric's own values `[N, D]`, or `[G, D]` for metrics by image.

    `spread` says what shared sounds do to the mean of values `[N, D]`.
    """
    totals = bootstrap.totals(values, by_image=metric.by_image)
    defined = ~np.isnan(values)
    per_draw = nanmean(values, axis=0)
    return Number(
        metric=metric,
        condition=condition,
        value=float(nanmean(per_draw)),
        per_draw=per_draw,
        at_threshold=bootstrap.means_over_draws(totals),
        images=int(totals[:, 1].any(axis=1).sum()),
        n=int(defined.any(axis=1).sum()),
        n_undefined=int((~defined).sum()),
        sounds=None if spread is None or metric.by_image else spread(values),
        totals=totals,
        sounding=sounding,
    )


class _Table:
    """One part of the scores, restricted to some samples."""

    def __init__(
        self,
        scores: Scores,
        part: Part,
        bootstrap: ImageBootstrap,
        rows: Index | None,
        sounds: Sounds | None,
    ) -> None:
        self._sounds = sounds
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

    def spread(self, *conditions: str) -> Callable[[Array], Spread | None]:
        """What the sounds that images share under some conditions do to a mean of values."""

        def of_values(values: Array) -> Spread | None:
            sounds = self._sounds
            if sounds is None:
                return None
            found = [sounds.spread(c, values, self._rows) for c in conditions if c in sounds.index]
            return sum(found[1:], start=found[0]) if found else None

        return of_values

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
                spread = self.spread(name)
                number = mean_of_values(metric, name, values, self._bootstrap, (sounding,), spread)
                found.append(number)
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
                name, spread = PAIR.join(both), self.spread(condition, partner)
                found.append(mean_number(metric, name, values, self._bootstrap, sounding, spread))
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
        spreads = self._set_spreads(members, condition, columns, families)
        for member in members:
            found = np.stack([family[member.name][:, place] for family in families], axis=1)
            spread = spreads.get(member.name)
            numbers.append(
                Number(
                    metric=member,
                    condition=condition,
                    value=float(nanmean(found[0])),
                    per_draw=found[0],
                    at_threshold=(at_threshold := nanmean(found[1:], axis=1)),
                    images=self._bootstrap.images,
                    dof_images=self._bootstrap.dof(at_threshold) if len(at_threshold) else None,
                    sounds=None if spread is None else Spread(spread[0][:, place], spread[1]),
                    n=int((~np.isnan(columns[own])).any(axis=1).sum()),
                    n_undefined=sum(
                        int(np.isnan(c[:, : len(families)]).sum()) for c in columns.values()
                    ),
                    sounding=(self._sounding.get(condition, SoundingObject.NONE),),
                )
            )
        return numbers

    def _set_spreads(
        self,
        members: Sequence[SetMetric],
        condition: str,
        columns: Mapping[str, Array],
        families: Sequence[Family],
    ) -> dict[str, tuple[Array, float]]:
        """What shared sounds do to the metrics of a family: `[B, K]` deviations, and their dof.

        How much of the spread is the sounds' own is seen from the share of positives that each
        negative exceeds, whose mean is 1 - AUROC.
        """
        if self._sounds is None or self._rows is not None:
            return {}
        heard = [name for name in list(columns)[1:] if name in self._sounds.index]
        key = (self._bootstrap, self._part.map_variant, members[0].family, condition, "sounds")
        if not heard or key in self._scores.spreads:
            return self._scores.spreads.get(key, {})
        own, *_ = columns.values()
        positives = np.sort(own[~np.isnan(own)])
        total: dict[str, tuple[Array, float]] = {}
        for name in heard if len(positives) else ():
            column, index = columns[name][:, : len(families)], self._sounds.index[name]
            index = index[:, : len(families)]
            defined = ~np.isnan(column)
            exceeded = np.searchsorted(positives, column[defined]) / len(positives)
            weights = self._sounds.weights(name)
            share, _, dof = crossed(exceeded, index[defined], weights)
            if share == 0:
                continue
            if self._sounds.by_draw(name):
                drawn = weights[:, index[0]]
                found = {m.name: _by_draw(families, m.name, drawn) for m in members}
            else:
                found = self._by_clip(members, columns, name, len(families))
            for member, deviations in found.items():
                before, others = total.get(member, (0.0, np.inf))
                total[member] = before + share * deviations, min(others, dof)
        self._scores.spreads[key] = total
        return total

    def _by_clip(
        self, members: Sequence[SetMetric], columns: Mapping[str, Array], heard: str, draws: int
    ) -> dict[str, Array]:
        """Deviations `[B, K]` of a family's metrics where the clips of a condition are resampled.

        Found for a part of the resamples, and repeated.
        """
        assert self._sounds is not None
        resamples = self._sounds.weights(heard)
        weights = np.concatenate([np.ones((1, resamples.shape[1])), resamples[:_CLIP_RESAMPLES]])
        weights = np.concatenate([weights, np.ones((len(weights), 1))], axis=1)
        parts = self._policies(members[0])
        families = self._drawn(members[0], columns, parts, weights, heard, range(draws))
        found = {}
        for member in members:
            values = nanmean(np.stack([family[member.name] for family in families]), axis=0)
            found[member.name] = np.resize(values[1:] - values[:1], (len(resamples), len(parts)))
        return found

    def _policies(self, metric: SetMetric) -> list[Part]:
        """The parts that a family is found for at once: those of the map variant."""
        if not metric.by_threshold or self._rows is not None:
            return [self._part]
        return [
            part
            for part in self._scores.parts()
            if part.map_variant == self._part.map_variant and part.threshold_policy != NO_POLICY
        ]

    def _families(
        self, metric: SetMetric, condition: str, columns: Mapping[str, Array]
    ) -> tuple[list[Family], int]:
        """A family's values `[1 + B, K]` in every draw, and which of the K are this part's.

        The positives' column comes first, then those of the negatives. Metrics with a threshold are
        found for all policies of the map variant at once, which costs little more than for one, and
        kept for the policies to come.
        """
        parts = self._policies(metric)
        place = parts.index(self._part)
        # the bootstrap itself, so that it lives as long as what was found with it
        key = (self._bootstrap, self._part.map_variant, metric.family, condition)
        if self._rows is None and key in self._scores.families:
            return self._scores.families[key], place
        weights = np.ones((1, self._bootstrap.images))
        if self._bootstrap.images > 1:  # a single image says nothing about the spread over images
            weights = np.concatenate([weights, self._bootstrap.weights])
        own, *others = columns.values()
        counts = [column.shape[1] for column in others] or [own.shape[1]]
        draws = min((count for count in counts if count > 1), default=1)
        families = self._drawn(metric, columns, parts, weights, None, range(draws))
        if self._rows is None:
            self._scores.families[key] = families
        return families, place

    def _drawn(
        self,
        metric: SetMetric,
        columns: Mapping[str, Array],
        parts: Sequence[Part],
        weights: Array,
        heard: str | None,
        draws: Iterable[int],
    ) -> list[Family]:
        """A family's values in some draws.

        Args:
            metric: one of the family.
            columns: `[N, D]` of the positives' condition first, then of those of the negatives.
            parts: the K threshold policies.
            weights: `[B, C]` how often each image counts; with `heard` each sound of that
                condition, and in the last place all records of the others.
            heard: the condition whose sounds are weighted; None weights images.
            draws: which.
        """
        own = next(iter(columns))
        success = None
        if metric.by_threshold:
            ciou = [self.column(own, _SUCCESS_COLUMN, part) for part in parts]
            success = np.stack([column >= SUCCESS for column in ciou], axis=2)

        def group(name: str, draw: int) -> Index:
            if heard is None:
                return self._bootstrap.image
            if name != heard or self._sounds is None:
                return np.full(len(columns[own]), weights.shape[1] - 1)
            return self._sounds.index[name][:, draw]

        def one_draw(draw: int) -> Family:
            positives = _one_draw(columns[own], draw, group(own, draw), success)
            negatives = [
                _one_draw(column, draw, group(name, draw))
                for name, column in columns.items()
                if name != own
            ]
            return metric.family(positives, joined(negatives), weights)

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return list(pool.map(one_draw, draws))


def _one_draw(
    column: Array, draw: int, group: Index, success: npt.NDArray[np.bool_] | None = None
) -> Values:
    """One draw of a column `[N, D]`, the first where it has only one."""
    place = min(draw, column.shape[1] - 1)
    value = column[:, place]
    kept = ~np.isnan(value)
    reached = np.zeros((len(kept), 1), bool) if success is None else success[:, place]
    return Values(value[kept], group[kept], reached[kept])


def _by_draw(families: Sequence[Family], name: str, drawn: Array) -> Array:
    """Deviations `[B, K]` of a metric where its draws are resampled, `[B, D]` times each."""
    values = np.stack([family[name][0] for family in families])
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (drawn @ np.where(defined, values, 0.0)) / (drawn @ defined)
    return np.asarray(means - nanmean(values, axis=0))


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
        at_threshold=metric.combine(
            positive.at_threshold, {c: m.at_threshold for c, m in negatives.items()}
        ),
        images=positive.images,
        sounds=_combined_sounds(metric, positive, negatives),
        parts=(positive, negatives),
        n=positive.n,
        n_undefined=positive.n_undefined + sum(m.n_undefined for m in negatives.values()),
    )


def _combined_sounds(
    metric: CombinedMetric, positive: Number, negatives: Mapping[str, Number]
) -> Spread | None:
    """What the sounds of the negatives do to a combined number."""
    spreads = {c: m.sounds for c, m in negatives.items() if m.sounds is not None}
    if not spreads:
        return None
    value = np.full_like(positive.at_threshold, positive.value)
    values = {c: np.full_like(value, m.value) for c, m in negatives.items()}
    base = metric.combine(value, values)
    found = [
        Spread(metric.combine(value, {**values, c: values[c] + s.deviations}) - base, s.dof)
        for c, s in spreads.items()
    ]
    return sum(found[1:], start=found[0])
