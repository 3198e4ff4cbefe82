"""Silence: digital zeros."""

from __future__ import annotations

import numpy as np

from vssl.negatives.base import AudioCondition, ReadClip
from vssl.types import AudioClip, AudioRequest, Sample


class Silence(AudioCondition):
    """Zeros, as long as the image's own clip. There is one draw.

    Example:
        >>> Silence().make(AudioRequest("silence", length=3), {}.__getitem__).samples
        array([[0., 0., 0.]], dtype=float32)
    """

    name = "silence"
    random = False

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """Zeros of `length`, shared by all samples of that length."""
        return AudioRequest(self.name, length=length)

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """Zeros `[1, length]`."""
        return AudioClip(np.zeros((1, self.made_samples(request)), dtype=np.float32), self.rate)
