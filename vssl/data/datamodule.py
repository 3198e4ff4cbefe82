"""Lightning datamodule of an evaluation, and a sampler that neither pads nor repeats."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import Sampler

from vssl.core.errors import UsageError
from vssl.data.dataset import AudioDataset, ImageDataset
from vssl.data.loader import AHEAD, BatchLoader
from vssl.negatives.plan import AudioPlan


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
    """One loader of the run's distinct audio inputs and, after them, of its images.

    So the networks encode each sound and each image once, whatever the number of audio conditions,
    draws and devices. Reading ahead, the images begin while the last sounds are encoded.

    Args:
        images: the run's images.
        sounds: its distinct audio inputs; None for a model without audio.
        plan: pairing of images and waveforms.
        num_workers: threads that read ahead of the networks; with 0, torch's number of threads
            read a batch when it is asked for.
        wanted: positions of the samples to evaluate; None for all.
        known_sounds: positions of the distinct audio inputs whose encodings are known.
    """

    def __init__(
        self,
        images: ImageDataset,
        sounds: AudioDataset | None,
        plan: AudioPlan,
        *,
        batch_size: int = 16,
        audio_batch_size: int = 16,
        num_workers: int = 0,
        wanted: Sequence[int] | None = None,
        known_sounds: Collection[int] = (),
    ) -> None:
        super().__init__()
        self._images, self._sounds, self._plan = images, sounds, plan
        self._sizes = batch_size, audio_batch_size
        self._num_workers = num_workers
        self._wanted = wanted
        self._known_sounds = set(known_sounds)

    def test_dataloader(self) -> BatchLoader[Any]:
        """Load batches of sounds, if any are to be encoded, and of images."""
        trainer, images, sounds = self.trainer, self._images, self._sounds
        size, audio_size = self._sizes
        rank, processes = 0, 1
        threads = ThreadPoolExecutor(self._num_workers) if self._num_workers else None
        readers: list[Any] = [images] if sounds is None else [images, sounds]
        for each in readers:
            each.threads = threads
        if trainer is not None:
            rank, processes = trainer.global_rank, trainer.world_size
            for each in readers:
                each.pinned = trainer.strategy.root_device.type == "cuda"
        shares = [
            UnpaddedBatchSampler(
                len(images), size, rank=n, world_size=processes, wanted=self._wanted
            )
            for n in range(processes)
        ]
        batches: list[tuple[Any, list[int]]] = [(images, batch) for batch in shares[rank]]
        if sounds is not None and len(self._known_sounds) < len(sounds):
            done = [number for share in shares for batch in share for number in batch]
            heard = set(np.unique(self._plan.index[done]).tolist()) - self._known_sounds
            own = UnpaddedBatchSampler(
                len(sounds), audio_size, rank=rank, world_size=processes,
                parts=self._plan.parts, wanted=heard,
            )  # fmt: skip
            batches = [(sounds, batch) for batch in own] + batches
        return BatchLoader(lambda batch: batch[0][batch[1]], batches, ahead=AHEAD if threads else 0)
