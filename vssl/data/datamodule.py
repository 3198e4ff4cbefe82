"""Lightning datamodule of an evaluation, and a sampler that neither pads nor repeats."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import Sampler

from vssl.core.errors import UsageError
from vssl.data.dataset import AudioDataset, ImageDataset
from vssl.data.loader import AHEAD, BatchLoader
from vssl.frontends import FrontEnd
from vssl.images import Transform
from vssl.negatives.base import AudioCondition, Positive
from vssl.negatives.plan import AudioPlan
from vssl.types import Sample


class UnpaddedBatchSampler(Sampler[list[int]]):
    """Batches of a contiguous share of the items per process; shares differ by at most one.

    torch's own distributed sampler repeats items, which biases every mean. `wanted` leaves out
    whole batches only, since the last digits of an encoding depend on the size of its batch.

    Args:
        length: number of items.
        batch_size: items of a batch; the last one may have fewer.
        rank: this process, from 0.
        world_size: number of processes.
        parts: sizes of consecutive parts, which share no batch; None for one part.
        wanted: needed items, None for all. Batches without any are left out. If none is needed, the
            last batch stays, because Lightning requires one.

    Raises:
        UsageError: when a process would get no item.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        parts: Sequence[int] | None = None,
        wanted: Collection[int] | None = None,
    ) -> None:
        if length < world_size:
            raise UsageError(
                f"Expected at least one item per process, but got {length} items for"
                f" {world_size} processes. Use trainer.devices={max(length, 1)} or fewer."
            )
        share = range(length * rank // world_size, length * (rank + 1) // world_size)
        ends = [end for end in accumulate(parts or ()) if share.start < end < share.stop]
        batches = [
            list(range(n, min(n + batch_size, end)))
            for begin, end in pairwise([share.start, *ends, share.stop])
            for n in range(begin, end, batch_size)
        ]
        if wanted is not None:
            needed = set(wanted)
            batches = [b for b in batches if not needed.isdisjoint(b)] or batches[-1:]
        self._batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


class LocalizationDataModule(pl.LightningDataModule):
    """Two loaders, read one after the other: the run's distinct audio inputs, then its images.

    So the networks encode each sound and each image once, whatever the number of audio conditions,
    draws and devices. Without sounds to encode there is only the second loader. Reading ahead, the
    second one begins while the last sounds are encoded.

    Args:
        samples: the run's samples.
        plan: pairing of images and waveforms.
        conditions: the negatives.
        frontends: front end by audio condition; empty for a model without audio.
        transform: of `ImageDataset`, as `prior_transform`.
        num_workers: threads that read ahead of the networks; with 0, torch's number of threads
            read a batch when it is asked for.
        truth: of `ImageDataset`.
        wanted: positions of the samples to evaluate; None for all.
        known_sounds: positions of the distinct audio inputs whose encodings are known.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        plan: AudioPlan,
        conditions: Sequence[AudioCondition],
        *,
        frontends: Mapping[str, FrontEnd],
        transform: Transform | None,
        prior_transform: Transform | None = None,
        batch_size: int = 16,
        audio_batch_size: int = 16,
        num_workers: int = 0,
        truth: bool = False,
        wanted: Sequence[int] | None = None,
        known_sounds: Collection[int] = (),
    ) -> None:
        super().__init__()
        self.samples = samples
        self.plan = plan
        self.conditions = {c.name: c for c in (Positive(), *conditions)}
        self.frontends = frontends
        self.transform = transform
        self.prior_transform = prior_transform
        self.batch_size = batch_size
        self.audio_batch_size = audio_batch_size
        self.num_workers = num_workers
        self.truth = truth
        self.wanted = wanted
        self.known_sounds = set(known_sounds)

    @property
    def uses_audio(self) -> bool:
        """Whether there is an audio loader before the image loader."""
        return bool(self.frontends) and len(self.known_sounds) < len(self.plan.distinct)

    def test_dataloader(self) -> list[BatchLoader[Any]]:
        """The audio loader, if any, and the image loader."""
        trainer, size = self.trainer, self.batch_size
        rank, processes, pinned = 0, 1, False
        if trainer is not None:
            rank, processes = trainer.global_rank, trainer.world_size
            pinned = trainer.strategy.root_device.type == "cuda"
        threads = ThreadPoolExecutor(self.num_workers) if self.num_workers else None
        ahead = AHEAD if threads else 0
        images = ImageDataset(
            self.samples, self.plan, self.transform, self.prior_transform, truth=self.truth
        )
        images.threads, images.pinned = threads, pinned
        shares = [
            UnpaddedBatchSampler(
                len(images), size, rank=each, world_size=processes, wanted=self.wanted
            )
            for each in range(processes)
        ]
        last = BatchLoader(images.__getitem__, shares[rank], ahead=ahead)
        loaders: list[BatchLoader[Any]] = [last]
        if self.uses_audio:
            done = [number for share in shares for batch in share for number in batch]
            audio = AudioDataset(self.samples, self.plan, self.conditions, self.frontends)
            audio.threads, audio.pinned = threads, pinned
            batches = UnpaddedBatchSampler(
                len(audio),
                self.audio_batch_size,
                rank=rank,
                world_size=processes,
                parts=self.plan.parts,
                wanted=set(np.unique(self.plan.index[done]).tolist()) - self.known_sounds,
            )
            first = BatchLoader(audio.__getitem__, batches, ahead=ahead, following=last)
            loaders.insert(0, first)
        return loaders
