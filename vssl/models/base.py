"""The contract between vssl and a localization model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import nn

from vssl.types import ImageBatch


@dataclass(frozen=True)
class CheckpointLayout:
    """How a model's authors wrote their checkpoint file.

    Attributes:
        wrapper: key under which the state dict lies, None for a bare state dict.
        unused: patterns (`fnmatch`) of keys that may be in the file and take no part in the map.
        rename: prefix in the file -> prefix in our module.
        heads: True where other heads were trained beside the network: entries whose first name is
            not one of our module's take no part in the map.
        prefixed: whether the keys of the published file begin with `module.`, which tells apart
            files of one layout; None where both are found. Loading takes both.
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
    """A network that says where in an image a sound comes from. Evaluation only: no losses.

    Most models compare one audio vector with a grid of image vectors: they implement
    `encode_image`, `encode_audio` and `similarity`, and vssl runs each image and each distinct
    sound through its network once. A model that gives maps in another way overrides `localize`.
    Two worked examples: docs/own-model.md.

    Class attributes:
        map_size: height and width of the native similarity map.
        value_range: lowest and highest value a similarity map can have, infinite where there is
            no bound; checked during a run.
        map_transform: published post-processing of the upsampled map, one of
            `vssl.maps.MAP_TRANSFORMS`.
    """

    map_size: tuple[int, int]
    value_range: tuple[float, float]
    map_transform: ClassVar[str] = "none"

    @property
    def compares(self) -> bool:
        """Whether the model compares encodings, so that these can be kept; else it localizes."""
        return type(self).localize is LocalizationModel.localize

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Encode normalized images `[N, 3, H, W]`.

        Returns:
            `[N, ...]` whatever `similarity` takes; usually `[N, C, h, w]`.
        """
        raise NotImplementedError

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        """Encode sounds `[M, ...]` as the model's front end makes them.

        Returns:
            `[M, ...]` whatever `similarity` takes; usually `[M, C]`.
        """
        raise NotImplementedError

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        """Compare images `[N, ...]`, as encoded, with K sounds `[N, K, ...]` each.

        Returns:
            `[N, K, h, w]` similarity maps inside `value_range`.
        """
        raise NotImplementedError

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """Similarity maps `[N, K, h, w]` of a batch, each image with its K sounds `[N, K, ...]`.

        Each image is encoded once. Values lie inside `value_range`.
        """
        return self.similarity(self.encode_image(batch.images), audio_features)


def unit(vectors: torch.Tensor, *, dim: int = 1) -> torch.Tensor:
    """Divide vectors, e.g. `[N, C, ...]`, by their length over `dim`, in float32 always."""
    return nn.functional.normalize(vectors.float(), dim=dim)


def dot_maps(image_features: torch.Tensor, audio_features: torch.Tensor) -> torch.Tensor:
    """Dot products `[N, K, h, w]` of image vectors `[N, C, h, w]` and audio vectors `[N, K, C]`.

    Computed in float32 always. With unit vectors they are cosines, in [-1, 1].
    """
    with torch.autocast(image_features.device.type, enabled=False):
        return torch.einsum("nchw,nkc->nkhw", image_features.float(), audio_features.float())
