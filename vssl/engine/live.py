"""Metrics while a run goes on, under policies that need no fit; in the end the summary's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vssl.maps import transform_maps, transformed_maximum, upsample
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.base import MapMetric, MeanMetric, PairMetric, SampleMetric
from vssl.metrics.ciou import SUCCESS, packed_consensus_iou
from vssl.metrics.detection import Confidence
from vssl.metrics.sets import SetMetric
from vssl.records.chunks import condition_pairs
from vssl.records.schema import NO_POLICY
from vssl.thresholds.base import ThresholdPolicy
from vssl.types import POSITIVE, ImageBatch

LiveMetric = MeanMetric | SetMetric
Index = npt.NDArray[np.int64]


class LiveMetrics(nn.Module):
    """Metrics of the audio-visual maps, under the summary's names with `live/` in front.

    Measured on the CPU from native maps, which go there in any case. Only with the summary come:
    combined metrics, the swap test, which needs an image's other samples, and set metrics over all
    negative types together.

    Args:
        pairings: the run's (audio condition, draw) pairs.
        policies: threshold policies that need no fit; without any, nothing is live.
        metrics: classes of the metrics.
        upsampling: upsampling rule by audio condition.
        transform: the model's map transform.

    Attributes:
        metrics: the metrics by key; registered, so that their states can be gathered.
    """

    def __init__(
        self,
        pairings: Sequence[tuple[str, int]],
        policies: Sequence[ThresholdPolicy],
        metrics: Sequence[type[LiveMetric]],
        *,
        upsampling: Mapping[str, str],
        transform: str,
    ) -> None:
        super().__init__()
        self._policies = policies
        self._upsampling = upsampling
        self._transform = transform
        self._places = {
            condition: torch.tensor([k for k, (c, _) in enumerate(pairings) if c == condition])
            for condition in dict.fromkeys(c for c, _ in pairings)
        }
        self._pairs = condition_pairs(pairings)
        self.metrics = nn.ModuleDict()
        self._entries: list[tuple[LiveMetric, str, str, str]] = []
        for metric in metrics if policies else ():
            self._register(metric)

    def _register(self, kind: type[LiveMetric]) -> None:
        """Make a metric for every condition, or pair of them, and policy."""
        plain = issubclass(kind, MapMetric) or (
            issubclass(kind, SetMetric) and not kind.by_threshold
        )
        order = list(self._places)
        where = [(name, name, "") for name in order if kind.applies_to(name)]
        if issubclass(kind, PairMetric):
            where = [
                ("-".join(sorted((partner, name), key=order.index)), name, partner)
                for partner, name in self._pairs
            ]
        elif not issubclass(kind, (SampleMetric, MapMetric, SetMetric)):
            return
        for policy in [NO_POLICY] if plain else [policy.name for policy in self._policies]:
            for shown, condition, partner in where:
                metric = kind()
                self.metrics[f"live/{shown}/{metric.name}/{policy}"] = metric
                self._entries.append((metric, condition, policy, partner))

    def update(self, batch: ImageBatch, maps: torch.Tensor) -> None:
        """Add a batch of similarity maps `[N, K, h, w]`."""
        if not self._entries:
            return
        native = maps.detach().float().cpu()
        sounds = {
            condition: self._sound(batch, native[:, place], condition)
            for condition, place in self._places.items()
        }
        columns: dict[tuple[str, str, str], torch.Tensor] = {}
        for metric, condition, policy, partner in self._entries:
            sound = sounds[condition]
            if isinstance(metric, SampleMetric):
                key = (condition, policy, metric.column)
                if key not in columns:
                    found = metric.measure_packed(sound.masks[policy], sound.packed)
                    columns[key] = torch.from_numpy(found)
                metric.update(column=columns[key], undefined=sound.undefined, images=sound.images)
            elif isinstance(metric, MapMetric):
                metric.update(sound.maps, sound.truth, sound.undefined)
            elif isinstance(metric, PairMetric):
                self._update_pair(metric, sound, sounds[partner], policy)
            elif isinstance(metric, SetMetric):
                self._update_set(metric, sounds[POSITIVE], sound, policy)

    def _sound(self, batch: ImageBatch, native: torch.Tensor, condition: str) -> _Sound:
        """A batch under one audio condition, `[N, D, h, w]`."""
        draws, flat = native.shape[1], native.flatten(0, 1)
        high, low = flat.amax(dim=(1, 2)), flat.amin(dim=(1, 2))
        maps = transform_maps(upsample(flat, rule=self._upsampling[condition]), self._transform)
        truth = batch.ground_truth.cpu().repeat_interleave(draws, dim=0)
        thresholds = [policy.threshold(maps, truth) for policy in self._policies]
        names = [policy.name for policy in self._policies]
        images = batch.index if batch.image_index is None else batch.image_index
        return _Sound(
            draws=draws,
            maps=maps,
            maximum=transformed_maximum(high, low, self._transform),
            truth=truth,
            packed=PackedTruth.of(truth),
            images=images.cpu().repeat_interleave(draws, dim=0),
            masks=dict(zip(names, PackedMasks.above(maps, thresholds), strict=True)),
        )

    def _update_pair(self, metric: PairMetric, sound: _Sound, other: _Sound, policy: str) -> None:
        own, met = sound.rows_beside(other)
        masks, others = sound.masks[policy], other.masks[policy]
        both = PackedMasks(np.concatenate([masks.bits, others.bits]), masks.shape)
        column = metric.measure_packed(both, own, met + len(masks))
        undefined = sound.undefined[own] | other.undefined[met]
        metric.update(column=torch.from_numpy(column), undefined=undefined)

    def _update_set(self, metric: SetMetric, positive: _Sound, sound: _Sound, policy: str) -> None:
        success = None
        if metric.by_threshold:
            ciou = packed_consensus_iou(positive.masks[policy], positive.packed)
            success = torch.from_numpy(ciou >= SUCCESS)
        metric.update(positive.column(metric), positive=True, success=success)
        if not metric.on_positives:
            values = sound.column(metric).view(-1, sound.draws)
            for draw in range(sound.draws):
                metric.update(values[:, draw], positive=False, draw=draw)


@dataclass(frozen=True)
class _Sound:
    """A batch under one audio condition: N images with D draws, as N D rows."""

    draws: int
    maps: torch.Tensor
    maximum: torch.Tensor
    truth: torch.Tensor
    packed: PackedTruth
    images: torch.Tensor
    masks: Mapping[str, PackedMasks]

    @property
    def undefined(self) -> torch.Tensor:
        """Rows whose map holds NaN."""
        return self.maximum.isnan()

    def rows_beside(self, partner: _Sound) -> tuple[Index, Index]:
        """Own rows, and the partner's rows that they meet: its only draw, or that of their number.

        Draws that the partner does not have meet nothing.
        """
        images, draws = len(self.maps) // self.draws, self.draws
        if partner.draws > 1:
            draws = min(draws, partner.draws)
        image, draw = np.repeat(np.arange(images), draws), np.tile(np.arange(draws), images)
        met = draw if partner.draws > 1 else np.zeros_like(draw)
        return image * self.draws + draw, image * partner.draws + met

    def column(self, metric: SetMetric) -> torch.Tensor:
        """The column that a set metric looks at, `[N D]`."""
        if metric.column == Confidence.column:
            return Confidence.measure(self.maps, self.truth)
        return self.maximum
