"""CLIPTran (Wu et al., 2022): How to Listen? Rethinking Visual Sound Localization."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vssl.core.checks import check_choice
from vssl.core.extras import extra
from vssl.models.base import CheckpointLayout, LocalizationModel, unit
from vssl.models.rcgrad import AudioEncoder

with extra("models"):
    from transformers.models.clip.configuration_clip import CLIPVisionConfig
    from transformers.models.clip.modeling_clip import CLIPVisionModel

_CHUNK = 32  # images, and sounds, that are compared at a time
_QUICK = 1.702  # of CLIP's activation x sigmoid(1.702 x)


class VisionTransformer(nn.Module):
    """CLIP's vision transformer (Radford et al., ICML 2021), open at its last attention.

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
        check_choice(standardization, ("corrected", "released"), name="standardization")
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
