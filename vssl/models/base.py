"""Contract of a localization model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vssl.types import ImageBatch


@dataclass(frozen=True)
class CheckpointLayout:
    """Layout of a published checkpoint file.

    Attributes:
        wrapper: key of the state dict, None for a bare state dict; several in order of preference.
        nested: whether the state dict holds dicts of entries; their names are joined by dots.
        unused: patterns (`fnmatch`) of keys in the file that the map does not need.
        rename: prefix in the file -> prefix in our module.
        convert: turns the entries that are left into those of our module, where renaming prefixes
            is not enough; it leaves entries that it does not know as they are.
        heads: True ignores entries of other heads, whose first name is not in our module.
        prefixed: whether keys of the published file begin with `module.`, to tell files of one
            layout apart; None if either. Loading takes both.
    """

    wrapper: str | tuple[str | None, ...] | None
    nested: bool = False
    unused: tuple[str, ...] = ()
    rename: dict[str, str] = field(default_factory=dict)
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    heads: bool = False
    prefixed: bool | None = None

    @property
    def wrappers(self) -> tuple[str | None, ...]:
        """Keys that the state dict may lie under, in order of preference."""
        return self.wrapper if isinstance(self.wrapper, tuple) else (self.wrapper,)


class Pretrained(nn.Module):
    """A network whose weights come from one checkpoint file or several."""

    checkpoint: ClassVar[CheckpointLayout | Mapping[str, CheckpointLayout] | None] = None
    """Layout of the authors' file; None for a network without weights.

    Of several files a mapping: the file `image` fills the submodule `image`.
    """

    @classmethod
    def layouts(cls) -> Mapping[str, CheckpointLayout]:
        """Layout by part; the part of a file that fills the whole network is the empty text."""
        if isinstance(cls.checkpoint, CheckpointLayout):
            return {"": cls.checkpoint}
        return cls.checkpoint or {}

    def adapt(self, part: str, content: Any) -> None:
        """Follow what a file says of itself beside its weights, before entries are compared.

        `content` is all that the file holds. A network whose sizes a file declares builds its part
        anew. Most networks are as they are.

        Raises:
            WeightsError: for a variant that the class cannot be; the file's name is put before it.
        """


class LocalizationModel(Pretrained):
    """A network that maps an image and a sound to a similarity map.

    Most models compare one audio vector with a grid of image vectors: they implement
    `encode_image` and `encode_audio`, and `similarity` where it is more than the dot product. vssl
    then encodes each image and each distinct sound once. Other models override `localize`. Two
    worked examples: docs/own-model.md.

    Class attributes:
        map_size: height and width of the native similarity map.
        value_range: bounds of similarity maps, infinite if there are none; checked during a run.
        map_transform: published post-processing of the upsampled map, one of
            `vssl.core.choices.MAP_TRANSFORMS`.
        takes_images: whether it looks at the batch's images; False saves decoding them.
        knows: ground truth that it is given with a batch, in words; empty for all but oracles.
    """

    map_size: tuple[int, int]
    value_range: tuple[float, float]
    map_transform: ClassVar[str] = "none"
    takes_images: ClassVar[bool] = True
    knows: ClassVar[str] = ""

    @property
    def encodes_separately(self) -> bool:
        """Whether images are encoded without sounds; False if `localize` is overridden."""
        return type(self).localize is LocalizationModel.localize

    def encode_image(self, images: Tensor) -> Tensor:
        """Encode normalized images `[N, 3, H, W]` for `similarity`, usually as `[N, C, h, w]`."""
        raise NotImplementedError

    def encode_audio(self, inputs: Tensor) -> Tensor:
        """Encode the front end's output `[M, ...]` for `similarity`, usually as `[M, C]`."""
        raise NotImplementedError

    def similarity(self, image_features: Tensor, audio_features: Tensor) -> Tensor:
        """Compare encoded images `[N, ...]` with K encoded sounds `[N, K, ...]` each.

        By dot products of vectors `[N, C, h, w]` and `[N, K, C]`, unless it is overridden.

        Returns:
            `[N, K, h, w]` similarity maps inside `value_range`.
        """
        return dot_maps(image_features, audio_features)

    def localize(self, batch: ImageBatch, audio_features: Tensor) -> Tensor:
        """Make the similarity maps of N images with K encoded sounds `[N, K, ...]` each.

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
