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
        rename: prefix in the file -> prefix in our module, applied to the longest match.
    """

    wrapper: str | None
    unused: tuple[str, ...] = ()
    rename: dict[str, str] = field(default_factory=dict)


class LocalizationModel(nn.Module):
    """A network that says where in an image a sound comes from. Evaluation only: no losses.

    Most models compare one audio vector with a grid of image vectors: they implement
    `encode_image`, `encode_audio` and `similarity`, and vssl runs each image and each distinct
    sound through its network once. A model that gives maps in another way overrides `localize`.

    Class attributes:
        map_size: height and width of the native similarity map.
        value_range: lowest and highest value a similarity map can have; checked during a run.
        checkpoint: layout of the authors' checkpoint; None for models without weights.
        reference: the paper.
    """

    map_size: ClassVar[tuple[int, int]]
    value_range: ClassVar[tuple[float, float]]
    checkpoint: ClassVar[CheckpointLayout | None] = None
    reference: ClassVar[str] = ""

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Encode images.

        Args:
            images: `[N, 3, H, W]` normalized.

        Returns:
            `[N, ...]` whatever `similarity` takes; usually `[N, C, h, w]`.
        """
        raise NotImplementedError

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        """Encode front-end outputs.

        Args:
            inputs: `[M, ...]` as the model's front end makes them.

        Returns:
            `[M, ...]` whatever `similarity` takes; usually `[M, C]`.
        """
        raise NotImplementedError

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        """Compare each image with each of its K sounds.

        Args:
            image_features: `[N, ...]` from `encode_image`.
            audio_features: `[N, K, ...]` from `encode_audio`, K sounds for each image.

        Returns:
            `[N, K, h, w]` similarity maps inside `value_range`.
        """
        raise NotImplementedError

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """Similarity maps of a batch: encode each image once, meet it with its K sounds.

        Args:
            batch: images and what is known about them.
            audio_features: `[N, K, ...]` from `encode_audio`.

        Returns:
            `[N, K, h, w]` inside `value_range`.
        """
        return self.similarity(self.encode_image(batch.images), audio_features)


def cosine_maps(image_features: torch.Tensor, audio_features: torch.Tensor) -> torch.Tensor:
    """Cosine of each position's image vector with each audio vector.

    Args:
        image_features: `[N, C, h, w]`, L2-normalized over C.
        audio_features: `[N, K, C]`, L2-normalized over C.

    Returns:
        `[N, K, h, w]` in [-1, 1].
    """
    return torch.einsum("nchw,nkc->nkhw", image_features, audio_features)
