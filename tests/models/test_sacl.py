"""SACL: what enters its networks and its maps, against the authors' code; windows by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.goldens import FOLDERS, Array, golden_clip, golden_image
from tests.helpers.more_models import fill, golden_contents, read_golden
from tests.helpers.running import run_settings
from vssl.audio import TiledMiddle
from vssl.config.build import build_frontends, build_transforms
from vssl.config.networks import make_network
from vssl.frontends import FrontEnd, VGGishExamples
from vssl.images import PillowTransform, prepare, read_image
from vssl.models.base import LocalizationModel
from vssl.resize import resize_as_opencv
from vssl.types import POSITIVE, AudioClip

CONDITIONS = (POSITIVE, "silence", "noise", "offscreen")


@pytest.fixture(scope="module")
def network(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalizationModel:
    settings = run_settings("model=sacl").model
    names = {part: path.name for part, path in settings.weights.items()}
    assert names == {"image": "frame_best.pth", "audio": "sound_best.pth"}
    model = make_network(settings)
    contents = golden_contents(shared, "sacl", tmp_path_factory.mktemp("sacl"))
    image = fill(model, contents["image"], part="image")
    sound = fill(model, contents["sound"], part="audio")
    assert image.used + sound.used == 83_656_020
    return model.eval()


@pytest.fixture(scope="module")
def frontend() -> FrontEnd:
    return build_frontends(run_settings("model=sacl"), CONDITIONS)[POSITIVE]


def heard(frontend: FrontEnd, *clips: AudioClip) -> torch.Tensor:
    return frontend(torch.stack([frontend.waveform(clip) for clip in clips]))


@pytest.mark.parametrize("data", FOLDERS)
def test_tensors_and_maps_are_the_authors(
    shared: Path, network: LocalizationModel, frontend: FrontEnd, data: str
) -> None:
    transform, _ = build_transforms(run_settings("model=sacl"))
    tensors = read_golden(shared, "sacl", data, "preprocessing")
    for name, expected in tensors.items():
        sample_id, _, kind = name.rpartition("/")
        if kind.startswith("image"):
            pixels, usual = read_image(golden_image(shared, data, sample_id)), kind == "image"
            found = (transform if usual else _direct(transform))(pixels)
            bound = 1e-6 if usual else 1e-3  # the other path is stored in float16
        else:
            (found,) = heard(frontend, golden_clip(shared, data, sample_id, kind))
            bound = 1e-6
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound, err_msg=name)

    maps = read_golden(shared, "sacl", data, "similarity_maps")
    sample_id = str(maps["ids"][5])  # in VGG-SS one of the images that rounding is hardest on
    pixels = read_image(golden_image(shared, data, sample_id))
    clips = [golden_clip(shared, data, sample_id, each) for each in CONDITIONS]
    sounds = heard(frontend, *clips)
    with torch.inference_mode():
        images = network.encode_image(transform(pixels)[None])
        vectors = network.encode_audio(sounds)
        (found,) = network.similarity(images, vectors[None])
        alone = network.encode_audio(sounds[1:2])
    np.testing.assert_allclose(found, [maps[each][5] for each in CONDITIONS], rtol=0, atol=1e-5)
    torch.testing.assert_close(vectors[1:2], alone, rtol=0, atol=1e-6)


def _direct(transform: object) -> PillowTransform:
    """The transform of the authors' Flickr path, without the step to 256 pixels."""
    assert isinstance(transform, PillowTransform)
    recipe = run_settings("model=sacl", "model.image.opencv_size=null")
    direct, _ = build_transforms(recipe)
    assert isinstance(direct, PillowTransform)
    assert (transform.opencv_size, direct.opencv_size) == (256, None)
    return direct


@pytest.mark.parametrize("count", [1, 19_040, 24_000, 47_999, 48_000, 48_001, 100_001])
def test_window_is_the_middle_of_what_was_tiled(count: int) -> None:
    samples = np.random.default_rng(0).normal(0, 2, (2, count)).astype(np.float32)
    found = TiledMiddle(seconds=3)(AudioClip(samples))
    mono = samples.mean(axis=0)
    copies = 1 if count >= 48_000 else int(48_000 / count) + 1
    first = int(copies * count / 2) - 24_000
    expected = [mono[(first + n) % count] for n in range(48_000)]
    np.testing.assert_array_equal(found, expected)
    assert np.abs(found).max() > 1 or count == 1, "nothing is clipped"


class TestScaling:
    def test_per_clip_is_a_scaling_by_extremes(self) -> None:
        waveforms = torch.randn(2, 16_000) * torch.tensor([[1.0], [0.001]]) + 0.1
        low, high = waveforms.amin(1, keepdim=True), waveforms.amax(1, keepdim=True)
        by_hand = 2 * (waveforms - low) / (high - low + 0.001) - 1
        found = VGGishExamples(TiledMiddle())(waveforms)
        expected = VGGishExamples(TiledMiddle(), scaling="none")(by_hand)
        assert found.shape == (2, 1, 1, 96, 64)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
        assert (found[0] - found[1]).abs().mean() > 0.1, "other noise"
        assert abs(float(found[0].mean() - found[1].mean())) < 0.5, "but about as loud"

    def test_silence_is_as_if_the_membrane_were_pushed_in(self) -> None:
        silence = torch.zeros(1, 48_000)
        kept = VGGishExamples(TiledMiddle(), scaling="none")
        as_minus_one = VGGishExamples(TiledMiddle())(silence)
        torch.testing.assert_close(as_minus_one, kept(silence - 1))
        torch.testing.assert_close(kept(silence), torch.full_like(as_minus_one, np.log(0.01)))
        assert as_minus_one.max() > -0.7, "what docs/models.md says"


@pytest.mark.parametrize("shape", [(480, 272), (300, 500), (256, 256), (90, 3)])
def test_opencvs_bicubic_is_torchs_but_for_ties(shape: tuple[int, int]) -> None:
    pixels: Array = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = resize_as_opencv(pixels, 256)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].double()
    exact = torch.nn.functional.interpolate(image, (256, 256), mode="bicubic")[0]
    clipped = exact.clamp(0, 255).permute(1, 2, 0).numpy()
    assert found.dtype == np.uint8
    assert np.abs(found - clipped).max() < 0.5 + 1e-4
    transform = PillowTransform(mean=(0, 0, 0), std=(1, 1, 1), size=256, opencv_size=256)
    resized = found.transpose(2, 0, 1).astype(np.float32) / 255
    np.testing.assert_array_equal(prepare(transform, pixels), resized)
