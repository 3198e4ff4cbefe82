"""SSL-SaN: the authors' maps, and files of which only the encoders are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.goldens import golden_clip, golden_image
from tests.helpers.more_models import fill, golden_contents, read_golden
from tests.helpers.running import run_settings
from vssl.config.build import build_frontends, build_transforms
from vssl.images import read_image
from vssl.models.checkpoints import WeightsError
from vssl.models.sslsan import SSLSaN
from vssl.models.weights import match_content
from vssl.types import POSITIVE

EXTRA = {
    "plain": {"vision_fc1", "conv3", "norm3"},
    "learnable": {"vision_fc1", "conv3", "norm3", "epsilon", "epsilon2"},
    "extra": {"img_head", "aud_head", "imgnet_m", "audnet_m"},
}
"""By file, what it holds beside the encoders."""


@pytest.fixture(scope="module")
def files(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each holds."""
    return golden_contents(shared, "sslsan", tmp_path_factory.mktemp("sslsan"))


@pytest.fixture(scope="module")
def model(files: dict[str, Any]) -> SSLSaN:
    network = SSLSaN()
    fill(network, files["plain"])
    return network.eval()


@pytest.mark.parametrize("role", EXTRA)
def test_every_variant_of_the_file_is_the_same_network(
    files: dict[str, Any], model: SSLSaN, role: str
) -> None:
    with torch.device("meta"):
        match = fill(SSLSaN(), files[role])
    assert all(torch.equal(value, match.state[k]) for k, value in model.state_dict().items())
    assert {k.partition(".")[0] for k in match.ignored} - {"imgnet", "audnet"} == EXTRA[role]


@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
@pytest.mark.parametrize(
    ("changes", "missing", "unknown"),
    [
        ({"epsilon3": torch.ones(1), "queue": torch.ones(2, 3)}, (), ()),
        ({"imgnet.fc.weight": None, "audnet.conv1.weight": None}, (), ()),
        ({"audnet.conv1_a.weight": None}, ("audnet.conv1.weight",), ()),
        ({"imgnet.layer5.weight": torch.ones(1)}, (), ("imgnet.layer5.weight",)),
    ],
)
def test_encoders_must_be_whole_and_all_else_may_be_there(
    files: dict[str, Any],
    wrapper: str | None,
    changes: dict[str, torch.Tensor | None],
    missing: tuple[str, ...],
    unknown: tuple[str, ...],
) -> None:
    state = files["plain"]["state_dict"] | changes
    state = {f"module.{key}": value for key, value in state.items() if value is not None}
    content = state if wrapper is None else {"epoch": 3, wrapper: state}
    with torch.device("meta"):
        match = match_content(SSLSaN(), content, part="", path=Path("file.pth"))
    assert (match.missing, match.unknown, match.unfit) == (missing, unknown, ())


def test_a_file_without_weights_is_refused() -> None:
    with torch.device("meta"), pytest.raises(WeightsError, match="not a state dict of tensors"):
        match_content(SSLSaN(), {"model_state_dict": {}}, part="", path=Path("file.pth"))


@pytest.fixture(scope="module")
def inputs(shared: Path) -> dict[str, torch.Tensor]:
    """The image and all sounds of the first golden sample, as the networks take them."""
    settings = run_settings("model=sslsan", "protocol.antialias=false")
    frontend = build_frontends(settings, ())[POSITIVE]
    loud = run_settings("model=sslsan", "model.frontend.window.clip=false")
    unclipped = build_frontends(loud, ())[POSITIVE]
    sample_id = read_golden(shared, "sslsan", "vggss_mini", "similarity_maps")["ids"][0]
    heard = {}
    for name in ("positive", "silence", "noise", "noise_unclipped", "offscreen"):
        made = unclipped if name == "noise_unclipped" else frontend
        clip = golden_clip(shared, "vggss_mini", sample_id, name.partition("_")[0])
        heard[name] = made(made.waveform(clip)[None])
    transform, _ = build_transforms(settings)
    image = transform(read_image(golden_image(shared, "vggss_mini", sample_id)))
    return {"image": image[None], **heard}


def test_maps_are_the_authors(model: SSLSaN, inputs: dict[str, torch.Tensor], shared: Path) -> None:
    golden = read_golden(shared, "sslsan", "vggss_mini", "similarity_maps")
    names = [name for name in inputs if name != "image"]
    sounds = model.encode_audio(torch.cat([inputs[name] for name in names]))
    maps = model.similarity(model.encode_image(inputs["image"]), sounds[None])[0]
    expected = np.stack([golden[name][0] for name in names])
    np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-5)
    # clipping is what tells the two apart
    assert float((maps[2] - maps[3]).abs().max()) > 0.01


def test_spectrograms_are_the_authors(inputs: dict[str, torch.Tensor], shared: Path) -> None:
    golden = read_golden(shared, "sslsan", "vggss_mini", "preprocessing")
    assert set(golden) == {"silence", "noise", "noise_unclipped"}
    for name, expected in golden.items():
        found = inputs[name][0].numpy().astype(np.float16)
        # half precision; a level of 0 dB is a rounding of float32
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
