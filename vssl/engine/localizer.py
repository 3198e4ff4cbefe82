"""A model on pictures and sounds that are at hand, as in an evaluation but without a test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from vssl.checks import check_similarity_maps
from vssl.frontends import FrontEnd
from vssl.images import Pixels, Transform, prepare
from vssl.models.base import LocalizationModel
from vssl.models.object_prior import ObjectPrior
from vssl.types import EVALUATION_SIZE, POSITIVE, AudioClip, ImageBatch

_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class Picture:
    """A picture as the networks take it.

    Attributes:
        name: what it is called.
        image: `[3, H, W]` the model's input.
        prior_image: `[3, 224, 224]` the object prior's, where it takes another.
    """

    name: str
    image: torch.Tensor
    prior_image: torch.Tensor | None


@dataclass(frozen=True)
class NativeMaps:
    """What the networks say of N pictures, each with K sounds; on the CPU.

    Attributes:
        similarity: `[N, K, h, w]` float32 native similarity maps.
        objects: `[N, g, g]` native object maps; None without a prior.
    """

    similarity: torch.Tensor
    objects: torch.Tensor | None


class Localizer:
    """Runs a model on pictures with sounds, with the transforms and front ends of an evaluation.

    Args:
        model: the model, with its weights.
        name: its name, for messages.
        transform: decoded picture to network input.
        frontends: front end by audio condition; conditions that are not named share the
            positive's; empty for a model that takes no audio.
        prior: object prior, None for none.
        prior_transform: decoded picture to the prior's input, where it takes another.
        device: where the networks run.
        precision: what they compute in, one of `vssl.commands.options.PRECISIONS`.
    """

    def __init__(
        self,
        model: LocalizationModel,
        *,
        name: str,
        transform: Transform,
        frontends: Mapping[str, FrontEnd],
        prior: ObjectPrior | None = None,
        prior_transform: Transform | None = None,
        device: str = "cpu",
        precision: str = "32-true",
    ) -> None:
        self.model = model.eval().to(device)
        self.name = name
        self._transform = transform
        self._frontends = {key: each.to(device) for key, each in frontends.items()}
        self._prior = None if prior is None else prior.eval().to(device)
        self._prior_transform = prior_transform
        self._device = torch.device(device)
        self._autocast = _AUTOCAST.get(precision)

    @property
    def hears(self) -> bool:
        """Whether the model takes audio."""
        return bool(self._frontends)

    def frontend(self, condition: str = POSITIVE) -> FrontEnd:
        """The front end of an audio condition."""
        return self._frontends.get(condition, self._frontends[POSITIVE])

    def prepare(self, pixels: Pixels, name: str) -> Picture:
        """A decoded picture `[H, W, 3]` as the networks take it."""
        other = self._prior_transform
        prior_image = None if other is None else prepare(other, pixels)
        return Picture(name, prepare(self._transform, pixels), prior_image)

    @torch.inference_mode()
    def encode_sounds(
        self, clips: Sequence[AudioClip], condition: str = POSITIVE, *, batch_size: int = 8
    ) -> torch.Tensor:
        """Encode sounds.

        Args:
            clips: M sounds.
            condition: their audio condition, which says what front end they take.
            batch_size: how many go through the network at once; those of one length do.

        Returns:
            `[M, ...]` as the model's `encode_audio` gives it; `[M, 0]` for one that takes none.

        Raises:
            UsageError: for a clip that is too short.
        """
        if not self.hears:
            return torch.empty(len(clips), 0, device=self._device)
        frontend = self.frontend(condition)
        waveforms = [frontend.waveform(clip) for clip in clips]
        vectors: dict[int, torch.Tensor] = {}
        for length in dict.fromkeys(len(waveform) for waveform in waveforms):
            same = [n for n, waveform in enumerate(waveforms) if len(waveform) == length]
            for begin in range(0, len(same), batch_size):
                chosen = same[begin : begin + batch_size]
                batch = torch.stack([waveforms[n] for n in chosen]).to(self._device)
                encoded = self._encode(frontend(batch))
                vectors.update(zip(chosen, encoded, strict=True))
        return torch.stack([vectors[n] for n in range(len(clips))])

    @torch.inference_mode()
    def localize(
        self, pictures: Sequence[Picture], sounds: torch.Tensor, pairings: Sequence[tuple[str, int]]
    ) -> NativeMaps:
        """Similarity maps of pictures, each encoded once, with K sounds each.

        Args:
            pictures: N pictures.
            sounds: `[N, K, ...]` from `encode_sounds`.
            pairings: the K (audio condition, draw) pairs.

        Raises:
            UsageError: when the maps are not of the declared size or range.
        """
        count = len(pictures)
        index = torch.arange(count)
        images = torch.stack([picture.image for picture in pictures]).to(self._device)
        batch = ImageBatch(
            index=index,
            images=images,
            # nobody knows where the source is; the oracle is not for this
            ground_truth=images.new_zeros(count, EVALUATION_SIZE, EVALUATION_SIZE),
            audio_index=torch.zeros(count, len(pairings), dtype=torch.int64),
            sample_ids=tuple(picture.name for picture in pictures),
            pairings=tuple(pairings),
            image_index=index,
        )
        with self._mixed():
            if self.model.compares:
                maps = self.model.similarity(self.model.encode_image(images), sounds)
            else:
                maps = self.model.localize(batch, sounds)
            objects = None if self._prior is None else self._prior(self._prior_input(pictures))
        maps = maps.float()
        size, bounds = self.model.map_size, self.model.value_range
        check_similarity_maps(maps, (count, len(pairings)), size, bounds, model=self.name)
        return NativeMaps(maps.cpu(), None if objects is None else objects.float().cpu())

    def _prior_input(self, pictures: Sequence[Picture]) -> torch.Tensor:
        inputs = [p.image if p.prior_image is None else p.prior_image for p in pictures]
        return torch.stack(inputs).to(self._device)

    def _encode(self, inputs: torch.Tensor) -> torch.Tensor:
        with self._mixed():
            return self.model.encode_audio(inputs)

    def _mixed(self) -> torch.autocast:
        wanted = self._autocast is not None
        return torch.autocast(self._device.type, dtype=self._autocast, enabled=wanted)
