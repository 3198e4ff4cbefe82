"""The Lightning datamodule: positives and negatives of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from vssl.cache import Shelf
from vssl.checks import check_positive
from vssl.data.dataset import (
    AudioDataset,
    ImageCollate,
    ImageDataset,
    ImageShelves,
    collate_audio,
)
from vssl.data.sampler import UnpaddedBatchSampler
from vssl.errors import UsageError
from vssl.frontends import FrontEnd
from vssl.images import Transform
from vssl.negatives.base import AudioCondition, Positive
from vssl.negatives.plan import AudioPlan
from vssl.types import POSITIVE, ImageBatch, Sample


class LocalizationDataModule(pl.LightningDataModule):
    """Two loaders, read one after the other: the run's distinct audio inputs, then its images.

    So each sound and each image passes through its network once, whatever the number of audio
    conditions and draws. A model that takes no audio has no front end and only the second loader.
    Any number of devices sees the same items, each once.

    Args:
        samples: the run's samples.
        plan: which waveform each image meets.
        conditions: the negatives.
        frontends: front end by audio condition; empty for a model that takes no audio.
        transform: decoded image to network input.
        prior_transform: decoded image to the object prior's input, where it takes another.
        batch_size: images at once.
        audio_batch_size: audio inputs at once.
        num_workers: loader processes; with 0, threads of this process read each batch.
        image_shelves: what a cache holds of images.
        audio_shelves: encoded audio inputs that a cache holds, by front end.
        wanted: samples to do, by their position; None for all. Batches stay as they are for all,
            and whole batches are left out.

    Raises:
        UsageError: for a batch size below 1 or a negative number of workers.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        plan: AudioPlan,
        conditions: Sequence[AudioCondition],
        *,
        frontends: Mapping[str, FrontEnd],
        transform: Transform,
        prior_transform: Transform | None = None,
        batch_size: int = 16,
        audio_batch_size: int = 16,
        num_workers: int = 0,
        image_shelves: ImageShelves | None = None,
        audio_shelves: Mapping[str, Shelf] | None = None,
        wanted: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_positive(batch_size, name="loader.batch_size")
        check_positive(audio_batch_size, name="loader.audio_batch_size")
        if num_workers < 0:
            raise UsageError(
                f"Expected `loader.num_workers` to be 0 or more, but got {num_workers}."
            )
        self.samples = samples
        self.plan = plan
        makers: dict[str, AudioCondition] = {c.name: c for c in conditions}
        self.conditions = {POSITIVE: Positive(), **makers}
        self.frontends = frontends
        self.transform = transform
        self.prior_transform = prior_transform
        self.batch_size = batch_size
        self.audio_batch_size = audio_batch_size
        self.num_workers = num_workers
        self.image_shelves = image_shelves or ImageShelves()
        self.audio_shelves = audio_shelves
        self.wanted = wanted

    @property
    def hears(self) -> bool:
        """Whether there is an audio loader in front of the image loader."""
        return bool(self.frontends)

    def test_dataloader(self) -> list[DataLoader[Any]]:
        """The audio loader, if any, and the image loader."""
        loaders = []
        if self.hears:
            audio = AudioDataset(self.samples, self.plan, self.conditions, self.frontends)
            together = partial(collate_audio, shelves=self.audio_shelves)
            loaders.append(
                self._loader(
                    audio, together, self.audio_batch_size, self._heard(), parts=self.plan.parts
                )
            )
        images = ImageDataset(
            self.samples, self.transform, self.prior_transform, self.image_shelves
        )
        own_prior = self.prior_transform is not None
        collate = ImageCollate(self.samples, self.plan, own_prior=own_prior)
        return [*loaders, self._loader(images, collate, self.batch_size, self.wanted)]

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Keep images as they were prepared, while they are still on the CPU."""
        if isinstance(batch, ImageBatch) and batch.seen is not None:
            keys = [key for key, seen in zip(batch.keys, batch.seen.tolist(), strict=True) if seen]
            self.image_shelves.images.put(keys, batch.images.numpy())
            if batch.prior_images is not None and batch.object_maps is not None:
                asked = (~batch.object_maps.rows).tolist()
                keys = [key for key, row in zip(batch.keys, asked, strict=True) if row]
                self.image_shelves.prior_images.put(keys, batch.prior_images.numpy())
        return batch

    def teardown(self, stage: str) -> None:
        """Write what is still to be kept."""
        self.image_shelves.images.flush()
        self.image_shelves.prior_images.flush()

    def _heard(self) -> list[int] | None:
        """Audio inputs of all images in the batches that some process does; None for all."""
        if self.wanted is None:
            return None
        world_size = 1 if self.trainer is None else self.trainer.world_size
        done = [
            number
            for rank in range(world_size)
            for batch in UnpaddedBatchSampler(
                len(self.samples), self.batch_size,
                rank=rank, world_size=world_size, wanted=self.wanted,
            )
            for number in batch
        ]  # fmt: skip
        heard: list[int] = np.unique(self.plan.index[done]).tolist()
        return heard

    def _loader(
        self,
        dataset: Dataset[Any],
        collate: Callable[[list[Any]], Any],
        batch_size: int,
        wanted: Sequence[int] | None,
        *,
        parts: Sequence[int] | None = None,
    ) -> DataLoader[Any]:
        rank, world_size = 0, 1
        if self.trainer is not None:
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
        length = len(dataset)  # type: ignore[arg-type]
        return DataLoader(
            dataset,
            batch_sampler=UnpaddedBatchSampler(
                length, batch_size, rank=rank, world_size=world_size, parts=parts, wanted=wanted
            ),
            num_workers=self.num_workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
        )
