"""Data sets of whole batches: a run's images, and its distinct audio inputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from vssl.audio import read_clip
from vssl.core.errors import UsageError
from vssl.data.loader import BatchReader
from vssl.frontends import FrontEnd
from vssl.images import Transform, decode_image, prepare, read_bytes
from vssl.negatives.base import AudioCondition
from vssl.negatives.plan import AudioPlan
from vssl.types import AudioBatch, ImageBatch, Sample, SoundingObject


class ImageDataset(BatchReader):
    """Batches of the run's images, each decoded once, with their pairings.

    `transform` is None if the model needs no images; `prior_transform` is None if the object prior
    takes the model's input or needs no images. With neither, no file is read. With `truth`, batches
    also say which objects are in the picture and which of them sounds.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        plan: AudioPlan,
        transform: Transform | None,
        prior_transform: Transform | None = None,
        *,
        truth: bool = False,
    ) -> None:
        self._samples = samples
        self._plan = plan
        self._truth = truth
        self._transforms = transform, prior_transform
        self._by_id = {sample.sample_id: sample for sample in samples}
        self._groups: defaultdict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._groups[sample.image_group].append(sample)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, indices: list[int]) -> ImageBatch:
        samples = [self._samples[index] for index in indices]
        images, prior_images = torch.empty(0), None
        if self._transforms != (None, None):
            columns = zip(*self.read_all(self._read, samples), strict=True)
            first, second = (None if None in rows else self.stacked(rows) for rows in columns)
            images, prior_images = images if first is None else first, second
        told = self._truth
        return ImageBatch(
            index=torch.tensor(indices),
            images=images,
            audio_index=torch.from_numpy(self._plan.index[indices]).long(),
            sample_ids=tuple(sample.sample_id for sample in samples),
            pairings=self._plan.pairings,
            prior_images=prior_images,
            sounding=tuple(map(self._sounding, indices)) if told else (),
            pictured=tuple(tuple(self._groups[s.image_group]) for s in samples) if told else (),
        )

    def _read(self, sample: Sample) -> list[torch.Tensor | None]:
        """Inputs of the model and of the prior, None without a transform."""
        pixels = decode_image(read_bytes(sample.image_path), sample.image_path)
        return [each and prepare(each, pixels) for each in self._transforms]

    def _sounding(self, number: int) -> tuple[Sample | None, ...]:
        """The sample whose object sounds in each pairing; None for no or an unknown sample."""
        plan, own = self._plan, self._samples[number]
        sounding: list[Sample | None] = []
        for (name, _), place in zip(plan.pairings, plan.index[number], strict=True):
            other = self._by_id.get(plan.distinct[place][1].source_id)
            objects = {SoundingObject.OWN: own, SoundingObject.OTHER: other}
            sounding.append(objects.get(plan.sounding[name]))
        return tuple(sounding)


class AudioDataset(BatchReader):
    """Batches of the run's distinct audio inputs, each made or read once and cut by its front end.

    A batch has a part for each front end and length. `conditions` and `frontends` are by audio
    condition.
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

    def __getitem__(self, indices: list[int]) -> list[AudioBatch]:
        groups: dict[tuple[str, int], list[tuple[int, torch.Tensor]]] = {}
        for index, waveform in zip(indices, self.read_all(self._waveform, indices), strict=True):
            key = self._distinct[index][0], len(waveform)
            groups.setdefault(key, []).append((index, waveform))
        return [
            AudioBatch(
                index=torch.tensor([index for index, _ in group]),
                waveforms=self.stacked([waveform for _, waveform in group]),
                frontend=frontend,
            )
            for (frontend, _), group in groups.items()
        ]

    def _waveform(self, index: int) -> torch.Tensor:
        name, request = self._distinct[index]
        frontend = self._frontends[name]
        clip = self._conditions[request.condition].make(
            request, lambda source_id: read_clip(self._paths[source_id], frontend.rate)
        )
        try:
            return frontend.waveform(clip)
        except ValueError as error:
            where = self._paths.get(request.source_id, request.condition)
            raise UsageError(f"{where}: {error}") from error
