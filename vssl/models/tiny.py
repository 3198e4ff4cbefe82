"""A small network that is trained on the embedded benchmark in minutes, on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vssl.models.base import CheckpointLayout, LocalizationModel, unit


class Tiny(LocalizationModel):
    """Two convolutional encoders and a cosine, 0.23 M parameters together. Ours.

    Three trainings of it are bundled (`conf/model/tiny_*.yaml`): on positives, on shuffled sounds,
    and with silence and noise as negatives. How they were made: `vssl-train model=tiny_san`.

    Args:
        channels: length of the vectors that are compared.
    """

    map_size = (14, 14)
    value_range = (-1.0, 1.0)
    checkpoint = CheckpointLayout(wrapper=None)

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.look = nn.Sequential(
            _Convolution(3, 24, stride=2),
            _Convolution(24, 48, stride=2),
            _Convolution(48, 80, stride=2),
            _Residual(80, dilation=2),
            nn.Conv2d(80, channels, 1),
        )
        self.listen = nn.Sequential(
            nn.BatchNorm2d(1),  # brings decibels to unit variance
            _Convolution(1, 16, stride=2),
            _Convolution(16, 32, stride=2),
            _Convolution(32, 64, stride=2),
            _Convolution(64, 64, stride=(2, 1)),
        )
        self.tell = nn.Linear(128, channels)

    def encode_image(self, images: Tensor) -> Tensor:
        """Map `[N, 3, 112, 112]` to unit vectors on a grid `[N, C, 14, 14]`."""
        return unit(self.look(images))

    def encode_audio(self, inputs: Tensor) -> Tensor:
        """Map mel spectrograms in dB `[M, 1, F, T]` to unit vectors `[M, C]`."""
        features = self.listen(inputs)
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return unit(self.tell(pooled))


class _Convolution(nn.Sequential):
    """A 3 x 3 convolution, normalized and rectified."""

    def __init__(
        self, before: int, after: int, *, stride: int | tuple[int, int] = 1, dilation: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(
                before, after, 3, stride=stride, padding=dilation, dilation=dilation, bias=False
            ),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        )


class _Residual(nn.Module):
    """Two convolutions, the second dilated to cover whole objects, with a shortcut."""

    def __init__(self, channels: int, *, dilation: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            _Convolution(channels, channels),
            _Convolution(channels, channels, dilation=dilation),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features `[N, C, h, w]` to features of the same shape."""
        improved: Tensor = features + self.path(features)
        return improved
