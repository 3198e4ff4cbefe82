"""Set metrics to numbers: of all positives and all negatives of a type together, resampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from vssl.core.arrays import Array, Counts, Index, Mask
from vssl.core.negatives import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.metrics.base import MeanMetric
from vssl.metrics.ciou import SUCCESS, ConsensusIoU
from vssl.metrics.curve import CurveMetric
from vssl.metrics.set_metric import Family, SetMetric, Values, joined
from vssl.records.bootstrap import nanmean, weighted
from vssl.records.number import Number, Subset
from vssl.records.schema import NO_POLICY, NO_THRESHOLD
from vssl.records.score import AnyMetric
from vssl.records.scores import Part, Scores
from vssl.records.sounds import SharedSounds, Spread, crossed
from vssl.types import POSITIVE, SoundingObject

_CLIP_RESAMPLES = 200
"""Resamples of clips, which cost more for set metrics than for means."""


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
    bootstrap, by_threshold = subset.images, parts[0].threshold_policy != NO_POLICY
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
        for condition, group in _groups(members[0], scores, parts[0], subset.rows).items():
            sets = _Sets(members, scores, plain, parts, group, subset.rows)
            places = dict.fromkeys(group, bootstrap.image[:, None])
            values = sets.values(bootstrap.with_itself, places)
            spreads = {} if sounds is None else sets.spreads(values, sounds)
            for member in members:
                resampled = nanmean(values[member.name][:, 1:], axis=0)
                if bootstrap.images < 2:  # from which the spread over images is not known
                    resampled[:] = np.nan
                dof, spread = bootstrap.dof(resampled), spreads.get(member.name)
                for place, part in enumerate(parts):
                    drawn = values[member.name][:, 0, place]
                    number = Number(
                        metric=member,
                        condition=condition,
                        value=float(nanmean(drawn)),
                        per_draw=drawn,
                        at_threshold=np.ascontiguousarray(resampled[:, place]),
                        images=bootstrap.images,
                        dof_images=float(dof[place]),
                        sounds=spread and Spread(spread[0][:, place], spread[1]),
                        n=sets.n,
                        n_undefined=sets.n_undefined,
                        sounding=(scores.sounding.get(condition, SoundingObject.NONE),),
                    )
                    by_part[part].append(number)
    return by_part


def needed_columns(metric: MeanMetric | CurveMetric | SetMetric) -> set[str]:
    """Columns of the scores that a metric needs; not for metrics of pairs."""
    by_threshold = isinstance(metric, SetMetric) and metric.by_threshold
    return {metric.column, ConsensusIoU.column} if by_threshold else {metric.column}


def _groups(
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


class _Sets:
    """What a family of set metrics is found from, in every draw and under each of K policies.

    Arguments as in `set_numbers`, `group` as in `_groups`.

    Attributes:
        members: the metrics of the family.
        columns: by condition, `[N, D]`; that of the positives is the first.
        success: `[N, D, K]` which positives are found; None where it is not involved.
        draws: number of draws that all negatives with several ones have.
        n: positives with a defined value in some draw.
        n_undefined: values left out.
    """

    def __init__(
        self,
        members: Sequence[SetMetric],
        scores: Scores,
        plain: Scores,
        parts: Sequence[Part],
        group: Sequence[str],
        rows: Index | slice,
    ) -> None:
        self.members, column = members, members[0].column
        of_maps = Part(parts[0].map_variant, NO_POLICY, NO_THRESHOLD)
        self.columns = {name: plain.values(of_maps, name, column)[rows] for name in group}
        self.success: Mask | None = None
        if members[0].by_threshold:
            name = ConsensusIoU.column
            # a view of a column would keep the columns of all parts in memory
            reached = [scores.values(part, group[0], name)[rows] >= SUCCESS for part in parts]
            self.success = np.stack(reached, axis=2)
        counts = [self.columns[name].shape[1] for name in group[1:] or group]
        self.draws = min((count for count in counts if count > 1), default=1)
        self.n = int((~np.isnan(self.columns[group[0]])).any(axis=1).sum())
        self.n_undefined = sum(
            int(np.isnan(values[plain.asked(of_maps, name, column)[rows], : self.draws]).sum())
            for name, values in self.columns.items()
        )

    def values(self, weights: Counts, places: Mapping[str, Index]) -> dict[str, Array]:
        """Each member `[D, B, K]` where samples at places `[N, D]` are weighted by `[B, C]`."""

        def in_draw(draw: int) -> Family:
            positives, *negatives = (
                self._one_draw(name, places[name], draw) for name in self.columns
            )
            return self.members[0].family(positives, joined(negatives), weights)

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            families = list(pool.map(in_draw, range(self.draws)))
        return {each.name: np.stack([of[each.name] for of in families]) for each in self.members}

    def _one_draw(self, name: str, places: Index, draw: int) -> Values:
        """One draw of a condition, the first where there is only one."""
        column = self.columns[name]
        own = min(draw, column.shape[1] - 1)
        value, place = column[:, own], places[:, min(draw, places.shape[1] - 1)]
        success = np.zeros((len(value), 1), bool)
        if self.success is not None and name == next(iter(self.columns)):
            success = self.success[:, own]
        kept = ~np.isnan(value)
        return Values(value[kept], place[kept], success[kept])

    def spreads(
        self, found: Mapping[str, Array], sounds: SharedSounds
    ) -> dict[str, tuple[Array, float]]:
        """Deviations `[B, K]` of the members by shared sounds, and their degrees of freedom.

        `found` are the members' `values`. The share of sounds in the spread is taken from a mean
        with the same sounds: the share of positives that each negative exceeds, whose mean is
        1 - AUROC.
        """
        own, *others = self.columns
        positives = np.sort(self.columns[own][~np.isnan(self.columns[own])])
        total: dict[str, tuple[Array, float]] = {}
        for heard in (name for name in others if name in sounds.index and len(positives)):
            column = self.columns[heard][:, : self.draws]
            index = sounds.index[heard][:, : self.draws]
            defined = ~np.isnan(column)
            exceeded = np.searchsorted(positives, column[defined]) / len(positives)
            weights = sounds.weights(heard)
            share, _, dof = crossed(exceeded, index[defined], weights)
            if share == 0:
                continue
            if sounds.by_draw(heard):
                deviations = _by_draw(found, weights[:, index[0]])
            else:
                deviations = self._by_clip(heard, index, weights)
            for name, each in deviations.items():
                before, least = total.get(name, (0.0, np.inf))
                total[name] = before + share * each, min(least, dof)
        return total

    def _by_clip(self, heard: str, index: Index, weights: Counts) -> dict[str, Array]:
        """Deviations `[B, K]` of the members when the clips of a condition are resampled.

        Clips are resampled in a part of the resamples; the last weight is that of all else.
        """
        some = weights[:_CLIP_RESAMPLES].T
        few = np.ones((len(some) + 1, some.shape[1] + 1), some.dtype)
        few[:-1, 1:] = some
        rest = np.full((len(index), 1), weights.shape[1])
        by_clip = self.values(few.T, {**dict.fromkeys(self.columns, rest), heard: index})
        means = {name: nanmean(values, axis=0) for name, values in by_clip.items()}
        return {
            name: np.resize(mean[1:] - mean[:1], (len(weights), mean.shape[1]))
            for name, mean in means.items()
        }


def _by_draw(found: Mapping[str, Array], weights: Counts) -> dict[str, Array]:
    """Deviations `[B, K]` of means over draws when draws are resampled `[B, D]`."""
    deviations = {}
    for name, values in found.items():
        known = ~np.isnan(values[:, 0])
        sums = weighted(weights, np.where(known, values[:, 0], 0.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = sums / weighted(weights, known)
        deviations[name] = mean - nanmean(values[:, 0], axis=0)
    return deviations
