"""A model with its front ends and its object prior: all native maps come from here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.backends import cudnn
from torch.backends.cuda import matmul

from vssl.core.checks import check_map_range, check_similarity_maps
from vssl.engine.feature_table import RunTables
from vssl.frontends import FrontEnd
from vssl.images import Pixels, Transform, prepare
from vssl.models.base import LocalizationModel
from vssl.models.object_prior import ObjectPrior
from vssl.types import POSITIVE, AudioClip, ImageBatch

_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class Picture:
    """A picture as network input."""

    name: str
    image: torch.Tensor  # [3, H, W], the model's input
    prior_image: torch.Tensor | None  # [3, 224, 224], where the object prior takes another


@dataclass(frozen=True)
class NativeMaps:
    """Maps of N pictures, each with K sounds."""

    similarity: torch.Tensor  # [N, K, h, w] float32
    objects: torch.Tensor | None  # [N, g, g], None without a prior

    def of(self, picture: int) -> NativeMaps:
        """Maps of one picture, `[K, h, w]` and `[g, g]`."""
        objects = None if self.objects is None else self.objects[picture]
        return NativeMaps(self.similarity[picture], objects)


class Localizer(nn.Module):
    """Runs a model, with its weights and its name for messages, on pictures with sounds.

    `transform` makes its input of a decoded picture, `prior_transform` the object prior's where
    that takes another. Front ends are by audio condition; others share the positive's. There are
    none for a model that takes no audio. `device` encodes pictures and sounds at hand, in one of
    `vssl.config.options.PRECISIONS`.
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
        super().__init__()
        self.model = model
        self.name = name
        self.frontends: Mapping[str, FrontEnd] = nn.ModuleDict(dict(frontends))  # type: ignore[assignment]
        self.prior = prior
        self.transform = transform
        self.prior_transform = prior_transform
        self._device = torch.device(device)
        self._autocast = _AUTOCAST.get(precision)
        self._rounds = precision == "tf32"
        self.eval().to(device)

    @property
    def uses_audio(self) -> bool:
        """Whether the model takes audio."""
        return len(self.frontends) > 0

    def frontend(self, condition: str = POSITIVE) -> FrontEnd:
        """The front end of an audio condition."""
        return self.frontends[condition if condition in self.frontends else POSITIVE]

    def prepare(self, pixels: Pixels, name: str) -> Picture:
        """Turn a decoded picture `[H, W, 3]` into network input."""
        other = self.prior_transform
        prior_image = None if other is None else prepare(other, pixels)
        return Picture(name, prepare(self.transform, pixels), prior_image)

    def encode_audio(self, waveforms: torch.Tensor, condition: str) -> torch.Tensor:
        """Encode `[M, T]` waveforms, cut by the front end's window, as `[M, ...]`."""
        with torch.autocast(waveforms.device.type, enabled=False):
            inputs = self.frontend(condition)(waveforms)
        return self._network(self.model.encode_audio, inputs)

    def native_maps(
        self, batch: ImageBatch, sounds: torch.Tensor, tables: RunTables | None = None
    ) -> NativeMaps:
        """Similarity maps of a batch of images, each encoded once, with K sounds each.

        The encoded sounds are `[N, K, ...]`, `[N, K, 0]` for a model that takes none. The batch
        has no pixels if the tables hold all encodings; new ones are added to them.

        Raises:
            UsageError: when the maps are not of the declared size. Their range is not checked: the
                host would wait for a GPU.
        """
        model, prior, tables = self.model, self.prior, tables or RunTables()
        objects = None
        with self._mixed(sounds):
            if model.encodes_separately:
                features = tables.images.rows(
                    batch.index, lambda: self._network(model.encode_image, batch.images)
                )
                maps = model.similarity(features, sounds)
            else:
                maps = self._network(model.localize, batch, sounds)
        pairs = len(batch.audio_index), batch.audio_index.shape[1]
        check_similarity_maps(maps, pairs, model.map_size, model=self.name)
        if prior is not None:
            images = batch.images if batch.prior_images is None else batch.prior_images
            objects = tables.objects.rows(batch.index, lambda: self._network(prior, images))
        return NativeMaps(maps.float(), None if objects is None else objects.float())

    @torch.inference_mode()
    def encode_sounds(self, clips: Sequence[AudioClip], condition: str = POSITIVE) -> torch.Tensor:
        """Encode M sounds as `[M, ...]`; `[M, 0]` for a model that takes none.

        The condition selects the front end; up to 8 sounds of one length are encoded at once.

        Raises:
            UsageError: for a clip that is too short.
        """
        if not self.uses_audio:
            return torch.empty(len(clips), 0, device=self._device)
        frontend = self.frontend(condition)
        waveforms = [frontend.waveform(clip) for clip in clips]
        vectors: dict[int, torch.Tensor] = {}
        for length in dict.fromkeys(len(waveform) for waveform in waveforms):
            same = [n for n, waveform in enumerate(waveforms) if len(waveform) == length]
            for begin in range(0, len(same), 8):
                chosen = same[begin : begin + 8]
                batch = torch.stack([waveforms[n] for n in chosen]).to(self._device)
                vectors.update(zip(chosen, self.encode_audio(batch, condition), strict=True))
        return torch.stack([vectors[n] for n in range(len(clips))])

    @torch.inference_mode()
    def localize(
        self, pictures: Sequence[Picture], sounds: torch.Tensor, pairings: Sequence[tuple[str, int]]
    ) -> NativeMaps:
        """Native maps, on the CPU, of N pictures with K sounds each.

        `sounds` are `[N, K, ...]` from `encode_sounds`, pairings their K (audio condition, draw)
        pairs. Raises as `native_maps` and `check_map_range`.
        """
        others = [picture.prior_image for picture in pictures if picture.prior_image is not None]
        batch = ImageBatch(
            index=torch.arange(len(pictures)),
            images=torch.stack([picture.image for picture in pictures]),
            audio_index=torch.zeros(len(pictures), len(pairings), dtype=torch.int64),
            sample_ids=tuple(picture.name for picture in pictures),
            pairings=tuple(pairings),
            prior_images=torch.stack(others) if others else None,
        )
        found = self.native_maps(batch.to(self._device), sounds)
        similarity = found.similarity.cpu()
        check_map_range(similarity, self.model.value_range, batch.sample_ids, model=self.name)
        return NativeMaps(similarity, None if found.objects is None else found.objects.cpu())

    def _network(self, network: Callable[..., torch.Tensor], *inputs: Any) -> torch.Tensor:
        """What a network makes of its inputs, in the run's precision."""
        rounded = _tensor_float32() if self._rounds else nullcontext()
        with self._mixed(inputs[-1]), rounded:
            made = network(*inputs)
        # in one memory order, since last digits of later results depend on it
        return made.contiguous() if isinstance(made, torch.Tensor) else made

    def _mixed(self, inputs: torch.Tensor) -> torch.autocast:
        wanted = self._autocast is not None
        return torch.autocast(inputs.device.type, dtype=self._autocast, enabled=wanted)


@contextmanager
def _tensor_float32() -> Iterator[None]:
    """Let a GPU round the factors of float32 products to 10 bits."""
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = True
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before
