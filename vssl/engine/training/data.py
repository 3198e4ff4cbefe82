"""Images, sounds and negatives for training a model that vssl evaluates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch.utils.data import Sampler

from vssl.audio import read_clip
from vssl.core.errors import UsageError
from vssl.core.randomness import generator_for
from vssl.data.loader import AHEAD, BatchLoader, BatchReader
from vssl.frontends import FrontEnd
from vssl.images import Pixels, Transform, decode_image, prepare, read_bytes
from vssl.negatives.base import AudioCondition, Positive
from vssl.types import POSITIVE, AudioClip, AudioRequest, Sample, SoundingObject, _OnDevice

KEPT_BYTES = 4_000_000_000
"""Most memory for prepared images; those beyond it are prepared in every step."""

Place = tuple[int, int]
"""The number of a training step, and the position of a sample in the training set."""


@dataclass
class TrainingBatch(_OnDevice):
    """Images with their sounds and their negatives."""

    images: torch.Tensor  # `[N + E, 3, H, W]` normalized; the last E show nothing that sounds
    waveforms: torch.Tensor  # `[N, T]` float32, cut by the front end's window
    negatives: torch.Tensor  # `[M, T]` distinct waveforms of the negatives; M may be 0
    negative_index: torch.Tensor  # `[N, K]` int64 row in `negatives` by image and condition


class TrainingSet(BatchReader):
    """The samples of a split, a batch at a time.

    A clip is rolled by a random offset in every step before the window cuts it. Draws depend on
    (seed, sample, step) alone, so that threads cannot change them. Prepared images are kept in
    memory, up to `KEPT_BYTES` of them.

    Args:
        samples: samples of the split.
        conditions: negatives, as for an evaluation. Each step takes the next of their draws, and
            after the last one the first.
        frontend: the model's front end; its window cuts the clips.
        transform: decoded image to network input.
        empty: gives the picture of a sample without any object, `[H, W, 3]`; None trains without.
        empties: number of a batch's pictures that are also shown without objects.
        seed: seed of all draws.
        split: name of the split, which noise is keyed by.

    Raises:
        UsageError: when a condition is no negative, or cannot be met with these samples.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        conditions: Sequence[AudioCondition],
        *,
        frontend: FrontEnd,
        transform: Transform,
        empty: Callable[[Sample], Pixels] | None = None,
        empties: int = 0,
        seed: int = 0,
        split: str = "train",
    ) -> None:
        self._samples = samples
        self._conditions = conditions
        # a clip as it is may be asked for by any condition, see `vssl.types.AudioRequest`
        self._makers = {POSITIVE: Positive(), **{each.name: each for each in conditions}}
        self._frontend = frontend
        self._transform = transform
        self._empty = empty
        self._empties = empties if empty is not None else 0
        self._seed = seed
        self._seeds = [each.draw_seed(seed, f"training on {split}") for each in conditions]
        self._paths = {sample.sample_id: sample.audio_path for sample in samples}
        self._prepared_images: dict[tuple[str, bool], torch.Tensor] = {}
        for condition in conditions:
            if condition.sounding_object is not SoundingObject.NONE:
                raise UsageError(
                    f"training.negatives.{condition.name}: an object of the picture sounds in it,"
                    " so it is no negative. Leave it out."
                )
            condition.rate = frontend.rate
            condition.prepare(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, places: Sequence[Place]) -> TrainingBatch:
        """A batch of samples, each given with its training step."""
        samples = [self._samples[position] for _, position in places]
        images = self.read_all(lambda s: self._picture(s, empty=False), samples)
        images += self.read_all(lambda s: self._picture(s, empty=True), samples[: self._empties])
        waveforms = self.read_all(self._own, places)
        seeded = list(zip(self._conditions, self._seeds, strict=True))
        requests = [
            [
                each.request(sample, draw=step % each.draws, seed=seed, length=sample.audio_length)
                for each, seed in seeded
            ]
            for (step, _), sample in zip(places, samples, strict=True)
        ]
        distinct = {r: n for n, r in enumerate(dict.fromkeys(chain.from_iterable(requests)))}
        negatives = self.read_all(self._made, list(distinct))
        return TrainingBatch(
            images=torch.stack(images),
            waveforms=torch.stack(waveforms),
            negatives=torch.stack(negatives) if negatives else torch.empty(0, 1),
            negative_index=torch.tensor(
                [[distinct[request] for request in row] for row in requests], dtype=torch.long
            ),
        )

    def _picture(self, sample: Sample, *, empty: bool) -> torch.Tensor:
        """The network's input for a picture, prepared once for all samples that show it."""
        key = (sample.image_group, empty)
        kept = self._prepared_images.get(key)
        if kept is not None:
            return kept
        if empty and self._empty is not None:
            pixels = self._empty(sample)
        else:
            pixels = decode_image(read_bytes(sample.image_path), sample.image_path)
        image = prepare(self._transform, pixels)
        if len(self._prepared_images) * image.nbytes < KEPT_BYTES:
            self._prepared_images[key] = image
        return image

    def _own(self, place: Place) -> torch.Tensor:
        step, position = place
        sample = self._samples[position]
        clip = read_clip(sample.audio_path, self._frontend.rate)
        generator = generator_for(self._seed, sample.sample_id, "training", step)
        offset = int(generator.integers(clip.samples.shape[1]))
        return self._frontend.waveform(AudioClip(np.roll(clip.samples, offset, axis=1), clip.rate))

    def _made(self, request: AudioRequest) -> torch.Tensor:
        maker = self._makers[request.condition]
        rate = self._frontend.rate
        clip = maker.make(request, lambda source: read_clip(self._paths[source], rate))
        return self._frontend.waveform(clip)


class _ShuffledBatches(Sampler[list[Place]]):
    """Batches of one pass after another, shuffled anew in each; an incomplete batch is dropped."""

    def __init__(self, length: int, batch_size: int, *, seed: int) -> None:
        self._length, self._batch_size, self._seed = length, batch_size, seed
        self._passes = 0

    def __len__(self) -> int:
        return self._length // self._batch_size

    def __iter__(self) -> Iterator[list[Place]]:
        order = generator_for(self._seed, "", "order", self._passes).permutation(self._length)
        first = self._passes * len(self)
        self._passes += 1
        for number in range(len(self)):
            batch = order[number * self._batch_size : (number + 1) * self._batch_size]
            yield [(first + number, int(position)) for position in batch]


def hold_out(
    samples: Sequence[Sample], share: float, *, seed: int
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Divide samples into those to learn from and those for validation.

    A share of the pictures is kept for validation, at least two, drawn under the seed. Samples of
    one picture stay together.
    """
    pictures = sorted({sample.image_group for sample in samples})
    order = generator_for(seed, "", "hold out").permutation(len(pictures))
    kept = {pictures[n] for n in order[: max(2, round(share * len(pictures)))]}
    train = tuple(sample for sample in samples if sample.image_group not in kept)
    return train, tuple(sample for sample in samples if sample.image_group in kept)


def training_loaders(
    train: TrainingSet,
    validation: TrainingSet,
    *,
    batch_size: int = 64,
    num_workers: int = 0,
    seed: int = 0,
) -> tuple[BatchLoader[TrainingBatch], BatchLoader[TrainingBatch]]:
    """Loaders of a train split, shuffled anew in every pass, and of a validation split.

    A validation split that does not fill a batch is one smaller batch. With `num_workers` threads
    batches are read ahead; with 0 torch's number of threads read each when it is asked for.

    Raises:
        UsageError: when the train split does not fill a batch, or validation is one sample.
    """
    if len(validation) < 2:
        raise UsageError("Expected 2 samples or more for validation. Raise their number.")
    if not 2 <= batch_size <= len(train):
        raise UsageError(
            f"Expected `training.batch_size` to be in [2, {len(train)}], the samples of the train"
            f" split, but got {batch_size}."
        )
    order = _ShuffledBatches(len(train), batch_size, seed=seed)
    size = min(batch_size, len(validation))
    firsts = range(0, len(validation) // size * size, size)
    fixed = [[(0, first + n) for n in range(size)] for first in firsts]

    threads = ThreadPoolExecutor(num_workers) if num_workers else None
    train.threads = validation.threads = threads
    ahead = AHEAD if threads else 0
    return (
        BatchLoader(train.__getitem__, order, ahead=ahead),
        BatchLoader(validation.__getitem__, fixed, ahead=ahead),
    )
