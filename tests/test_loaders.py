"""From samples to batches: the sampler, the two data sets of a run, and the datamodule."""

from __future__ import annotations

import gc
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.samples import unheard
from tests.reference.spectrogram import log_spectrogram
from vssl.audio import MiddleWindow, SpanWindow, WholeClip, read_clip
from vssl.data.datamodule import LocalizationDataModule
from vssl.data.is3 import IS3
from vssl.data.sampler import UnpaddedSampler
from vssl.frontends import FrontEnd, LogSpectrogram
from vssl.images import ImageTransform, read_image
from vssl.negatives.base import AudioCondition
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.plan import make_plan
from vssl.negatives.silence import Silence
from vssl.types import POSITIVE, AudioBatch, ImageBatch, Sample

SECOND = SpanWindow(seconds=1.0, start=0.0, stop=1.0)


@settings(deadline=None)
@given(length=st.integers(1, 300), world_size=st.integers(1, 9))
def test_shares_partition_the_items(length: int, world_size: int) -> None:
    if length < world_size:
        with pytest.raises(
            ValueError,
            match=f"at least one item per process, but got {length} items for {world_size} proc"
            f".*trainer.devices={length} or fewer",
        ):
            UnpaddedSampler(length, rank=0, world_size=world_size)
        return
    samplers = [UnpaddedSampler(length, rank=r, world_size=world_size) for r in range(world_size)]
    shares = [list(sampler) for sampler in samplers]
    assert sorted(item for share in shares for item in share) == list(range(length))
    sizes = [len(sampler) for sampler in samplers]
    assert sizes == [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_sampler_can_be_read_again() -> None:
    sampler = UnpaddedSampler(5)
    assert list(sampler) == list(sampler) == [0, 1, 2, 3, 4]


def test_sampler_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one item per process, but got 0 items"):
        UnpaddedSampler(0)


@pytest.fixture
def samples(is3_folder: Path) -> tuple[Sample, ...]:
    return IS3(is3_folder).check().samples


def make_module(
    samples: tuple[Sample, ...], *, num_workers: int = 0, hears: bool = True, apart: bool = False
) -> LocalizationDataModule:
    conditions: list[AudioCondition] = [Silence(), Noise(draws=2), Offscreen(draws=2)]
    frontends: dict[str, FrontEnd] = {}
    if hears:
        frontends[POSITIVE] = LogSpectrogram(SECOND)
        if apart:
            frontends["silence"] = LogSpectrogram(SECOND, log=False)
    return LocalizationDataModule(
        samples,
        make_plan(samples, conditions, seed=4, shared_frontend={n: n for n in frontends}),
        conditions,
        frontends=frontends,
        transform=ImageTransform(size=32),
        batch_size=4,
        audio_batch_size=5,
        num_workers=num_workers,
    )


def read_all(module: LocalizationDataModule) -> tuple[list[AudioBatch], list[ImageBatch]]:
    audio, images = module.test_dataloader()
    return list(audio), list(images)


def test_every_item_comes_once(samples: tuple[Sample, ...]) -> None:
    module = make_module(samples)
    audio, images = read_all(module)
    distinct = len(module.plan.distinct)
    # six positives, one silence, two noises; offscreen clips are positives
    assert distinct == 9
    assert torch.cat([batch.index for batch in audio]).tolist() == list(range(distinct))
    assert [len(batch.index) for batch in audio] == [5, 4]
    assert torch.cat([batch.index for batch in images]).tolist() == list(range(6))
    assert [len(batch.index) for batch in images] == [4, 2]


def test_image_batches(samples: tuple[Sample, ...]) -> None:
    module = make_module(samples)
    _, images = read_all(module)
    transform = ImageTransform(size=32)
    for batch in images:
        assert batch.pairings == module.plan.pairings
        assert batch.audio_index.dtype == batch.index.dtype == torch.int64
        for row, n in enumerate(batch.index.tolist()):
            sample = samples[n]
            assert batch.sample_ids[row] == sample.sample_id
            assert torch.equal(batch.images[row], transform(read_image(sample.image_path)))
            np.testing.assert_array_equal(batch.audio_index[row], module.plan.index[n])
            drawn = np.zeros((224, 224), dtype=np.float32)
            for x0, y0, x1, y1 in sample.boxes:
                drawn[y0:y1, x0:x1] = 1
            np.testing.assert_array_equal(batch.ground_truth[row], drawn)


@pytest.mark.parametrize("apart", [False, True])
def test_audio_index_leads_to_the_sound(samples: tuple[Sample, ...], apart: bool) -> None:
    module = make_module(samples, apart=apart)
    audio, images = read_all(module)
    table = torch.cat([batch.inputs for batch in audio])[:, 0].numpy()
    offscreen = {
        (row.sample_id, row.draw): row.audio_source_id
        for row in module.plan.manifest
        if row.condition == "offscreen"
    }
    path_of = {s.sample_id: s.audio_path for s in samples}
    for batch in images:
        for row, sample_id in enumerate(batch.sample_ids):
            for k, (condition, draw) in enumerate(batch.pairings):
                found = table[batch.audio_index[row, k]]
                if condition == "silence":
                    assert (found == found[0, 0]).all()
                    assert (found[0, 0] == 0) == apart
                elif condition != "noise":
                    source = offscreen.get((sample_id, draw)) if condition != POSITIVE else None
                    clip = read_clip(path_of[source or sample_id]).samples[0, :16_000]
                    expected = log_spectrogram(clip, 16_000)
                    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    noises = [k for k, (condition, _) in enumerate(module.plan.pairings) if condition == "noise"]
    first, second = (table[module.plan.index[0, k]] for k in noises)
    assert np.abs(first - second).mean() > 0.01


def test_workers_change_nothing(samples: tuple[Sample, ...]) -> None:
    audio, images = read_all(make_module(samples))
    audio_again, images_again = read_all(make_module(samples, num_workers=2))
    assert len(audio) == len(audio_again)
    assert len(images) == len(images_again)
    for one, two in zip(audio, audio_again, strict=True):
        assert torch.equal(one.index, two.index)
        assert torch.equal(one.inputs, two.inputs)
    for here, there in zip(images, images_again, strict=True):
        for name in ("index", "images", "ground_truth", "audio_index"):
            assert torch.equal(getattr(here, name), getattr(there, name)), name
        assert here.sample_ids == there.sample_ids
        assert here.pairings == there.pairings


def test_model_without_audio_has_one_loader(samples: tuple[Sample, ...]) -> None:
    module = make_module(samples, hears=False)
    assert not module.hears
    (images,) = module.test_dataloader()
    assert sum(len(batch.index) for batch in images) == 6


def test_default_number_of_workers(samples: tuple[Sample, ...]) -> None:
    assert 0 <= make_module(samples, num_workers=None).num_workers <= 8  # type: ignore[arg-type]


def test_frontend_errors_name_the_file(samples: tuple[Sample, ...]) -> None:
    short = LogSpectrogram(MiddleWindow(seconds=0.01))
    module = make_module(samples)
    module.frontends = {POSITIVE: short}
    with pytest.raises(ValueError, match=r"\.wav: Expected a window of at least 512 samples"):
        list(module.test_dataloader()[0])


def test_errors_about_made_audio_name_the_condition(samples: tuple[Sample, ...]) -> None:
    tiny = tuple(replace(sample, audio_length=100) for sample in samples)
    module = make_module(tiny)
    module.frontends = {POSITIVE: LogSpectrogram(WholeClip(), noverlap=0, frames=2)}
    with pytest.raises(ValueError, match=r"^silence: Expected a window of at least 512 samples"):
        list(module.test_dataloader()[0])


def test_no_file_stays_open(samples: tuple[Sample, ...]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_all(make_module(samples))
        gc.collect()
    assert [str(w.message) for w in caught if w.category is ResourceWarning] == []


def test_one_loader_reads_several_lengths(samples: tuple[Sample, ...]) -> None:
    # silence and noise as long as each image's own clip: one waveform for each length
    lengths = (16_000, 20_000, 24_000)
    mixed = tuple(replace(s, audio_length=lengths[n % 3]) for n, s in enumerate(samples))
    module = make_module(mixed)
    made = [r for _, r in module.plan.distinct if r.condition == "noise"]
    assert len(made) == 2 * 3
    first = [module.conditions["noise"].make(r, unheard) for r in made if r.draw == 0]
    for shorter, longer in pairwise(first):
        count = min(shorter.samples.shape[1], longer.samples.shape[1])
        np.testing.assert_array_equal(shorter.samples[:, :count], longer.samples[:, :count])
    audio, _ = read_all(module)
    assert sum(len(batch.index) for batch in audio) == 6 + 3 + 6
