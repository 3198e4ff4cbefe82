"""Values that the parts of vssl exchange: samples, clips, requests and batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch

SAMPLE_RATE = 16_000
"""Sample rate in Hz of every model of the paper, to which all audio is resampled.

A front end may have another (`vssl.frontends.FrontEnd.rate`). Lengths of clips are in samples at
this rate whatever the front end.
"""

EVALUATION_SIZE = 224
"""Side in pixels of localization maps, ground-truth maps and boxes."""

POSITIVE = "positive"
"""Name of the audio condition that plays the image's own sound."""

NATURAL = "natural"
"""Name of the audio condition that plays a sample's own sound where nothing in its image sounds."""


class SoundingObject(StrEnum):
    """Object of the picture that sounds under an audio condition."""

    OWN = "own"
    """The sample's own object, whose boxes are its ground truth."""

    OTHER = "other"
    """Another object of the same picture."""

    NONE = "none"
    """Nothing in the picture: a true negative."""

    @classmethod
    def assumed(cls, condition: str) -> SoundingObject:
        """Return the default of an undeclared condition: `own` for the positive, else `none`."""
        return cls.OWN if condition == POSITIVE else cls.NONE


class SoundingObjects(dict[str, SoundingObject]):
    """Sounding object by audio condition, with `SoundingObject.assumed` for others."""

    def __missing__(self, condition: str) -> SoundingObject:
        return SoundingObject.assumed(condition)

    def besides_positive(self, *sounding: SoundingObject) -> list[str]:
        """List the conditions, except the positive, under which one of these objects sounds."""
        return [name for name, each in self.items() if each in sounding and name != POSITIVE]


Box = tuple[int, int, int, int]
"""`(x0, y0, x1, y1)` in pixels of the evaluation size, half-open."""

Mask = bytes
"""A binary mask of the evaluation size in run lengths, see `vssl.maps.encode_mask`."""


@dataclass(frozen=True)
class Sample:
    """One image with the sound that belongs to it.

    A list of samples is a test set (`vssl.evaluate`): it needs paths, and boxes or masks; offscreen
    sounds need categories, and what is left out follows from the rest.

    Attributes:
        sample_id: unique name inside its test set.
        image_path: image file.
        audio_path: audio file.
        category: class of the sounding object.
        image_categories: every class known to be in the image; none of them is ever offscreen.
        image_group: samples that show the same picture share this name (IS3 pairs).
        boxes: ground-truth boxes of the sounding object.
        box_weights: weight of each box in the consensus map, in (0, 1].
        audio_length: length of the clip in samples at `SAMPLE_RATE`, whatever the model's rate.
        image_sources: number of sounding objects of the picture, each of which has a sample of its
            own in the whole test set.
        masks: ground-truth masks of the sounding object, beside its boxes or instead of them.
        mask_weights: weight of each mask in the consensus map, in (0, 1].
        flags: what is known about the sample, by kind, e.g. `("static_image", "yes")`; each kind
            becomes a kind of subsets.
        is_natural_negative: whether nothing in the image sounds, so that its own sound is heard
            under the condition `natural`. Readers of negatives set it, and the check of a test set
            by `data.empty`.

    Example:
        >>> sample = Sample("a", Path("a.jpg"), Path("a.wav"), "dog", boxes=((20, 30, 120, 150),))
        >>> sample.category, sample.audio_length
        ('dog', 0)
    """

    sample_id: str
    image_path: Path
    audio_path: Path
    category: str = ""
    image_categories: tuple[str, ...] = ()
    image_group: str = ""
    boxes: tuple[Box, ...] = ()
    box_weights: tuple[float, ...] = ()
    audio_length: int = 0
    image_sources: int = 1
    masks: tuple[Mask, ...] = ()
    mask_weights: tuple[float, ...] = ()
    flags: tuple[tuple[str, str], ...] = ()
    is_natural_negative: bool = False


@dataclass(frozen=True)
class AudioClip:
    """A waveform.

    Attributes:
        samples: `[channels, length]` float32, nominally in [-1, 1] (noise may exceed it).
        rate: sample rate in Hz.
    """

    samples: npt.NDArray[np.float32]
    rate: int = SAMPLE_RATE


class AudioRequest(NamedTuple):
    """Key of a waveform: equal requests give equal waveforms, which are encoded once.

    Attributes:
        condition: name of the audio condition that makes the waveform; `positive` for any
            unchanged file, so that an offscreen clip equals another sample's positive.
        source_id: sample whose file it is made from; empty without one.
        length: length in samples at `SAMPLE_RATE`, whatever the model's rate; 0 for an unchanged
            file.
        seed: seed of the draw; 0 where nothing is drawn.
        draw: index of the draw; 0 where nothing is drawn.
    """

    condition: str
    source_id: str = ""
    length: int = 0
    seed: int = 0
    draw: int = 0


@dataclass
class _OnDevice:
    """A batch that Lightning moves by its `to`."""

    stay: ClassVar[tuple[str, ...]] = ()

    def to(self, device: torch.device) -> Self:
        """Copy the batch with its tensors on a device, but for those that `stay` where they are."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, torch.Tensor) and name not in self.stay
        }
        return replace(self, **moved)


@dataclass
class AudioBatch(_OnDevice):
    """Distinct waveforms of one front end and one length.

    Attributes:
        index: `[M]` int64 position in the run's list of distinct audio inputs.
        waveforms: `[M, T]` float32, cut by the front end's window.
        frontend: audio condition whose front end they take.
    """

    index: torch.Tensor
    waveforms: torch.Tensor
    frontend: str


@dataclass
class ImageBatch(_OnDevice):
    """Images and the audio inputs paired with them.

    Attributes:
        index: `[N]` int64 position of each sample in the run, on the CPU.
        images: `[N, 3, H, W]` float32 normalized images; `[0]` if their features are known.
        audio_index: `[N, K]` int64 position of each pairing's audio among the distinct inputs.
        sample_ids: the N sample names.
        pairings: the K (audio condition, draw) pairs, the same for every sample.
        prior_images: `[N, 3, 224, 224]` images for the object prior; None without a prior, if it
            takes `images`, or if its maps are known.
        sounding: for each sample and pairing, the sample whose object sounds: itself, another one
            of the same picture, or None. Like `pictured`, it is empty unless the model says that it
            `knows` ground truth.
        pictured: for each sample, all of the run's samples of its picture, itself included.
    """

    stay = ("index",)  # to read it from a GPU would wait for all that the GPU has to do

    index: torch.Tensor
    images: torch.Tensor
    audio_index: torch.Tensor
    sample_ids: tuple[str, ...]
    pairings: tuple[tuple[str, int], ...]
    prior_images: torch.Tensor | None = None
    sounding: tuple[tuple[Sample | None, ...], ...] = ()
    pictured: tuple[tuple[Sample, ...], ...] = ()
