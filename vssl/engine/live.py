"""Metrics while a run goes on, under policies that need no fit; in the end the summary's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vssl.maps import transform_maps, transformed_maximum, upsample
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.base import MapMetric, MeanMetric, PairMetric, SampleMetric
from vssl.metrics.ciou import SUCCESS, ConsensusIoU
from vssl.metrics.detection import Confidence
from vssl.metrics.sets import SetMetric
from vssl.records.binarize import binarize_maps, binarize_native_maps, levels_and_ranks
from vssl.records.chunks import condition_pairs
from vssl.records.schema import NO_POLICY
from vssl.thresholds.base import ThresholdPolicy
from vssl.types import POSITIVE, ImageBatch, SoundingObjects

_TOGETHER = 32  # images whose maps are measured at once

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
        sounding: which object of the picture sounds, by audio condition; None for what is assumed.

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
        sounding: SoundingObjects | None = None,
    ) -> None:
        super().__init__()
        self._sounding = sounding or SoundingObjects()
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
        self._fires = any(
            issubclass(m, SetMetric) and m.column == Confidence.column for m in metrics
        )
        self._waiting: list[tuple[torch.Tensor, ...]] = []
        for metric in metrics if policies else ():
            self._register(metric)
        self._whole_maps = {
            condition for metric, condition, *_ in self._entries if isinstance(metric, MapMetric)
        }

    def _register(self, kind: type[LiveMetric]) -> None:
        """Make a metric for every condition, or pair of them, and policy."""
        plain = issubclass(kind, MapMetric) or (
            issubclass(kind, SetMetric) and not kind.by_threshold
        )
        order = list(self._places)
        where = [(name, name, "") for name in order if kind.applies_to(name, self._sounding[name])]
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

    def forget(self) -> None:
        """Forget what waits, of a test that was interrupted."""
        self._waiting.clear()

    def update(self, batch: ImageBatch, maps: torch.Tensor) -> None:
        """Add a batch of similarity maps `[N, K, h, w]`; some batches are measured together."""
        if not self._entries:
            return
        images = batch.index if batch.image_index is None else batch.image_index
        complete = torch.ones_like(images, dtype=torch.bool)
        complete = complete if batch.complete is None else batch.complete
        whole = maps.detach().float(), batch.ground_truth, images, complete
        self._waiting.append(tuple(part.cpu() for part in whole))
        if sum(len(part) for part, *_ in self._waiting) >= _TOGETHER:
            self.finish()

    def finish(self) -> None:
        """Measure what waits; to be called before the metrics are read."""
        if not self._waiting:
            return
        native, truth, images, complete = map(torch.cat, zip(*self._waiting, strict=True))
        self._waiting.clear()
        packed = PackedTruth.of(truth)

        def measured(condition: str) -> _Sound:
            place = self._places[condition]
            return self._sound(native[:, place], condition, truth, packed, images, complete)

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # the loops release the GIL
            sounds = dict(zip(self._places, pool.map(measured, self._places), strict=True))
        for metric, condition, policy, partner in self._entries:
            sound = sounds[condition]
            if isinstance(metric, SampleMetric):
                column = torch.from_numpy(sound.column(type(metric), policy))
                incomplete = sound.incomplete & metric.by_image
                undefined = sound.undefined | incomplete
                metric.update(column=column, undefined=undefined, images=sound.images)
            elif isinstance(metric, MapMetric) and sound.maps is not None:
                truth = sound.truth.repeat_interleave(sound.draws, dim=0)
                metric.update(sound.maps, truth, sound.undefined)
            elif isinstance(metric, PairMetric):
                self._update_pair(metric, sound, sounds[partner], policy)
            elif isinstance(metric, SetMetric) and metric.on_positives:
                metric.update(sound.by_draw(metric), positive=True)
            elif isinstance(metric, SetMetric):
                self._update_set(metric, sounds[POSITIVE], sound, policy)

    def _sound(
        self,
        native: torch.Tensor,
        condition: str,
        truth: torch.Tensor,
        packed: PackedTruth,
        images: torch.Tensor,
        complete: torch.Tensor,
    ) -> _Sound:
        """A batch under one audio condition, `[N, D, h, w]`."""
        draws, flat = native.shape[1], native.flatten(0, 1).contiguous()
        high, low = flat.amax(dim=(1, 2)), flat.amin(dim=(1, 2))
        rule, rows = self._upsampling[condition], np.repeat(np.arange(len(native)), draws)
        of_rows, maps = packed[rows], None
        numbers = levels_and_ranks(self._policies, of_rows)
        if numbers is None or condition in self._whole_maps:
            maps = transform_maps(upsample(flat, rule=rule), self._transform)
            found = binarize_maps(maps, self._policies, of_rows)
        else:
            found = binarize_native_maps(
                flat.numpy(), *numbers,
                rule=rule, transform=self._transform, with_confidence=self._fires,
            )  # fmt: skip
        names = [policy.name for policy in self._policies]
        return _Sound(
            draws=draws,
            maps=maps,
            maximum=transformed_maximum(high, low, self._transform),
            confidence=torch.from_numpy(found.confidence),
            truth=truth,
            packed=of_rows,
            images=images.repeat_interleave(draws, dim=0),
            incomplete=~complete.repeat_interleave(draws, dim=0),
            masks=dict(zip(names, found.masks, strict=True)),
            columns={},
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
            success = torch.from_numpy(positive.column(ConsensusIoU, policy) >= SUCCESS)
        metric.update(positive.values(metric), positive=True, success=success)
        metric.update(sound.by_draw(metric), positive=False)


@dataclass(frozen=True)
class _Sound:
    """A batch under one audio condition: N images with D draws, as N D rows."""

    draws: int
    maps: torch.Tensor | None
    maximum: torch.Tensor
    confidence: torch.Tensor
    truth: torch.Tensor
    packed: PackedTruth
    images: torch.Tensor
    incomplete: torch.Tensor
    masks: Mapping[str, PackedMasks]
    columns: dict[tuple[str, str], npt.NDArray[np.float64]]

    @property
    def undefined(self) -> torch.Tensor:
        """Rows whose map holds NaN."""
        return self.maximum.isnan()

    def column(self, metric: type[SampleMetric], policy: str) -> npt.NDArray[np.float64]:
        """A metric's column under a policy, measured once."""
        key = (metric.column, policy)
        if key not in self.columns:
            self.columns[key] = metric.measure_packed(self.masks[policy], self.packed)
        return self.columns[key]

    def values(self, metric: SetMetric) -> torch.Tensor:
        """What a set metric looks at, `[N D]`."""
        return self.confidence if metric.column == Confidence.column else self.maximum

    def by_draw(self, metric: SetMetric) -> torch.Tensor:
        """The same, `[N, D]`."""
        return self.values(metric).view(-1, self.draws)

    def rows_beside(self, partner: _Sound) -> tuple[Index, Index]:
        """Own rows, and the partner's rows that they meet: its only draw, or that of their number.

        Draws that the partner does not have meet nothing.
        """
        images, draws = len(self.truth), self.draws
        if partner.draws > 1:
            draws = min(draws, partner.draws)
        image, draw = np.repeat(np.arange(images), draws), np.tile(np.arange(draws), images)
        met = draw if partner.draws > 1 else np.zeros_like(draw)
        return image * self.draws + draw, image * partner.draws + met
