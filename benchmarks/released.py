"""The released procedure, re-enacted: what vssl's speed is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from vssl.data.dataset import AudioDataset
from vssl.frontends import FrontEnd
from vssl.images import Transform, read_image
from vssl.maps import consensus_map, upsample
from vssl.models.base import LocalizationModel
from vssl.negatives.base import AudioCondition
from vssl.negatives.plan import AudioPlan
from vssl.types import POSITIVE, Sample

BATCH = 8


@torch.inference_mode()
def one_draw(
    model: LocalizationModel,
    samples: Sequence[Sample],
    plan: AudioPlan,
    conditions: Mapping[str, AudioCondition],
    frontend: FrontEnd,
    transform: Transform,
) -> None:
    """A draw: every image is read, and meets each of four sounds through both networks.

    Then every map is scored by itself, in NumPy. In batches, which is kind to it.
    """
    clips = AudioDataset(samples, plan, conditions, {POSITIVE: frontend})
    column = {condition: k for k, (condition, draw) in enumerate(plan.pairings) if draw == 0}
    for first in range(0, len(samples), BATCH):
        batch = samples[first : first + BATCH]
        images = torch.stack([transform(read_image(sample.image_path)) for sample in batch])
        truths = [consensus_map(s.boxes, s.box_weights).numpy() for s in batch]
        for k in column.values():
            places = plan.index[first : first + BATCH, k]
            waveforms = torch.cat([clips[[place]][0].waveforms for place in places])
            vectors = model.encode_audio(frontend(waveforms))[:, None]
            native = model.similarity(model.encode_image(images), vectors)[:, 0]
            for localization, truth in zip(upsample(native).numpy(), truths, strict=True):
                numpy_scores(localization, truth)


def numpy_scores(localization: np.ndarray, truth: np.ndarray) -> list[float]:
    """One map under three thresholds, as the released code scores it."""
    ordered = np.sort(localization.ravel())
    area = int(truth.sum())
    values = []
    for threshold in (0.5, ordered[ordered.size // 2], ordered[ordered.size - area]):
        mask = localization > threshold
        values.append(float(np.sum(mask * truth) / (np.sum(truth) + np.sum(mask * (truth == 0)))))
        values.append(float(mask.mean()))
    return values
