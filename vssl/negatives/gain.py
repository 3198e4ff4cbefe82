"""Gain: the image's own sound, louder or softer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vssl.audio import amplitude
from vssl.checks import check_finite
from vssl.errors import UsageError
from vssl.negatives.base import AudioCondition, ReadClip
from vssl.types import AudioClip, AudioRequest, Sample, SoundingObject


class Gain(AudioCondition):
    """The image's own clip at other levels, one draw for each: its object still sounds.

    Nothing is clipped here. A front end that clips to [-1, 1] clips what exceeds it: with a loud
    recording and a positive level, that is part of what is tested.

    Args:
        decibels: level of each draw in dB relative to the clip; 0 is the clip itself.

    Raises:
        UsageError: for an empty list, a level that is not finite, or one that stands there twice.
    """

    name = "gain"
    sounding_object = SoundingObject.OWN
    random = False

    def __init__(self, *, decibels: Sequence[float] = (-20, -10, 10, 20)) -> None:
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

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """The sample's own file at the level of a draw."""
        return AudioRequest(self.name, source_id=sample.sample_id, draw=draw)

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """The clip at the level, `[channels, T]`."""
        clip = read(request.source_id)
        factor = np.float32(amplitude(self.decibels[request.draw]))
        return AudioClip(clip.samples * factor, clip.rate)
