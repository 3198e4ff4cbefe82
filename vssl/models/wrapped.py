"""Any module that gives maps, as a localization model."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from vssl.core.errors import UsageError
from vssl.models.base import LocalizationModel
from vssl.types import ImageBatch


class WrappedModule(LocalizationModel):
    """A module whose `forward(images, sounds)` gives one map for each pair.

    Images are `[N, 3, H, W]`, sounds `[N, ...]` as the front end makes them, and maps `[N, h, w]`
    or `[N, 1, h, w]` of height and width `map_size`. The module is run once for each image and
    sound, in evaluation mode; values outside of `value_range` end a run.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        map_size: tuple[int, int],
        value_range: tuple[float, float] = (-math.inf, math.inf),
    ) -> None:
        super().__init__()
        self.module = module
        self.map_size = map_size
        self.value_range = value_range

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        """Pass the front end's sounds `[M, ...]` on: the module takes them with the images."""
        return inputs

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """Maps `[N, K, h, w]` of images with their K sounds `[N, K, ...]`."""
        sounds = audio_features.unbind(dim=1)
        # of copies: a module may change its input in place
        maps = [maps_of(self.module, batch.images.clone(), each.clone()) for each in sounds]
        if sizes := {tuple(each.shape[1:]) for each in maps} - {self.map_size}:
            raise UsageError(
                f"model: Expected all maps of {type(self.module).__name__} to have the size"
                f" {list(self.map_size)} of its first, but got {list(sizes.pop())}."
            )
        return torch.stack(maps, dim=1)


def maps_of(module: nn.Module, images: torch.Tensor, sounds: torch.Tensor) -> torch.Tensor:
    """Maps `[N, h, w]` of a module for images `[N, 3, H, W]` with a sound `[N, ...]` each.

    Raises:
        UsageError: when it gives something else.
    """
    maps: Any = module(images, sounds)
    given = list(maps.shape) if isinstance(maps, torch.Tensor) else type(maps).__name__
    if isinstance(maps, torch.Tensor) and maps.ndim == 4 and maps.shape[1] == 1:
        maps = maps[:, 0]
    whole = isinstance(maps, torch.Tensor) and maps.ndim == 3 and len(maps) == len(images)
    if not whole or not maps.numel():
        raise UsageError(
            f"model: Expected {type(module).__name__} to give maps [N, h, w] for images"
            f" {list(images.shape)} and sounds {list(sounds.shape)}, but got {given}."
        )
    if maps.is_complex() or maps.layout != torch.strided or maps.is_meta:
        raise UsageError(
            f"model: Expected {type(module).__name__} to give maps of plain real numbers, but got"
            f" {maps.dtype} ({maps.layout}, {maps.device})."
        )
    moved: torch.Tensor = maps.to(images.device)
    return moved
