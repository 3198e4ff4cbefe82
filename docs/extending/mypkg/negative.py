"""The hum of a power line, at a random phase in each draw."""

import numpy as np

from vssl.core.randomness import generator_for
from vssl.negatives.base import AudioCondition, ReadClip
from vssl.types import AudioClip, AudioRequest, Sample


class Hum(AudioCondition):
    name = "hum"

    def __init__(self, *, draws: int = 2, hertz: float = 50.0) -> None:
        self.draws = draws
        self.hertz = hertz

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        return AudioRequest(self.name, length=length, seed=seed, draw=draw)  # all images share it

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        phase = generator_for(request.seed, self.name, request.draw).random()
        turns = np.arange(self.made_samples(request)) / self.rate * self.hertz + phase
        return AudioClip(0.1 * np.sin(2 * np.pi * turns).astype(np.float32)[None], self.rate)
