"""Paired differences of runs on the samples that all of them have.

Intervals: the same images and sounds are resampled for both runs, and fitted thresholds are fitted
anew. The 95 % interval rests on the spread of the resampled difference, the 90 % interval that
shows ties on its percentiles.
p: two-sided permutation test that exchanges the runs' values image by image. When b of m random
exchanges differ at least as much as the runs do, p = (b + 1) / (m + 1) (Phipson and Smyth,
"Permutation P-values should never be zero", 2010); if all exchanges are tried, p is their share.
The interval also includes chance from other sources than images; it is added to every exchanged
difference, so that p and interval agree.
Families: the primary row of each compared run is corrected for the number of runs alone. Other rows
are secondary, except rows that nearly repeat another one: F_LOC by type follows F_LOC at `all`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vssl.core.arrays import Array, Names
from vssl.core.checks import check_choice
from vssl.core.errors import UsageError
from vssl.core.negatives import ALL_NEGATIVES
from vssl.core.progress import progress_bar
from vssl.metrics.base import CombinedMetric
from vssl.records.bootstrap import ImageBootstrap, interval, interval_around, nanmean, variance
from vssl.records.files import SCORES_FILE
from vssl.records.fit import FittedPolicy
from vssl.records.number import Number, Subset
from vssl.records.numbers import combined_numbers
from vssl.records.refit import ResampledRun
from vssl.records.schema import NO_POLICY
from vssl.records.score import AnyMetric
from vssl.records.scores import Part, Samples, Scores
from vssl.records.store import check_records, read_provenance
from vssl.types import NATURAL, POSITIVE

Key = tuple[str, str]
"""Metric and condition."""

PRIMARY, SECONDARY, NO_FAMILY = "primary", "secondary", "none"
"""Values of the column `family`."""

LEVEL = 0.05
"""Level of tests; one-sided of each of the two that show equivalence."""

FEWEST, MOST = 10_000, 200_000
"""Bounds of the default number of random exchanges."""

_ROOM = 0.2  # share of the level that the smallest possible p, corrected, may take
_SIGNS_AT_ONCE = 1 << 22
_ROUNDING = 1e-12  # of differences that are the same in exact arithmetic


DEFAULT_PRIMARY = f"{ALL_NEGATIVES}/f_loc/universal_q3"
"""Endpoint that is primary where none is named: condition, metric and policy."""


def families(rows: pd.DataFrame, primary: str | None) -> Names:
    """Sort the rows of a comparison into families.

    Args:
        rows: with `run, metric, condition, threshold_policy`, and `testable`: whether a row can
            have a p at all.
        primary: `[condition/]metric/policy`; without a condition it is `all`, or the only one there
            is. None takes `DEFAULT_PRIMARY` if it is among the rows.

    Returns:
        `PRIMARY` for the primary endpoint of every run. `SECONDARY` for other testable rows: of a
        run, metric and policy the ones at `all` and at `natural`, or every condition where there is
        no `all`. `NO_FAMILY` for the rest.

    Raises:
        UsageError: when the primary endpoint is not among the rows, or not one of them by run.
    """
    keys = rows["condition"] + "/" + rows["metric"] + "/" + rows["threshold_policy"]
    testable, together = rows["testable"], rows["condition"] == ALL_NEGATIVES
    apart = together | (rows["condition"] == NATURAL)  # which `all` does not hold
    of = [rows[name] for name in ("run", "metric", "threshold_policy")]
    repeats = (together & testable).groupby(of).transform("any") & ~apart
    found = np.where(testable & ~repeats, SECONDARY, NO_FAMILY)
    chosen = primary or DEFAULT_PRIMARY
    if primary is not None:
        there = list(dict.fromkeys(keys[testable]))
        own = [key for key in there if key.endswith(f"/{primary}")]
        if primary.count("/") == 2:
            check_choice(chosen, there, name="--primary")
        elif f"{ALL_NEGATIVES}/{primary}" in own:
            chosen = f"{ALL_NEGATIVES}/{primary}"
        elif len(own) > 1:
            raise UsageError(f"--primary {primary}: is several rows; name one: {', '.join(own)}.")
        else:
            without_condition = dict.fromkeys(key.partition("/")[2] for key in there)
            check_choice(chosen, without_condition, name="--primary")
            chosen = own[0]
    found[(keys == chosen) & testable] = PRIMARY
    return found


def holm(p: Array) -> Array:
    """Correct p values `[M]` for their number; NaN is no test and stays.

    The i-th smallest of M is multiplied by M - i + 1, and is never below a smaller one's result
    nor above 1 (Holm, "A simple sequentially rejective multiple test procedure", 1979).

    Example:
        >>> holm(np.array([0.04, 0.01, np.nan, 0.03]))
        array([0.06, 0.03,  nan, 0.06])
    """
    order = np.argsort(p)  # NaN comes last
    steps = p[order] * (np.count_nonzero(~np.isnan(p)) - np.arange(len(p)))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def enough_exchanges(tests: int) -> int:
    """Number of random exchanges with which Holm's correction of some tests can still reject.

    With N exchanges the smallest p is 1 / (N + 1). Times the number of tests it is a fifth of the
    level at most, unless that needs more than `MOST` exchanges.
    """
    return min(max(FEWEST, round(tests / (_ROOM * LEVEL)) - 1), MOST)


def equivalent(resampled: Array, images: int, margin: float) -> bool:
    """Whether a difference, with resamples `[B]` over n images, is shown to be within a margin.

    Two one-sided tests at 5 %: the 90 % interval lies within the margin (Schuirmann, "A comparison
    of the two one-sided tests procedure and the power approach for assessing the equivalence of
    average bioavailability", 1987).
    """
    low, high = interval(resampled, level=1 - 2 * LEVEL)
    if not images:
        return False
    if low == high:
        # no resample differs, but a share s of all images that differ, each by 1 at most, stays
        # unseen with a probability of (1 - s)^n: that is 5 % for this s
        unseen = 1 - LEVEL ** (1 / images)
        low, high = low - unseen, high + unseen
    return bool(-margin < low and high < margin)


def verdict(difference: float, p: float, *, tied: bool, margin: float) -> str:
    """Conclusion on a difference (run minus reference, a fraction) with a corrected p or NaN.

    Returns:
        `higher` or `lower` by value, whether that is good or bad; with `(within 1 point)` if it is
        shown to be that small (`tied`). Otherwise `tied (within 1 point)`, `not shown` or `not
        tested`.
    """
    within = f"(within {100 * margin:g} point{'' if margin == 0.01 else 's'})"
    if p <= LEVEL:
        word = "higher" if difference > 0 else "lower"
        return f"{word} {within}" if tied else word
    if tied:
        return f"tied {within}"
    return "not tested" if np.isnan(p) else "not shown"


@dataclass(frozen=True)
class ComparedRun:
    """A finished run."""

    folder: Path
    facts: dict[str, Any]  # provenance of its records
    samples: Samples
    rows: dict[str, int]  # place of each sample by its name
    scores: Scores
    parts: dict[tuple[str, str], Part]  # by map variant and threshold policy
    fitted: Sequence[FittedPolicy] = ()  # behind fitted scores; others count as known exactly

    @classmethod
    def of(cls, folder: Path) -> ComparedRun:
        """Read a run.

        Raises:
            UsageError: when its records or scores cannot be read, or do not belong together.
        """
        facts = check_records(folder)
        path = folder / SCORES_FILE
        if read_provenance(path) != facts:
            raise UsageError(f"{path}: is not of the records beside it. Run vssl-evaluate again.")
        samples = Samples.of(folder)
        scores = Scores(path, samples.ids)
        rows = {name: place for place, name in enumerate(samples.ids)}
        parts = {(part.map_variant, part.threshold_policy): part for part in scores.parts()}
        return cls(folder, facts, samples, rows, scores, parts)


def compare_runs(
    runs: Sequence[ComparedRun],
    metrics: Sequence[AnyMetric],
    *,
    asked: Sequence[str],
    thresholds: Sequence[str],
    conditions: Sequence[str] = (),
    primary: str | None = None,
    margin: float = 0.01,
    variant: str = "av",
    resamples: int = 1000,
    permutations: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare runs with the first of them; `analysis.comparable` checks whether they should be.

    Args:
        runs: the reference, and others that share samples, map variant and policies with it.
        metrics: metrics, among them those that combined ones rest on.
        asked: names of those to compare.
        thresholds: threshold policies; metrics that need none stand under policy `none`.
        conditions: audio conditions to compare; none for all.
        primary: endpoint that is not corrected for the other rows; see `families`.
        margin: fraction within which differences may be shown to be ties.
        variant: map variant.
        resamples: number of bootstrap resamples over images.
        permutations: number of random exchanges; all, if there are no more. None takes
            `enough_exchanges`.
        seed: seed of resamples and exchanges.

    Returns:
        One row per run, metric, condition and policy that both have a number for:
        `reference, run` (folders), `reference_model, model, metric, condition, map_variant,
        threshold_policy`; fractions `reference_value, value, difference` (run minus reference),
        `ci_low, ci_high`, `ci_low_at_threshold, ci_high_at_threshold` (over images alone, at the
        thresholds as they are), `ci90_low, ci90_high` (shows ties); `sd_besides_images`, see
        `besides`; `n_images` with a value in both, `n_undefined` left out of either,
        `higher_is_better`; `p`, and `p_holm` corrected within the `family` (NaN without a test);
        `verdict`; `exchanges` behind p.

    Raises:
        UsageError: when the primary endpoint or a condition is not among the rows.
    """
    names = common_samples(runs)
    settings: dict[str, Any] = {"resamples": resamples, "seed": seed}
    groups = [runs[0].samples.image_groups[runs[0].rows[name]] for name in names]
    images = ImageBootstrap(groups, **settings)
    places = [np.array([run.rows[name] for name in names], np.int64) for run in runs]
    resampled = [
        ResampledRun.of(run.folder, run.samples, run.scores, metrics, run.fitted, **settings)
        for run in runs
    ]
    pairs: list[_Pair] = []
    there: dict[str, None] = {}
    for policy in dict.fromkeys([*thresholds, NO_POLICY]):
        measured = []
        for run, whole, place in zip(runs, resampled, places, strict=True):
            part = run.parts[variant, policy]
            (numbers,) = whole.numbers(part, metrics, [Subset(place, images)], totals=True)
            measured.append({number.key: number for number in numbers})
        there |= dict.fromkeys(condition for name, condition in measured[0] if name in asked)
        keys = [
            (name, condition)
            for name, condition in measured[0]
            if name in asked and (not conditions or condition in conditions)
        ]
        for run, of_run in zip(runs[1:], measured[1:], strict=True):
            facts = {
                "reference": str(runs[0].folder),
                "run": str(run.folder),
                "reference_model": runs[0].facts["model"],
                "model": run.facts["model"],
                "map_variant": variant,
                "threshold_policy": policy,
            }
            pairs.append(_Pair(measured[0], of_run, keys, images.images, margin, facts))
    for condition in conditions if there else ():
        check_choice(condition, there, name="--condition")
    table = pd.DataFrame([row for pair in pairs for row in pair.rows])
    if table.empty:
        return table
    family = families(table, primary)
    members = [family == name for name in (PRIMARY, SECONDARY)]
    if permutations is None:
        permutations = enough_exchanges(max(int(each.sum()) for each in members))
    p = _p_values(pairs, images.images, permutations=permutations, seed=seed)
    corrected = np.full(len(p), np.nan)
    for each in members:
        corrected[each] = holm(p[each])
    rows = zip(table["difference"], corrected, table["tied"], strict=True)
    verdicts = [verdict(d, each, tied=tied, margin=margin) for d, each, tied in rows]
    tried = min(permutations, 2**images.images)
    table = table.assign(p=p, p_holm=corrected, family=family, verdict=verdicts, exchanges=tried)
    return table.drop(columns=["testable", "tied"])


def common_samples(runs: Sequence[ComparedRun]) -> list[str]:
    """Names of the samples that all runs have, in the order of the first."""
    return [name for name in runs[0].samples.ids if all(name in run.rows for run in runs)]


def exchanges(images: int, *, permutations: int, seed: int) -> Iterator[Array]:
    """Choices of images to exchange between two runs, in pieces `[P, G]`: -1 exchanges, 1 keeps.

    All 2^G choices come once if `permutations` is no less than that.
    """
    generator = np.random.default_rng(seed)
    everything = 2**images <= permutations
    total, piece = 2**images if everything else permutations, max(1, _SIGNS_AT_ONCE // images)
    for start in range(0, total, piece):
        count = min(piece, total - start)
        if everything:
            bits = (np.arange(start, start + count)[:, None] >> np.arange(images)) & 1
        else:
            bits = generator.integers(0, 2, size=(count, images), dtype=np.int8)
        yield np.where(bits, -1.0, 1.0)


class _Pair:
    """Two runs under one policy, and their numbers when images are exchanged.

    Attributes:
        rows: rows of the table, without `p` and what follows from it.
        tested: the rows that get a p, by metric and condition.
        far: number of exchanges, by tested row, in which runs differed at least as much as they do.
        halves: `[G, C]` half of the first run's totals minus the second's, by image.
    """

    def __init__(
        self,
        first: Mapping[Key, Number],
        second: Mapping[Key, Number],
        keys: Sequence[Key],
        images: int,
        margin: float,
        facts: Mapping[str, Any],
    ) -> None:
        both = {
            key: _difference_row(first, second, key, images, margin)
            for key in keys
            if key in second
        }
        self.rows = [{**facts, "metric": k[0], "condition": k[1], **r} for k, r in both.items()]
        self.tested = {key: row for key, row in both.items() if row["testable"]}
        self.far = dict.fromkeys(self.tested, 0)
        # by mean that numbers rest on: its totals `[2 D]` when half of the images are exchanged
        self._middles: dict[Key, Array] = {}
        halves = [np.empty((images, 0))]
        for key in (key for key in first if key in second and self.tested):
            one, two = first[key].totals, second[key].totals
            if one is not None and two is not None:
                one, two = _same_draws(one, two)
                self._middles[key] = (one + two).sum(axis=0) / 2
                halves.append((one - two) / 2)
        self.halves = np.concatenate(halves, axis=1)
        # of the numbers, exchanges need neither totals nor what else is in their intervals
        plain: dict[str, Any] = dict.fromkeys(("totals", "parts", "sounds", "of_threshold"))
        self._numbers = [
            {key: replace(number, **plain) for key, number in of_run.items()}
            for of_run in (first, second)
        ]

    def count_far(self, shifts: Array, chance: Array) -> None:
        """Count exchanges in which runs differ at least as much as they do; NaN counts.

        `shifts` `[P, C]` are signs of the images times `halves`, `chance` `[P]` standard normal.
        """
        if not self.tested:
            return
        stops = np.cumsum([len(middle) for middle in self._middles.values()])[:-1]
        of_means = np.split(shifts, stops, axis=1)
        sides = []
        for numbers, side in zip(self._numbers, (1, -1), strict=True):
            found = {
                key: replace(numbers[key], at_threshold=_mean_of_totals(middle + side * shift))
                for (key, middle), shift in zip(self._middles.items(), of_means, strict=True)
            }
            combined = {n.metric for n in numbers.values() if isinstance(n.metric, CombinedMetric)}
            added = [n for metric in combined for n in combined_numbers(metric, found)]
            sides.append({**found, **{n.key: n for n in added}})
        for key, row in self.tested.items():
            observed = row["difference"]
            difference = sides[0][key].at_threshold - sides[1][key].at_threshold
            # signed by what was observed, so that the order of the runs does not matter
            far = np.abs(np.sign(observed) * difference + row["sd_besides_images"] * chance)
            self.far[key] += int((~(far < abs(observed) - _ROUNDING)).sum())


def _difference_row(
    first: Mapping[Key, Number], second: Mapping[Key, Number], key: Key, images: int, margin: float
) -> dict[str, Any]:
    """Columns of one number of two runs."""
    one, two = first[key], second[key]
    difference, whole = two.value - one.value, two.resampled - one.resampled
    testable = bool(np.isfinite(difference))
    both = np.ones(images, bool)  # images with a value: all for metrics of sets and of curves
    on = (one.metric.positive, POSITIVE) if isinstance(one.metric, CombinedMetric) else key
    for numbers in (first, second):
        totals = numbers[on].totals if on in numbers else None
        if totals is not None:
            both &= totals[:, 1].any(axis=1)
        else:
            testable = False  # exchanges of images are of means
    count, fewer = int(both.sum()), min(one.images, two.images)
    there = two.at_threshold - one.at_threshold
    low, high = interval_around(difference, whole, images=fewer)
    low_there, high_there = interval_around(difference, there, images=fewer)
    low90, high90 = interval(whole, level=0.9)
    return {
        "reference_value": one.value,
        "value": two.value,
        "difference": difference,
        "ci_low": low,
        "ci_high": high,
        "ci_low_at_threshold": low_there,
        "ci_high_at_threshold": high_there,
        "ci90_low": low90,
        "ci90_high": high90,
        "sd_besides_images": besides(one, two) if testable else np.nan,
        "n_images": count,
        "n_undefined": one.n_undefined + two.n_undefined,
        "higher_is_better": one.higher_is_better,
        "testable": testable,
        "tied": equivalent(whole, count, margin),
    }


def besides(first: Number, second: Number) -> float:
    """Standard deviation of a difference from other sources of chance than images.

    Exchanges of images model chance over images only. Shared sounds and an estimated threshold are
    added to the exchanged differences. Stretching the differences instead would cost power.
    """
    whole = variance(second.resampled - first.resampled)
    return math.sqrt(max(0.0, whole - variance(second.at_threshold - first.at_threshold)))


def _p_values(pairs: Sequence[_Pair], images: int, *, permutations: int, seed: int) -> Array:
    """P values of the rows of all pairs, NaN where there is no test; exchanges are shared."""
    everything = np.concatenate([pair.halves for pair in pairs], axis=1)
    # numbers of values are mostly the same in both runs, so that these columns are 0
    moving = np.asarray(everything.any(axis=0))
    moved = np.ascontiguousarray(everything[:, moving])
    stops = np.cumsum([pair.halves.shape[1] for pair in pairs])[:-1]
    total = min(2**images, permutations)
    chance = np.random.default_rng([seed, 1])  # apart from that of the exchanges
    if any(pair.tested for pair in pairs):
        with progress_bar("permutation tests", total) as advance:
            for signs in exchanges(images, permutations=permutations, seed=seed):
                shifts = np.zeros((len(signs), len(moving)))
                shifts[:, moving] = signs @ moved
                drawn = chance.standard_normal(len(signs))
                for pair, own in zip(pairs, np.split(shifts, stops, axis=1), strict=True):
                    pair.count_far(own, drawn)
                advance(len(signs))
    p = []
    for pair in pairs:
        for row in pair.rows:
            far = pair.far.get((row["metric"], row["condition"]), np.nan)
            # the observed difference counts itself, but where it is one of all exchanges
            itself = int(total < 2**images or row["sd_besides_images"] > 0)
            p.append((far + itself) / (total + itself))
    return np.array(p)


def _same_draws(one: Array, two: Array) -> tuple[Array, Array]:
    """Totals `[G, 2, D]` of two runs as `[G, 2 D]`, of equally many draws, or of their mean."""
    if all((t[:, 1] == one[:, 1, :1]).all() for t in (one, two)):
        one, two = (t.mean(axis=2, keepdims=True) for t in (one, two))
    draws = max(one.shape[2], two.shape[2])
    padded = [np.pad(t, ((0, 0), (0, 0), (0, draws - t.shape[2]))) for t in (one, two)]
    return padded[0].reshape(len(one), -1), padded[1].reshape(len(two), -1)


def _mean_of_totals(totals: Array) -> Array:
    """Mean over draws of sums by numbers of values, `[P, 2 D]` to `[P]`."""
    sums, counts = np.split(totals, 2, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return nanmean(np.where(counts > 0, sums / counts, np.nan), axis=1)
