"""Localization models: the authors' similarity maps, and models that know the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.running import run, run_settings
from tests.reference.samples import make_sample
from vssl.audio import read_clip
from vssl.config.build import build_frontends, build_transforms
from vssl.config.networks import make_network
from vssl.data.vggss import VGGSS
from vssl.images import read_image
from vssl.models.base import LocalizationModel, dot_maps, unit
from vssl.models.baselines import (
    AudioBlind,
    Baseline,
    Center,
    Constant,
    DeafBest,
    Oracle,
    Random,
    smaller_first,
)
from vssl.models.rcgrad import RCGrad, RCGradRaw
from vssl.models.weights import load_weights
from vssl.types import POSITIVE, ImageBatch

CHECKPOINTS = {
    **{name: name for name in ("ezvsl", "slavc", "fnac", "lvs", "sslalign", "ssltie", "rcgrad")},
    "rcgrad_raw": "rcgrad",
}
"""Model -> whose checkpoint it takes."""

PAIRINGS = ((POSITIVE, 0), ("silence", 0), ("noise", 0), ("noise", 1), ("offscreen", 0))


def make_batch(count: int = 3, *, seed: int = 0) -> ImageBatch:
    """Images of one object each, on whose box half of the annotators agree."""
    generator = torch.Generator().manual_seed(seed)
    samples = [
        dataclasses.replace(
            make_sample(f"sample{n}", "dog"), boxes=((40, 20 + n, 130 + n, 90),), box_weights=(0.5,)
        )
        for n in range(count)
    ]
    return ImageBatch(
        index=torch.arange(count),
        images=torch.randn(count, 3, 224, 224, generator=generator),
        audio_index=torch.zeros(count, len(PAIRINGS), dtype=torch.int64),
        sample_ids=tuple(sample.sample_id for sample in samples),
        pairings=PAIRINGS,
        sounding=tuple((sample, *[None] * (len(PAIRINGS) - 1)) for sample in samples),
        pictured=tuple((sample,) for sample in samples),
    )


@pytest.fixture(scope="module", params=CHECKPOINTS)
def loaded(
    request: pytest.FixtureRequest, seeded_checkpoint: Callable[..., Path]
) -> tuple[str, LocalizationModel]:
    name: str = request.param
    model = make_network(run_settings(f"model={name}", "protocol=released").model)
    load_weights(model, seeded_checkpoint(CHECKPOINTS[name]))
    return name, model.eval()


@pytest.fixture(scope="module")
def features(
    loaded: tuple[str, LocalizationModel], shared: Path
) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Image and audio features of three real samples, prepared as the authors do."""
    name, model = loaded
    settings = run_settings(f"model={name}", "protocol=released")
    transform, _ = build_transforms(settings)
    frontend = build_frontends(settings, ())[POSITIVE]
    samples = VGGSS(shared / "data" / "vggss_mini").check().samples[:3]
    images = torch.stack([transform(read_image(s.image_path)) for s in samples])
    clips = [frontend.waveform(read_clip(s.audio_path)) for s in samples]
    sounds = torch.cat([model.encode_audio(frontend(clip[None])) for clip in clips])
    ids = [s.sample_id for s in samples]
    return ids, model.encode_image(images), sounds


Features = tuple[list[str], torch.Tensor, torch.Tensor]


class TestPublishedModels:
    def test_maps_are_the_authors(
        self, loaded: tuple[str, LocalizationModel], features: Features, shared: Path
    ) -> None:
        name, model = loaded
        ids, images, sounds = features
        folder = shared / "golden/dev/vggss_mini" / CHECKPOINTS[name]
        with np.load(folder / "similarity_maps.npz") as golden:
            rows = [golden["ids"].tolist().index(sample_id) for sample_id in ids]
            expected = golden["positive"][rows]
        if name == "rcgrad_raw":  # its cosine is their map over the lengths of both vectors
            lengths = images.norm(dim=1) * sounds.norm(dim=1).view(3, 1, 1)
            expected = expected * 196 / lengths.numpy()
        found = model.similarity(images, sounds[:, None])[:, 0]
        assert found.shape[1:] == model.map_size
        largest = max(1.0, float(expected.max()))
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * largest)

    def test_sounds_of_a_batch_equal_one_by_one(
        self, loaded: tuple[str, LocalizationModel], features: Features
    ) -> None:
        _, model = loaded
        _, images, sounds = features
        table = sounds[torch.tensor([[0, 1, 2], [2, 2, 0], [1, 0, 1]])]
        together = model.similarity(images, table)
        assert together.shape == (3, 3, *model.map_size)
        for n, k in np.ndindex(3, 3):
            alone = model.similarity(images[n : n + 1], table[n : n + 1, k : k + 1])[0, 0]
            largest = max(1.0, float(alone.max()))
            torch.testing.assert_close(together[n, k], alone, rtol=0, atol=1e-6 * largest)


def test_rcgrad_standardizes_each_sound_of_a_batch_for_itself() -> None:
    """Its authors standardize a whole batch; the contract of models asks this more loosely."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encode = RCGrad(standardization="released").eval().encode_audio
        sounds = torch.randn(2, 16_000) * torch.tensor([[0.001], [0.5]])
    with torch.inference_mode():
        together, alone = encode(sounds), torch.cat([encode(sounds[:1]), encode(sounds[1:])])
    bound = 1e-5 * float(together.abs().max())
    torch.testing.assert_close(together, alone, rtol=0, atol=bound)


@given(shape=st.tuples(*(st.integers(1, 4) for _ in range(5))), seed=st.integers(0, 2**20))
def test_dot_maps_by_hand(shape: tuple[int, ...], seed: int) -> None:
    images, sounds, height, width, channels = shape
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((images, channels, height, width)).astype(np.float32)
    vectors = generator.standard_normal((images, sounds, channels)).astype(np.float32)
    found = dot_maps(torch.from_numpy(features), torch.from_numpy(vectors))
    assert found.shape == (images, sounds, height, width)
    for n, k, y, x in np.ndindex(*found.shape):
        expected = float(np.dot(features[n, :, y, x].astype(float), vectors[n, k].astype(float)))
        assert abs(float(found[n, k, y, x]) - expected) < 1e-5


def test_vectors_are_normalized_and_compared_in_float32_under_any_precision() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, 64, 2, 2, generator=generator).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        units = unit(vectors)
        maps = dot_maps(units, units[:, None, :, 0, 0])
    assert units.dtype == maps.dtype == torch.float32
    exact = vectors.double() / vectors.double().norm(dim=1, keepdim=True)
    torch.testing.assert_close(units.double(), exact, rtol=0, atol=1e-6)
    torch.testing.assert_close(maps[:, 0, 0, 0], torch.ones(3), rtol=0, atol=1e-6)


BASELINES: dict[str, Baseline] = {
    "constant": Constant(value=1.0),
    "empty": Constant(value=0.0),
    "center": Center(),
    "random": Random(seed=3),
    "audio_blind": AudioBlind(),
    "oracle": Oracle(),
    "deaf_best": DeafBest(),
}
no_audio = torch.empty(0)


@pytest.mark.parametrize(("name", "model"), BASELINES.items())
def test_maps_of_baselines_go_by_sample_and_sound(name: str, model: Baseline) -> None:
    """Whatever else is in a batch, and in any order; tests/test_conformance.py has the rest."""
    batch = make_batch()
    maps = model.localize(batch, no_audio)
    assert maps.dtype == torch.float32
    assert list(model.parameters()) == []
    same = bool((maps == maps[:, :1]).all())
    assert same == (name not in {"random", "oracle"}), "only what should depends on the sound"
    for n in (2, 0):
        one = slice(n, n + 1)
        alone = ImageBatch(
            batch.index[one], batch.images[one], batch.audio_index[one], batch.sample_ids[one],
            batch.pairings[::-1], sounding=(batch.sounding[n][::-1],), pictured=batch.pictured[one],
        )  # fmt: skip
        found = model.localize(alone, no_audio).flip(1)[0]
        torch.testing.assert_close(found, maps[n], rtol=0, atol=1e-6)


def test_constant_is_constant_and_center_a_gaussian() -> None:
    assert (Constant(value=0.3).localize(make_batch(), no_audio) == 0.3).all()
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
    maps = Oracle().localize(batch, no_audio)
    for n in range(3):
        inside = torch.zeros(224, 224, dtype=torch.bool)
        inside[20 + n : 90, 40 : 130 + n] = True
        assert torch.equal(maps[n, 0] > 0.5, inside)
    assert (maps[:, 1:] == 0).all()
    # without listening the same where there is one object, in silence too
    deaf, told = DeafBest().localize(batch, no_audio), maps[:, :1]
    torch.testing.assert_close(deaf, (told / told.amax((2, 3), keepdim=True)).expand_as(deaf))
    assert (deaf.amax((2, 3)) == 1).all()


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param(["xxx/.../...", ".../.xx/..."], id="apart"),
        pytest.param(["xxx/xxx/...", ".../.../x.."], id="unlike"),
        pytest.param(["xx./xx./...", ".../.xx/.xx"], id="overlapping, equal"),
        pytest.param(["xxx/xxx/...", ".../.xx/.x."], id="overlapping"),
        pytest.param(["xxx/xxx/...", ".x./.../..."], id="one inside the other"),
    ],
)
def test_no_ranking_without_listening_beats_smaller_first(objects: list[str]) -> None:
    """Of all pairs of masks, one inside the other, that a ranking of 9 pixels can give."""
    truths = [{n for n, c in enumerate(o.replace("/", "")) if c == "x"} for o in objects]
    small, large = sorted(truths, key=len)

    def reached(first: set[int], second: set[int]) -> float:
        pairs = ((first, small), (second, large))
        return sum(len(mask & truth) / len(mask | truth) for mask, truth in pairs) / 2

    best = max(
        reached(set(first), {*first, *more})
        for first in combinations(range(9), len(small))
        for more in combinations(set(range(9)) - set(first), len(large) - len(small))
    )
    masks = [torch.tensor([n in truth for n in range(9)]).view(3, 3) for truth in truths]
    ranks = smaller_first(masks, torch.linspace(1, 0.75, 9).view(3, 3)).flatten()
    order = ranks.argsort(descending=True).tolist()
    found = reached(set(order[: len(small)]), set(order[: len(large)]))
    assert found == pytest.approx(best, abs=1e-12)
    assert {n for n in range(9) if ranks[n] > 0} == small | large


def test_deaf_best_in_a_run(tmp_path: Path) -> None:
    few = ("data.difficulty=overlap", "data.scenes=2", f"paths.cache={tmp_path}")
    rules = ("threshold=[fixed,universal_max]", "threshold.fixed.value=0.25")
    metrics = ("negatives=silence", "metrics=[ciou,swap_delta,auroc]")
    summary = run(tmp_path / "run", "model=deaf_best", *few, *rules, *metrics)
    value = summary.set_index(["metric", "condition", "threshold_policy"])["value"]
    assert value["swap_delta", POSITIVE, "fixed"] == pytest.approx(0, abs=1e-12)
    assert value["ciou", POSITIVE, "universal_max"] == 0
    assert value["auroc", "silence", "none"] == 0.5


def test_deaf_best_ranks_the_objects_of_each_picture() -> None:
    """The smaller object first, and below it what the larger one has outside of it."""
    batch = make_batch(1)
    small = batch.pictured[0][0]
    large = dataclasses.replace(small, boxes=((30, 10, 120, 200),))
    batch = dataclasses.replace(batch, pictured=((large, small),))
    found = DeafBest().localize(batch, no_audio)[0, 0]
    inside = [torch.zeros(224, 224, dtype=torch.bool) for _ in range(2)]
    inside[0][20:90, 40:130] = inside[1][10:200, 30:120] = True
    assert torch.equal(found > 0.7, inside[0])
    assert torch.equal(found > 0, inside[0] | inside[1])
    assert found.max() == 1


def test_deaf_best_of_few_cells_is_the_mean_over_each() -> None:
    batch = make_batch(1)
    fine, coarse = (DeafBest(cells=n).localize(batch, no_audio)[0, 0] for n in (224, 14))
    assert fine.max() == coarse.max() == 1
    means = fine.numpy().reshape(14, 16, 14, 16).mean((1, 3))
    # between the centres of cells, 16 pixels apart, values lie on a line
    place = (np.arange(224) + 0.5) / 16 - 0.5
    along = [np.interp(place, np.arange(14), row) for row in means]
    expected = [np.interp(place, np.arange(14), column) for column in np.transpose(along)]
    np.testing.assert_allclose(coarse, np.transpose(expected) / np.max(expected), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(value=-0.1), r"`value` to be in \[0, 1\], but got -0\.1"),
        (lambda: Constant(value=1.1), r"`value` to be in \[0, 1\], but got 1\.1"),
        (lambda: Center(sigma=0), "`sigma` to be greater than 0, but got 0"),
        (lambda: DeafBest(cells=0), "`cells` to be 1 to 224, but got 0"),
        (lambda: DeafBest(cells=225), "`cells` to be 1 to 224, but got 225"),
        (lambda: RCGrad(standardization="batch"), "`standardization` to be one of corrected"),
        (lambda: RCGradRaw(standardization="batch"), "`standardization` to be one of corrected"),
    ],
)
def test_bad_arguments(make: Callable[[], LocalizationModel], message: str) -> None:
    with pytest.raises(ValueError, match=f"Expected {message}"):
        make()
