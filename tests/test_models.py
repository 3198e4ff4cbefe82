"""Localization models: the authors' similarity maps, and models that know the answer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.reference.configuration import evaluation_config
from vssl.audio import read_clip
from vssl.commands.build import build_frontends, build_transform
from vssl.data.vggss import VGGSS
from vssl.images import read_image
from vssl.models.base import LocalizationModel, cosine_maps
from vssl.models.baselines import AudioBlind, Baseline, Center, Constant, Oracle, Random
from vssl.models.ezvsl import EZVSL
from vssl.models.lvs import LVS
from vssl.models.resnet import ResNet18
from vssl.models.weights import load_weights
from vssl.types import POSITIVE, ImageBatch

MODELS: dict[str, type[LocalizationModel]] = {"ezvsl": EZVSL, "lvs": LVS}
PAIRINGS = ((POSITIVE, 0), ("silence", 0), ("noise", 0), ("noise", 1), ("offscreen", 0))


def make_batch(count: int = 3, *, seed: int = 0, first: int = 0) -> ImageBatch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 224, 224, generator=generator)
    ground_truth = torch.zeros(count, 224, 224)
    for n in range(count):
        ground_truth[n, 20 + n : 90, 40 : 130 + n] = 1.0
    return ImageBatch(
        index=torch.arange(count),
        images=images,
        ground_truth=ground_truth,
        audio_index=torch.zeros(count, len(PAIRINGS), dtype=torch.int64),
        sample_ids=tuple(f"sample{first + n}" for n in range(count)),
        pairings=PAIRINGS,
    )


@pytest.fixture(scope="module", params=sorted(MODELS))
def loaded(
    request: pytest.FixtureRequest, seeded_checkpoint: Callable[..., Path]
) -> Iterator[tuple[str, LocalizationModel]]:
    name: str = request.param
    model = MODELS[name]()
    load_weights(model, seeded_checkpoint(name))
    with torch.inference_mode():
        yield name, model.eval()


@pytest.fixture(scope="module")
def features(
    loaded: tuple[str, LocalizationModel], shared: Path
) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Image and audio features of three real samples, prepared as the authors do."""
    name, model = loaded
    config = evaluation_config(f"model={name}", "protocol=released")
    transform, frontend = build_transform(config), build_frontends(config, ())[POSITIVE]
    samples = VGGSS(shared / "data" / "vggss_mini").check().samples[:3]
    images = torch.stack([transform(read_image(s.image_path)) for s in samples])
    sounds = torch.stack([frontend(read_clip(s.audio_path)) for s in samples])
    ids = [s.sample_id for s in samples]
    return ids, model.encode_image(images), model.encode_audio(sounds)


Features = tuple[list[str], torch.Tensor, torch.Tensor]


class TestPublishedModels:
    def test_maps_are_the_authors(
        self, loaded: tuple[str, LocalizationModel], features: Features, shared: Path
    ) -> None:
        name, model = loaded
        ids, images, sounds = features
        with np.load(shared / "golden/dev/vggss_mini" / name / "similarity_maps.npz") as golden:
            rows = [golden["ids"].tolist().index(sample_id) for sample_id in ids]
            expected = golden["positive"][rows]
        found = model.similarity(images, sounds[:, None])[:, 0]
        assert found.shape[1:] == model.map_size
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)

    def test_sounds_of_a_batch_equal_one_by_one(
        self, loaded: tuple[str, LocalizationModel], features: Features
    ) -> None:
        _, model = loaded
        _, images, sounds = features
        table = sounds[torch.tensor([[0, 1, 2], [2, 2, 0], [1, 0, 1]])]
        together = model.similarity(images, table)
        assert together.shape == (3, 3, *model.map_size)
        for n in range(3):
            for k in range(3):
                alone = model.similarity(images[n : n + 1], table[n : n + 1, k : k + 1])[0, 0]
                torch.testing.assert_close(together[n, k], alone, rtol=0, atol=1e-6)

    def test_the_sound_matters(
        self, loaded: tuple[str, LocalizationModel], features: Features
    ) -> None:
        # a model that ignores its audio gives one map for all sounds
        _, model = loaded
        _, images, sounds = features
        maps = model.similarity(images, sounds[None].expand(3, -1, -1))
        for k in range(1, 3):
            assert (maps[:, k] - maps[:, 0]).abs().amax(dim=(1, 2)).min() > 1e-2

    def test_the_image_matters(
        self, loaded: tuple[str, LocalizationModel], features: Features
    ) -> None:
        _, model = loaded
        _, images, sounds = features
        maps = model.similarity(images, sounds[:1, None].expand(3, -1, -1))[:, 0]
        for n in range(1, 3):
            assert (maps[n] - maps[0]).abs().max() > 1e-2

    def test_features_are_unit_vectors_and_maps_in_range(
        self, loaded: tuple[str, LocalizationModel], features: Features
    ) -> None:
        _, model = loaded
        _, images, sounds = features
        for vectors in (images, sounds):
            norms = vectors.norm(dim=1)
            torch.testing.assert_close(norms, torch.ones_like(norms))
        low, high = model.value_range
        maps = model.similarity(images, sounds[None].expand(3, -1, -1))
        assert low <= maps.min() <= maps.max() <= high

    def test_localize_joins_the_steps(
        self, loaded: tuple[str, LocalizationModel], features: Features
    ) -> None:
        _, model = loaded
        _, _, sounds = features
        batch = make_batch(2)
        audio = sounds[torch.tensor([[0, 1, 2, 2, 0], [2, 2, 1, 0, 1]])]
        found = model.localize(batch, audio)
        assert found.shape == (2, 5, *model.map_size)
        expected = model.similarity(model.encode_image(batch.images), audio)
        torch.testing.assert_close(found, expected)


def test_cosine_maps_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.nn.functional.normalize(torch.randn(2, 5, 3, 4, generator=generator), dim=1)
    sounds = torch.nn.functional.normalize(torch.randn(2, 6, 5, generator=generator), dim=2)
    found = cosine_maps(images, sounds)
    assert found.shape == (2, 6, 3, 4)
    for n, k, y, x in np.ndindex(*found.shape):
        expected = float(np.dot(images[n, :, y, x].numpy(), sounds[n, k].numpy()))
        assert abs(float(found[n, k, y, x]) - expected) < 1e-6


def test_resnet_has_the_names_of_torchvision(shared: Path) -> None:
    layouts = json.loads((shared / "golden" / "checkpoint_layouts.json").read_text())
    expected = {
        entry["key"]: entry["shape"]
        for entry in layouts["object_saliency"]["keys"]
        if not entry["key"].startswith("fc.")
    }
    found = {key: list(value.shape) for key, value in ResNet18().state_dict().items()}
    assert found == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize(("stride", "side"), [(2, 7), (1, 14)])
@pytest.mark.parametrize("channels", [1, 3])
def test_resnet_grid(stride: int, side: int, channels: int) -> None:
    network = ResNet18(channels_in=channels, last_stride=stride).eval()
    with torch.inference_mode():
        found = network(torch.randn(1, channels, 224, 224))
    assert found.shape == (1, 512, side, side)
    assert found.min() >= 0


BASELINES: dict[str, Baseline] = {
    "constant": Constant(value=1.0),
    "empty": Constant(value=0.0),
    "center": Center(),
    "random": Random(seed=3),
    "audio_blind": AudioBlind(),
    "oracle": Oracle(),
}
no_audio = torch.empty(0)


@pytest.mark.parametrize("name", BASELINES)
class TestBaselines:
    def test_declared_size_and_range(self, name: str) -> None:
        model = BASELINES[name]
        batch = make_batch()
        maps = model.localize(batch, no_audio)
        assert maps.shape == (3, 5, *model.map_size)
        assert maps.dtype == torch.float32
        assert model.value_range == (0.0, 1.0)
        assert 0 <= maps.min() <= maps.max() <= 1
        assert model.checkpoint is None
        assert list(model.parameters()) == []

    def test_batch_composition_does_not_matter(self, name: str) -> None:
        model = BASELINES[name]
        batch = make_batch()
        maps = model.localize(batch, no_audio)
        for n in (2, 0):
            alone = ImageBatch(
                index=batch.index[n : n + 1],
                images=batch.images[n : n + 1],
                ground_truth=batch.ground_truth[n : n + 1],
                audio_index=batch.audio_index[n : n + 1],
                sample_ids=batch.sample_ids[n : n + 1],
                pairings=batch.pairings[::-1],
            )
            found = model.localize(alone, no_audio).flip(1)[0]
            torch.testing.assert_close(found, maps[n], rtol=0, atol=1e-6)

    def test_only_what_should_depends_on_the_condition(self, name: str) -> None:
        maps = BASELINES[name].localize(make_batch(), no_audio)
        same = bool((maps == maps[:, :1]).all())
        assert same == (name not in {"random", "oracle"})


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_constant(value: float) -> None:
    assert (Constant(value=value).localize(make_batch(), no_audio) == value).all()


def test_center_is_a_gaussian() -> None:
    maps = Center(sigma=0.2).localize(make_batch(), no_audio)
    rows, columns = np.mgrid[0:14, 0:14]
    square = ((rows + 0.5) / 14 - 0.5) ** 2 + ((columns + 0.5) / 14 - 0.5) ** 2
    expected = np.exp(-square / (2 * 0.2**2))
    np.testing.assert_allclose(maps[1, 2], expected / expected.max(), rtol=1e-5)
    assert maps.max() == 1


def test_random_is_keyed_and_uniform() -> None:
    batch = make_batch()
    maps = Random(seed=1).localize(batch, no_audio)
    assert len({maps[n, k].numpy().tobytes() for n in range(3) for k in range(5)}) == 15
    assert torch.equal(maps, Random(seed=1).localize(batch, no_audio))
    assert not torch.equal(maps, Random(seed=2).localize(batch, no_audio))
    counts = np.histogram(maps, bins=8, range=(0, 1))[0]
    assert abs(counts - maps.numel() / 8).max() < 5 * np.sqrt(maps.numel() / 8)


def test_audio_blind_finds_the_edges() -> None:
    batch = make_batch(1)
    batch.images.zero_()
    flat = AudioBlind().localize(batch, no_audio)
    assert (flat == 0).all()
    batch.images[:, :, 96:128, 32:64] = torch.rand(3, 32, 32)
    found = AudioBlind().localize(batch, no_audio)[0, 0]
    assert 0.3 < found.max() < 1
    twice = batch.images * 2
    brighter = AudioBlind().localize(dataclasses.replace(batch, images=twice), no_audio)
    assert brighter.max() > found.max(), "one scale for all images, not one per map"
    row, column = divmod(int(found.argmax()), 14)
    assert 6 <= row < 8
    assert 2 <= column < 4
    assert (found[:4] == 0).all()
    assert (found[:, 7:] == 0).all()


def test_oracle_is_perfect_on_positives_and_empty_on_negatives() -> None:
    batch = make_batch()
    batch.ground_truth *= 0.5  # a consensus below 1 is still the object
    maps = Oracle().localize(batch, no_audio)
    assert torch.equal(maps[:, 0] > 0.5, batch.ground_truth > 0)
    assert (maps[:, 1:] == 0).all()


def test_bad_arguments() -> None:
    for value in (-0.1, 1.1):
        with pytest.raises(
            ValueError, match=rf"Expected `value` to be in \[0, 1\], but got {value}"
        ):
            Constant(value=value)
    with pytest.raises(ValueError, match="Expected `sigma` to be greater than 0, but got 0"):
        Center(sigma=0)


def test_contract_without_implementation() -> None:
    model = LocalizationModel()
    for call in (model.encode_image, model.encode_audio):
        with pytest.raises(NotImplementedError):
            call(torch.zeros(1))
    with pytest.raises(NotImplementedError):
        model.similarity(torch.zeros(1), torch.zeros(1))
