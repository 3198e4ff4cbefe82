"""DenseAV (Hamilton et al., CVPR 2024): Separating the "Chirp" from the "Chat"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vssl.core.extras import extra
from vssl.models.base import CheckpointLayout, LocalizationModel, dot_maps
from vssl.models.checkpoints import WeightsError
from vssl.models.denseav_aligners import AudioAligner, ImageAligner
from vssl.models.denseav_file import check_lora, converted, read_options

with extra("models"):
    from transformers.models.hubert.configuration_hubert import HubertConfig
    from transformers.models.hubert.modeling_hubert import HubertModel
    from transformers.models.vit.configuration_vit import ViTConfig
    from transformers.models.vit.modeling_vit import ViTModel

_CLIPS = 4  # encoded at once: the first convolution gives 67 MB for a clip, several times over


class DenseAV(LocalizationModel):
    """DINO's ViT-S/8 and HuBERT-large; the map is a dot product, without bounds.

    The authors compare every position with every moment, and average over the moments at which
    there is sound (their eval_utils.py). That is linear, so the average audio vector is enough. A
    file with `sim_use_cls` also adds the dot product of two class vectors, a constant of each map:
    all vectors are then twice as long.

    The network has no values before its weights are loaded.

    Args:
        vit: settings of transformers' `ViTConfig`.
        hubert: settings of transformers' `HubertConfig`.
        sim_use_cls: whether class vectors are added; None for what the file says of itself, and for
            no where it says nothing.
    """

    map_size = (28, 28)
    value_range = (-math.inf, math.inf)
    checkpoint = CheckpointLayout(
        wrapper=("state_dict", None), unused=("sim_cal.*", "*.masked_spec_embed"), convert=converted
    )

    def __init__(
        self, *, vit: Mapping[str, Any], hubert: Mapping[str, Any], sim_use_cls: bool | None = None
    ) -> None:
        super().__init__()
        self.wants_cls = sim_use_cls
        self.use_cls = bool(sim_use_cls)
        with torch.device("meta"):  # random values would take seconds
            self.image_model = ViTModel(ViTConfig(**vit), add_pooling_layer=False)
            self.audio_model = HubertModel(HubertConfig(**hubert))
            self.audio_cls = nn.Parameter(torch.empty(self.audio_model.config.hidden_size))
        self._make_aligners(code=384)

    def _make_aligners(self, code: int) -> None:
        self.code = code
        with torch.device("meta"):
            self.image_aligner = ImageAligner(self.image_model.config.hidden_size, code)
            self.audio_aligner = AudioAligner(self.audio_model.config.hidden_size, code)

    def adapt(self, part: str, content: Any) -> None:
        """Follow the file's `hyper_parameters`, and without them its entries.

        Raises:
            WeightsError: for another network, LoRA other than announced, or class vectors other
                than configured.
        """
        state, said = content.get("state_dict", content), read_options(content)
        blocks, layers = (m.config.num_hidden_layers for m in (self.image_model, self.audio_model))
        check_lora("image", said, state, matrices=blocks)
        check_lora("audio", said, state, matrices=3 * layers)  # queries, keys and values apart
        use_cls = said.get("sim_use_cls", self.wants_cls)
        if self.wants_cls not in (None, use_cls):
            raise WeightsError(
                f"says sim_use_cls={use_cls!r} in its hyper_parameters, but model.arguments says"
                f" {self.wants_cls}. Leave that out."
            )
        self.use_cls = bool(use_cls)
        layer = state.get("image_aligner.layer.weight")
        code = said.get("code_dim", self.code if layer is None else len(layer))
        if not isinstance(code, int) or code < 1:
            raise WeightsError(f"says code_dim={code!r} in its hyper_parameters, no whole number.")
        if code != self.code:
            self._make_aligners(code)

    def encode_image(self, images: Tensor) -> Tensor:
        """Map `[N, 3, 224, 224]` to `[N, 384, 28, 28]`, with class vectors 768."""
        grid: Tensor
        grid, class_vector = self.image_aligner(self.image_model(images).last_hidden_state)
        if self.use_cls:
            return torch.cat([grid, class_vector[..., None, None].expand_as(grid)], dim=1)
        return grid

    def encode_audio(self, inputs: Tensor) -> Tensor:
        """Map waveforms with where they sound, `[M, 2, 164200]`, to `[M, 384]`, or 768."""
        return torch.cat([self._audio_vectors(clips) for clips in torch.split(inputs, _CLIPS)])

    def _audio_vectors(self, inputs: Tensor) -> Tensor:
        waveforms, sounding = inputs.unbind(dim=1)
        frames = self.audio_model(waveforms).last_hidden_state  # which attends to the padding
        aligned, class_vector = self.audio_aligner(frames, self.audio_cls)
        heard = F.interpolate(sounding[:, None], aligned.shape[1], mode="linear")[:, 0] > 0.01
        average = (aligned * heard[..., None]).sum(dim=1) / heard.sum(dim=1, keepdim=True)
        return torch.cat([average, class_vector], dim=1) if self.use_cls else average

    def similarity(self, image_features: Tensor, audio_features: Tensor) -> Tensor:
        """Dot products `[N, K, 28, 28]`."""
        return dot_maps(image_features, audio_features)
