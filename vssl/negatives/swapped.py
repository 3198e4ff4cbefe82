"""Swapped: the sound of the other object in the picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from vssl.core.errors import UsageError
from vssl.core.randomness import generator_for
from vssl.negatives.base import ClipCondition, check_draws
from vssl.types import POSITIVE, AudioRequest, Sample, SoundingObject


class Swapped(ClipCondition):
    """Another sample's clip, of another class in the same picture (IS3, the embedded benchmark).

    Another object of the picture sounds than the sample's own, so the map should move. Each choice
    among several other objects is keyed by (seed, sample, draw).

    More than one of the `draws` helps only with three objects or more.

    Raises:
        UsageError: when `draws` is below 1.

    Example:
        >>> from pathlib import Path
        >>> def sample(name):
        ...     return Sample(name, Path(), Path(name), name, ("dog", "bell"), "pair", (), (), 9)
        >>> swapped = Swapped()
        >>> swapped.prepare([sample("dog"), sample("bell")])
        >>> swapped.request(sample("dog"), draw=0, seed=0, length=0).source_id
        'bell'
    """

    name = "swapped"
    sounding_object = SoundingObject.OTHER

    def __init__(self, *, draws: int = 1) -> None:
        self.draws = check_draws(draws)
        self._partners: dict[str, list[str]] = {}

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Find each sample's partners: samples of the same picture with another class and sound."""
        pictures: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            pictures[sample.image_group].append(sample)
        self._partners = {
            sample.sample_id: sorted(
                other.sample_id
                for other in pictures[sample.image_group]
                if other.category != sample.category and other.audio_path != sample.audio_path
            )
            for sample in samples
        }
        alone = [name for name, partners in self._partners.items() if not partners]
        if alone:
            raise UsageError(
                f"negatives.swapped: {len(alone)} of {len(samples)} samples have no partner, a"
                f" sample of the same picture with another class, e.g. {alone[0]}. Leave swapped"
                " out, or use a test set that has a sample for each of several sounding objects of"
                " every picture, as the whole of IS3 and data=synthetic have."
            )

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """The partner's own file, which is the partner's positive too."""
        partners = self._partners[sample.sample_id]
        generator = generator_for(seed, sample.sample_id, self.name, draw)
        return AudioRequest(POSITIVE, source_id=partners[generator.integers(len(partners))])
