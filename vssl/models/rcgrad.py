"""RCGrad (Wu et al., 2022): How to Listen? Rethinking Visual Sound Localization."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from vssl.core.checks import check_choice
from vssl.frontends import power_spectrogram
from vssl.models.base import CheckpointLayout, LocalizationModel, dot_maps, unit
from vssl.models.resnet import ResNet18

_HOP = 353


class AudioEncoder(ResNet18):
    """Spectrogram with the checkpoint's window, and ResNet-18; `standardization` as of `RCGrad`."""

    def __init__(self, standardization: str) -> None:
        super().__init__(channels_in=1)
        check_choice(standardization, ("corrected", "released"), name="standardization")
        self.spectrogram = nn.Module()
        self.spectrogram.window = nn.Buffer(torch.hann_window(512))
        self.standardization = standardization

    def forward(self, x: Tensor) -> Tensor:
        """Map waveforms `[M, T]` to vectors `[M, 512]`."""
        return super().forward(self._spectrograms(x)[:, None]).mean(dim=(2, 3))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _spectrograms(self, waveforms: Tensor) -> Tensor:
        """Log power spectrograms `[M, 257, T / 353 + 1]`, each with mean 0 and deviation 1."""
        window: Tensor = self.spectrogram.window  # type: ignore[assignment]
        with torch.autocast(waveforms.device.type, enabled=False):
            logs = torch.log(power_spectrogram(waveforms.float(), window, _HOP) + 1e-7)
            # one by one, as the authors' batches hold one clip
            return torch.stack([self._standardized(each) for each in logs])

    def _standardized(self, logs: Tensor) -> Tensor:
        if self.standardization == "corrected":
            exact = logs.double()
            return ((exact - exact.mean()) / (exact.std() + 1e-9)).float()
        # float32 sums depend on the number of threads, and silence is only their rounding
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            on_cpu = logs.cpu()
            mean, deviation = on_cpu.mean(), on_cpu.std()
        finally:
            torch.set_num_threads(threads)
        return (logs - mean.to(logs.device)) / (deviation.to(logs.device) + 1e-9)


class RCGrad(LocalizationModel):
    """Two ResNet-18s; Grad-CAM of the image's features for the audio vector.

    The published map is Grad-CAM at `layer4` for a gradient seeded with the audio vector. Only an
    average pool follows that layer, so the gradient is audio / (h w) at every position and the
    similarity map is `relu(sum_c audio_c feature_c) / (h w)`, without a backward pass. Upsampled it
    is stretched to [0, 1] and cut at its median (`map_transform`). Its maximum is always 1, so no
    universal threshold can work. `RCGradRaw` has no such transform.

    Args:
        standardization: precision of bringing the log spectrogram to mean 0 and deviation 1.
            `released`: float32, where the constant spectrogram of silence becomes the rounding
            error of its mean over itself, about 1 or -1 (as on one CPU thread); `corrected`:
            float64, where it becomes 0.

    Raises:
        UsageError: for another standardization.
    """

    map_size = (14, 14)
    value_range = (0.0, math.inf)
    map_transform = "stretch_and_clip"
    checkpoint = CheckpointLayout(
        wrapper=None,
        unused=("image_encoder.conv1_a.*", "image_encoder.conv1_flow.*", "image_encoder.fc.*"),
    )

    def __init__(self, *, standardization: Literal["corrected", "released"] = "corrected") -> None:
        super().__init__()
        self.image_encoder = ResNet18(last_stride=1)
        self.audio_encoder = AudioEncoder(standardization)

    def encode_image(self, images: Tensor) -> Tensor:
        """Map `[N, 3, 224, 224]` to features `[N, 512, 14, 14]`, not normalized."""
        features: Tensor = self.image_encoder(images)
        return features

    def encode_audio(self, inputs: Tensor) -> Tensor:
        """Map waveforms `[M, T]` at 16 kHz to vectors `[M, 512]`, not normalized."""
        vectors: Tensor = self.audio_encoder(inputs)
        return vectors

    def similarity(self, image_features: Tensor, audio_features: Tensor) -> Tensor:
        """Maps `relu(dot product) / (h w)`, `[N, K, 14, 14]`."""
        positions = image_features.shape[2] * image_features.shape[3]
        return dot_maps(image_features, audio_features).relu() / positions


class RCGradRaw(RCGrad):
    """RCGrad's map as a cosine without scaling, so that one threshold can serve all images."""

    value_range = (-1.0, 1.0)
    map_transform = "none"

    def similarity(self, image_features: Tensor, audio_features: Tensor) -> Tensor:
        """Cosine maps `[N, K, 14, 14]`."""
        return dot_maps(unit(image_features), unit(audio_features, dim=2))
