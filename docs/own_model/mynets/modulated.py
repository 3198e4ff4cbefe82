"""The sound steers the image network: every pair of image and sound has a pass of its own."""

import torch
from torch import nn

from vssl.frontends import FrontEnd
from vssl.models.base import CheckpointLayout, LocalizationModel
from vssl.types import ImageBatch


class Envelope(FrontEnd):
    """Loudness over time, one value in 10 ms."""

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Waveforms `[M, T]` to envelopes `[M, T / 160]`."""
        return waveforms.unfold(1, 160, 160).square().mean(dim=2).sqrt()


class Modulated(LocalizationModel):
    map_size = (28, 28)
    value_range = (0.0, 1.0)
    checkpoint = CheckpointLayout(wrapper=None)

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 32, 8, stride=8)
        self.listen = nn.Sequential(nn.Linear(300, 64), nn.GELU(), nn.Linear(64, 64))
        self.point = nn.Conv2d(32, 1, 3, padding=1)

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.listen(inputs)  # envelopes [M, 300] to scales and shifts [M, 64]

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        features = self.look(batch.images)  # [N, 32, 28, 28], once per image
        maps = []
        for sound in audio_features.unbind(dim=1):  # K sounds [N, 64], the same for each image
            scale, shift = sound[..., None, None].chunk(2, dim=1)
            maps.append(self.point(torch.relu(features * scale + shift))[:, 0].sigmoid())
        return torch.stack(maps, dim=1)  # [N, K, 28, 28]
