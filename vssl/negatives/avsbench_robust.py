"""The negatives of AVSBench-Robust, as its released generator makes them.

Source: Li et al., Do Audio-Visual Segmentation Models Truly Segment Sounding Objects?, arXiv
2502.00358; jiali-home/AVSBench-Robust `dataset_generation/audio_processing.py`. Its silence is
`vssl.negatives.silence.Silence`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import soxr

from vssl.core.checks import check_choice
from vssl.core.errors import UsageError
from vssl.core.randomness import generator_for
from vssl.negatives.base import AudioCondition, ReadClip, check_draws
from vssl.negatives.labels import table_rows
from vssl.negatives.offscreen import Offscreen
from vssl.types import SAMPLE_RATE, AudioClip, AudioRequest, Sample

_RATE = 44_100
_MARGIN = _RATE // 10
"""Samples made beyond the end, so that the resampled sound does not depend on where it ends."""


class ReleasedNoise(AudioCondition):
    """The released noise: bytes of float64 numbers, uniform in [-1, 1), read as int16 at 44.1 kHz.

    Three of four samples are uniform up to full scale, every fourth is about +-0.5. The generator
    draws 5 s of numbers and so makes 20 s of sound; its features are of the first 5 s. Here the
    noise is as long as the image's own clip, at the front end's rate.

    Args:
        per: `sample` draws for each sound file, which the frames of a video share, as released;
            `draw` shares a waveform among all samples of a draw.

    Raises:
        UsageError: for a bad option.

    Example:
        >>> noise = ReleasedNoise()
        >>> clip = noise.make(AudioRequest("noise", length=16_000), {}.__getitem__)
        >>> clip.samples.shape, round(float(clip.samples.std()), 1)
        ((1, 16000), 0.3)
    """

    name = "noise"

    def __init__(self, *, draws: int = 1, per: Literal["draw", "sample"] = "sample") -> None:
        self.draws = check_draws(draws)
        check_choice(per, ("draw", "sample"), name="negatives.noise.per")
        self.per = per
        self._first: dict[str, str] = {}

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Find the samples that share a sound file."""
        self._first = _first_of_sound(samples)

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """Noise of `length`, keyed by seed and draw, and by sound file with `per=sample`."""
        source = self._first.get(sample.sample_id, sample.sample_id) if self.per == "sample" else ""
        return AudioRequest(self.name, source_id=source, length=length, seed=seed, draw=draw)

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """Make noise `[1, length]`; a shorter noise of a draw is the beginning of a longer one.

        All front ends hear one noise, each at its rate.
        """
        generator = generator_for(request.seed, self.name, request.source_id, request.draw)
        count = request.length * _RATE // SAMPLE_RATE + _MARGIN
        waveform = released_noise(generator, count).astype(np.float32)
        resampled = soxr.resample(waveform, _RATE, self.rate, quality="HQ")
        return AudioClip(resampled[None, : self.made_samples(request)], self.rate)


def released_noise(generator: np.random.Generator, length: int) -> np.ndarray:
    """The released noise at 44.1 kHz, `[length]` float64 in [-1, 1)."""
    numbers = generator.uniform(-1, 1, -(-length // 4)).astype("<f8")
    return np.frombuffer(numbers.tobytes(), "<i2")[:length] / 32768


class OffscreenGroup(Offscreen):
    """Another sample's clip, whose class belongs to another broad group, e.g. a device for a cat.

    A class is drawn uniformly among those of other groups, then a clip. Each choice is keyed by
    (seed, sound file, draw), so that the frames of a video meet one clip.

    Args:
        groups: group of each class.
        table: csv table with the columns `class` and `group` in place of `groups`; a class may have
            several rows.
        avoid: groups that are not drawn for a group, as music for a human voice.

    Raises:
        UsageError: when `draws` is below 1, or the table cannot be used.

    Example:
        >>> def sample(name):
        ...     return Sample(name, Path(), Path(), name, (name,), name, (), (), 16_000)
        >>> offscreen = OffscreenGroup(groups={"cat": "animal", "dog": "animal", "bus": "device"})
        >>> offscreen.prepare([sample("cat"), sample("dog"), sample("bus")])
        >>> offscreen.request(sample("cat"), draw=0, seed=0, length=0).source_id
        'bus'
    """

    def __init__(
        self,
        *,
        groups: Mapping[str, str] | None = None,
        table: str | None = None,
        avoid: Mapping[str, Sequence[str]] | None = None,
        draws: int = 1,
    ) -> None:
        super().__init__(draws=draws)
        self._groups = {name: {group} for name, group in (groups or {}).items()}
        if table is not None:
            self._groups = _read_groups(Path(str(table)).expanduser())
        self._avoid = {group: set(others) for group, others in (avoid or {}).items()}
        self._first: dict[str, str] = {}

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Group the samples by class, and check that each image has a clip of another group."""
        known = {name for sample in samples for name in sample.image_categories}
        if lacking := sorted(known - self._groups.keys()):
            raise UsageError(
                f"negatives.offscreen.groups: lacks {len(lacking)} classes of the test set, e.g."
                f" {lacking[0]}. Give all groups in a csv table with the columns class,group:"
                " negatives.offscreen.table=FILE."
            )
        super().prepare(samples)
        self._first = _first_of_sound(samples)
        stuck = [s.sample_id for s in samples if not self._offscreen_classes(s)]
        if stuck:
            raise UsageError(
                f"negatives.offscreen.groups: for {len(stuck)} images the test set has no class of"
                f" another group that may be drawn (negatives.offscreen.avoid), e.g. {stuck[0]}."
                " Use a larger test set or negatives=offscreen."
            )

    def _key(self, sample: Sample) -> str:
        return self._first.get(sample.sample_id, sample.sample_id)

    def _offscreen_classes(self, sample: Sample) -> list[str]:
        own = set().union(*(self._groups[name] for name in sample.image_categories))
        not_drawn = own.union(*(self._avoid.get(group, ()) for group in own))
        return [name for name in self._pool if self._groups[name].isdisjoint(not_drawn)]


def _first_of_sound(samples: Sequence[Sample]) -> dict[str, str]:
    """By sample, the first id in alphabetical order of those with its sound file."""
    first: dict[Path, str] = {}
    for sample in sorted(samples, key=lambda each: each.sample_id):
        first.setdefault(sample.audio_path, sample.sample_id)
    return {sample.sample_id: first[sample.audio_path] for sample in samples}


def _read_groups(path: Path) -> dict[str, set[str]]:
    """The groups of each class in a csv table with the columns `class` and `group`."""
    found: dict[str, set[str]] = defaultdict(set)
    for _, row in table_rows(path, ("class", "group"), key="negatives.offscreen.table"):
        found[row["class"]].add(row["group"])
    return dict(found)
