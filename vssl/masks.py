"""Binary masks and ground truths as bits, for scoring.

A mask of 224 x 224 pixels takes 6 kB; areas and overlaps are counts of bits, exact and fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from vssl import tensor_kernels
from vssl.core.arrays import Array, Index
from vssl.core.checks import check_maps

_BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


@dataclass(frozen=True)
class PackedMasks:
    """N binary masks, one bit for each pixel; chosen ones share their bits."""

    bits: torch.Tensor  # [M, W] int64 words; bits behind the last pixel are 0
    shape: tuple[int, int]  # height and width
    areas: Index  # [M] marked pixels
    rows: Index  # [N] which of the M each mask is

    @classmethod
    def of(cls, masks: torch.Tensor) -> PackedMasks:
        """Pack masks `[N, H, W]` bool."""
        return cls.above(masks.float(), torch.zeros(1, len(masks), device=masks.device))

    @classmethod
    def above(cls, localization_maps: torch.Tensor, thresholds: torch.Tensor) -> PackedMasks:
        """Binarize maps `[N, H, W]` under thresholds `[T, N]`: `map > threshold`, T x N masks."""
        check_maps(localization_maps, name="localization_maps")
        pixels = localization_maps.flatten(1).float().contiguous()
        bits = tensor_kernels.pack_above(pixels, thresholds.to(pixels).contiguous()).flatten(0, 1)
        rows = np.arange(len(bits))
        areas = tensor_kernels.count_pairs(bits, bits, rows, rows)
        return cls(bits, (localization_maps.shape[1], localization_maps.shape[2]), areas, rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Index | slice) -> PackedMasks:
        """Some of the masks, in the order of `rows`."""
        return replace(self, rows=np.ascontiguousarray(self.rows[rows]))

    def to(self, device: torch.device) -> PackedMasks:
        """The same masks on a device."""
        return replace(self, bits=self.bits.to(device))

    @property
    def area(self) -> Index:
        """Marked pixels of each mask, `[N]`."""
        return self.areas[self.rows]

    def overlap(
        self, other: PackedMasks, rows: Index | None = None, others: Index | None = None
    ) -> Index:
        """Pixels that masks `rows` and `others` of another set both mark, `[K]`.

        None takes all, of `others` the only one where there is one.
        """
        rows = np.arange(len(self)) if rows is None else rows
        if others is None:
            others = np.zeros_like(rows) if len(other) == 1 else np.arange(len(other))
        places = self.rows[rows], other.rows[others]
        return tensor_kernels.count_pairs(self.bits, other.bits, *places)

    def unpack(self) -> torch.Tensor:
        """The masks as `[N, H, W]` bool."""
        octets = self.bits[torch.from_numpy(self.rows)].view(torch.uint8)[..., None]
        pixels = (octets >> torch.arange(8, device=octets.device, dtype=torch.uint8)) & 1
        marked = pixels.flatten(1)[:, : self.shape[0] * self.shape[1]].bool()
        return marked.view(-1, *self.shape)


@dataclass(frozen=True)
class PackedTruth:
    """N ground truths, as one set of masks for each weight that occurs."""

    weights: tuple[float, ...]  # distinct, in (0, 1]; a single 1 but for Flickr-SoundNet
    levels: tuple[PackedMasks, ...]  # for each weight, the pixels that have it
    anywhere: PackedMasks  # pixels of any weight

    @classmethod
    def of(cls, ground_truth: torch.Tensor) -> PackedTruth:
        """Pack ground truths `[N, H, W]` in [0, 1]."""
        check_maps(ground_truth, name="ground_truth")
        levels = torch.tensor([0.0, _BELOW_ONE])[:, None].expand(-1, len(ground_truth))
        both = PackedMasks.above(ground_truth, levels)
        anywhere, whole_weight = both[: len(ground_truth)], both[len(ground_truth) :]
        if np.array_equal(anywhere.area, whole_weight.area):
            return cls((1.0,), (anywhere,), anywhere)
        between = ground_truth[(ground_truth > 0) & (ground_truth < 1)].cpu()
        weights = (*np.unique(between).tolist(), *([1.0] if whole_weight.area.any() else []))
        parts = tuple(PackedMasks.of(ground_truth == weight) for weight in weights)
        return cls(weights, parts, parts[0] if len(parts) == 1 else anywhere)

    def __len__(self) -> int:
        return len(self.anywhere)

    def __getitem__(self, rows: Index | slice) -> PackedTruth:
        """Some of the ground truths, in the order of `rows`."""
        return self._each(lambda masks: masks[rows])

    def to(self, device: torch.device) -> PackedTruth:
        """The same ground truths on a device."""
        return self._each(lambda masks: masks.to(device))

    def _each(self, change: Callable[[PackedMasks], PackedMasks]) -> PackedTruth:
        levels = tuple(change(level) for level in self.levels)
        anywhere = levels[0] if len(levels) == 1 else change(self.anywhere)
        return PackedTruth(self.weights, levels, anywhere)

    @property
    def total(self) -> Array:
        """Summed weight of each ground truth, `[N]`."""
        return self._weighted([level.area for level in self.levels])

    def covered_and_inside(self, masks: PackedMasks) -> tuple[Array, Index]:
        """Summed weight and number of the pixels that each mask marks; one truth may meet N."""
        counts = [masks.overlap(level) for level in self.levels]
        inside = counts[0] if len(counts) == 1 else masks.overlap(self.anywhere)
        return self._weighted(counts), inside

    def unpack(self) -> torch.Tensor:
        """The ground truths as `[N, H, W]` float32."""
        marked = [level.unpack() for level in self.levels]
        maps = torch.zeros(marked[0].shape, device=marked[0].device)
        for weight, level in zip(self.weights, marked, strict=True):
            maps[level] = weight
        return maps

    def _weighted(self, counts: Sequence[Index]) -> Array:
        pairs = zip(self.weights, counts, strict=True)
        return np.asarray(sum(weight * count for weight, count in pairs), dtype=np.float64)
