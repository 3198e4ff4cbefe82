"""From samples to batches: the sampler, the two data sets of a run, and the datamodule."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.drawn import write_tone
from vssl.audio import CenterWindow, MiddleWindow, SpanWindow, WholeClip, read_clip
from vssl.data.datamodule import LocalizationDataModule, UnpaddedBatchSampler
from vssl.data.dataset import AudioDataset, ImageDataset
from vssl.data.is3 import IS3
from vssl.frontends import FrontEnd, LogSpectrogram, MelSpectrogram, RawWaveform
from vssl.images import ImageTransform, PillowTransform, Transform, read_image
from vssl.negatives.base import AudioCondition, Positive
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.plan import AudioPlan, make_plan
from vssl.negatives.silence import Silence
from vssl.types import POSITIVE, AudioBatch, ImageBatch, Sample

SECOND = SpanWindow(seconds=1.0, start=0.0, stop=1.0)


@given(
    length=st.integers(0, 300),
    world_size=st.integers(1, 9),
    batch_size=st.integers(1, 40),
    cuts=st.sets(st.integers(1, 299)),
    data=st.data(),
)
def test_shares_partition_the_items(
    length: int, world_size: int, batch_size: int, cuts: set[int], data: st.DataObject
) -> None:
    ends = sorted({cut for cut in cuts if cut < length} | {length})
    parts = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    part_of = [n for n, size in enumerate(parts) for _ in range(size)]

    if length < world_size:
        with pytest.raises(
            ValueError,
            match=f"at least one item per process, but got {length} items for {world_size} proc"
            f".*trainer.devices={max(length, 1)} or fewer",
        ):
            UnpaddedBatchSampler(length, batch_size, rank=0, world_size=world_size)
        return

    def batches(**options: object) -> list[list[list[int]]]:
        samplers = [
            UnpaddedBatchSampler(
                length, batch_size, rank=r, world_size=world_size, parts=parts, **options
            )
            for r in range(world_size)
        ]
        found = [list(sampler) for sampler in samplers]
        assert [len(sampler) for sampler in samplers] == [len(each) for each in found]
        return found

    everything = batches()
    shares = [[item for batch in share for item in batch] for share in everything]
    assert [item for share in shares for item in share] == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    for share in everything:
        for batch, following in zip(share, [*share[1:], None], strict=True):
            assert 1 <= len(batch) <= batch_size
            assert len({part_of[item] for item in batch}) == 1
            if following is not None and part_of[following[0]] == part_of[batch[0]]:
                assert len(batch) == batch_size
    wanted = data.draw(st.sets(st.integers(0, length - 1)))
    for share, some in zip(everything, batches(wanted=wanted), strict=True):
        assert some == ([b for b in share if wanted & set(b)] or share[-1:])


@pytest.fixture
def samples(is3_folder: Path) -> tuple[Sample, ...]:
    return IS3(is3_folder).check().samples


@dataclass
class Made:
    """A data module with what it was made of, and what it reads."""

    module: LocalizationDataModule
    plan: AudioPlan
    conditions: dict[str, AudioCondition]
    frontends: dict[str, FrontEnd]

    def read(self) -> tuple[list[list[AudioBatch]], list[ImageBatch]]:
        batches = list(self.module.test_dataloader())
        audio = [batch for batch in batches if isinstance(batch, list)]
        assert batches[: len(audio)] == audio, "sounds come first"
        return audio, batches[len(audio) :]


def make_module(
    samples: tuple[Sample, ...],
    *,
    hears: bool = True,
    apart: bool = False,
    truth: bool = False,
    prior_transform: Transform | None = None,
    frontends: dict[str, FrontEnd] | None = None,
    **options: Any,
) -> Made:
    conditions: list[AudioCondition] = [Silence(), Noise(draws=2), Offscreen(draws=2)]
    frontends = dict(frontends or {})
    if hears and not frontends:
        frontends[POSITIVE] = LogSpectrogram(SECOND)
        if apart:
            frontends["silence"] = LogSpectrogram(SECOND, log=False)
    plan = make_plan(samples, conditions, seed=4, own_frontend=frontends)
    by_name = {each.name: each for each in (Positive(), *conditions)}
    sounds = AudioDataset(samples, plan, by_name, frontends) if hears else None
    images = ImageDataset(samples, plan, ImageTransform(size=32), prior_transform, truth=truth)
    module = LocalizationDataModule(
        images, sounds, plan, batch_size=4, audio_batch_size=5, **options
    )
    return Made(module, plan, by_name, frontends)


def flat(audio: list[list[AudioBatch]]) -> list[AudioBatch]:
    return [batch for together in audio for batch in together]


@pytest.mark.parametrize("truth", [False, True])
def test_image_batches(samples: tuple[Sample, ...], truth: bool) -> None:
    other = PillowTransform(size=40, mean=(0.5, 0.4, 0.3), std=(1.0, 2.0, 3.0))
    module = make_module(samples, prior_transform=other, truth=truth)
    _, images = module.read()
    assert [batch.index.tolist() for batch in images] == [[0, 1, 2, 3], [4, 5]]
    transform = ImageTransform(size=32)
    for batch in images:
        assert batch.prior_images is not None
        assert batch.pairings == module.plan.pairings
        assert batch.audio_index.dtype == batch.index.dtype == torch.int64
        for row, n in enumerate(batch.index.tolist()):
            sample = samples[n]
            assert batch.sample_ids[row] == sample.sample_id
            image = read_image(sample.image_path)
            torch.testing.assert_close(batch.images[row], transform(image), rtol=0, atol=1e-4)
            assert torch.equal(batch.prior_images[row], other(image))
            np.testing.assert_array_equal(batch.audio_index[row], module.plan.index[n])
            if truth:
                assert batch.sounding[row] == (sample, *[None] * 5)
                pair = {s for s in samples if s.image_group == sample.image_group}
                assert set(batch.pictured[row]) == pair
            else:
                assert batch.sounding == batch.pictured == ()


def test_threads_that_read_ahead_change_nothing(samples: tuple[Sample, ...]) -> None:
    options = {"apart": True, "prior_transform": ImageTransform(size=24)}
    plain = make_module(samples, **options).read()
    ahead = make_module(samples, **options, num_workers=3).read()
    for batches, others in zip((flat(plain[0]), plain[1]), (flat(ahead[0]), ahead[1]), strict=True):
        for batch, other in zip(batches, others, strict=True):
            for name, value in vars(batch).items():
                same = torch.equal if isinstance(value, torch.Tensor) else operator.eq
                assert same(value, getattr(other, name)), name


def test_a_batch_goes_to_a_device_but_for_its_positions(samples: tuple[Sample, ...]) -> None:
    sounds, images = make_module(samples).read()
    moved = images[0].to(torch.device("meta"))
    found = {name: value.device.type for name, value in vars(moved).items()
             if isinstance(value, torch.Tensor)}  # fmt: skip
    assert found == {"index": "cpu", "images": "meta", "audio_index": "meta"}
    assert sounds[0][0].to(torch.device("meta")).index.is_meta


def test_a_model_without_audio_gets_images_alone(samples: tuple[Sample, ...]) -> None:
    audio, images = make_module(samples, hears=False).read()
    assert not audio
    assert sum(len(batch.index) for batch in images) == 6


@pytest.mark.parametrize(
    ("frontend", "place"),
    [
        (LogSpectrogram(MiddleWindow(seconds=0.01)), r"\.wav"),
        (LogSpectrogram(WholeClip(), noverlap=0, frames=2), "^silence"),
    ],
)
def test_errors_name_the_file_or_what_is_made(
    samples: tuple[Sample, ...], frontend: FrontEnd, place: str
) -> None:
    short = tuple(replace(sample, audio_length=100) for sample in samples)
    made = make_module(short, frontends={POSITIVE: frontend})
    with pytest.raises(ValueError, match=f"{place}: Expected a window of at least 512 samples"):
        made.read()


def test_every_input_comes_once_in_its_group(is3_folder: Path) -> None:
    """Front ends whose windows leave the clips' lengths, and clips of three lengths."""
    for n, path in enumerate(sorted((is3_folder / "audio_wav").glob("*.wav"))):
        write_tone(path, hertz=300.0 * (1 + n), seconds=(0.5, 0.7, 1.5)[n % 3])
    samples = IS3(is3_folder).check().samples
    frontends: dict[str, FrontEnd] = {
        POSITIVE: RawWaveform(WholeClip()),
        "silence": LogSpectrogram(CenterWindow(seconds=0.6)),
        # of one length with some positives, but of another front end
        "noise": MelSpectrogram(SpanWindow(seconds=0.7, start=0.0, stop=0.7)),
    }
    module = make_module(samples, frontends=frontends)
    audio, _ = module.read()
    # six positives; silence and noise for each of three lengths, noise twice
    assert len(module.plan.distinct) == 6 + 3 + 6
    taken = [sorted(i for b in together for i in b.index.tolist()) for together in audio]
    assert taken == [[*range(5)], [5], [6, 7, 8], [*range(9, 14)], [14]]
    for together in audio:
        groups = [(batch.frontend, batch.waveforms.shape[1]) for batch in together]
        assert len(set(groups)) == len(groups), "one batch for each front end and length"
    groups = [(batch.frontend, batch.waveforms.shape[1]) for batch in flat(audio)]
    assert set(groups) == {
        (POSITIVE, 8_000), (POSITIVE, 11_200), (POSITIVE, 24_000), ("silence", 9_600),
        ("noise", 11_200),
    }  # fmt: skip
    paths = {s.sample_id: s.audio_path for s in samples}
    for batch in flat(audio):
        assert (batch.index.dtype, batch.waveforms.dtype) == (torch.int64, torch.float32)
        for index, waveform in zip(batch.index.tolist(), batch.waveforms, strict=True):
            frontend, request = module.plan.distinct[index]
            assert batch.frontend == frontend
            condition = module.conditions[request.condition]
            clip = condition.make(request, lambda source: read_clip(paths[source]))
            np.testing.assert_array_equal(waveform, module.frontends[frontend].window(clip))
