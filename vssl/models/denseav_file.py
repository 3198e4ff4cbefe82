"""Files of DenseAV: what they say of themselves, and their entries under vssl's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vssl.models.checkpoints import WeightsError

_LORA_ALPHA = 32  # of the authors' train.py; files have the rank alone
_LORA = re.compile(r"\.lora_([AB])(\.\w+)?\.weight$")  # with or without the adapter's name

# values with which one vector stands for a sound, and the networks are those of the published file
_POSSIBLE: dict[str, tuple[object, ...]] = {
    "image_model_type": ("dino8",),
    "image_model_token_type": ("token",),
    "image_aligner_type": ("image_linear",),
    "audio_model_type": ("hubert",),
    "audio_aligner_type": ("audio_sa_3_3_pool_2",),
    "learn_audio_cls": (True,),
    "norm_vectors": (False,),
    "nonneg_sim": (False,),
    "sim_agg_type": ("misa", "mima", "sisa", "paired"),  # how training compares clips, not the map
    "sim_agg_heads": (1,),
}

# names in the file, of DINO and peft -> names here, of transformers
_NAMES = {
    r"^(image|audio)_model\.(base_model\.model\.)?model\.": r"\1_model.",
    r"\.base_layer\.": ".",
    r"^image_model\.cls_token$": "image_model.embeddings.cls_token",
    r"^image_model\.pos_embed$": "image_model.embeddings.position_embeddings",
    r"^image_model\.patch_embed\.proj\.": "image_model.embeddings.patch_embeddings.projection.",
    r"^image_model\.blocks\.": "image_model.layers.",
    r"^image_model\.norm\.": "image_model.layernorm.",
    r"^image_aligner\.norm\.norm\.": "image_aligner.norm.",
    r"^audio_aligner\.mod_list\.1\.norm\.": "audio_aligner.norm.",
    r"^audio_aligner\.mod_list\.2\.layer\.": "audio_aligner.pools.0.",
    r"^audio_aligner\.mod_list\.2\.cls_layer\.": "audio_aligner.cls_layer.",
    r"^audio_aligner\.mod_list\.3\.layer\.": "audio_aligner.pools.1.",
    r"^audio_aligner\.mod_list\.4\.block\.": "audio_aligner.block.",
    r"\.norm1\.": ".layernorm_before.",
    r"\.norm2\.": ".layernorm_after.",
    r"\.attn\.proj\.": ".attention.o_proj.",
    r"\.attn\.": ".attention.",
    r"\.conv\.weight_g$": ".conv.parametrizations.weight.original0",
    r"\.conv\.weight_v$": ".conv.parametrizations.weight.original1",
}


def read_options(content: Any) -> Mapping[str, Any]:
    """Take the `hyper_parameters` of a Lightning file; a bare state dict has none.

    Raises:
        WeightsError: for those of another network, or of one whose sound is no single vector.
    """
    said = content.get("hyper_parameters")
    said = said if isinstance(said, Mapping) else {}
    for name, possible in _POSSIBLE.items():
        if said.get(name, possible[0]) not in possible:
            raise WeightsError(
                f"says {name}={said[name]!r} in its hyper_parameters, not"
                f" {' or '.join(map(repr, possible))}. vssl has the DenseAV whose map is one audio"
                " vector against a grid of image vectors. Maps of another come by model=stored"
                " (docs/stored-maps.md)."
            )
    return said


def check_lora(
    network: str, said: Mapping[str, Any], state: Mapping[str, Tensor], *, matrices: int
) -> None:
    """Check that all matrices of the image or audio network have LoRA as the file says, or none.

    Without the merged update a map would be another, and no entry would be missing.

    Raises:
        WeightsError: when it is lacking, surplus or of another rank.
    """
    ranks: list[Any] = [
        len(value)
        for name, value in state.items()
        if f"{network}_model." in name and (found := _LORA.search(name)) and found[1] == "A"
    ]
    expected = ranks[:1] * matrices
    if f"{network}_lora" in said:
        rank = said.get(f"{network}_lora_rank")
        expected = [rank] * matrices if said[f"{network}_lora"] else []
    if ranks != expected:
        there, wanted = (
            f"{len(each)} of {matrices} matrices (rank {each[0]})" if each else "none"
            for each in (ranks, expected)
        )
        raise WeightsError(
            f"has LoRA at {there} of its {network} network, and should have it at {wanted}. Is it"
            " damaged, or were updates merged that its hyper_parameters still list?"
        )


def converted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Merge LoRA, take queries, keys and values apart, and rename."""
    entries: dict[str, Tensor] = {}
    for name, value in _without_lora(state).items():
        for old, new in _NAMES.items():
            name = re.sub(old, new, name)
        if found := re.fullmatch(r"(.+\.attention\.)qkv(\.weight|\.bias)", name):
            thirds = zip("qkv", value.chunk(3), strict=False)
            entries |= {f"{found[1]}{each}_proj{found[2]}": part for each, part in thirds}
        else:
            entries[name] = value
    return entries


def _without_lora(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add low-rank updates to their matrices: W + alpha / rank B A (Hu et al., 2022, section 4)."""
    merged = dict(state)
    for name, down in state.items():
        found = _LORA.search(name)
        if found is None or found[1] != "A":
            continue
        stem, other = name[: found.start()], name.replace(".lora_A", ".lora_B")
        up, names = state.get(other), (f"{stem}.weight", f"{stem}.base_layer.weight")  # old, new
        whole = next((each for each in names if each in state), None)
        if up is None or whole is None:
            continue  # so that it is reported as unknown
        weight = state[whole]
        if up.shape == (len(weight), len(down)) and down.shape[1:] == weight.shape[1:]:
            merged[whole] = weight + _LORA_ALPHA / len(down) * (up @ down)
            del merged[name], merged[other]
    return merged
