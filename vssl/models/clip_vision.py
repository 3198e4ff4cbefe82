"""CLIP's vision transformer (Radford et al., ICML 2021), and the relevance of its patches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vssl.core.extras import extra
from vssl.models.base import unit

with extra("models"):
    from transformers.models.clip.configuration_clip import CLIPVisionConfig
    from transformers.models.clip.modeling_clip import CLIPVisionModel

_QUICK = 1.702  # of CLIP's activation x sigmoid(1.702 x)


class VisionTransformer(nn.Module):
    """CLIP's vision transformer, open at the attention of its last block.

    Names of parameters are those of Hugging Face's files.

    Args:
        sizes: those of `CLIPVisionConfig` in transformers that are not ViT-B/32's.
    """

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        super().__init__()
        config: Any = CLIPVisionConfig(**{**sizes, "hidden_act": "quick_gelu"})
        widths = config.hidden_size, config.projection_dim
        with torch.device("meta"):  # all values come from the file, but positions
            self.vision_model: Any = CLIPVisionModel(config)
            self.visual_projection = nn.Linear(*widths, bias=False)
            self.logit_scale = nn.Parameter(torch.empty(()))
        self.grid = (config.image_size // config.patch_size,) * 2
        positions = torch.arange(1 + math.prod(self.grid))[None]
        self.vision_model.embeddings.register_buffer("position_ids", positions, persistent=False)
        self.heads = config.num_attention_heads

    def forward(self, images: Tensor) -> Tensor:
        """Run all blocks up to the last attention, whose class row alone is computed.

        Returns:
            `[N, 1 + h w, C]` of images `[N, 3, H, W]`: the class token after the attention and its
            shortcut; then what each patch gives to it, its values times its attention probability.
        """
        network = self.vision_model
        tokens = network.pre_layrnorm(network.embeddings(images))
        *others, last = network.encoder.layers
        for block in others:
            tokens = block(tokens, None)
        normed = last.layer_norm1(tokens)
        query = self._by_head(last.self_attn.q_proj(normed[:, 0]))
        keys = self._by_head(last.self_attn.k_proj(normed))
        values = self._by_head(last.self_attn.v_proj(normed))
        logits = torch.einsum("nhc,nthc->nth", query, keys) / math.sqrt(query.shape[-1])
        given = (logits.softmax(dim=1)[..., None] * values).flatten(2)
        token = tokens[:, :1] + last.self_attn.out_proj(given.sum(dim=1, keepdim=True))
        return torch.cat([token, given[:, 1:]], dim=1)

    def relevance(self, features: Tensor, vectors: Tensor) -> Tensor:
        """Attention times gradient: how much each patch raises the logit of image and vector.

        The logit is exp(logit_scale) cos(embedding, vector). With its gradient g at the class
        token after the last attention, W the output projection, a[j] the attention probability of
        patch j and v[j] its value, the gradient at a[j] is <v[j], (W' g)>, in each head. The map
        is the mean over heads of max(0, a[j] <v[j], (W' g)>). Source: Chefer et al. (ICCV 2021),
        equations 5 and 6 with one block, as in CLIPTran's `modules/transformer_mm.py`.

        Args:
            features: `[N, 1 + h w, C]` of `forward`.
            vectors: `[N, K, D]`, of any length.

        Returns:
            `[N, K, h, w]`, not negative.
        """
        last, final = self.vision_model.encoder.layers[-1], self.vision_model.post_layernorm
        token = features[:, 0]
        hidden = last.mlp.fc1(last.layer_norm2(token))
        gate = torch.sigmoid(_QUICK * hidden)
        output = token + last.mlp.fc2(hidden * gate)
        embedding = self.visual_projection(final(output))
        # from here on backward, for each pair
        image, vectors = unit(embedding)[:, None], unit(vectors, dim=2)
        cosine = (image * vectors).sum(dim=2, keepdim=True)
        scale = self.logit_scale.exp() / embedding.norm(dim=1).view(-1, 1, 1)
        at_embedding = scale * (vectors - cosine * image)
        at_output = _through_norm(at_embedding @ self.visual_projection.weight, output, final)
        slope = gate * (1 + _QUICK * hidden * (1 - gate))
        at_hidden = (at_output @ last.mlp.fc2.weight) * slope[:, None]
        at_norm = at_hidden @ last.mlp.fc1.weight
        at_token = at_output + _through_norm(at_norm, token, last.layer_norm2)
        at_given = self._by_head(at_token @ last.self_attn.out_proj.weight)
        by_head = torch.einsum("nthc,nkhc->nkth", self._by_head(features[:, 1:]), at_given)
        return by_head.relu().mean(dim=3).view(*vectors.shape[:2], *self.grid)

    def _by_head(self, x: Tensor) -> Tensor:
        """Channels `[..., C]` by head, `[..., heads, C / heads]`."""
        return x.reshape(*x.shape[:-1], self.heads, -1)


def _through_norm(gradient: Tensor, inputs: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Gradient `[N, K, C]` at a layer norm's output to that at its input `[N, C]`."""
    variance, mean = torch.var_mean(inputs, dim=1, keepdim=True, correction=0)
    deviation = (variance + norm.eps).sqrt()
    normed = ((inputs - mean) / deviation)[:, None]
    gradient = gradient * norm.weight
    along = (gradient * normed).mean(dim=2, keepdim=True)
    return (gradient - gradient.mean(dim=2, keepdim=True) - normed * along) / deviation[:, None]


_HUGGING_FACE = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.": "vision_model.embeddings.patch_embedding.",
    "visual.ln_pre.": "vision_model.pre_layrnorm.",
    "visual.transformer.resblocks.": "vision_model.encoder.layers.",
    "visual.ln_post.": "vision_model.post_layernorm.",
    "visual.proj": "visual_projection.weight",
    ".attn.": ".self_attn.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
}


def from_openai(entries: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn entries of OpenAI's file into those of Hugging Face's; these stay as they are.

    Half precision becomes float32, and the one matrix of queries, keys and values becomes three.
    """
    found: dict[str, Tensor] = {}
    for key, value in entries.items():
        if not key.startswith("visual."):
            found[key] = value
            continue
        for openai, hugging_face in _HUGGING_FACE.items():
            key = key.replace(openai, hugging_face)
        value = value.float() if value.dtype == torch.float16 else value
        if ".in_proj_" in key and value.ndim:
            for letter, rows in zip("qkv", value.chunk(3), strict=False):
                found[key.replace(".in_proj_", f".{letter}_proj.")] = rows
        else:
            found[key] = value.T.contiguous() if key == "visual_projection.weight" else value
    return found
