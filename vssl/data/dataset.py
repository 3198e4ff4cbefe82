"""What the data loaders read: images with their pairings, and the run's distinct audio inputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch.utils.data import Dataset, get_worker_info

from vssl.audio import read_clip
from vssl.errors import UsageError
from vssl.frontends import FrontEnd
from vssl.images import Transform, decode_image, prepare, read_bytes
from vssl.negatives.base import AudioCondition
from vssl.negatives.plan import AudioPlan
from vssl.types import AudioBatch, AudioClip, ImageBatch, Sample, SoundingObject

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
class _ImageItem:
    index: int
    image: torch.Tensor | None
    prior_image: torch.Tensor | None


class ImageDataset(_BatchedDataset[_ImageItem]):
    """Every image of the run, decoded once.

    Args:
        samples: the run's samples.
        transform: decoded image to network input; None where no network has to see it.
        prior_transform: decoded image to the object prior's input; None where it takes the same,
            or need not see it.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        transform: Transform | None,
        prior_transform: Transform | None = None,
    ) -> None:
        self._samples = samples
        self._transforms = transform, prior_transform

    def __len__(self) -> int:
        return len(self._samples)

    def __getitems__(self, indices: list[int]) -> list[_ImageItem]:
        if self._transforms == (None, None):
            return [_ImageItem(index, None, None) for index in indices]
        return self.read_all(self._item, indices)

    def _item(self, index: int) -> _ImageItem:
        path = self._samples[index].image_path
        pixels = decode_image(read_bytes(path), path)
        return _ImageItem(index, *(each and prepare(each, pixels) for each in self._transforms))


class ImageCollate:
    """Puts images and the run's pairings into an `ImageBatch`.

    Args:
        samples: the run's samples.
        plan: the run's audio plan.
    """

    def __init__(self, samples: Sequence[Sample], plan: AudioPlan) -> None:
        self._samples = samples
        self._by_id = {sample.sample_id: sample for sample in samples}
        groups: dict[str, tuple[Sample, ...]] = {}
        for sample in samples:
            groups[sample.image_group] = (*groups.get(sample.image_group, ()), sample)
        self._groups = groups
        self._audio_index = torch.from_numpy(plan.index).long()
        self._plan = plan

    def __call__(self, items: list[_ImageItem]) -> ImageBatch:
        """Collate items."""
        index = torch.tensor([item.index for item in items])
        samples = [self._samples[item.index] for item in items]
        prior_images = [item.prior_image for item in items if item.prior_image is not None]
        return ImageBatch(
            index=index,
            images=_stacked([item.image for item in items if item.image is not None]),
            audio_index=self._audio_index[index],
            sample_ids=tuple(sample.sample_id for sample in samples),
            pairings=self._plan.pairings,
            prior_images=_stacked(prior_images) if prior_images else None,
            sounding=tuple(self._sounding(item.index) for item in items),
            pictured=tuple(self._groups[sample.image_group] for sample in samples),
        )

    def _sounding(self, number: int) -> tuple[Sample | None, ...]:
        """The sample whose object sounds in each pairing; None also where nobody knows whose."""
        plan, own = self._plan, self._samples[number]
        found: list[Sample | None] = []
        for (name, _), place in zip(plan.pairings, plan.index[number], strict=True):
            sounding = plan.sounding[name]
            other = self._by_id.get(plan.distinct[place][1].source_id)
            found.append({SoundingObject.OWN: own, SoundingObject.OTHER: other}.get(sounding))
        return tuple(found)


def _stacked(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(rows)) if rows else torch.empty(0)


@dataclass(frozen=True)
class _AudioItem:
    index: int
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
        return _AudioItem(index, waveform, frontend)

    def _read(self, source_id: str) -> AudioClip:
        return read_clip(self._paths[source_id])


def collate_audio(items: list[_AudioItem]) -> list[AudioBatch]:
    """Put audio inputs into one `AudioBatch` for each front end and length.

    Args:
        items: a batch of the dataset.
    """
    groups: dict[tuple[str, int], list[_AudioItem]] = {}
    for item in items:
        groups.setdefault((item.frontend, item.waveform.shape[0]), []).append(item)
    return [
        AudioBatch(
            index=torch.tensor([item.index for item in group]),
            waveforms=torch.stack([item.waveform for item in group]),
            frontend=frontend,
        )
        for (frontend, _), group in groups.items()
    ]
