"""Numbers at thresholds that are fitted anew in every resample.

A threshold that is learnt from negatives is an estimate. Each resample of the images (and of the
sounds that images share) gives another one, and with it other numbers. They are found at a few
thresholds around the fitted one, and in between by linear interpolation.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from vssl.records.fit import FittedPolicy, NegativeMaxima
from vssl.records.numbers import Number, numbers_of
from vssl.records.score import AnyMetric, score_records
from vssl.records.scores import Part, ScoredRun, Scores
from vssl.records.sounds import Sounds, crossed, sound_weights
from vssl.records.uncertainty import ImageBootstrap
from vssl.thresholds.base import FixedThreshold
from vssl.thresholds.universal import LearntThreshold

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_SHARES = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Where, among the resamples of a threshold, numbers are found."""

_OTHER_RUN = 1
"""Added to the seed for the images of a calibration run, which are not those of the test."""


def resampled_thresholds(
    policies: Sequence[LearntThreshold], maxima: NegativeMaxima, *, resamples: int, seed: int
) -> Array:
    """Thresholds of policies, learnt anew from resampled images and sounds.

    Args:
        policies: P fitted policies.
        maxima: the negatives that they were fitted on.
        resamples: number of resamples B; those of the scored run are those of its numbers.
        seed: of the resampling.

    Returns:
        `[P, B]`; those of a calibration run with deviations as much wider as its few images ask for
        (Student's t for their number).
    """
    seeds = _seeds(maxima, seed)
    images = ImageBootstrap(maxima.image.tolist(), resamples=resamples, seed=seeds)
    levels: list[Array] = []
    for name in np.unique(maxima.condition):
        rows = np.flatnonzero((maxima.condition == name) & np.isfinite(maxima.value))
        if not len(rows):
            continue
        rows = rows[np.argsort(maxima.value[rows], kind="stable")]
        values = maxima.value[rows]
        found = _levels(policies, values, images.weights, images.image[rows])
        if name in maxima.sounds:
            found += _by_sounds(policies, maxima, str(name), rows, resamples, seeds)
        levels.append(found)
    highest = np.max(levels, axis=0)
    found = np.stack([p.from_levels(row) for p, row in zip(policies, highest, strict=True)])
    if maxima.own or images.images < 2:
        return found
    # the interval of a number knows the number of its own images, not of those of a calibration run
    count = images.images
    wider = np.sqrt(count / (count - 1)) * stats.t.ppf(0.975, count - 1) / stats.norm.ppf(0.975)
    fitted = np.array([[p.constant()] for p in policies])
    return np.asarray(fitted + wider * (found - fitted))


def _seeds(maxima: NegativeMaxima, seed: int) -> list[int]:
    """What seeds the resamples: a calibration run's are not those of the scored run."""
    return [seed] if maxima.own else [seed, _OTHER_RUN]


def _levels(
    policies: Sequence[LearntThreshold], values: Array, weights: Array, group: Index
) -> Array:
    """Levels `[P, B]` of values `[R]` that are repeated as often as their groups are drawn."""
    found = np.empty((len(policies), len(weights)))
    for b, times in enumerate(weights.astype(np.int64)):
        repeated = np.repeat(values, times[group])
        for p, policy in enumerate(policies):
            found[p, b] = policy.level(repeated) if len(repeated) else -np.inf
    return found


def _by_sounds(
    policies: Sequence[LearntThreshold],
    maxima: NegativeMaxima,
    name: str,
    rows: Index,
    resamples: int,
    seeds: Sequence[int],
) -> Array:
    """What resampled sounds do to the levels of one condition, `[P, B]`.

    The sounds' own share is that in the mean of what exceeds the policy's threshold.
    """
    of_condition, sound = maxima.sounds[name]
    names, codes = np.unique(sound, return_inverse=True)
    weights = sound_weights(name, names.tolist(), resamples=resamples, seed=seeds)
    group = codes[np.searchsorted(of_condition, rows)]
    values = maxima.value[rows]
    shares = [crossed((values > p.constant()).astype(float), group, weights)[0] for p in policies]
    deviations = np.zeros((len(policies), resamples))
    moved = [p for p, share in enumerate(shares) if share > 0]
    if moved:
        chosen = [policies[p] for p in moved]
        found = _levels(chosen, values, weights, group)
        base = np.array([[policy.level(values)] for policy in chosen])
        found = np.where(np.isfinite(found), found - base, 0.0)
        deviations[moved] = np.array([[shares[p]] for p in moved]) * found
    return deviations


def _fitted_anew(fitted: FittedPolicy, *, resamples: int, seed: int) -> Array:
    """The same for a policy of any other kind, by its own `fit`, over images alone: `[B]`."""
    maxima = fitted.learnt_from
    assert maxima is not None
    images = ImageBootstrap(maxima.image.tolist(), resamples=resamples, seed=_seeds(maxima, seed))
    policy, found = copy.deepcopy(fitted.policy), np.empty(resamples)
    for b, times in enumerate(images.weights.astype(np.int64)):
        rows = np.repeat(np.arange(len(maxima.value)), times[images.image])
        policy.fit(maxima.value[rows], maxima.condition[rows])
        value = policy.constant()
        found[b] = np.nan if value is None else value
    return found


def refit(fitted: Sequence[FittedPolicy], *, resamples: int, seed: int) -> list[Array | None]:
    """Thresholds of policies, fitted anew in every resample of what they were learnt from.

    Args:
        fitted: the policies.
        resamples: number of resamples B.
        seed: of the resampling.

    Returns:
        `[B]` for each; None for a policy that is not fitted.
    """
    found: dict[int, Array] = {}
    together: dict[int, list[int]] = {}
    for place, each in enumerate(fitted):
        if each.learnt_from is None:
            continue
        if isinstance(each.policy, LearntThreshold):
            together.setdefault(id(each.learnt_from), []).append(place)
        else:
            found[place] = _fitted_anew(each, resamples=resamples, seed=seed)
    for places in together.values():
        maxima = fitted[places[0]].learnt_from
        assert maxima is not None
        policies = [p for n in places if isinstance(p := fitted[n].policy, LearntThreshold)]
        rows = resampled_thresholds(policies, maxima, resamples=resamples, seed=seed)
        found |= dict(zip(places, rows, strict=True))
    return [found.get(place) for place in range(len(fitted))]


class ResampledRun:
    """A run's numbers with everything that they rest on resampled.

    Args:
        scores: the run's scores.
        image_groups: `[N]` name of each sample's picture.
        sounds: the sounds of its records.
        fitted: the policies behind fitted parts of the scores; a fitted part without one has
            intervals at its threshold alone.
        near: gives the scores at other thresholds, of pairs of map variant and threshold, as parts
            `near_part`.

    Attributes:
        bootstrap: over the run's images.
    """

    def __init__(
        self,
        scores: Scores,
        image_groups: Sequence[str],
        sounds: Sounds,
        fitted: Sequence[FittedPolicy],
        near: Callable[[Sequence[tuple[str, float]]], Scores],
    ) -> None:
        self._scores = scores
        resamples, seed = sounds.resamples, sounds.seed
        self.bootstrap = ImageBootstrap(image_groups, resamples=resamples, seed=seed)
        self._sounds = sounds
        parts = set(scores.parts())
        known = {Part(f.variant, f.policy.name, f.source): f for f in fitted}
        known = {part: each for part, each in known.items() if part in parts}
        thresholds = refit(list(known.values()), resamples=resamples, seed=seed)
        self._thresholds = {
            part: found for part, found in zip(known, thresholds, strict=True) if found is not None
        }
        places = {part: _places(found) for part, found in self._thresholds.items()}
        wanted = dict.fromkeys(
            (part.map_variant, float(value))
            for part, found in places.items()
            for value in (found if len(found) > 1 else ())
        )
        self._near = near(list(wanted)) if wanted else None

    @classmethod
    @contextmanager
    def of(
        cls,
        run: Path,
        opened: ScoredRun,
        metrics: Sequence[AnyMetric],
        fitted: Sequence[FittedPolicy],
        *,
        resamples: int,
        seed: int,
    ) -> Iterator[ResampledRun]:
        """Open a run from its records.

        Args:
            run: folder with the records.
            opened: its samples and scores.
            metrics: metrics that will be asked for.
            fitted: the policies behind fitted parts of the scores.
            resamples: number of resamples B.
            seed: of the resampling.

        Raises:
            RecordsError: when the records cannot be read.
        """
        ids, groups = opened.samples.ids, opened.samples.image_groups
        sounds = Sounds.of(run, ids, resamples=resamples, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "near.parquet"

            def near(wanted: Sequence[tuple[str, float]]) -> Scores:
                policies = []
                for variant, value in wanted:
                    name, source = near_part(variant, value)[1:]
                    policy = FixedThreshold(value=value, name=name)
                    policies.append(FittedPolicy(policy, source, variant))
                score_records(run, policies, metrics, output=path)
                return Scores(path, ids)

            yield cls(opened.scores, groups, sounds, fitted, near)

    def numbers(
        self,
        part: Part,
        metrics: Sequence[AnyMetric],
        *,
        rows: Index | None = None,
        bootstrap: ImageBootstrap | None = None,
    ) -> list[Number]:
        """All numbers of a part, see `numbers_of`.

        Args:
            part: map variant and policy.
            metrics: what to report.
            rows: samples to report on; None for all.
            bootstrap: over the images of these samples; None for that of the run.
        """
        bootstrap = bootstrap or self.bootstrap
        numbers = numbers_of(self._scores, part, metrics, bootstrap, rows=rows, sounds=self._sounds)
        thresholds = self._thresholds.get(part)
        if thresholds is None:
            return numbers
        places = _places(thresholds)
        if self._near is None or len(places) < 2:  # whatever is drawn, the threshold is the same
            return [replace(n, of_threshold=np.zeros_like(n.at_threshold)) for n in numbers]
        found = []
        for value in places:
            near = near_part(part.map_variant, float(value))
            at = numbers_of(self._near, near, metrics, bootstrap, rows=rows)
            found.append({(n.metric.name, n.condition): n.at_threshold for n in at})
        own = self._scores.threshold(part)
        return [_refitted(number, places, found, own, thresholds) for number in numbers]

    def is_fitted_anew(self, part: Part) -> bool:
        """Whether a part's threshold is resampled too."""
        return part in self._thresholds


def _places(thresholds: Array) -> npt.NDArray[np.float32]:
    """Thresholds at which numbers are found, ascending, as masks are made."""
    finite = thresholds[np.isfinite(thresholds)]
    if not len(finite):
        return np.empty(0, np.float32)
    return np.unique(np.quantile(finite, _SHARES).astype(np.float32))


def near_part(variant: str, value: float) -> Part:
    """The part of the scores at a threshold near a fitted one."""
    return Part(variant, f"near {value!r}", "near a fitted threshold")


def _refitted(
    number: Number,
    places: npt.NDArray[np.float32],
    near: Iterable[Mapping[tuple[str, str], Array]],
    own: float,
    thresholds: Array,
) -> Number:
    """A number with what its threshold's resamples add."""
    key = (number.metric.name, number.condition)
    at, rows = [*places.astype(np.float64)], [found[key] for found in near]
    if own not in at:
        at, rows = [*at, own], [*rows, number.at_threshold]
    order = np.argsort(at)
    values = interpolated(thresholds, np.array(at)[order], np.stack(rows)[order])
    return replace(number, of_threshold=values - number.at_threshold)


def interpolated(x: Array, places: Array, values: Array) -> Array:
    """Values at `x[b]` of B functions that are known at K places.

    Args:
        x: `[B]`; beyond the places the value at the nearest one is taken.
        places: `[K]` ascending, K > 1.
        values: `[K, B]`.

    Returns:
        `[B]`.

    Example:
        >>> interpolated(np.array([0.5, 3.0]), np.array([0.0, 2.0]), np.array([[0, 1], [4, 5.0]]))
        array([1., 5.])
    """
    x = np.clip(x, places[0], places[-1])
    left = np.clip(np.searchsorted(places, x, side="right") - 1, 0, len(places) - 2)
    share = (x - places[left]) / (places[left + 1] - places[left])
    each = np.arange(len(x))
    return np.asarray((1 - share) * values[left, each] + share * values[left + 1, each])
