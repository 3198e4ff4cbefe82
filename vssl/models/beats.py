"""BEATs (Chen et al., ICML 2023): Audio Pre-Training with Acoustic Tokenizers.

Where the paper leaves something open, this follows beats/backbone.py of microsoft/unilm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vssl.models.checkpoints import WeightsError

WIDTH, HEADS, LAYERS = 768, 12, 12
_ALPHA = (2 * LAYERS) ** 0.25  # of DeepNorm

_CFG = {  # of every published file
    "embed_dim": 512, "encoder_embed_dim": WIDTH, "encoder_ffn_embed_dim": 3072,
    "encoder_attention_heads": HEADS, "encoder_layers": LAYERS, "input_patch_size": 16,
    "conv_pos": 128, "conv_pos_groups": 16, "conv_bias": False, "activation_fn": "gelu",
    "layer_norm_first": False, "deep_norm": True, "relative_position_embedding": True,
    "gru_rel_pos": True,
}  # fmt: skip
_IF_ABSENT = {  # the authors' defaults, where they are others
    "input_patch_size": -1, "deep_norm": False, "relative_position_embedding": False,
    "gru_rel_pos": False, "num_buckets": 320, "max_distance": 1280,
}  # fmt: skip


def options_of(content: Any) -> dict[str, int]:
    """Read the arguments of `BEATs` from a published file, `{"cfg": ..., "model": ...}`.

    Raises:
        WeightsError: when it does not say how its network is built, or of another architecture.
    """
    cfg = content.get("cfg") if isinstance(content, Mapping) else None
    if not isinstance(cfg, Mapping):
        raise WeightsError("has no `cfg` beside its weights, which says how BEATs is built.")
    facts = {**_CFG, **_IF_ABSENT, **cfg}
    if others := {key: facts[key] for key, value in _CFG.items() if facts[key] != value}:
        raise WeightsError(
            f"is another architecture than the published BEATs: its cfg has {others}."
        )
    return {key: int(facts[key]) for key in ("num_buckets", "max_distance")}


class BEATs(nn.Module):
    """The encoder: patches of a spectrogram, positions by a convolution, 12 transformer layers.

    Args:
        num_buckets: rows of the table of position biases, half of them for later keys.
        max_distance: number of patches from which on positions share a bucket.
    """

    def __init__(self, *, num_buckets: int = 320, max_distance: int = 800) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(1, 512, 16, 16, bias=False)
        self.layer_norm = nn.LayerNorm(512)
        self.post_extract_proj = nn.Linear(512, WIDTH)
        self.encoder = nn.Module()
        self.encoder.pos_conv = nn.Sequential(_PositionConv())
        self.encoder.layer_norm = nn.LayerNorm(WIDTH)
        table = nn.Embedding(num_buckets, HEADS)  # one, which the file lists in each layer
        self.encoder.layers = nn.ModuleList(_Layer(table) for _ in range(LAYERS))
        self.max_distance = max_distance

    def forward(self, spectrograms: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Encode log mel spectrograms `[M, frames, bands]`.

        Returns:
            Outputs `[M, L, width]` of the layers with these numbers, from 1. L patches, time by
            time: 62 x 8 of 998 frames with 128 bands.
        """
        patches = self.patch_embedding(spectrograms[:, None]).flatten(2).transpose(1, 2)
        x = self.post_extract_proj(self.layer_norm(patches))
        x = self.encoder.layer_norm(x + self.encoder.pos_conv(x))  # type: ignore[operator]
        blocks: nn.ModuleList = self.encoder.layers  # type: ignore[assignment]
        bias = self._position_bias(x.shape[1], blocks[0].self_attn.relative_attention_bias.weight)
        outputs = []
        for block in blocks[: max(layers)]:
            x = block(x, bias)
            outputs.append(x)
        return [outputs[number - 1] for number in layers]

    def _position_bias(self, length: int, table: Tensor) -> Tensor:
        """Bias `[heads, L, L]` of query i and key j, looked up by the bucket of j - i."""
        half = len(table) // 2
        exact = half // 2
        offset = torch.arange(length)[None] - torch.arange(length)[:, None]
        distance = offset.abs()
        growth = torch.log(distance.float() / exact) / math.log(self.max_distance / exact)
        far = (exact + (growth * (half - exact)).long()).clamp(max=half - 1)
        bucket = torch.where(distance < exact, distance, far) + half * (offset > 0)
        return table[bucket.to(table.device)].permute(2, 0, 1)


class _PositionConv(nn.Module):
    """A grouped convolution over the sequence, whose weight has a norm for each tap, and GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(1, 1, 128))
        self.weight_v = nn.Parameter(torch.randn(WIDTH, WIDTH // 16, 128))
        self.bias = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(0, 1), keepdim=True))
        positions = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=64, groups=16)
        return F.gelu(positions[:, :, :-1]).transpose(1, 2)


class _Attention(nn.Module):
    """Self-attention with a position bias that each query scales by a gate (section 3.2)."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.q_proj = nn.Linear(WIDTH, WIDTH)
        self.k_proj = nn.Linear(WIDTH, WIDTH)
        self.v_proj = nn.Linear(WIDTH, WIDTH)
        self.out_proj = nn.Linear(WIDTH, WIDTH)
        self.relative_attention_bias = table
        self.grep_linear = nn.Linear(WIDTH // HEADS, 8)
        self.grep_a = nn.Parameter(torch.ones(1, HEADS, 1, 1))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        queries, keys, values = (
            project(x).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        gates = self.grep_linear(queries).unflatten(3, (2, 4)).sum(dim=4).sigmoid()
        update, reset = gates.chunk(2, dim=3)
        gate = update * (reset * self.grep_a - 1) + 2
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=gate * bias)
        attended: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return attended


class _Layer(nn.Module):
    """Attention and two linear layers, with residuals scaled as in DeepNorm."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.self_attn = _Attention(table)
        self.self_attn_layer_norm = nn.LayerNorm(WIDTH)
        self.fc1 = nn.Linear(WIDTH, 3072)
        self.fc2 = nn.Linear(3072, WIDTH)
        self.final_layer_norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.self_attn_layer_norm(_ALPHA * x + self.self_attn(x, bias))
        return self.final_layer_norm(_ALPHA * x + self.fc2(F.gelu(self.fc1(x))))
