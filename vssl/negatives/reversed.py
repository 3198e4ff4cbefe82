"""Reversed: the image's own sound, played backwards."""

from __future__ import annotations

import numpy as np

from vssl.negatives.base import AudioCondition, ReadClip
from vssl.types import AudioClip, AudioRequest, Sample, SoundingObject


class Reversed(AudioCondition):
    """The image's own clip played backwards: its object still sounds. There is one draw.

    Spectrum and loudness stay, but attacks become swells.

    Example:
        >>> clip = AudioClip(np.array([[0.1, 0.2]], np.float32))
        >>> Reversed().make(AudioRequest("reversed", "dog"), lambda _: clip).samples
        array([[0.2, 0.1]], dtype=float32)
    """

    name = "reversed"
    sounding_object = SoundingObject.OWN
    random = False

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """The sample's own file, backwards."""
        return AudioRequest(self.name, source_id=sample.sample_id)

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """The clip backwards, `[channels, T]`."""
        clip = read(request.source_id)
        return AudioClip(np.ascontiguousarray(clip.samples[:, ::-1]), clip.rate)
