"""Two files, each for a part of the network; one is merged when it is loaded, one says its size."""

from typing import Any

import torch
from torch import nn

from vssl.models.base import CheckpointLayout, LocalizationModel, dot_maps, unit
from vssl.models.checkpoints import WeightsError


def merge_update(entries: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Add what was learnt in two thin matrices to the weight: W + up @ down."""
    merged = dict(entries)  # what it does not know stays
    if {"weight", "up", "down"} <= merged.keys():
        change = merged.pop("up") @ merged.pop("down")
        merged["weight"] = merged["weight"] + change.view_as(merged["weight"])
    return merged


class TwoFiles(LocalizationModel):
    map_size = (14, 14)
    value_range = (-1.0, 1.0)
    checkpoint = {
        "image": CheckpointLayout(("state_dict", None), unused=("loss.*",), convert=merge_update),
        "audio": CheckpointLayout(wrapper="weights"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Conv2d(3, 64, 16, stride=16)
        self.audio = audio_network(hidden=32)

    def adapt(self, part: str, content: Any) -> None:
        if part == "audio":
            hidden = content.get("hidden")
            if not isinstance(hidden, int):
                raise WeightsError(f"says hidden={hidden!r}, but needs a number of channels.")
            self.audio = audio_network(hidden)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return unit(self.image(images))  # [N, 3, 224, 224] to [N, 64, 14, 14]

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        return unit(self.audio(inputs).mean(dim=(2, 3)))  # [M, 1, 257, T] to [M, 64]

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        return dot_maps(image_features, audio_features)  # and [N, K, 64] to [N, K, 14, 14]


def audio_network(hidden: int) -> nn.Module:
    """Spectrograms `[M, 1, 257, T]` to `[M, 64, 1, T - 8]`."""
    return nn.Sequential(nn.Conv2d(1, hidden, (257, 9)), nn.GELU(), nn.Conv2d(hidden, 64, 1))
