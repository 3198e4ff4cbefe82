"""BEATs (Chen et al., ICML 2023); what the paper leaves open as in microsoft/unilm beats/."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vssl.models.checkpoints import WeightsError

WIDTH, HEADS, LAYERS = 768, 12, 12
_RESIDUAL = (2 * LAYERS) ** 0.25  # DeepNorm's factor

_CFG = {  # of all published files
    "embed_dim": 512, "encoder_embed_dim": WIDTH, "encoder_ffn_embed_dim": 3072, "conv_bias": False,
    "encoder_attention_heads": HEADS, "encoder_layers": LAYERS, "input_patch_size": 16,
    "conv_pos": 128, "conv_pos_groups": 16, "activation_fn": "gelu", "layer_norm_first": False,
    "deep_norm": True, "relative_position_embedding": True, "gru_rel_pos": True,
}  # fmt: skip
_IF_ABSENT = {  # the authors' defaults, where they are others
    "input_patch_size": -1, "deep_norm": False, "relative_position_embedding": False,
    "gru_rel_pos": False, "num_buckets": 320, "max_distance": 1280,
}  # fmt: skip


def options_of(content: object) -> dict[str, int]:
    """Read the arguments of `BEATs` from a published file, `{"cfg": ..., "model": ...}`.

    Raises:
        WeightsError: when it does not say how its network is built, or is of another network.
    """
    cfg = content.get("cfg") if isinstance(content, Mapping) else None
    if not isinstance(cfg, Mapping):
        raise WeightsError("has no `cfg` beside its weights, which says how BEATs is built.")
    facts = {**_CFG, **_IF_ABSENT, **cfg}
    if others := {key: facts[key] for key, value in _CFG.items() if facts[key] != value}:
        raise WeightsError(f"is another network than the published BEATs: its cfg has {others}.")
    return {key: facts[key] for key in ("num_buckets", "max_distance")}


class BEATs(nn.Module):
    """A transformer on patches of a log mel spectrogram.

    Args:
        num_buckets: rows of the table of position biases; half of them are for later patches.
        max_distance: distance of two patches from which on all share the last row.
    """

    def __init__(self, *, num_buckets: int = 320, max_distance: int = 800) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(1, 512, 16, 16, bias=False)
        self.layer_norm = nn.LayerNorm(512)
        self.post_extract_proj = nn.Linear(512, WIDTH)
        self.encoder = _Encoder(num_buckets, max_distance)

    def forward(self, spectrograms: Tensor) -> list[Tensor]:
        """Outputs `[M, L, 768]` of the 12 layers for spectrograms `[M, frames, bands]`.

        L patches, all bands of a time after one another: 62 x 8 of 998 frames and 128 bands.
        """
        patches = self.patch_embedding(spectrograms[:, None]).flatten(2).transpose(1, 2)
        return list(self.encoder(self.post_extract_proj(self.layer_norm(patches))))


class _Encoder(nn.Module):
    """Positions by a convolution, and transformer layers with a bias by distance."""

    def __init__(self, num_buckets: int, max_distance: int) -> None:
        super().__init__()
        self.pos_conv = nn.Sequential(_PositionConv())
        self.layer_norm = nn.LayerNorm(WIDTH)
        table = nn.Embedding(num_buckets, HEADS)  # one, which the file lists in each layer
        self.layers = nn.ModuleList(_Layer(table) for _ in range(LAYERS))
        self.num_buckets, self.max_distance = num_buckets, max_distance

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.layer_norm(x + self.pos_conv(x))
        buckets = self._buckets(x.shape[1]).to(x.device)
        outputs = []
        for layer in self.layers:
            outputs.append(x := layer(x, buckets))
        return outputs

    def _buckets(self, length: int) -> Tensor:
        """Bucket `[L, L]` of query i and key j: |j - i|, in logarithmic steps from a quarter on."""
        half, exact = self.num_buckets // 2, self.num_buckets // 4
        offset = torch.arange(length)[None] - torch.arange(length)[:, None]
        distance = offset.abs()
        growth = torch.log(distance.float() / exact) / math.log(self.max_distance / exact)
        far = (exact + (growth * (half - exact)).long()).clamp(max=half - 1)
        return torch.where(distance < exact, distance, far) + half * (offset > 0)


class _PositionConv(nn.Module):
    """A grouped convolution over the sequence, its weight normalized at each tap, and GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(1, 1, 128))
        self.weight_v = nn.Parameter(torch.randn(WIDTH, WIDTH // 16, 128))
        self.bias = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight_g * self.weight_v / self.weight_v.norm(dim=(0, 1), keepdim=True)
        positions = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=64, groups=16)
        return F.gelu(positions[:, :, :-1]).transpose(1, 2)


class _Layer(nn.Module):
    """Attention and two linear layers, each with a norm behind its residual sum."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.self_attn = _Attention(table)
        self.self_attn_layer_norm = nn.LayerNorm(WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 3072), nn.Linear(3072, WIDTH)
        self.final_layer_norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, buckets: Tensor) -> Tensor:
        x = self.self_attn_layer_norm(_RESIDUAL * x + self.self_attn(x, buckets))
        changed: Tensor = self.final_layer_norm(_RESIDUAL * x + self.fc2(F.gelu(self.fc1(x))))
        return changed


class _Attention(nn.Module):
    """Self-attention with a position bias that each query scales by a gate."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.v_proj, self.out_proj = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.relative_attention_bias = table
        self.grep_linear = nn.Linear(WIDTH // HEADS, 8)
        self.grep_a = nn.Parameter(torch.ones(1, HEADS, 1, 1))

    def forward(self, x: Tensor, buckets: Tensor) -> Tensor:
        queries, keys, values = (
            project(x).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        gates = self.grep_linear(queries).unflatten(3, (2, 4)).sum(dim=4).sigmoid()
        gate = gates[..., :1] * (gates[..., 1:] * self.grep_a - 1) + 2
        bias = gate * self.relative_attention_bias(buckets).permute(2, 0, 1)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        attended: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return attended
