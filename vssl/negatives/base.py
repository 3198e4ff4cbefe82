"""The contract of an audio condition, and the positive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from vssl.audio import Window
from vssl.core.errors import UsageError
from vssl.core.randomness import seed_for
from vssl.types import POSITIVE, SAMPLE_RATE, AudioClip, AudioRequest, Sample, SoundingObject

ReadClip = Callable[[str], AudioClip]
"""Reads the clip of a source id."""


class AudioCondition(ABC):
    """The sound that an image meets: its own, silence, noise, another sample's ...

    A condition works in two steps. `request` names the waveform that a sample meets in a draw,
    without touching a file; equal requests are made and encoded once in a run. `make` turns a
    request into a waveform. Every waveform then goes through the model's front end.

    Where `sounding_object` is `NONE`, it is a true negative: thresholds are learnt from it, and
    positives are compared with it. Under `OWN` a model should mark the sample's own object.
    """

    name: str  # in configuration, records and tables
    reuses_clips: ClassVar[bool] = False  # whether it plays a sample's clip as it is
    sounding_object: ClassVar[SoundingObject] = SoundingObject.NONE  # object that is heard
    random: ClassVar[bool] = True  # whether draws depend on a seed
    draws: int = 1  # number of random repetitions; 1 for a condition that draws nothing
    rate: int = SAMPLE_RATE  # in Hz, of clips that it makes and reads: a run sets the front end's

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Look at all samples of the run once, before the first request.

        Raises:
            ValueError: when the condition cannot be met with these samples.
        """

    def draw_seed(self, seed: int, use: str) -> int:
        """Return the seed of its draws; 0 where nothing is drawn.

        Made waveforms differ between uses of one seed (a data set's name, a split of a training),
        so that no training and no threshold hears the noise of a test. A choice among clips depends
        on `seed` alone, since each data set has other clips.
        """
        if not self.random:
            return 0
        return seed if self.reuses_clips else seed_for(seed, use)

    @abstractmethod
    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """Name the waveform that a sample meets.

        The request's `condition` is the one that makes it.

        Args:
            sample: the image's sample.
            draw: index of the draw, below `draws`.
            seed: a `draw_seed`, or the seed of the manifest's row.
            length: length of a waveform that is made rather than read, in samples at 16 kHz
                whatever the rate.
        """

    def hear(self, own: Window, made: Window) -> None:
        """Take the windows of the own clip and of this condition's sounds.

        For a condition whose loudness depends on the part that the front end hears.
        """

    @abstractmethod
    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """Make the waveform `[channels, length]` of a request of this condition, at `rate`."""

    def made_samples(self, request: AudioRequest) -> int:
        """Convert a request's length, in samples at 16 kHz, to samples at `rate`."""
        return round(request.length * self.rate / SAMPLE_RATE)

    def clip(
        self, sample: Sample, read: ReadClip, *, draw: int = 0, seed: int = 0, use: str = ""
    ) -> AudioClip:
        """Make the waveform `[channels, length]` that a sample meets, as in a run.

        For any data loader, after `prepare`. It depends on the arguments alone.

        Args:
            sample: the image's sample.
            read: reads the clip of a sample id.
            draw: index of the draw.
            seed: seed of the run.
            use: use of the seed, see `draw_seed`; a run has the name of its data set.
        """
        seed = self.draw_seed(seed, use)
        return self.make(
            self.request(sample, draw=draw, seed=seed, length=sample.audio_length), read
        )


class ClipCondition(AudioCondition):
    """A condition that plays a sample's clip unchanged."""

    reuses_clips = True

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """Read the file."""
        return read(request.source_id)


class Positive(ClipCondition):
    """The image's own sound, unchanged."""

    name = POSITIVE
    sounding_object = SoundingObject.OWN
    random = False

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """The sample's own file."""
        return AudioRequest(POSITIVE, source_id=sample.sample_id)


def check_draws(draws: int) -> int:
    """Return `draws`, which must be 1 or more."""
    if draws < 1:
        raise UsageError(f"Expected `draws` to be at least 1, but got {draws}.")
    return draws
