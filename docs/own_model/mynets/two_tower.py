"""One audio vector against a grid of image vectors: what most models do."""

import torch
from torch import nn

from vssl.models.base import CheckpointLayout, LocalizationModel, dot_maps, unit


class TwoTower(LocalizationModel):
    map_size = (14, 14)
    value_range = (-1.0, 1.0)
    checkpoint = CheckpointLayout(wrapper="state_dict", unused=("loss.*",))

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(3, channels, 16, stride=16), nn.GELU())
        self.listen = nn.Sequential(nn.Conv2d(1, channels, (257, 9)), nn.GELU())

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return unit(self.look(images))  # [N, 3, 224, 224] to [N, C, 14, 14]

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        return unit(self.listen(inputs).mean(dim=(2, 3)))  # [M, 1, 257, T] to [M, C]

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        return dot_maps(image_features, audio_features)  # and [N, K, C] to [N, K, 14, 14]
