"""ACL (Park et al., WACV 2024): Can CLIP Help Sound Source Localization?"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vssl.core.extras import extra
from vssl.models.audio_token import AudioToken, Mask
from vssl.models.base import CheckpointLayout, LocalizationModel
from vssl.models.beats import BEATs, options_of

with extra("models"):
    from transformers.models.clipseg.configuration_clipseg import CLIPSegConfig
    from transformers.models.clipseg.modeling_clipseg import CLIPSegForImageSegmentation

# begin, 'A photo of ', end: the sound comes before the end
_PROMPT = (49406, 320, 1125, 539, 49407)
_BEATS_LAYERS = (4, 8, 12)
_PAIRS = {"cpu": 4, "cuda": 64}  # decoded at once, in about 10 MB each; on a CPU 4 fit its caches


class ACL(LocalizationModel):
    """CLIPSeg, with a sound in place of an object's name.

    BEATs and AudioToken make a word of the sound for CLIP's text network, as in 'A photo of {}'.
    The vector of that sentence steers CLIPSeg's decoder, which sees CLIP's image tokens of three
    layers. The decoder runs for each pair of an image and a sound, a few pairs at a time.
    """

    map_size = (224, 224)
    value_range = (0.0, 1.0)
    checkpoint = {
        "clipseg": CheckpointLayout(
            wrapper=None,
            unused=(
                "*.position_ids",
                "clip.logit_scale",
                "clip.visual_projection.weight",
                "clip.vision_model.post_layernorm.*",
                "clip.vision_model.encoder.layers.1[01].*",  # the decoder takes layers 4, 7 and 10
            ),
        ),
        "beats": CheckpointLayout(wrapper="model", unused=("predictor.*",)),
        "acl": CheckpointLayout(
            wrapper=None,
            nested=True,
            rename={
                "audio_proj.fga.un_models.0.embed.": "audio_proj.unary.0.",
                "audio_proj.fga.un_models.0.feature_reduce.": "audio_proj.unary.2.",
                "audio_proj.fga.pp_models.0.embed_": "audio_proj.pairwise_",
                "audio_proj.fga.reduce_potentials.0.": "audio_proj.mix.",
            },
        ),
    }

    def __init__(self) -> None:
        super().__init__()
        with torch.device("meta"):  # all values come from the files
            self.clipseg = _make_clipseg()
            self.beats = BEATs()
            self.acl = nn.ModuleDict({"audio_proj": AudioToken(), "masker_i": Mask()})
        clip = self.clipseg.clip
        for embeddings in (clip.text_model.embeddings, clip.vision_model.embeddings):
            positions = embeddings.position_embedding.num_embeddings
            embeddings.position_ids = torch.arange(positions)[None]  # in no file

    def adapt(self, part: str, content: Any) -> None:
        """Build BEATs as its file says; see `Pretrained.adapt`."""
        if part == "beats":
            options = options_of(content)
            with torch.device("meta"):
                self.beats = BEATs(**options)

    def encode_image(self, images: Tensor) -> Tensor:
        """Map `[N, 3, 352, 352]` to tokens of CLIP's layers 10, 7 and 4, `[N, 3, 485, 64]`."""
        vision, decoder = self.clipseg.clip.vision_model, self.clipseg.decoder
        tokens = vision.pre_layrnorm(vision.embeddings(images))
        taken: list[Tensor] = []
        for number, layer in enumerate(vision.encoder.layers):
            tokens = layer(tokens, None)
            if number in self.clipseg.extract_layers:
                taken.insert(0, tokens)
        reduced = [reduce(each) for reduce, each in zip(decoder.reduces, taken, strict=True)]
        return torch.stack(reduced, dim=1).float()

    def encode_audio(self, inputs: Tensor) -> Tensor:
        """Map spectrograms `[M, 998, 128]` to vectors of the sentence, `[M, 512]`."""
        layers = self.beats(inputs)
        patches = torch.cat([layers[number - 1] for number in _BEATS_LAYERS], dim=2)
        sound = self.acl["audio_proj"](patches)[:, None]
        text, project = self.clipseg.clip.text_model, self.clipseg.clip.text_projection
        words = text.embeddings.token_embedding(torch.tensor(_PROMPT, device=inputs.device))
        words = words.expand(len(sound), -1, -1)
        tokens = torch.cat([words[:, :-1], sound, words[:, -1:]], dim=1)
        length = tokens.shape[1]
        tokens = tokens + text.embeddings.position_embedding.weight[:length]
        seen = torch.ones(1, 1, length, length, dtype=torch.bool, device=inputs.device).tril()
        for layer in text.encoder.layers:
            tokens = layer(tokens, seen)
        vectors: Tensor = project(text.final_layer_norm(tokens)[:, -1])
        return vectors.float()

    def similarity(self, image_features: Tensor, audio_features: Tensor) -> Tensor:
        """Maps `[N, K, 224, 224]`."""
        images, sounds = audio_features.shape[:2]
        device, pairs = image_features.device, audio_features.flatten(0, 1)
        image_of_pair = torch.arange(images, device=device).repeat_interleave(sounds)
        at_once = _PAIRS.get(device.type, 16)
        chunks = zip(torch.split(image_of_pair, at_once), torch.split(pairs, at_once), strict=True)
        maps = [self._decode(image_features[chosen], vectors) for chosen, vectors in chunks]
        return torch.cat(maps).view(images, sounds, *self.map_size)

    def _decode(self, image_tokens: Tensor, vectors: Tensor) -> Tensor:
        """Maps `[P, 224, 224]` of P pairs, from `[P, 3, 485, 64]` and `[P, 512]`."""
        decoder = self.clipseg.decoder
        scale, shift = decoder.film_mul(vectors)[:, None], decoder.film_add(vectors)[:, None]
        tokens = decoder.layers[0](scale * image_tokens[:, 0] + shift, None)
        tokens = decoder.layers[1](tokens + image_tokens[:, 1], None)
        tokens = decoder.layers[2](tokens + image_tokens[:, 2], None)
        side = math.isqrt(tokens.shape[1] - 1)
        grid = tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side))  # without the class token
        logits = decoder.transposed_convolution(grid).float()
        resized = F.interpolate(logits, self.map_size, mode="bicubic")[:, 0]
        maps: Tensor = self.acl["masker_i"](resized)
        return maps


def _make_clipseg() -> CLIPSegForImageSegmentation:
    """CLIPSeg with the sizes of clipseg-rd64-refined, without what the map does not need."""
    config = CLIPSegConfig(
        vision_config={"patch_size": 16, "num_hidden_layers": 10},
        reduce_dim=64,
        extract_layers=[3, 6, 9],
        use_complex_transposed_convolution=True,
    )
    clipseg = CLIPSegForImageSegmentation(config)
    del clipseg.clip.logit_scale, clipseg.clip.visual_projection
    del clipseg.clip.vision_model.post_layernorm
    return clipseg
