"""Paired differences of runs on the samples that all of them have.

Interval: 95 % percentile bootstrap of the difference, the same resampled images for both runs.
p: two-sided permutation test that exchanges the runs' values image by image. When b of m random
exchanges differ at least as much as the runs do, p = (b + 1) / (m + 1) (Phipson and Smyth,
"Permutation P-values should never be zero", 2010); where all exchanges are tried, p is their share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vssl.errors import UsageError
from vssl.metrics.base import CombinedMetric
from vssl.metrics.sets import SetMetric
from vssl.progress import progress_bar
from vssl.records.files import RECORDS_FILE, SCORES_FILE
from vssl.records.numbers import Number, combined_numbers, nanmean, numbers_of
from vssl.records.schema import NO_POLICY
from vssl.records.score import AnyMetric
from vssl.records.scores import Part, Samples, Scores
from vssl.records.store import read_provenance
from vssl.records.uncertainty import ImageBootstrap, interval
from vssl.types import POSITIVE

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Key = tuple[str, str]  # metric and condition

_SIGNS_AT_ONCE = 1 << 22
_ROUNDING = 1e-12  # of differences that are the same in exact arithmetic


@dataclass(frozen=True)
class ComparedRun:
    """A finished run.

    Attributes:
        folder: where it is.
        facts: provenance of its records.
        samples: its samples.
        rows: place of each sample.
        scores: its scores.
        parts: parts of the scores, by map variant and threshold policy.
    """

    folder: Path
    facts: dict[str, Any]
    samples: Samples
    rows: dict[str, int]
    scores: Scores
    parts: dict[tuple[str, str], Part]

    @classmethod
    def of(cls, folder: Path) -> ComparedRun:
        """Read a run.

        Raises:
            UsageError: when its records or scores cannot be read, or do not belong together.
        """
        facts = read_provenance(folder / RECORDS_FILE)
        if read_provenance(folder / SCORES_FILE) != facts:
            raise UsageError(
                f"{folder / SCORES_FILE}: is not of the records beside it. Run vssl-evaluate again."
            )
        samples = Samples.of(folder)
        scores = Scores(folder / SCORES_FILE, samples.ids)
        rows = {name: place for place, name in enumerate(samples.ids)}
        parts = {(part.map_variant, part.threshold_policy): part for part in scores.parts()}
        return cls(folder, facts, samples, rows, scores, parts)


def compare_runs(
    runs: Sequence[ComparedRun],
    metrics: Sequence[AnyMetric],
    *,
    asked: Sequence[str],
    thresholds: Sequence[str],
    variant: str = "av",
    resamples: int = 1000,
    permutations: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare runs with the first of them; whether they should be compared is not asked here.

    Args:
        runs: the reference, and others that share samples, map variant and policies with it.
        metrics: metrics, among them those that combined ones rest on.
        asked: names of those to compare.
        thresholds: threshold policies; metrics that need none stand under policy `none`.
        variant: map variant.
        resamples: bootstrap resamples over images.
        permutations: random exchanges of images, or all there are where these are no more.
        seed: of resamples and exchanges.

    Returns:
        One row per run, metric, condition and policy that both have a number for:
        `reference, run` (folders), `reference_model, model, metric, condition, map_variant,
        threshold_policy`; fractions `reference_value, value, difference` (run minus reference),
        `ci_low, ci_high`; `p, p_holm` (NaN for metrics of whole sets), the latter corrected for all
        rows; `n_images` with a value in both, `n_undefined` left out of either, `higher_is_better`.
    """
    names = common_samples(runs)
    groups = [runs[0].samples.image_groups[runs[0].rows[name]] for name in names]
    images = ImageBootstrap(groups, resamples=resamples, seed=seed)
    lines: list[dict[str, Any]] = []
    for policy in dict.fromkeys([*thresholds, NO_POLICY]):
        measured = [
            _Measured.of(run, run.parts[variant, policy], metrics, images, names) for run in runs
        ]
        for run, of_run in zip(runs[1:], measured[1:], strict=True):
            facts = {"reference": str(runs[0].folder), "run": str(run.folder)}
            facts |= {"reference_model": runs[0].facts["model"], "model": run.facts["model"]}
            facts |= {"map_variant": variant, "threshold_policy": policy}
            found = _differences(measured[0], of_run, permutations=permutations, seed=seed)
            lines += [{**facts, **line} for line in found if line["metric"] in asked]
    p = np.array([line["p"] for line in lines], np.float64)
    return pd.DataFrame(lines).assign(p_holm=holm(p))


def common_samples(runs: Sequence[ComparedRun]) -> list[str]:
    """Names of the samples that all runs have, in the order of the first."""
    return [name for name in runs[0].samples.ids if all(name in run.rows for run in runs)]


def holm(p: Array) -> Array:
    """Holm's correction of p values for their number.

    The i-th smallest of M is multiplied by M - i + 1, and is never below a smaller one's result
    nor above 1 (Holm, "A simple sequentially rejective multiple test procedure", 1979).

    Args:
        p: `[M]` p values; NaN is no test.

    Returns:
        `[M]` in [0, 1]; NaN stays NaN.

    Example:
        >>> holm(np.array([0.04, 0.01, np.nan, 0.03]))
        array([0.06, 0.03,  nan, 0.06])
    """
    order = np.argsort(p)  # NaN comes last
    steps = p[order] * (np.count_nonzero(~np.isnan(p)) - np.arange(len(p)))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def exchanges(images: int, *, permutations: int, seed: int) -> Iterator[Array]:
    """Which images are exchanged between two runs.

    Args:
        images: number of images G.
        permutations: number of random choices; where there are no more, all 2^G are tried.
        seed: of the choices.

    Yields:
        The choices in pieces `[P, G]`: -1 where an image is exchanged, else 1.
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


@dataclass(frozen=True)
class _Measured:
    """A run's numbers under a policy, and the totals `[G, 2, D]` of those that are means."""

    numbers: dict[Key, Number]
    totals: dict[Key, Array]
    images: int

    @classmethod
    def of(
        cls,
        run: ComparedRun,
        part: Part,
        metrics: Sequence[AnyMetric],
        images: ImageBootstrap,
        names: Sequence[str],
    ) -> _Measured:
        rows = np.array([run.rows[name] for name in names], np.int64)
        found = numbers_of(run.scores, part, metrics, images, rows=rows)
        numbers = {(number.metric.name, number.condition): number for number in found}
        totals = {key: n.totals for key, n in numbers.items() if n.totals is not None}
        return cls(numbers, totals, images.images)

    def has_value(self, key: Key) -> npt.NDArray[np.bool_]:
        """Images `[G]` with a value; for a combined metric, with one on positives."""
        metric = self.numbers[key].metric
        key = (metric.positive, POSITIVE) if isinstance(metric, CombinedMetric) else key
        totals = self.totals.get(key, np.ones((self.images, 2, 1)))  # a set metric has none
        return np.asarray(totals[:, 1].any(axis=1))


def _differences(
    first: _Measured, second: _Measured, *, permutations: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Every number that both runs have, side by side."""
    p = _p_values(first, second, permutations=permutations, seed=seed)
    for key in (key for key in first.numbers if key in second.numbers):
        one, two = first.numbers[key], second.numbers[key]
        low, high = interval(two.resampled - one.resampled)
        yield {
            "metric": key[0],
            "condition": key[1],
            "reference_value": one.value,
            "value": two.value,
            "difference": two.value - one.value,
            "ci_low": low,
            "ci_high": high,
            "p": p.get(key, np.nan),
            "n_images": int((first.has_value(key) & second.has_value(key)).sum()),
            "n_undefined": one.n_undefined + two.n_undefined,
            "higher_is_better": one.higher_is_better,
        }


def _p_values(
    first: _Measured, second: _Measured, *, permutations: int, seed: int
) -> dict[Key, float]:
    """P values of means and their combinations; an exchange without a result counts as far."""
    tested = {
        key: abs(number.value - first.numbers[key].value)
        for key, number in second.numbers.items()
        if key in first.numbers and not isinstance(number.metric, SetMetric)
        if np.isfinite(number.value - first.numbers[key].value)
    }
    keys = [key for key in first.totals if key in second.totals]
    if not tested:
        return {}
    pairs = [_same_draws(first.totals[key], second.totals[key]) for key in keys]
    # after an exchange the totals of the two runs are middle + shift and middle - shift
    middles = [(one + two).sum(axis=0) / 2 for one, two in pairs]
    halves = np.concatenate([(one - two) / 2 for one, two in pairs], axis=1)
    stops = np.cumsum([len(middle) for middle in middles])[:-1]
    combined = {n.metric for n in first.numbers.values() if isinstance(n.metric, CombinedMetric)}
    far, tried = dict.fromkeys(tested, 0), 0
    total = min(2**first.images, permutations)
    with progress_bar("permutation tests", total) as advance:
        for signs in exchanges(first.images, permutations=permutations, seed=seed):
            shifts = np.split(signs @ halves, stops, axis=1)
            sides = []
            for run, side in ((first, 1), (second, -1)):
                found = {
                    key: replace(
                        run.numbers[key],
                        at_threshold=_mean(middle + side * shift),
                        sounds=None,
                        of_threshold=None,
                    )
                    for key, middle, shift in zip(keys, middles, shifts, strict=True)
                }
                numbers = [n for metric in combined for n in combined_numbers(metric, found)]
                sides.append({**found, **{(n.metric.name, n.condition): n for n in numbers}})
            for key, observed in tested.items():
                difference = np.abs(sides[0][key].at_threshold - sides[1][key].at_threshold)
                far[key] += int((~(difference < observed - _ROUNDING)).sum())
            tried += len(signs)
            advance(len(signs))
    own = 0 if tried == 2**first.images else 1
    return {key: (count + own) / (tried + own) for key, count in far.items()}


def _same_draws(one: Array, two: Array) -> tuple[Array, Array]:
    """Totals `[G, 2, D]` of two runs as `[G, 2 D]`, with empty draws where one has fewer."""
    draws = max(one.shape[2], two.shape[2])
    padded = [np.pad(t, ((0, 0), (0, 0), (0, draws - t.shape[2]))) for t in (one, two)]
    return padded[0].reshape(len(one), -1), padded[1].reshape(len(two), -1)


def _mean(totals: Array) -> Array:
    """Mean over draws of sums by numbers of values, `[P, 2 D]` to `[P]`."""
    sums, counts = np.split(totals, 2, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return nanmean(np.where(counts > 0, sums / counts, np.nan), axis=1)
