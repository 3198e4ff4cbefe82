"""Offscreen: a sound whose source is not in the picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from vssl.errors import UsageError
from vssl.negatives.base import AudioCondition, Positive, ReadClip, check_draws
from vssl.randomness import generator_for
from vssl.types import POSITIVE, AudioClip, AudioRequest, Sample


class Offscreen(AudioCondition):
    """Another sample's clip: a class uniform among those absent from the image, then a clip.

    Classes, not clips, are uniform, as in the released code (QUIRKS 22). For an IS3 pair neither
    of the two classes in the picture is chosen. Each choice is keyed by (seed, sample, draw).

    Args:
        draws: number of choices per image.

    Raises:
        ValueError: when `draws` is below 1.
    """

    name = "offscreen"
    plays_clips = True

    def __init__(self, *, draws: int = 10) -> None:
        self.draws = check_draws(draws)
        self._pool: dict[str, list[str]] = {}

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Sort the samples by class.

        Raises:
            ValueError: when some image has every class of the test set in it.
        """
        pool: dict[str, list[str]] = defaultdict(list)
        for sample in samples:
            pool[sample.category].append(sample.sample_id)
        self._pool = {category: sorted(pool[category]) for category in sorted(pool)}
        stuck = [s.sample_id for s in samples if not set(self._pool) - set(s.image_categories)]
        if stuck:
            raise UsageError(
                f"negatives.offscreen: {len(stuck)} images hold every class of the test set"
                f" ({', '.join(self._pool)}), so no sound is offscreen for them, e.g. {stuck[0]}."
                " Use a larger test set or leave offscreen out."
            )

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """Another sample's own file, which may be that sample's positive too."""
        generator = generator_for(seed, sample.sample_id, self.name, draw)
        classes = [c for c in self._pool if c not in sample.image_categories]
        clips = self._pool[classes[generator.integers(len(classes))]]
        return AudioRequest(POSITIVE, source_id=clips[generator.integers(len(clips))])

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """Read the file."""
        return Positive().make(request, read)
