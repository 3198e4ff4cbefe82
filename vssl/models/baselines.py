"""Models without weights whose results are known beforehand: floor and ceiling of every table.

None of them takes audio. `Oracle` knows the sounding object, `DeafBest` all objects.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vssl.core.checks import check_positive
from vssl.core.randomness import generator_for
from vssl.maps import consensus_map, upsample
from vssl.models.base import LocalizationModel
from vssl.types import EVALUATION_SIZE, ImageBatch, Sample


class Baseline(LocalizationModel):
    """A model that takes no audio, with maps in [0, 1]."""

    map_size = (14, 14)
    value_range = (0.0, 1.0)

    def draw(self, batch: ImageBatch) -> torch.Tensor:
        """Draw a map for each image, `[N, h, w]`."""
        raise NotImplementedError

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """Repeat each image's map for its K sounds, `[N, K, h, w]`."""
        return self.draw(batch)[:, None].expand(-1, len(batch.pairings), -1, -1)


class Constant(Baseline):
    """One value at every pixel: 1 marks the whole image, 0 (`empty`) nothing.

    Raises:
        ValueError: for a value outside [0, 1].
    """

    def __init__(self, *, value: float) -> None:
        super().__init__()
        if not 0 <= value <= 1:
            raise ValueError(f"Expected `value` to be in [0, 1], but got {value}.")
        self.value = value

    def draw(self, batch: ImageBatch) -> torch.Tensor:
        """Draw constant maps `[N, 14, 14]`."""
        return batch.images.new_full((len(batch.sample_ids), *self.map_size), self.value)


class Center(Baseline):
    """A Gaussian in the middle of the image, where photographers place objects.

    Args:
        sigma: standard deviation as a fraction of the image's side.

    Raises:
        ValueError: when `sigma` is not positive.
    """

    def __init__(self, *, sigma: float = 0.25) -> None:
        super().__init__()
        check_positive(sigma, name="sigma")
        side = self.map_size[0]
        offset = ((torch.arange(side) + 0.5) / side - 0.5) / sigma
        profile = torch.exp(-0.5 * offset**2)
        blob = profile[:, None] * profile[None, :]
        self.blob = nn.Buffer(blob / blob.max())

    def draw(self, batch: ImageBatch) -> torch.Tensor:
        """Draw the same Gaussian for every image, `[N, 14, 14]`, maximum 1."""
        return self.blob.expand(len(batch.sample_ids), *self.map_size)


class Random(Baseline):
    """Uniform random values in [0, 1), drawn afresh for every sample, condition and draw.

    Args:
        seed: first key of every draw.
    """

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """Draw random maps `[N, K, 14, 14]`, keyed by sample, condition and draw."""
        maps = [
            generator_for(self.seed, "random", sample_id, *pairing).random(
                self.map_size, dtype="float32"
            )
            for sample_id in batch.sample_ids
            for pairing in batch.pairings
        ]
        shape = len(batch.sample_ids), len(batch.pairings), *self.map_size
        return torch.from_numpy(np.stack(maps)).view(shape).to(batch.images.device)


class AudioBlind(Baseline):
    """Edges of the image.

    The absolute difference of neighbouring pixels, averaged over each of 14 x 14 cells and smoothed
    over neighbouring cells, as `e / (e + half_energy)`: one scale for all images.

    Args:
        half_energy: energy, in units of the normalized image, that becomes 0.5.

    Raises:
        ValueError: when `half_energy` is not positive.
    """

    def __init__(self, *, half_energy: float = 0.25) -> None:
        super().__init__()
        check_positive(half_energy, name="half_energy")
        self.half_energy = half_energy

    def draw(self, batch: ImageBatch) -> torch.Tensor:
        """Draw energy maps `[N, 14, 14]` in [0, 1)."""
        across = batch.images.diff(dim=3, append=batch.images[..., -1:]).abs()
        down = batch.images.diff(dim=2, append=batch.images[..., -1:, :]).abs()
        energy = F.adaptive_avg_pool2d((across + down).mean(dim=1, keepdim=True), self.map_size)
        energy = F.avg_pool2d(energy, 3, 1, 1, count_include_pad=False)[:, 0]
        return energy / (energy + self.half_energy)


class _Informed(Baseline):
    """A baseline that knows where objects are; a ramp orders the pixels inside one."""

    map_size = (EVALUATION_SIZE, EVALUATION_SIZE)

    def __init__(self) -> None:
        super().__init__()
        values = torch.linspace(1.0, 0.75, EVALUATION_SIZE**2)
        self.ramp = nn.Buffer(values.view(EVALUATION_SIZE, EVALUATION_SIZE))

    def _inside(self, sample: Sample) -> torch.Tensor:
        """Pixels of a sample's object, `[224, 224]` bool."""
        truth = consensus_map(sample.boxes, sample.box_weights, sample.masks, sample.mask_weights)
        return truth.to(self.ramp.device) > 0


class Oracle(_Informed):
    """Knows the ground truth: marks the sounding object, or nothing.

    Inside the ground truth the values fall from 1 to 0.75, pixel by pixel, so that thresholds taken
    from the map's own values, which mark values strictly above, find it too.
    """

    knows = "where the source is"

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """Draw the sounding objects `[N, K, 224, 224]`; zeros if no object sounds."""
        maps = self.ramp.new_zeros(len(batch.sounding), len(batch.pairings), *self.map_size)
        for n, row in enumerate(batch.sounding):
            truths = {each.sample_id: self._inside(each) for each in row if each is not None}
            for k, each in enumerate(row):
                if each is not None:
                    maps[n, k] = truths[each.sample_id] * self.ramp
        return maps


class DeafBest(_Informed):
    """Knows all objects, not which of them sounds: the best map without listening.

    The smaller object has the higher values. The larger one has the lower values outside of it.
    `object_area` marks as many pixels as the sounding object has. With objects of k < K pixels that
    do not overlap, the masks reach a cIoU of 1 and (K - k) / (K + k). Marking both objects reaches
    k / (K + k) and K / (K + k). No ranking of pixels has a higher mean (brute force:
    tests/models/test_models.py).

    A single object is marked as by `Oracle`, in silence too. The largest value is 1 in every
    picture, so a universal threshold cannot tell pictures apart.

    Args:
        cells: cells along a side. Values are averaged over each cell and upsampled: 14 is the best
            map of a 14 x 14 network; 224 keeps every pixel.

    Raises:
        ValueError: when `cells` is not 1 to 224.
    """

    knows = "where all objects are"

    def __init__(self, *, cells: int = EVALUATION_SIZE) -> None:
        super().__init__()
        if not 1 <= cells <= EVALUATION_SIZE:
            raise ValueError(f"Expected `cells` to be 1 to {EVALUATION_SIZE}, but got {cells}.")
        self.cells = cells

    def draw(self, batch: ImageBatch) -> torch.Tensor:
        """Draw maps `[N, 224, 224]` in [0, 1]; largest value 1."""
        maps = torch.stack([
            smaller_first([self._inside(each) for each in samples], self.ramp)
            for samples in batch.pictured
        ])  # fmt: skip
        if self.cells < EVALUATION_SIZE:
            maps = upsample(F.adaptive_avg_pool2d(maps, self.cells))
        return maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-9)


def smaller_first(objects: Sequence[torch.Tensor], ramp: torch.Tensor) -> torch.Tensor:
    """Rank the pixels of O objects: those of the smallest lie above (O - 1) / O, and so on.

    Objects are `[H, W]` bool each. The ramp `[H, W]`, distinct values in (0, 1], orders the pixels
    of an object. Returns `[H, W]` in [0, 1], 0 outside of objects.
    """
    values = torch.zeros_like(ramp)
    for rank, inside in enumerate(sorted(objects, key=lambda o: int(o.sum()), reverse=True)):
        values = torch.where(inside, (rank + ramp) / len(objects), values)
    return values
