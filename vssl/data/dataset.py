"""What the data loaders read: images with their pairings, and the run's distinct audio inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset

from vssl.audio import read_clip
from vssl.frontends import FrontEnd
from vssl.images import ImageTransform, read_image
from vssl.maps import consensus_map
from vssl.negatives.base import AudioCondition
from vssl.negatives.plan import AudioPlan
from vssl.types import AudioBatch, AudioClip, ImageBatch, Sample


@dataclass(frozen=True)
class _ImageItem:
    index: int
    image: torch.Tensor
    ground_truth: torch.Tensor


class ImageDataset(Dataset[_ImageItem]):
    """Every image of the run, decoded once.

    Args:
        samples: the run's samples.
        transform: decoded image to network input.
    """

    def __init__(self, samples: Sequence[Sample], transform: ImageTransform) -> None:
        self._samples = samples
        self._transform = transform

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> _ImageItem:
        sample = self._samples[index]
        return _ImageItem(
            index,
            self._transform(read_image(sample.image_path)),
            consensus_map(sample.boxes, sample.box_weights),
        )


class ImageCollate:
    """Puts images and the run's pairings into an `ImageBatch`."""

    def __init__(self, samples: Sequence[Sample], plan: AudioPlan) -> None:
        self._names = [sample.sample_id for sample in samples]
        self._audio_index = torch.from_numpy(plan.index).long()
        self._pairings = plan.pairings

    def __call__(self, items: list[_ImageItem]) -> ImageBatch:
        """Collate items."""
        index = torch.tensor([item.index for item in items])
        return ImageBatch(
            index=index,
            images=torch.stack([item.image for item in items]),
            ground_truth=torch.stack([item.ground_truth for item in items]),
            audio_index=self._audio_index[index],
            sample_ids=tuple(self._names[item.index] for item in items),
            pairings=self._pairings,
        )


class AudioDataset(Dataset[tuple[int, torch.Tensor]]):
    """The run's distinct audio inputs: waveform made or read, then through its front end, once.

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

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor]:
        frontend, request = self._distinct[index]
        clip = self._conditions[request.condition].make(request, self._read)
        try:
            return index, self._frontends[frontend](clip)
        except ValueError as error:
            where = self._paths.get(request.source_id, request.condition)
            raise ValueError(f"{where}: {error}") from error

    def _read(self, source_id: str) -> AudioClip:
        return read_clip(self._paths[source_id])


def collate_audio(items: list[tuple[int, torch.Tensor]]) -> AudioBatch:
    """Put audio inputs into an `AudioBatch`."""
    return AudioBatch(
        index=torch.tensor([index for index, _ in items]),
        inputs=torch.stack([inputs for _, inputs in items]),
    )
