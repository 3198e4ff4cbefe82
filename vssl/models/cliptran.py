"""CLIPTran (Wu et al., 2022): How to Listen? Rethinking Visual Sound Localization."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vssl.models.base import CheckpointLayout, LocalizationModel
from vssl.models.clip_vision import VisionTransformer, from_openai
from vssl.models.rcgrad import AudioEncoder

_CHUNK = 32  # images, and sounds, that are compared at a time


class Wav2CLIP(nn.Module):
    """Wav2CLIP (Wu et al., ICASSP 2022): a sound's vector in CLIP's space.

    Args:
        standardization: see `CLIPTran`.
    """

    def __init__(self, standardization: str) -> None:
        super().__init__()
        self.audio_encoder = AudioEncoder(standardization)
        self.audio_transform = nn.Module()
        self.audio_transform.sequential = nn.Sequential(
            nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.1), nn.Linear(512, 512)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map waveforms `[M, T]` to vectors `[M, 512]`."""
        vectors: Tensor = self.audio_transform.sequential(self.audio_encoder(x))  # type: ignore[operator]
        return vectors


class CLIPTran(LocalizationModel):
    """CLIP's image network and Wav2CLIP; relevance of CLIP's last attention for the audio vector.

    The map says how much each patch raises the logit of image and sound: attention of the class
    token times its gradient, where positive, mean over heads (`VisionTransformer.relevance`). The
    gradient is in closed form, so an image is encoded once for all sounds, and each further sound
    costs a backward pass of the class token through one block. Upsampled the map is stretched to
    [0, 1] and cut at its median (`map_transform`), as RCGrad's.

    Args:
        standardization: precision of bringing the log spectrogram to mean 0 and deviation 1, see
            `vssl.models.rcgrad.RCGrad`.
        vision: sizes of CLIP's network, see `VisionTransformer`; None for ViT-B/32.

    Raises:
        UsageError: for another standardization, or without transformers.
    """

    map_size = (7, 7)
    value_range = (0.0, math.inf)
    map_transform = "stretch_and_clip"
    checkpoint = {
        "image": CheckpointLayout(
            wrapper=None,
            unused=(
                # text network and sizes, of OpenAI's file
                *("token_embedding.*", "positional_embedding", "transformer.*", "ln_final.*"),
                *("text_projection", "input_resolution", "context_length", "vocab_size"),
                # text network and numbers of positions, of Hugging Face's
                *("text_model.*", "text_projection.weight", "*.position_ids"),
            ),
            convert=from_openai,
        ),
        "audio": CheckpointLayout(wrapper=None, heads=True),
    }

    def __init__(
        self,
        *,
        standardization: Literal["corrected", "released"] = "corrected",
        vision: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.image = VisionTransformer(vision or {})
        self.audio = Wav2CLIP(standardization)
        self.map_size = self.image.grid

    def encode_image(self, images: Tensor) -> Tensor:
        """Map `[N, 3, 224, 224]` to `[N, 50, 768]`: class token, and what 49 patches give to it."""
        features: Tensor = self.image(images)
        return features.float()

    def encode_audio(self, inputs: Tensor) -> Tensor:
        """Map waveforms `[M, T]` at 16 kHz to vectors `[M, 512]`, not normalized."""
        vectors: Tensor = self.audio(inputs)
        return vectors

    def similarity(self, image_features: Tensor, audio_features: Tensor) -> Tensor:
        """Maps of attention times gradient, `[N, K, 7, 7]`, in float32 and bounded memory."""
        with torch.autocast(image_features.device.type, enabled=False):
            chunks = zip(
                torch.split(image_features.float(), _CHUNK),
                torch.split(audio_features.float(), _CHUNK),
                strict=True,
            )
            return torch.cat([self._maps(images, sounds) for images, sounds in chunks])

    def _maps(self, images: Tensor, sounds: Tensor) -> Tensor:
        parts = torch.split(sounds, _CHUNK, dim=1)
        return torch.cat([self.image.relevance(images, part) for part in parts], dim=1)
