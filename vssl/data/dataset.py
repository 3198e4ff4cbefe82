"""What the data loaders read: images with their pairings, and the run's distinct audio inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset

from vssl.audio import read_clip
from vssl.errors import UsageError
from vssl.frontends import FrontEnd
from vssl.images import Transform, read_image
from vssl.maps import consensus_map
from vssl.negatives.base import AudioCondition
from vssl.negatives.plan import AudioPlan
from vssl.types import AudioBatch, AudioClip, ImageBatch, Sample


@dataclass(frozen=True)
class _ImageItem:
    index: int
    image: torch.Tensor
    ground_truth: torch.Tensor
    prior_image: torch.Tensor | None


class ImageDataset(Dataset[_ImageItem]):
    """Every image of the run, decoded once.

    Args:
        samples: the run's samples.
        transform: decoded image to network input.
        prior_transform: decoded image to the object prior's input, where it takes another.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        transform: Transform,
        prior_transform: Transform | None = None,
    ) -> None:
        self._samples = samples
        self._transform = transform
        self._prior_transform = prior_transform

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> _ImageItem:
        sample = self._samples[index]
        image = read_image(sample.image_path)
        return _ImageItem(
            index,
            self._transform(image),
            consensus_map(sample.boxes, sample.box_weights),
            self._prior_transform(image) if self._prior_transform else None,
        )


class ImageCollate:
    """Puts images and the run's pairings into an `ImageBatch`."""

    def __init__(self, samples: Sequence[Sample], plan: AudioPlan) -> None:
        self._names = [sample.sample_id for sample in samples]
        pictures = {s.image_group: n for n, s in enumerate(samples)}
        self._pictures = torch.tensor([pictures[sample.image_group] for sample in samples])
        self._audio_index = torch.from_numpy(plan.index).long()
        self._pairings = plan.pairings

    def __call__(self, items: list[_ImageItem]) -> ImageBatch:
        """Collate items."""
        index = torch.tensor([item.index for item in items])
        prior_images = [item.prior_image for item in items if item.prior_image is not None]
        return ImageBatch(
            index=index,
            images=torch.stack([item.image for item in items]),
            ground_truth=torch.stack([item.ground_truth for item in items]),
            audio_index=self._audio_index[index],
            sample_ids=tuple(self._names[item.index] for item in items),
            pairings=self._pairings,
            image_index=self._pictures[index],
            prior_images=torch.stack(prior_images) if prior_images else None,
        )


@dataclass(frozen=True)
class _AudioItem:
    index: int
    waveform: torch.Tensor
    frontend: str


class AudioDataset(Dataset[_AudioItem]):
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

    def __getitem__(self, index: int) -> _AudioItem:
        frontend, request = self._distinct[index]
        clip = self._conditions[request.condition].make(request, self._read)
        try:
            return _AudioItem(index, self._frontends[frontend].waveform(clip), frontend)
        except ValueError as error:
            where = self._paths.get(request.source_id, request.condition)
            raise UsageError(f"{where}: {error}") from error

    def _read(self, source_id: str) -> AudioClip:
        return read_clip(self._paths[source_id])


def collate_audio(items: list[_AudioItem]) -> list[AudioBatch]:
    """Put audio inputs into one `AudioBatch` for each front end and length."""
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
