"""Contract of a localization model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from vssl.types import ImageBatch


@dataclass(frozen=True)
class CheckpointLayout:
    """Layout of a published checkpoint file.

    Attributes:
        wrapper: key of the state dict, None for a bare state dict.
        unused: patterns (`fnmatch`) of keys in the file that the map does not need.
        rename: prefix in the file -> prefix in our module.
        heads: True ignores entries of other heads, whose first name is not in our module.
        prefixed: whether keys of the published file begin with `module.`, to tell files of one
            layout apart; None if either. Loading takes both.
    """

    wrapper: str | None
    unused: tuple[str, ...] = ()
    rename: dict[str, str] = field(default_factory=dict)
    heads: bool = False
    prefixed: bool | None = None


class Pretrained(nn.Module):
    """A network whose weights come from a checkpoint file."""

    checkpoint: ClassVar[CheckpointLayout | None] = None
    """Layout of the authors' file; None for a network without weights."""


class LocalizationModel(Pretrained):
    """A network that maps an image and a sound to a similarity map.

    Most models compare one audio vector with a grid of image vectors: they implement
    `encode_image`, `encode_audio` and `similarity`. vssl then encodes each image and each distinct
    sound once. Other models override `localize`. Two worked examples: docs/own-model.md.

    Class attributes:
        map_size: height and width of the native similarity map.
        value_range: bounds of similarity maps, infinite if there are none; checked during a run.
        map_transform: published post-processing of the upsampled map, one of
            `vssl.core.choices.MAP_TRANSFORMS`.
        takes_images: whether it looks at the batch's images; False saves decoding them.
    """

    map_size: tuple[int, int]
    value_range: tuple[float, float]
    map_transform: ClassVar[str] = "none"
    takes_images: ClassVar[bool] = True

    @property
    def encodes_separately(self) -> bool:
        """Whether images are encoded without sounds; False if `localize` is overridden."""
        return type(self).localize is LocalizationModel.localize

    def encode_image(self, images: Tensor) -> Tensor:
        """Encode normalized images `[N, 3, H, W]`.

        Returns:
            `[N, ...]` as `similarity` takes them; usually `[N, C, h, w]`.
        """
        raise NotImplementedError

    def encode_audio(self, inputs: Tensor) -> Tensor:
        """Encode the front end's output `[M, ...]`.

        Returns:
            `[M, ...]` as `similarity` takes them; usually `[M, C]`.
        """
        raise NotImplementedError

    def similarity(self, image_features: Tensor, audio_features: Tensor) -> Tensor:
        """Compare encoded images `[N, ...]` with K encoded sounds `[N, K, ...]` each.

        Returns:
            `[N, K, h, w]` similarity maps inside `value_range`.
        """
        raise NotImplementedError

    def localize(self, batch: ImageBatch, audio_features: Tensor) -> Tensor:
        """Make the similarity maps of a batch.

        Args:
            batch: N images.
            audio_features: `[N, K, ...]` encoded sounds.

        Returns:
            `[N, K, h, w]` similarity maps inside `value_range`.
        """
        return self.similarity(self.encode_image(batch.images), audio_features)


def unit(vectors: Tensor, *, dim: int = 1) -> Tensor:
    """Normalize vectors, e.g. `[N, C, ...]`, to unit length over `dim`, in float32."""
    return nn.functional.normalize(vectors.float(), dim=dim)


def dot_maps(image_features: Tensor, audio_features: Tensor) -> Tensor:
    """Dot products `[N, K, h, w]` of image vectors `[N, C, h, w]` and audio vectors `[N, K, C]`.

    Computed in float32. Of unit vectors they are cosines, in [-1, 1].
    """
    with torch.autocast(image_features.device.type, enabled=False):
        return torch.einsum("nchw,nkc->nkhw", image_features.float(), audio_features.float())
