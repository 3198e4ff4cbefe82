"""Aligners of DenseAV: image and audio features become vectors that are compared.

Source: mhamilton723/DenseAV aligners.py, `image_linear` and `audio_sa_3_3_pool_2`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vssl.core.extras import extra

with extra("models"):
    from transformers.models.vit.configuration_vit import ViTConfig
    from transformers.models.vit.modeling_vit import ViTLayer

_EPS = 1e-4
_HEADS = 6


class ImageAligner(nn.Module):
    """Layer norm and a linear layer for every position, and another layer for the class token."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=_EPS)
        self.layer = nn.Conv2d(channels, code, 1)
        self.cls_layer = nn.Linear(channels, code)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Map tokens `[N, 1 + h w, channels]` to `[N, code, h, w]`, and the first to `[N, code]`.

        The class token is not normalized.
        """
        side = math.isqrt(tokens.shape[1])
        grid = self.norm(tokens[:, 1:]).transpose(1, 2).unflatten(2, (side, side))
        return self.layer(grid), self.cls_layer(tokens[:, 0])


class AudioAligner(nn.Module):
    """Two convolutions over time at stride 3, and a block of DINO's with a learnt class token."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=_EPS)
        self.pools = nn.Sequential(
            nn.Conv2d(channels, code, (1, 3), stride=(1, 3)),
            nn.Conv2d(code, code, (1, 3), stride=(1, 3)),
        )
        self.cls_layer = nn.Linear(channels, code)
        self.padding = -code % _HEADS
        width = code + self.padding
        config = ViTConfig(
            hidden_size=width,
            num_attention_heads=_HEADS,
            intermediate_size=4 * width,
            layer_norm_eps=_EPS,
        )
        config._attn_implementation = "eager"  # which a whole network of transformers sets itself
        self.block = ViTLayer(config)

    def forward(self, frames: Tensor, class_token: Tensor) -> tuple[Tensor, Tensor]:
        """Map frames `[M, T, channels]` to `[M, T // 9, code]`, and a class token to `[M, code]`.

        The class token `[channels]` is the same for all sounds. Frames attend to it.
        """
        pooled = self.pools(self.norm(frames).transpose(1, 2)[:, :, None])[:, :, 0]
        first = self.cls_layer(self.norm(class_token)).expand(len(frames), 1, -1)
        tokens = F.pad(torch.cat([first, pooled.transpose(1, 2)], dim=1), (self.padding, 0))
        aligned = self.block(tokens)[..., self.padding :]
        return aligned[:, 1:], aligned[:, 0]
