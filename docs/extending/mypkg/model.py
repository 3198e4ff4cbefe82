"""Brightness of the image times loudness of the sound."""

import torch

from vssl.models.base import LocalizationModel


class Bright(LocalizationModel):
    map_size = (14, 14)
    value_range = (0.0, 1.0)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images.mean(dim=1), 14).sigmoid()

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.square().mean(dim=1).sqrt().clamp(max=1)  # waveforms [M, T] to [M]

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        return image_features[:, None] * audio_features[..., None, None]  # [N, K, 14, 14]
