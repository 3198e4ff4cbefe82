"""The contract of an audio condition, and the positive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from vssl.audio import Window
from vssl.core.errors import UsageError
from vssl.core.randomness import seed_for
from vssl.types import POSITIVE, AudioClip, AudioRequest, Sample, SoundingObject

ReadClip = Callable[[str], AudioClip]
"""Reads the clip of a source id."""


class AudioCondition(ABC):
    """What an image hears: its own sound, silence, noise, another sample's sound ...

    A condition works in two steps. `request` says, without touching a file, which waveform a
    sample meets in a draw; requests that are equal are made and encoded once in a run. `make`
    turns a request into a waveform. Waveforms, not spectrograms: every condition then goes
    through the model's front end.

    Attributes:
        name: the condition's name in configuration, records and tables.
        draws: number of random repetitions; 1 for a condition that draws nothing.
        reuses_clips: whether it plays a sample's clip, as it is, rather than making a waveform.
        sounding_object: which object of the picture is heard. It decides what a condition counts
            as: only where nothing in the picture sounds is it a true negative, from which
            thresholds are learnt and with which positives are compared; only where the own object
            sounds is its place what a model should mark.
        random: whether chance plays a part, so that a seed says what is heard.
    """

    name: str
    reuses_clips: ClassVar[bool] = False
    sounding_object: ClassVar[SoundingObject] = SoundingObject.NONE
    random: ClassVar[bool] = True
    draws: int = 1

    def prepare(self, samples: Sequence[Sample]) -> None:
        """See all samples of the run once, before the first request.

        Raises:
            ValueError: when the condition cannot be met with these samples.
        """

    def draw_seed(self, seed: int, use: str) -> int:
        """The seed that it draws under; 0 where nothing is drawn.

        A waveform that is made is another one in each use of a run's seed (a data set's name, or a
        split of a training), so that no training and no threshold hears what a test plays. A choice
        among the clips of a data set is kept apart by its clips.
        """
        if not self.random:
            return 0
        return seed if self.reuses_clips else seed_for(seed, use)

    @abstractmethod
    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        """Say which waveform a sample meets.

        The request's `condition` names who makes it.

        Args:
            sample: the image's sample.
            draw: index of the draw, below `draws`.
            seed: seed of the run, or of the manifest's row.
            length: length in samples at 16 kHz for a waveform that is made rather than read.
        """

    def hear(self, own: Window, made: Window) -> None:
        """Know the windows that the own clip and this condition's sounds pass through.

        For a condition whose loudness depends on what the front end hears.
        """

    @abstractmethod
    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """Make the waveform `[channels, length]` of a request of this condition's."""


class ClipCondition(AudioCondition):
    """A condition that plays a sample's clip, as it is in its file."""

    reuses_clips = True

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        """Read the file."""
        return read(request.source_id)


class Positive(ClipCondition):
    """The image's own sound, as it is in its file."""

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
