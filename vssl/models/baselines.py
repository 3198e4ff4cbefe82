"""Models without weights, whose right answers are known beforehand.

They give every table its floor and its ceiling. None of them hears anything; `Oracle` is told.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from vssl.checks import check_positive
from vssl.models.base import LocalizationModel
from vssl.randomness import generator_for
from vssl.types import EVALUATION_SIZE, ImageBatch, SoundingObject


class Baseline(LocalizationModel):
    """A model that takes no audio: its maps have values in [0, 1]."""

    map_size = (14, 14)
    value_range = (0.0, 1.0)

    def _same_for_all_audio(self, maps: torch.Tensor, batch: ImageBatch) -> torch.Tensor:
        """Repeat `[N, h, w]` maps for all K pairings: `[N, K, h, w]`."""
        return maps[:, None].expand(-1, len(batch.pairings), -1, -1)


class Constant(Baseline):
    """Every pixel has the same value: 1 marks the whole image, 0 (`empty`) nothing.

    Args:
        value: the value, in [0, 1].

    Raises:
        ValueError: for a value outside [0, 1].
    """

    def __init__(self, *, value: float) -> None:
        super().__init__()
        if not 0 <= value <= 1:
            raise ValueError(f"Expected `value` to be in [0, 1], but got {value}.")
        self.value = value

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """Constant maps `[N, K, 14, 14]`."""
        return batch.images.new_full(
            (len(batch.sample_ids), len(batch.pairings), *self.map_size), self.value
        )


class Center(Baseline):
    """A Gaussian in the middle of the image: photographers centre what they show.

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
        self.register_buffer("blob", blob / blob.max())
        self.blob: torch.Tensor

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """The same Gaussian for every image and sound, `[N, K, 14, 14]`, maximum 1."""
        return self._same_for_all_audio(
            self.blob.expand(len(batch.sample_ids), *self.map_size), batch
        )


class Random(Baseline):
    """Uniform random values in [0, 1), drawn afresh for every sample, condition and draw.

    Args:
        seed: first key of every draw.
    """

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """Random maps `[N, K, 14, 14]`, keyed by sample, condition and draw."""
        maps = torch.stack(
            [
                torch.from_numpy(
                    generator_for(self.seed, "random", sample_id, condition, draw).random(
                        self.map_size, dtype="float32"
                    )
                )
                for sample_id in batch.sample_ids
                for condition, draw in batch.pairings
            ]
        )
        return maps.view(len(batch.sample_ids), len(batch.pairings), *self.map_size).to(
            batch.images.device
        )


class AudioBlind(Baseline):
    """Image energy only: where the picture has edges.

    The absolute difference of neighbouring pixels, averaged over each of 14 x 14 cells and smoothed
    over neighbouring cells, as `e / (e + half_energy)`: one scale for all images, not stretched per
    map. It finds objects, and finds them again in silence.

    Args:
        half_energy: energy, in units of the normalized image, that becomes 0.5.

    Raises:
        ValueError: when `half_energy` is not positive.
    """

    def __init__(self, *, half_energy: float = 0.25) -> None:
        super().__init__()
        check_positive(half_energy, name="half_energy")
        self.half_energy = half_energy

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """Energy maps `[N, K, 14, 14]` in [0, 1), the same for all sounds of an image."""
        across = batch.images.diff(dim=3, append=batch.images[..., -1:]).abs()
        down = batch.images.diff(dim=2, append=batch.images[..., -1:, :]).abs()
        energy = F.adaptive_avg_pool2d((across + down).mean(dim=1, keepdim=True), self.map_size)
        energy = F.avg_pool2d(energy, 3, 1, 1, count_include_pad=False)[:, 0]
        return self._same_for_all_audio(energy / (energy + self.half_energy), batch)


class Oracle(Baseline):
    """Is told the ground truth: marks the object in the picture that sounds, or nothing.

    Inside the ground truth the values fall from 1 to 0.75, pixel by pixel, so that thresholds
    taken from the map's own values, which mark what is strictly above, find it too.
    """

    map_size = (EVALUATION_SIZE, EVALUATION_SIZE)

    def __init__(self) -> None:
        super().__init__()
        ramp = torch.linspace(1.0, 0.75, EVALUATION_SIZE**2)
        self.register_buffer("ramp", ramp.view(EVALUATION_SIZE, EVALUATION_SIZE))
        self.ramp: torch.Tensor

    def localize(self, batch: ImageBatch, audio_features: torch.Tensor) -> torch.Tensor:
        """Ground truth `[N, K, 224, 224]` of what sounds; zeros where nothing there does."""
        sounding = batch.sounding or [SoundingObject.assumed(name) for name, _ in batch.pairings]
        own, nothing = batch.ground_truth, torch.zeros_like(batch.ground_truth)
        others = iter(() if batch.other_truth is None else batch.other_truth.unbind(dim=1))
        truths = {SoundingObject.OWN: own, SoundingObject.NONE: nothing}
        heard = [truths[each] if each in truths else next(others) for each in sounding]
        return (torch.stack(heard, dim=1) > 0) * self.ramp
