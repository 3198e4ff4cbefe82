"""DenseAV: the authors' maps and tensors, and what a file says of itself."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.helpers.goldens import FOLDERS, golden_clip, golden_image
from tests.helpers.more_models import fill, golden_contents, read_golden
from tests.helpers.running import run_settings
from vssl.config.build import build_frontends, build_transforms
from vssl.config.networks import make_network
from vssl.core.errors import UsageError
from vssl.frontends import FrontEnd
from vssl.images import read_image
from vssl.models.checkpoints import WeightsError
from vssl.models.denseav import DenseAV
from vssl.models.denseav_aligners import AudioAligner
from vssl.models.weights import match_content
from vssl.testing import check_model
from vssl.types import POSITIVE, AudioClip

SETS = pytest.mark.parametrize("data", FOLDERS)
SMALL_VIT = {
    "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
}  # fmt: skip
SMALL_HUBERT = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
}  # fmt: skip

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def frontend() -> FrontEnd:
    return build_frontends(run_settings("model=denseav"), ())[POSITIVE]


def silent(length: int) -> AudioClip:
    return AudioClip(np.zeros((1, length), np.float32))


@functools.cache
def configs() -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the two networks in the yaml."""
    arguments = run_settings("model=denseav").model.group["arguments"]
    return arguments["vit"], arguments["hubert"]


def small_network() -> DenseAV:
    """Two tiny networks with random weights."""
    vit, hubert = configs()
    network = DenseAV(
        vit={**vit, **SMALL_VIT}, hubert={**hubert, **SMALL_HUBERT, "conv_dim": (8,) * 7}
    )
    generator = torch.Generator().manual_seed(0)
    values = {
        name: 0.3 * torch.randn(each.shape, generator=generator)
        for name, each in network.state_dict().items()
    }
    network.load_state_dict(values, assign=True)
    return network.eval()


class TestGoldens:
    def test_maps_are_the_authors(self, shared: Path, tmp_path: Path, frontend: FrontEnd) -> None:
        """Without class vectors, and with them, which add a constant."""
        settings = run_settings("model=denseav")
        network = make_network(settings.model).eval()
        match = fill(network, golden_contents(shared, "denseav", tmp_path)["model"])
        assert sorted(match.ignored) == ["audio_model.model.masked_spec_embed", "sim_cal.w"]
        golden = read_golden(shared, "denseav", "vggss_mini", "similarity_maps")
        sample_id = str(golden["ids"][0])
        pixels = read_image(golden_image(shared, "vggss_mini", sample_id))
        image = build_transforms(settings)[0](pixels)
        clips = [golden_clip(shared, "vggss_mini", sample_id, c) for c in (POSITIVE, "silence")]
        assert isinstance(network, DenseAV)
        assert not network.use_cls
        network.use_cls = True
        with torch.inference_mode():
            sounds = network.encode_audio(frontend(torch.stack([*map(frontend.waveform, clips)])))
            features = network.encode_image(image[None])
            plain = network.similarity(features[:, :384], sounds[None, :, :384])[0]
            raised = network.similarity(features, sounds[None])[0]
        for n, condition in enumerate((POSITIVE, "silence")):
            expected = golden[condition][0]
            offset = golden[f"{condition}_cls_offset"][0]
            bound = {"rtol": 0, "atol": 5e-5 * np.abs(expected).max()}
            np.testing.assert_allclose(plain[n], expected, **bound)
            np.testing.assert_allclose(raised[n], expected + offset, **bound)

    @SETS
    def test_inputs_are_the_authors(self, shared: Path, frontend: FrontEnd, data: str) -> None:
        golden = read_golden(shared, "denseav", data, "preprocessing")
        transform, _ = build_transforms(run_settings("model=denseav"))
        for sample_id in dict.fromkeys(key.partition("/")[0] for key in golden):
            for condition in (POSITIVE, "silence", "noise", "offscreen"):
                clip = golden_clip(shared, data, sample_id, condition)
                key = f"{sample_id}/{condition}"
                waveform, sounding = frontend(frontend.waveform(clip)[None])[0].numpy()
                np.testing.assert_array_equal(sounding, golden[f"{key}_mask"])
                if key in golden:  # in float16
                    expected = golden[key].astype(np.float32)
                    steps = np.spacing(np.abs(golden[key])).astype(np.float32)
                    assert (np.abs(waveform - expected) <= 0.501 * steps + 1e-6).all()
            if f"{sample_id}/image" in golden:
                image = transform(read_image(golden_image(shared, data, sample_id)))
                np.testing.assert_allclose(image, golden[f"{sample_id}/image"], rtol=0, atol=1e-6)

    @SETS
    def test_frames_with_sound_are_averaged(
        self, shared: Path, frontend: FrontEnd, data: str
    ) -> None:
        golden = read_golden(shared, "denseav", data, "preprocessing")
        key = next(key for key in golden if key.endswith("/positive_frames"))
        total, heard = golden[key]
        network = small_network()
        clip = golden_clip(shared, data, key.partition("/")[0])
        inputs = frontend(frontend.waveform(clip)[None])
        with torch.inference_mode():
            frames = network.audio_model(inputs[:, 0]).last_hidden_state
            aligned, _ = network.audio_aligner(frames, network.audio_cls)
            found = network.encode_audio(inputs)
        assert aligned.shape[1] == total
        torch.testing.assert_close(found, aligned[:, :heard].mean(dim=1))


class TestFrontEnd:
    def test_the_shortest_clip_has_one_frame(self, frontend: FrontEnd) -> None:
        """With less, the authors take a random frame."""
        assert frontend.least_samples() == 1466
        with pytest.raises(UsageError, match="Expected a window of at least 1466 samples"):
            frontend.waveform(silent(1465))
        centres = (np.arange(56) + 0.5) * 164_200 / 56 - 0.5
        for length, frames in ((1465, 0), (1466, 1)):
            sounding = (np.arange(164_200) < length).astype(float)
            assert (np.interp(centres, np.arange(164_200), sounding) > 0.01).sum() == frames

    @pytest.mark.parametrize("length", [30_000, 164_200, 200_000])
    def test_mean_and_variance_are_of_the_padded_clip(
        self, frontend: FrontEnd, length: int
    ) -> None:
        noise = np.random.default_rng(0).normal(0.5, 3, (2, length)).astype(np.float32)
        waveform, sounding = frontend(frontend.waveform(AudioClip(noise))[None])[0].numpy()
        heard = min(length, 164_200)
        padded = np.pad(noise[0, :heard].astype(np.float64), (0, 164_200 - heard))
        expected = (padded - padded.mean()) / np.sqrt(padded.var() + 1e-7)
        np.testing.assert_allclose(waveform, expected, rtol=0, atol=1e-6)
        assert sounding.sum() == heard


LAYERS = {".blocks": 2, ".encoder.layers": 1}
"""Layers that are left in the files of these tests."""

NEWER = {
    ".0.attn.qkv.weight": ".0.attn.qkv.base_layer.weight",  # of peft
    ".1.attn.qkv.weight": ".1.attn.qkv.base_layer.weight",
    ".0.attn.qkv.lora_A.default.": ".0.attn.qkv.lora_A.",  # without the adapter's name
    ".0.attn.qkv.lora_B.default.": ".0.attn.qkv.lora_B.",
    "conv.weight_g": "conv.parametrizations.weight.original0",  # of torch
    "conv.weight_v": "conv.parametrizations.weight.original1",
}
"""Names that newer versions of libraries gave to entries."""


@pytest.fixture(scope="module")
def published(shared: Path) -> State:
    """Random entries under their published names, of two blocks and one layer."""
    layout = json.loads((shared / "golden/more/denseav/layout.json").read_text())
    generator = torch.Generator().manual_seed(0)
    state = {}
    for entry in layout["files"]["model"]["keys"]:
        layer = re.search(r"(\.blocks|\.encoder\.layers)\.(\d+)\.", entry["key"])
        if layer is None or int(layer[2]) < LAYERS[layer[1]]:
            state[entry["key"]] = torch.randn(entry["shape"], generator=generator)
    return state


def loaded(content: Any, **options: Any) -> tuple[DenseAV, State]:
    """The network that a file fits, and its entries under vssl's names."""
    vit, hubert = (
        {**config, "num_hidden_layers": layers}
        for config, layers in zip(configs(), LAYERS.values(), strict=True)
    )
    network = DenseAV(vit=vit, hubert=hubert, **options)
    match = match_content(network, content, part="", path=Path("denseav.ckpt"))
    assert match.faults == []
    return network, match.state


def merged(state: State) -> State:
    """Updates added to their matrices, in float64, without peft's names."""
    plain = {}
    for name, value in state.items():
        if ".lora_" in name:
            continue
        if name.endswith("qkv.weight") and "image_model" in name:
            stem = name.removesuffix(".weight")
            down, up = (state[f"{stem}.lora_{each}.default.weight"].double() for each in "AB")
            value = (value.double() + 32 / 8 * up @ down).float()
        plain[name.replace("base_model.model.", "")] = value
    return plain


class TestFiles:
    def test_queries_keys_and_values(self, published: State) -> None:
        _, found = loaded({"state_dict": published})
        whole = merged(published)["image_model.model.blocks.1.attn.qkv.weight"]
        parts = [found[f"image_model.layers.1.attention.{each}_proj.weight"] for each in "qkv"]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("bare", [False, True], ids=["lightning", "hugging face"])
    def test_names_of_newer_libraries(self, published: State, bare: bool) -> None:
        renamed = {}
        for name, value in published.items():
            for old, new in NEWER.items():
                name = name.replace(old, new)
            renamed[name] = value
        assert len(renamed.keys() - published.keys()) == len(NEWER)
        said = {"image_lora": True, "image_lora_rank": 8, "audio_lora": False, "code_dim": 384}
        _, expected = loaded({"state_dict": published, "hyper_parameters": said})
        _, found = loaded(renamed if bare else {"state_dict": renamed})
        torch.testing.assert_close(found, expected, rtol=0, atol=0)

    def test_without_lora(self, published: State) -> None:
        plain = merged(published)
        said = {"image_lora": False, "finetune_image_model": True}
        _, expected = loaded(published)
        _, found = loaded({"state_dict": plain, "hyper_parameters": said})
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)

    def test_lora_of_the_audio_network(self, published: State) -> None:
        content = {k.replace("audio_model.", "audio_model.base_model.model."): v for k, v in
                   published.items()}  # fmt: skip
        for each in "qkv":
            stem = f"audio_model.base_model.model.model.encoder.layers.0.attention.{each}_proj"
            content[f"{stem}.lora_A.default.weight"] = torch.ones(4, 1024)
            content[f"{stem}.lora_B.default.weight"] = torch.ones(1024, 4)
        _, expected = loaded(published)
        _, found = loaded(content)
        changed = {k for k in found if not torch.equal(found[k], expected[k])}
        names = {f"audio_model.encoder.layers.0.attention.{each}_proj.weight" for each in "qkv"}
        assert changed == names
        for name in names:  # 32 / rank times rank ones
            torch.testing.assert_close(found[name], expected[name] + 32)

    @pytest.mark.parametrize("said", [None, False, True])
    @pytest.mark.parametrize("wanted", [None, False, True])
    def test_class_vectors(self, published: State, said: bool | None, wanted: bool | None) -> None:
        hyper = {} if said is None else {"hyper_parameters": {"sim_use_cls": said}}
        content = {"state_dict": published, **hyper}
        if None not in (said, wanted) and said != wanted:
            with pytest.raises(WeightsError, match=f"says sim_use_cls={said} .* {wanted}. Leave"):
                loaded(content, sim_use_cls=wanted)
        else:
            network, _ = loaded(content, sim_use_cls=wanted)
            assert network.use_cls == bool(said or wanted)

    @pytest.mark.parametrize("told", [False, True])
    def test_vectors_of_another_length(self, published: State, told: bool) -> None:
        narrow = {}
        for name, value in published.items():
            for axis, size in enumerate(value.shape):
                block = name.startswith("audio_aligner.mod_list.4")
                code = name.startswith(
                    ("audio_aligner", "image_aligner.layer", "image_aligner.cls")
                )
                own = axis == 0 or name.startswith("audio_aligner.mod_list.3")
                if block:  # of 6 heads, 20 channels and 4 more
                    value = value.narrow(axis, 0, size // 384 * 24)
                elif code and own and size == 384:
                    value = value.narrow(axis, 0, 20)
            narrow[name] = value
        said = {"hyper_parameters": {"code_dim": 20}} if told else {}
        network, _ = loaded({"state_dict": narrow, **said})
        assert network.code == 20

    @pytest.mark.parametrize(
        ("said", "message"),
        [
            ({"sim_agg_heads": 2}, "says sim_agg_heads=2 in its hyper_parameters, not 1"),
            ({"sim_agg_type": "cavmae"}, "sim_agg_type='cavmae' .* not 'misa' or 'mima' or"),
            ({"nonneg_sim": True}, "says nonneg_sim=True"),
            ({"image_model_type": "dinov2"}, "image_model_type='dinov2' .*, not 'dino8'"),
            ({"code_dim": "384"}, "says code_dim='384' .*, no whole number"),
            (
                {"image_lora": False},
                r"LoRA at 2 of 2 matrices \(rank 8\) of its image .* at none",
            ),
            ({"image_lora": True, "image_lora_rank": 4}, r"\(rank 8\) .* at 2 of 2 .* \(rank 4\)"),
            ({"audio_lora": True, "audio_lora_rank": 8}, "LoRA at none of its audio .* at 3 of 3"),
        ],
    )
    def test_what_it_cannot_be(self, published: State, said: Any, message: str) -> None:
        with pytest.raises(WeightsError, match=message):
            loaded({"state_dict": published, "hyper_parameters": said})

    def test_lora_that_is_lost_in_part(self, published: State) -> None:
        rest = {k: v for k, v in published.items() if ".blocks.0.attn.qkv.lora_" not in k}
        with pytest.raises(WeightsError, match=r"has LoRA at 1 of 2 matrices .* at 2 of 2"):
            loaded(rest)
        one = {k: v for k, v in published.items() if ".blocks.0.attn.qkv.lora_B" not in k}
        with pytest.raises(AssertionError, match=r"1 unknown: .*layers.0.attention.qkv.lora_A"):
            loaded(one)


def test_the_block_of_padded_channels() -> None:
    """DINO's block (pre-norm attention and a perceptron), with zeros before 20 channels."""
    torch.manual_seed(0)
    aligner = AudioAligner(16, 20).eval()
    frames, token = torch.randn(2, 20, 16), torch.randn(16)
    with torch.inference_mode():
        found, first = aligner(frames, token)
        norm = lambda x: F.layer_norm(x, (16,), aligner.norm.weight, aligner.norm.bias, 1e-4)  # noqa: E731
        x = norm(frames)
        for pool in aligner.pools:
            groups = x[:, : len(x[0]) // 3 * 3].unflatten(1, (-1, 3))
            x = torch.einsum("mtsc,ocs->mto", groups, pool.weight[:, :, 0]) + pool.bias
        x = torch.cat([aligner.cls_layer(norm(token)).expand(2, 1, 20), x], dim=1)
        x = torch.cat([torch.zeros(2, 3, 4), x], dim=2)
        block = aligner.block
        q, k, v = (
            getattr(block.attention, f"{each}_proj")(block.layernorm_before(x))
            .unflatten(2, (6, 4)).transpose(1, 2)
            for each in "qkv"
        )  # fmt: skip
        mixed = (q @ k.transpose(2, 3) / 2).softmax(dim=3) @ v
        x = x + block.attention.o_proj(mixed.transpose(1, 2).flatten(2))
        x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.layernorm_after(x))))
    assert block.layernorm_before.eps == block.layernorm_after.eps == 1e-4
    torch.testing.assert_close(found, x[:, 1:, 4:])
    torch.testing.assert_close(first, x[:, 0, 4:])


def test_it_keeps_the_contract_of_models(frontend: FrontEnd) -> None:
    check_model(small_network(), frontend)
