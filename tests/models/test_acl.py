"""ACL: the authors' maps and embeddings, and what its three files may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.goldens import golden_clip, golden_image
from tests.helpers.more_models import MORE, fill, golden_contents, read_golden
from tests.helpers.running import run_settings
from vssl.audio import BeginWindow
from vssl.config.build import build_frontends, build_transforms
from vssl.config.networks import make_network
from vssl.images import read_image
from vssl.models.acl import ACL
from vssl.models.beats import options_of
from vssl.models.checkpoints import WeightsError
from vssl.models.weights import match_content
from vssl.testing import check_model
from vssl.types import POSITIVE

SETTINGS = run_settings("model=acl")
SAMPLE = "0F04c_rY4aw_000000"


@pytest.fixture(scope="module")
def model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> ACL:
    network = make_network(SETTINGS.model)
    assert isinstance(network, ACL)
    for part, content in golden_contents(shared, "acl", tmp_path_factory.mktemp("acl")).items():
        fill(network, content, part=part)
    return network.eval()


@torch.inference_mode()
def test_maps_and_embeddings_are_the_authors(model: ACL, shared: Path) -> None:
    inputs = read_golden(shared, "acl", "vggss_mini", "preprocessing")
    golden = read_golden(shared, "acl", "vggss_mini", "similarity_maps")
    row = golden["ids"].tolist().index(SAMPLE)
    transform, _ = build_transforms(SETTINGS)
    image = transform(read_image(golden_image(shared, "vggss_mini", SAMPLE)))
    np.testing.assert_allclose(image, inputs[f"{SAMPLE}/image"], rtol=5e-4, atol=1e-6)

    frontend = build_frontends(SETTINGS, ())[POSITIVE]
    vectors = []
    for condition in (POSITIVE, "silence"):
        heard = golden_clip(shared, "vggss_mini", SAMPLE, condition)
        spectrogram = frontend(frontend.waveform(heard)[None])
        expected = inputs[f"{SAMPLE}/{condition}"]
        np.testing.assert_allclose(spectrogram[0], expected, rtol=5e-4, atol=1e-4)
        vectors.append(model.encode_audio(spectrogram)[0])
        expected = golden[f"{condition}_embedding"][row]
        np.testing.assert_allclose(vectors[-1], expected, rtol=0, atol=2e-5)

    # an odd number of pairs, more than are decoded at once, and the pairs one by one
    features = model.encode_image(image[None]).expand(3, -1, -1, -1)
    sounds = torch.stack(vectors)[torch.tensor([[0, 1, 0], [1, 0, 1], [0, 0, 0]])]
    decoded: list[int] = []
    hook = model.clipseg.decoder.layers[0].register_forward_pre_hook(
        lambda layer, given: decoded.append(len(given[0]))
    )
    maps = model.similarity(features, sounds)
    hook.remove()
    assert sum(decoded) == 9
    assert max(decoded) == 4
    assert maps.shape == (3, 3, *model.map_size)
    for n, k in ((0, 0), (0, 1), (1, 0), (2, 2)):
        alone = model.similarity(features[n : n + 1], sounds[n : n + 1, k : k + 1])[0, 0]
        torch.testing.assert_close(alone, maps[n, k], rtol=0, atol=1e-5)
        blocks = alone.view(56, 4, 56, 4).mean(dim=(1, 3))
        condition = POSITIVE if torch.equal(sounds[n, k], vectors[0]) else "silence"
        np.testing.assert_allclose(blocks, golden[condition][row], rtol=0, atol=1e-5)
    assert (maps[0, 0] - maps[0, 1]).abs().max() > 0.1


def test_it_keeps_the_contract(model: ACL) -> None:
    """On small images and short sounds, which take a tenth of the time."""
    frontend = build_frontends(SETTINGS, ())[POSITIVE]
    frontend.window = BeginWindow(seconds=2, padded=True)
    check_model(model, frontend, image_size=112)


@pytest.fixture(scope="module")
def contents(shared: Path) -> dict[str, dict[str, Any]]:
    """What each file holds, without values, and without what the map does not need."""
    layout = json.loads((shared / MORE / "acl" / "layout.json").read_text())["files"]
    states = {
        part: {
            entry["key"]: torch.empty(
                entry["shape"], dtype=getattr(torch, entry["dtype"]), device="meta"
            )
            for entry in file["keys"]
            if not entry.get("unused")
        }
        for part, file in layout.items()
    }
    nested: dict[str, Any] = {"audio_proj": {}, "masker_i": {}}
    for name, value in states["acl"].items():
        group, _, key = name.partition("/")
        nested[group][key] = value
    beats = {"model": states["beats"], **layout["beats"]["beside"]}
    return {"clipseg": states["clipseg"], "beats": beats, "acl": nested}


class TestFiles:
    @pytest.mark.parametrize("part", ["clipseg", "beats", "acl"])
    def test_what_the_map_does_not_need_may_lack(
        self, contents: dict[str, dict[str, Any]], part: str
    ) -> None:
        match = match_content(ACL(), contents[part], part=part, path=Path("file"))
        assert match.faults == []

    def test_of_clipseg_the_decoder_takes_the_first_ten_layers(
        self, contents: dict[str, dict[str, Any]]
    ) -> None:
        layers = "clip.vision_model.encoder.layers"
        state = dict(contents["clipseg"])
        state["clip.text_model.embeddings.position_ids"] = torch.arange(77)[None]
        state[f"{layers}.10.mlp.fc1.bias"] = state[f"{layers}.11.mlp.fc1.bias"] = torch.empty(3072)
        match = match_content(ACL(), state, part="clipseg", path=Path("file"))
        assert match.faults == []
        assert len(match.ignored) == 3
        state[f"{layers}.12.mlp.fc1.bias"] = state.pop(f"{layers}.9.mlp.fc1.bias")
        match = match_content(ACL(), state, part="clipseg", path=Path("file"))
        assert match.missing == (f"{layers}.9.mlp.fc1.bias",)
        assert match.unknown == (f"{layers}.12.mlp.fc1.bias",)

    def test_beats_is_built_as_its_file_says(self, contents: dict[str, dict[str, Any]]) -> None:
        content = contents["beats"]
        network = ACL()
        cfg = {**content["cfg"], "max_distance": 1280, "num_buckets": 160}
        other = {**content, "cfg": cfg}
        match = match_content(network, other, part="beats", path=Path("file"))
        assert network.beats.encoder.max_distance == 1280
        assert len(match.unfit) == 12
        assert (
            "relative_attention_bias.weight is float32 [320, 12], not float32 [160, 12]"
            in (match.unfit[0])
        )

    @pytest.mark.parametrize(
        ("cfg", "message"),
        [
            (None, "file: has no `cfg` beside its weights"),
            ({"deep_norm": False}, "its cfg has {'deep_norm': False}"),
            ({"encoder_layers": 24}, "its cfg has {'encoder_layers': 24}"),
            ({"deep_norm": "absent"}, "its cfg has {'deep_norm': False}"),
        ],
    )
    def test_another_beats_is_refused(
        self, contents: dict[str, dict[str, Any]], cfg: dict[str, Any] | None, message: str
    ) -> None:
        known = contents["beats"]["cfg"]
        content = {"model": contents["beats"]["model"]}
        if cfg is not None:
            facts = {**known, **cfg}
            content["cfg"] = {k: value for k, value in facts.items() if value != "absent"}
        with pytest.raises(WeightsError, match=message):
            match_content(ACL(), content, part="beats", path=Path("file"))

    def test_what_a_cfg_leaves_out_is_as_for_the_authors(
        self, contents: dict[str, dict[str, Any]]
    ) -> None:
        facts = dict(contents["beats"]["cfg"])
        assert options_of({"cfg": facts}) == {"num_buckets": 320, "max_distance": 800}
        del facts["max_distance"], facts["conv_bias"]
        assert options_of({"cfg": facts}) == {"num_buckets": 320, "max_distance": 1280}
