"""Mixed: the image's own sound in noise."""

from __future__ import annotations

import numpy as np

from vssl.audio import Window
from vssl.core.checks import check_choice
from vssl.core.randomness import generator_for
from vssl.negatives.base import AudioCondition, ReadClip, check_draws
from vssl.negatives.colours import COLOURS, BesideClip, Colour, Over, coloured_noise
from vssl.types import AudioClip, AudioRequest, Sample, SoundingObject


class Mixed(AudioCondition):
    """The image's own clip in noise: its object still sounds, so it is no negative.

    The noise of a draw is one waveform for all images, cut to each clip's length and scaled to the
    ratio with the clip. The sum is not clipped here, but by a front end that clips to [-1, 1].
    Digital silence gets no noise.

    Args:
        snr: signal-to-noise ratio in dB: RMS of the clip over that of the noise.
        over: part that the ratio is measured on: `window`, the part that the front end hears, or
            `clip`, the mono mix of the whole clip.
        colour: `white`, `pink` or `brown`, see `vssl.negatives.colours`.

    Raises:
        UsageError: for a bad option.

    Example:
        >>> mixed = Mixed(draws=1, snr=20)
        >>> tone = AudioClip(np.sin(np.arange(16_000, dtype=np.float32))[None])
        >>> noise = mixed.make(AudioRequest("mixed", "dog"), lambda _: tone).samples - tone.samples
        >>> round(tone.samples.std() / noise.std())  # 20 dB
        10
    """

    name = "mixed"
    sounding_object = SoundingObject.OWN

    def __init__(
        self, *, draws: int = 10, snr: float = 0.0, over: Over = "clip", colour: Colour = "pink"
    ) -> None:
        check_choice(colour, COLOURS, name="negatives.mixed.colour")
        self.draws = check_draws(draws)
        self.colour = colour
        self._beside = BesideClip(snr, over, key="negatives.mixed")

    def hear(self, own: Window, made: Window) -> None:
        """Take the window of the clip, which its noise passes through too."""
        self._beside.hear(own, made)

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """The sample's own file under the noise of a draw."""
        return AudioRequest(self.name, source_id=sample.sample_id, seed=seed, draw=draw)

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """The clip with the same noise on every channel, `[channels, T]`."""
        clip = read(request.source_id)
        generator = generator_for(request.seed, self.name, request.draw)
        white = coloured_noise(generator, clip.samples.shape[1], self.colour, clip.rate)
        noise = self._beside.scaled(white, clip, request.source_id)
        return AudioClip((clip.samples + noise).astype(np.float32), clip.rate)
