"""CLIPTran: the authors' maps, its gradient against autograd, and the files that it takes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from transformers.models.clip.modeling_clip import CLIPConfig, CLIPModel

from tests.helpers.goldens import golden_clip, golden_image
from tests.helpers.more_models import fill, golden_contents, read_golden
from tests.helpers.running import run_settings
from vssl.config.build import build_frontends, build_transforms
from vssl.config.networks import make_network
from vssl.images import read_image
from vssl.maps import transform_maps, upsample
from vssl.models import cliptran
from vssl.models.base import LocalizationModel
from vssl.models.checkpoints import WeightsError, read_checkpoint
from vssl.models.clip_vision import VisionTransformer
from vssl.models.cliptran import CLIPTran, Wav2CLIP
from vssl.models.weights import load_weights
from vssl.types import POSITIVE

CONDITIONS = ("positive", "silence", "noise", "offscreen")
SIZES = {
    "image_size": 12, "patch_size": 4, "hidden_size": 8, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 16, "projection_dim": 6,
}  # fmt: skip
"""Of a small network."""


@pytest.fixture(scope="module")
def loaded(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalizationModel:
    model = make_network(run_settings("model=cliptran", "protocol=released").model)
    contents = golden_contents(shared, "cliptran", tmp_path_factory.mktemp("cliptran"))
    fill(model, contents["clip"], part="image")
    fill(model, contents["wav2clip"], part="audio")
    return model.eval()


@pytest.mark.parametrize(
    ("data", "sample_id"), [("vggss", "0F04c_rY4aw_000000"), ("is3", "lion_chainsaw_756_lion")]
)
def test_maps_are_the_authors(
    loaded: LocalizationModel, shared: Path, data: str, sample_id: str
) -> None:
    golden, published, given = (
        read_golden(shared, "cliptran", f"{data}_mini", kind)
        for kind in ("similarity_maps", "published_maps", "preprocessing")
    )
    row = golden["ids"].tolist().index(sample_id)
    settings = run_settings("model=cliptran", "protocol=released", f"data={data}")
    transform, _ = build_transforms(settings)
    frontend = build_frontends(settings, ())[POSITIVE]
    image = transform(read_image(golden_image(shared, f"{data}_mini", sample_id)))
    if f"{sample_id}/image" in given:
        assert torch.equal(image, torch.from_numpy(given[f"{sample_id}/image"]))
    sounds = [golden_clip(shared, f"{data}_mini", sample_id, each) for each in CONDITIONS]
    with torch.inference_mode():
        features = loaded.encode_image(image[None])
        encoded = [loaded.encode_audio(frontend(frontend.waveform(each)[None])) for each in sounds]
        maps = loaded.similarity(features, torch.stack(encoded, dim=1))[0]
        vectors = [torch.from_numpy(given[f"{sample_id}/{each}_vector"]) for each in CONDITIONS]
        of_vectors = loaded.similarity(features, torch.stack(vectors)[None])[0]
    for k, condition in enumerate(CONDITIONS):
        expected = torch.from_numpy(golden[condition][row])
        tolerance = 1e-5 * float(expected.max())
        torch.testing.assert_close(of_vectors[k], expected, rtol=0, atol=tolerance)
        torch.testing.assert_close(maps[k], expected, rtol=0, atol=tolerance)

    found = transform_maps(upsample(maps[:1]), loaded.map_transform)[0]
    expected = torch.from_numpy(published["positive"][published["ids"].tolist().index(sample_id)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.fixture
def small() -> CLIPTran:
    """A small network with values drawn at random."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPTran(vision=SIZES)
        state = model.image.state_dict()
        drawn = {key: 0.4 * torch.randn(value.shape) for key, value in state.items()}
        model.image.load_state_dict(drawn, assign=True)
    return model.eval().requires_grad_(False)


def test_relevance_is_attention_times_gradient(small: CLIPTran) -> None:
    """The authors' formula by autograd, through transformers' own forward pass."""
    network = small.image.double()
    network.vision_model.set_attn_implementation("eager")  # which returns its probabilities
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 12, 12, generator=generator, dtype=torch.float64)
    vectors = torch.randn(2, 3, 6, generator=generator, dtype=torch.float64)
    found = network.relevance(network(images), vectors)
    assert found.shape == (2, 3, 3, 3)

    outputs = network.vision_model(images.requires_grad_(), output_attentions=True)
    attention = outputs.attentions[-1]
    embedding = network.visual_projection(outputs.pooler_output)
    for k in range(3):
        cosine = torch.cosine_similarity(embedding, vectors[:, k])
        logit = network.logit_scale.exp() * cosine.sum()
        (gradient,) = torch.autograd.grad(logit, attention, retain_graph=True)
        relevance = torch.eye(10) + (gradient * attention).clamp(min=0).mean(dim=1)
        expected = relevance[:, 0, 1:].view(2, 3, 3).detach()
        assert expected.max() > 1e-3
        # vectors are brought to unit length in float32
        torch.testing.assert_close(found[:, k], expected, rtol=1e-6, atol=1e-12)


def test_chunks_equal_one_by_one(small: CLIPTran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cliptran, "_CHUNK", 2)
    generator = torch.Generator().manual_seed(2)
    features = small.encode_image(torch.randn(3, 3, 12, 12, generator=generator))
    vectors = torch.randn(3, 5, 6, generator=generator)
    assert features.dtype == torch.float32
    together = small.similarity(features, vectors)
    assert together.shape == (3, 5, *small.map_size)
    for n, k in np.ndindex(3, 5):
        alone = small.similarity(features[n : n + 1], vectors[n : n + 1, k : k + 1])[0, 0]
        torch.testing.assert_close(together[n, k], alone)


def test_a_map_without_a_positive_gradient_is_zero_and_stays_so(small: CLIPTran) -> None:
    features = small.encode_image(torch.randn(1, 3, 12, 12))
    features[:, 1:] = 0
    maps = small.similarity(features, torch.randn(1, 1, 6))[0]
    assert torch.equal(maps, torch.zeros(1, 3, 3))
    assert torch.equal(
        transform_maps(upsample(maps), small.map_transform), torch.zeros(1, 224, 224)
    )


def test_silence_is_standardized_as_the_protocol_says() -> None:
    for protocol, expected in (("corrected", 0.0), ("released", 0.99985)):
        settings = run_settings("model=cliptran", f"protocol={protocol}").model.group["arguments"]
        encoder = Wav2CLIP(settings["standardization"]).audio_encoder
        inputs = encoder._spectrograms(torch.zeros(1, 48_000))
        torch.testing.assert_close(inputs, torch.full_like(inputs, expected), rtol=0, atol=1e-5)


def openai_names(network: VisionTransformer) -> dict[str, torch.Tensor]:
    """Entries of the published file: matrices in half precision, one for query, key and value."""
    own = {key.removeprefix("vision_model."): v for key, v in network.state_dict().items()}
    found = {
        "logit_scale": own["logit_scale"],
        "visual.class_embedding": own["embeddings.class_embedding"],
        "visual.positional_embedding": own["embeddings.position_embedding.weight"],
        "visual.conv1.weight": own["embeddings.patch_embedding.weight"].half(),
        "visual.proj": own["visual_projection.weight"].T.half(),
        "transformer.resblocks.0.ln_1.bias": torch.zeros(3),
        "vocab_size": torch.tensor(49408),
    }
    for kind in ("weight", "bias"):
        for theirs, ours in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")):
            found[f"visual.{theirs}.{kind}"] = own[f"{ours}.{kind}"]
        for block in range(2):
            at, of = f"visual.transformer.resblocks.{block}", f"encoder.layers.{block}"
            each = [own[f"{of}.self_attn.{letter}_proj.{kind}"].half() for letter in "qkv"]
            found[f"{at}.attn.in_proj_{kind}"] = torch.cat(each)
            found[f"{at}.attn.out_proj.{kind}"] = own[f"{of}.self_attn.out_proj.{kind}"].half()
            for theirs, ours in (("ln_1", "layer_norm1"), ("ln_2", "layer_norm2")):
                found[f"{at}.{theirs}.{kind}"] = own[f"{of}.{ours}.{kind}"]
            for theirs, ours in (("c_fc", "fc1"), ("c_proj", "fc2")):
                found[f"{at}.mlp.{theirs}.{kind}"] = own[f"{of}.mlp.{ours}.{kind}"].half()
    return found


@pytest.mark.parametrize("form", ["openai", "hugging face"])
def test_both_files_of_clip_fit(small: CLIPTran, tmp_path: Path, form: str) -> None:
    for parameter in small.image.parameters():
        parameter.data = parameter.half().float()  # the values of the published network
    if form == "openai":
        path = tmp_path / "ViT-B-32.pt"
        torch.save(openai_names(small.image), path)
    else:
        path = tmp_path / "model.safetensors"
        text = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2}
        whole = CLIPModel(CLIPConfig(text_config=text, vision_config=SIZES, projection_dim=6))
        positions = torch.arange(10)[None]
        state = {"vision_model.embeddings.position_ids": positions, **whole.state_dict()}
        state |= small.image.state_dict()
        safetensors.torch.save_file(state, path)
    model = CLIPTran(vision=SIZES)
    report = load_weights(model, path, part="image")
    assert report.used == sum(parameter.numel() for parameter in small.image.parameters())
    torch.testing.assert_close(
        dict(model.image.state_dict()), dict(small.image.state_dict()), rtol=0, atol=0
    )


def test_another_file_of_clip_is_explained(small: CLIPTran, tmp_path: Path) -> None:
    entries = openai_names(small.image)
    entries["visual.layer1.0.conv1.weight"] = entries.pop("visual.proj")  # as a ResNet has
    torch.save(entries, tmp_path / "RN50.pt")
    with pytest.raises(
        WeightsError, match=r"1 missing: visual_projection\.weight; 1 unknown: visual\.layer1\.0\."
    ):
        load_weights(CLIPTran(vision=SIZES), tmp_path / "RN50.pt", part="image")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_the_command_that_keeps_the_weights_of_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, path = torch.nn.Linear(2, 3), tmp_path / "ViT-B-32.pt"
    torch.jit.save(torch.jit.trace(program, torch.zeros(1, 2)), path)
    with pytest.raises(WeightsError, match=r"ViT-B-32\.pt: is a TorchScript program") as caught:
        load_weights(CLIPTran(vision=SIZES), path, part="image")
    python, option, code, *arguments = shlex.split(str(caught.value).splitlines()[-1])
    assert (python, option) == ("python", "-c")
    monkeypatch.setattr(sys, "argv", ["-c", *arguments])
    exec(code, {})
    found = read_checkpoint(tmp_path / "ViT-B-32_weights.pth")
    torch.testing.assert_close(found, dict(program.state_dict()), rtol=0, atol=0)
