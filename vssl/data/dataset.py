"""What the data loaders read: images with their pairings, and the run's distinct audio inputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import torch
from torch.utils.data import Dataset, get_worker_info

from vssl.audio import read_clip
from vssl.cache import Shelf, batch_key, content_key
from vssl.errors import UsageError
from vssl.frontends import FrontEnd
from vssl.images import Transform, decode_image, prepare, read_bytes
from vssl.maps import consensus_map
from vssl.negatives.base import AudioCondition
from vssl.negatives.plan import AudioPlan
from vssl.types import AudioBatch, AudioClip, ImageBatch, Known, Sample, SoundingObject

_Item = TypeVar("_Item")
_Place = TypeVar("_Place")


class BatchReader:
    """Reads the items of a batch by as many threads as torch uses, or by one in a loader.

    Where networks run on the CPU, a loader process beside them only gets in their way: what they
    have split evenly over the cores waits for the one that reads. So all cores read a batch, then
    all encode it.
    """

    _pool: ThreadPoolExecutor | None = None

    def read_all(self, read: Callable[[_Place], _Item], places: Sequence[_Place]) -> list[_Item]:
        """What `read` makes of each of some places."""
        if get_worker_info() is not None or len(places) == 1:
            return [read(place) for place in places]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(torch.get_num_threads())
        return list(self._pool.map(read, places))


class _BatchedDataset(BatchReader, Dataset[_Item]):
    """A dataset that gives whole batches."""

    def __getitem__(self, index: int) -> _Item:
        return self.__getitems__([index])[0]

    @abstractmethod
    def __getitems__(self, indices: list[int]) -> list[_Item]:
        """A batch."""


@dataclass(frozen=True)
class ImageShelves:
    """What a cache holds of images, by the content of their files, and the batch's size.

    Attributes:
        images: network inputs.
        prior_images: the object prior's inputs, where it takes others.
        features: outputs of the model's `encode_image`; None for a model without, or no cache.
        object_maps: the object prior's maps; None without a prior, or without a cache.
    """

    images: Shelf = field(default_factory=Shelf)
    prior_images: Shelf = field(default_factory=Shelf)
    features: Shelf | None = None
    object_maps: Shelf | None = None


@dataclass(frozen=True)
class _ImageItem:
    index: int
    key: bytes
    ground_truth: torch.Tensor
    image: torch.Tensor | None
    prior_image: torch.Tensor | None
    features: torch.Tensor | None
    object_map: torch.Tensor | None


class ImageDataset(_BatchedDataset[_ImageItem]):
    """Every image of the run, decoded once, or not at all where a cache knows all about it.

    Args:
        samples: the run's samples.
        transform: decoded image to network input.
        prior_transform: decoded image to the object prior's input, where it takes another.
        shelves: what a cache holds.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        transform: Transform,
        prior_transform: Transform | None = None,
        shelves: ImageShelves | None = None,
    ) -> None:
        self._samples = samples
        self._transform = transform
        self._prior_transform = prior_transform
        self._shelves = shelves or ImageShelves()

    def __len__(self) -> int:
        return len(self._samples)

    def __getitems__(self, indices: list[int]) -> list[_ImageItem]:
        return self.read_all(partial(self._item, batch=len(indices)), indices)

    def _item(self, index: int, *, batch: int) -> _ImageItem:
        sample, shelves = self._samples[index], self._shelves
        data = read_bytes(sample.image_path)
        key = content_key(data)
        encoded_key = batch_key(key, batch)
        features = _lookup(shelves.features, encoded_key)
        object_map = _lookup(shelves.object_maps, encoded_key)
        prior_looks = shelves.object_maps is not None and object_map is None
        image, prior_image, decoded = None, None, None
        if features is None or (prior_looks and self._prior_transform is None):
            image = _lookup(shelves.images, key)
            if image is None:
                decoded = decode_image(data, sample.image_path)
                image = prepare(self._transform, decoded)
        if object_map is None and self._prior_transform is not None:
            prior_image = _lookup(shelves.prior_images, key)
            if prior_image is None:
                if decoded is None:
                    decoded = decode_image(data, sample.image_path)
                prior_image = prepare(self._prior_transform, decoded)
        truth = consensus_map(sample.boxes, sample.box_weights)
        return _ImageItem(index, key, truth, image, prior_image, features, object_map)


def _lookup(shelf: Shelf | None, key: bytes) -> torch.Tensor | None:
    value = None if shelf is None else shelf.get(key)
    return None if value is None else torch.from_numpy(value)


class ImageCollate:
    """Puts images and the run's pairings into an `ImageBatch`.

    Args:
        samples: the run's samples.
        plan: the run's audio plan.
        own_prior: whether the object prior takes images of its own.
    """

    def __init__(self, samples: Sequence[Sample], plan: AudioPlan, *, own_prior: bool) -> None:
        self._own_prior = own_prior
        self._names = [sample.sample_id for sample in samples]
        pictures = {s.image_group: n for n, s in enumerate(samples)}
        self._pictures = torch.tensor([pictures[sample.image_group] for sample in samples])
        groups: dict[str, tuple[Sample, ...]] = {}
        for sample in samples:
            groups[sample.image_group] = (*groups.get(sample.image_group, ()), sample)
        self._pictured = [groups[sample.image_group] for sample in samples]
        self._audio_index = torch.from_numpy(plan.index).long()
        self._pairings = plan.pairings
        self._sounding = tuple(plan.sounding[name] for name, _ in plan.pairings)
        self._others = _other_samples(samples, plan, self._sounding)

    def __call__(self, items: list[_ImageItem]) -> ImageBatch:
        """Collate items."""
        index = torch.tensor([item.index for item in items])
        images = [item.image for item in items if item.image is not None]
        prior_images = [item.prior_image for item in items if item.prior_image is not None]
        return ImageBatch(
            index=index,
            images=_stacked(images),
            ground_truth=torch.stack([item.ground_truth for item in items]),
            audio_index=self._audio_index[index],
            sample_ids=tuple(self._names[item.index] for item in items),
            pairings=self._pairings,
            sounding=self._sounding,
            other_truth=self._other_truth(items),
            pictured=tuple(self._pictured[item.index] for item in items),
            image_index=self._pictures[index],
            prior_images=_stacked(prior_images) if self._own_prior else None,
            seen=torch.tensor([item.image is not None for item in items]),
            keys=tuple(item.key for item in items),
            features=_known([item.features for item in items]),
            object_maps=_known([item.object_map for item in items]),
        )

    def _other_truth(self, items: Sequence[_ImageItem]) -> torch.Tensor | None:
        """Consensus maps of the objects that sound where it is not the own, `[N, S, 224, 224]`."""
        if self._others is None:
            return None
        nothing = torch.zeros_like(items[0].ground_truth)
        truths = [
            torch.stack([
                nothing if other is None else consensus_map(other.boxes, other.box_weights)
                for other in self._others[item.index]
            ])
            for item in items
        ]  # fmt: skip
        return torch.stack(truths)


def _other_samples(
    samples: Sequence[Sample], plan: AudioPlan, sounding: Sequence[SoundingObject]
) -> list[list[Sample | None]] | None:
    """For each sample the samples whose objects sound in its place; None where none does.

    None too for a sound that says not whose it is.
    """
    places = [k for k, each in enumerate(sounding) if each == SoundingObject.OTHER]
    if not places:
        return None
    by_id = {sample.sample_id: sample for sample in samples}
    return [[by_id.get(plan.distinct[row[k]][1].source_id) for k in places] for row in plan.index]


def _stacked(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(rows)) if rows else torch.empty(0)


def _known(values: Sequence[torch.Tensor | None]) -> Known:
    there = [value for value in values if value is not None]
    rows = torch.tensor([value is not None for value in values])
    return Known(rows, torch.stack(there) if there else None)


@dataclass(frozen=True)
class _AudioItem:
    index: int
    key: bytes
    waveform: torch.Tensor
    frontend: str


class AudioDataset(_BatchedDataset[_AudioItem]):
    """The run's distinct audio inputs: waveform made or read, then cut by its front end, once.

    Args:
        samples: the run's samples, whose files can be read.
        plan: the run's audio plan.
        conditions: audio condition by name; they make the waveforms.
        frontends: front end by audio condition, as named in the plan.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        plan: AudioPlan,
        conditions: Mapping[str, AudioCondition],
        frontends: Mapping[str, FrontEnd],
    ) -> None:
        self._paths = {sample.sample_id: sample.audio_path for sample in samples}
        self._distinct = plan.distinct
        self._conditions = conditions
        self._frontends = frontends

    def __len__(self) -> int:
        return len(self._distinct)

    def __getitems__(self, indices: list[int]) -> list[_AudioItem]:
        return self.read_all(self._item, indices)

    def _item(self, index: int) -> _AudioItem:
        frontend, request = self._distinct[index]
        clip = self._conditions[request.condition].make(request, self._read)
        try:
            waveform = self._frontends[frontend].waveform(clip)
        except ValueError as error:
            where = self._paths.get(request.source_id, request.condition)
            raise UsageError(f"{where}: {error}") from error
        return _AudioItem(index, content_key(waveform.numpy().data), waveform, frontend)

    def _read(self, source_id: str) -> AudioClip:
        return read_clip(self._paths[source_id])


def collate_audio(
    items: list[_AudioItem], shelves: Mapping[str, Shelf] | None = None
) -> list[AudioBatch]:
    """Put audio inputs into one `AudioBatch` for each front end and length.

    Args:
        items: a batch of the dataset.
        shelves: encoded audio inputs that a cache holds, by front end.
    """
    groups: dict[tuple[str, int], list[_AudioItem]] = {}
    for item in items:
        groups.setdefault((item.frontend, item.waveform.shape[0]), []).append(item)
    batches = []
    for (frontend, _), group in groups.items():
        shelf = (shelves or {}).get(frontend)
        vectors = [_lookup(shelf, batch_key(item.key, len(group))) for item in group]
        heard = [i.waveform for i, vector in zip(group, vectors, strict=True) if vector is None]
        batches.append(
            AudioBatch(
                index=torch.tensor([item.index for item in group]),
                waveforms=_stacked(heard),
                frontend=frontend,
                keys=tuple(item.key for item in group),
                known=_known(vectors),
            )
        )
    return batches
