"""Gain: the image's own sound, louder or softer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vssl.audio import amplitude, read_clip
from vssl.core.checks import check_finite
from vssl.core.devices import each
from vssl.core.errors import UsageError
from vssl.core.progress import progress_bar
from vssl.negatives.base import AudioCondition, ReadClip
from vssl.types import AudioClip, AudioRequest, Sample, SoundingObject


class Gain(AudioCondition):
    """The image's own clip at another level: its object still sounds.

    Nothing is clipped here. A front end that clips to [-1, 1] may clip a loud recording at a
    positive level, which is part of the test (`beyond_full_scale` counts it).

    `decibels` are of each draw, relative to the clip. `levels` makes a condition for each level;
    early runs have one condition with several draws.

    Raises:
        UsageError: for an empty list, a level that is not finite, or a repeated one.

    Example:
        >>> louder = Gain(decibels=[20])
        >>> request = AudioRequest("gain", source_id="dog")
        >>> louder.make(request, lambda name: AudioClip(np.full((1, 2), 0.25, np.float32))).samples
        array([[2.5, 2.5]], dtype=float32)
    """

    name = "gain"
    sounding_object = SoundingObject.OWN
    random = False

    def __init__(
        self, *, decibels: Sequence[float] = (-20, -10, 10, 20), name: str = "gain"
    ) -> None:
        if isinstance(decibels, str) or not isinstance(decibels, Sequence) or not decibels:
            raise UsageError(
                "Expected `negatives.gain.decibels` to be a list of levels in dB, as in"
                f" [-20,-10,10,20], but got {decibels!r}."
            )
        for level in decibels:
            check_finite(level, name="negatives.gain.decibels")
        self.decibels = tuple(float(level) for level in decibels)
        if len(set(self.decibels)) < len(self.decibels):
            raise UsageError(
                f"Expected different levels in `negatives.gain.decibels`, but got {decibels}."
            )
        self.draws = len(self.decibels)
        self.name = name

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """The sample's own file at the level of a draw."""
        return AudioRequest(self.name, source_id=sample.sample_id, draw=draw)

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """The clip at the level, `[channels, T]`."""
        clip = read(request.source_id)
        factor = np.float32(amplitude(self.decibels[request.draw]))
        return AudioClip(clip.samples * factor, clip.rate)


def levels(*, decibels: Sequence[float] = (-20, -10, 10, 20)) -> list[Gain]:
    """Make a condition for each level, named e.g. `gain_down20`, `gain_0` and `gain_up10`."""
    known = Gain(decibels=decibels).decibels
    # without a sign, since "-" and "+" join names of conditions
    words = ["down" if level < 0 else "up" if level > 0 else "" for level in known]
    return [
        Gain(decibels=[level], name=f"gain_{word}{abs(level):g}")
        for word, level in zip(words, known, strict=True)
    ]


def beyond_full_scale(
    conditions: Sequence[AudioCondition], samples: Sequence[Sample]
) -> dict[str, dict[str, float]]:
    """Measure how much of the clips exceeds [-1, 1] at each level, before any front end clips.

    By name of each `Gain` of one level: the share of all `samples`, and of `clips` with any.
    """
    gains = [c for c in conditions if isinstance(c, Gain) and c.draws == 1]
    if not gains:
        return {}
    limits = np.array([1 / amplitude(gain.decibels[0]) for gain in gains])

    def count(sample: Sample) -> list[int]:
        heights = np.abs(read_clip(sample.audio_path, gains[0].rate).samples)
        return [int((heights > limit).sum()) for limit in limits] + [heights.size]

    with progress_bar("levels of gain", len(samples)) as advance:
        counts = np.array([*each(count, samples, advance)], dtype=np.int64)
    beyond, sizes = counts[:, :-1], counts[:, -1]
    return {
        gain.name: {
            "samples": float(beyond[:, n].sum() / sizes.sum()),
            "clips": float((beyond[:, n] > 0).mean()),
        }
        for n, gain in enumerate(gains)
    }
