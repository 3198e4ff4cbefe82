"""Sounds that several images share are a random sample too, and add to the variance of numbers.

An offscreen clip is heard with about ten images, a noise draw with all of them. Resampling images
alone misses the effect of such a sound. Images and sounds cross: the variance of a mean is that of
resampled images, plus that of resampled sounds, minus that of resampled records, which both include
(Cameron, Gelbach and Miller, "Robust Inference With Multiway Clustering", 2011).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vssl.core.arrays import Array, Counts, Index
from vssl.records.bootstrap import ImageBootstrap, variance, weighted
from vssl.records.conditions import Facts, condition_settings
from vssl.records.files import RECORDS_FILE
from vssl.records.store import Labels, read_columns, read_provenance

_DRAWN = ("noise", "mixed")
"""Conditions whose draw is one waveform for all images, unless it is per sample."""


@dataclass(frozen=True)
class Spread:
    """Deviations `[B]` of a number's resamples from its value when sounds are resampled."""

    deviations: Array
    dof: float = np.inf  # degrees of freedom of their variance

    def __add__(self, other: Spread) -> Spread:
        """Sum two independent spreads; Satterthwaite's degrees of freedom (1946)."""
        both = (self, other)
        variances = np.array([variance(each.deviations) for each in both])
        total = (variances**2 / np.array([max(each.dof, 1) for each in both])).sum()
        dof = float(variances.sum() ** 2 / total) if total > 0 else np.inf
        return Spread(self.deviations + other.deviations, dof)


def total_spread(spreads: Iterable[Spread]) -> Spread | None:
    """Sum independent spreads; None without any."""
    terms = list(spreads)
    return reduce(add, terms) if terms else None


def crossed(value: Array, sound: Index, weights: Counts) -> tuple[float, Array, float]:
    """Resample the sounds behind a mean over records.

    Args:
        value: `[R]` of each record, without NaN.
        sound: `[R]` number of the sound of each.
        weights: `[B, C]` how often each of the C sounds is drawn.

    Returns:
        Factor that shrinks the deviations, so that their variance is what sounds add to that of
        images; `[B]` deviations of the mean, not shrunk; degrees of freedom.
    """
    count = np.bincount(sound, minlength=weights.shape[1]).astype(np.float64)
    centred = value - value.mean() if len(value) else value
    total = np.bincount(sound, centred, minlength=weights.shape[1])
    played = count > 0
    heard = int(played.sum())
    if heard < 2:
        return 0.0, np.zeros(len(weights)), np.inf
    if heard < weights.shape[1]:  # a part of the samples
        weights, total, count = weights.T[played].T, total[played], count[played]
    sums = weighted(weights, np.stack([total, count], axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = sums[:, 0] / sums[:, 1]
    unbiased = heard / (heard - 1)  # of C sounds, the bootstrap's variance is too small
    of_sounds, of_records = unbiased * (total**2).sum(), (centred**2).sum()
    share = max(0.0, 1 - of_records / of_sounds) if of_sounds > 0 else 0.0
    return float(np.sqrt(unbiased * share)), deviations, heard - 1.0


@dataclass
class SharedSounds:
    """The sounds of a run's records, resampled: of conditions whose images share sounds."""

    index: Mapping[str, Index]  # condition -> `[N, D]` number of the sound of each sample and draw
    names: Mapping[str, Sequence[str]]  # condition -> names of these sounds, in order
    resamples: int
    seed: int
    _weights: dict[str, Counts] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Path, ids: Sequence[str], *, resamples: int, seed: int) -> SharedSounds:
        """Read the sounds of a run's records; `ids` are its samples in the order of the results."""
        path = run / RECORDS_FILE
        labels = ["sample_id", "audio_condition", "audio_source_id", "image_group"]
        table = read_columns(path, ["draw", *labels], labels=labels)
        sample, condition, source, image = (Labels.of(table.column(name)) for name in labels)
        draw = table.column("draw").to_numpy()
        place = {name: n for n, name in enumerate(ids)}
        rows = np.array([place[name] for name in sample.names.tolist()], np.int64)[sample.codes]
        index, names, chosen = {}, {}, condition.rows()
        shared = shared_sounds(read_provenance(path), condition, draw, source, image)
        for name, sound in shared.items():
            own = chosen[name]
            index[name] = np.zeros((len(ids), int(draw[own].max()) + 1), np.int64)
            index[name][rows[own], draw[own]] = sound.codes
            names[name] = sound.names.tolist()
        return cls(index, names, resamples, seed)

    def weights(self, condition: str) -> Counts:
        """How often each sound of a condition is drawn, `[B, C]`."""
        if condition not in self._weights:
            self._weights[condition] = sound_weights(
                condition, self.names[condition], resamples=self.resamples, seed=[self.seed]
            )
        return self._weights[condition]

    def by_draw(self, condition: str) -> bool:
        """Whether each draw is one sound for all images."""
        index = self.index[condition]
        return bool((index == index[:1]).all())

    def spread(
        self, conditions: Sequence[str], values: Array, rows: Index | slice
    ) -> Spread | None:
        """Spread of a mean of values `[N, D]` of some samples from shared sounds; None without."""
        defined = ~np.isnan(values)
        spreads = []
        for name in (name for name in conditions if name in self.index):
            index = self.index[name][rows]
            if index.shape[1] == 1:  # one draw of a pair, met by every draw of the other
                index = np.broadcast_to(index, values.shape)
            sound = index[:, : values.shape[1]][defined]
            share, deviations, dof = crossed(values[defined], sound, self.weights(name))
            spreads.append(Spread(share * deviations, dof))
        return total_spread(spreads)


def sound_weights(
    condition: str, names: Sequence[str], *, resamples: int, seed: Sequence[int]
) -> Counts:
    """How often each sound of a condition is drawn, `[B, C]`; it depends on the names alone."""
    own = [*seed, zlib.crc32(condition.encode())]
    return ImageBootstrap(names, resamples=resamples, seed=own).weights


def shared_sounds(
    facts: Facts,
    condition: Labels,
    draw: npt.NDArray[np.int16],
    source: Labels,
    image: Labels,
) -> dict[str, Labels]:
    """Find the sounds that records of different images share, by audio condition.

    Args:
        facts: provenance of the records.
        condition: audio condition of each of R records.
        draw: `[R]` its draw.
        source: the clip that it plays; an empty name for a synthesized waveform.
        image: its picture.

    Returns:
        Audio condition -> the sounds of its rows, in order.
    """
    settings = condition_settings(facts)
    shared = {}
    for name, rows in condition.rows().items():
        if name in _DRAWN:
            if settings.get(name, {}).get("per", "draw") != "draw":
                continue  # every sample has a waveform of its own
            own = draw[rows]
            sound = Labels.of_codes(own, [f"draw {number}" for number in range(own.max() + 1)])
        else:
            sound = Labels.of_codes(source.codes[rows], source.names.tolist())
        heard_with = image.codes[rows]
        last = np.zeros(len(sound.names), np.int32)
        last[sound.codes] = heard_with
        if len(sound.names) > 1 and (last[sound.codes] != heard_with).any():
            shared[name] = sound
    return shared
