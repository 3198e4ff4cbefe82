"""SLAVC (Mo and Morgado, NeurIPS 2022).

A Closer Look at Weakly-Supervised Audio-Visual Source Localization.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vssl.models.base import CheckpointLayout, LocalizationModel, dot_maps, unit
from vssl.models.resnet import ResNet18


class SLAVC(LocalizationModel):
    """EZ-VSL's encoders with two projections each, one trained to localize, one to tell apart.

    The map is the mean of the two cosines `s`, as `(s + 1) / 2` (docs/protocols.md, R13). The
    momentum twins of all parts, also in the checkpoint, serve the training only.
    """

    map_size = (7, 7)
    value_range = (0.0, 1.0)
    checkpoint = CheckpointLayout(wrapper="model", unused=("momentum_*",))

    def __init__(self) -> None:
        super().__init__()
        self.imgnet = ResNet18()
        self.audnet = ResNet18(channels_in=1)
        self.img_proj1 = nn.Conv2d(512, 512, 1)
        self.img_proj2 = nn.Conv2d(512, 512, 1)
        self.aud_proj1 = nn.Linear(512, 512)
        self.aud_proj2 = nn.Linear(512, 512)

    def encode_image(self, images: Tensor) -> Tensor:
        """Map `[N, 3, 224, 224]` to two unit vectors, one after the other, `[N, 1024, 7, 7]`."""
        features = self.imgnet(images)
        return torch.cat([unit(self.img_proj1(features)), unit(self.img_proj2(features))], dim=1)

    def encode_audio(self, inputs: Tensor) -> Tensor:
        """Map log spectrograms `[M, 1, 257, 200]` to two unit vectors, `[M, 1024]`."""
        features = self.audnet(inputs).amax(dim=(2, 3))
        return torch.cat([unit(self.aud_proj1(features)), unit(self.aud_proj2(features))], dim=1)

    def similarity(self, image_features: Tensor, audio_features: Tensor) -> Tensor:
        """Maps `(mean of the two cosines + 1) / 2`, `[N, K, 7, 7]`."""
        return (dot_maps(image_features, audio_features) / 2 + 1) / 2
