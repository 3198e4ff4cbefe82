"""Offscreen: a sound whose source is not in the picture."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from vssl.core.errors import UsageError
from vssl.core.randomness import generator_for
from vssl.negatives.base import ClipCondition, check_draws
from vssl.negatives.labels import LabelTable, read_labels
from vssl.types import POSITIVE, AudioRequest, Sample

_log = logging.getLogger(__name__)


class Offscreen(ClipCondition):
    """Another sample's clip: a class uniform among those absent from the image, then a clip.

    Classes, not clips, are uniform, as in the released code (docs/protocols.md, R15). For an IS3
    pair neither of the two classes in the picture is chosen. Each choice is keyed by (seed, sample,
    draw).

    Args:
        exclude: csv table of audible and visible labels, see `vssl.negatives.labels`. A clip with
            an audible label that is visible in the picture is drawn anew; all other choices are
            those without a table. For samples that it lacks the classes alone decide.

    Raises:
        UsageError: when `draws` is below 1, or the table cannot be used.

    Example:
        >>> def sample(name):
        ...     return Sample(name, Path(), Path(), name, (name,), name, (), (), 16_000)
        >>> offscreen = Offscreen(draws=1)
        >>> offscreen.prepare([sample("dog"), sample("bell")])
        >>> offscreen.request(sample("dog"), draw=0, seed=0, length=0).source_id
        'bell'
    """

    name = "offscreen"

    def __init__(self, *, draws: int = 10, exclude: str | None = None) -> None:
        self.draws = check_draws(draws)
        self._pool: dict[str, list[str]] = {}
        # clips of each class that is offscreen, by the classes in an image
        self._clips: dict[tuple[str, ...], list[list[str]]] = {}
        self._labels = None
        if exclude is not None:
            path = Path(str(exclude)).expanduser()
            self._labels = read_labels(path, key="negatives.offscreen.exclude")

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Group the samples by class, and check that each image has an offscreen clip."""
        pool: dict[str, list[str]] = defaultdict(list)
        for sample in samples:
            pool[sample.category].append(sample.sample_id)
        self._pool = {category: sorted(pool[category]) for category in sorted(pool)}
        self._clips = {}
        stuck = [s.sample_id for s in samples if self._pool.keys() <= {*s.image_categories}]
        if stuck:
            classes = ", ".join(name or "unknown" for name in self._pool)
            raise UsageError(
                f"negatives.offscreen: {len(stuck)} images hold every class of the test set"
                f" ({classes}), so no sound is offscreen for them, e.g. {stuck[0]}."
                " Use a larger test set, or more of it (data.limit, data.ids), or leave offscreen"
                " out."
            )
        if self._labels is not None:
            self._check_labels(samples, self._labels)

    def _check_labels(self, samples: Sequence[Sample], table: LabelTable) -> None:
        ids = [sample.sample_id for sample in samples]
        if unknown := table.lacking(ids, key="negatives.offscreen.exclude"):
            _log.warning(
                "%s: lacks %d of %d samples, for which the classes alone say what is offscreen,"
                " e.g. %s (negatives.offscreen.exclude)",
                table.path, len(unknown), len(samples), unknown[0],
            )  # fmt: skip
        heard: dict[str, set[str]] = defaultdict(set)
        for sample in samples:
            for label in table.audible.get(sample.sample_id, ()):
                heard[label].add(sample.sample_id)
        stuck = []
        for sample in samples:
            out = {clip for kind in sample.image_categories for clip in self._pool.get(kind, ())}
            for label in table.visible.get(sample.sample_id, ()):
                out |= heard[label]
            stuck += [sample.sample_id] if len(out) == len(samples) else []
        if stuck:
            raise UsageError(
                f"{table.path}: leaves no clip that is offscreen for {len(stuck)} images, e.g."
                f" {stuck[0]} (negatives.offscreen.exclude). Use a larger test set or leave it out."
            )

    def _key(self, sample: Sample) -> str:
        return sample.sample_id

    def _offscreen_classes(self, sample: Sample) -> list[str]:
        return [c for c in self._pool if c not in sample.image_categories]

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """Another sample's own file, which is that sample's positive too."""
        generator = generator_for(seed, self._key(sample), self.name, draw)
        if sample.image_categories not in self._clips:
            known = [self._pool[name] for name in self._offscreen_classes(sample)]
            self._clips[sample.image_categories] = known
        classes = self._clips[sample.image_categories]
        while True:
            clips = classes[generator.integers(len(classes))]
            clip = clips[generator.integers(len(clips))]
            if self._labels is None or not self._labels.is_seen(clip, sample.sample_id):
                return AudioRequest(POSITIVE, source_id=clip)
