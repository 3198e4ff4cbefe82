"""Binary masks and ground truths as bits, for scoring.

A mask of 224 x 224 pixels takes 6 kB; areas and overlaps are counts of bits, exact and fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from vssl.core.arrays import Array, Bits, Index
from vssl.core.checks import check_maps
from vssl.kernels import count_pairs, pack_above

_BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


@dataclass(frozen=True)
class PackedMasks:
    """Binary masks, one bit for each pixel."""

    bits: Bits  # [N, W], W 64-bit words for each mask; bits behind the last pixel are 0
    shape: tuple[int, int]  # height and width

    @classmethod
    def of(cls, masks: torch.Tensor) -> PackedMasks:
        """Pack masks `[N, H, W]` bool."""
        return cls.above(masks.float(), torch.zeros(1, len(masks)))[0]

    @classmethod
    def above(cls, localization_maps: torch.Tensor, thresholds: torch.Tensor) -> list[PackedMasks]:
        """Binarize maps `[N, H, W]` under T thresholds each, `[T, N]`: `map > threshold`."""
        check_maps(localization_maps, name="localization_maps")
        pixels = localization_maps.flatten(1).float().contiguous().numpy(force=True)
        levels = thresholds.float().contiguous().numpy(force=True)
        shape = (localization_maps.shape[1], localization_maps.shape[2])
        return [cls(bits, shape) for bits in pack_above(pixels, levels)]

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, rows: Index | slice) -> PackedMasks:
        """Some of the masks, in the order of `rows`."""
        return PackedMasks(self.bits[rows], self.shape)

    @cached_property
    def area(self) -> Index:
        """Marked pixels of each mask, `[N]`."""
        return self.overlap(self)

    def overlap(
        self, other: PackedMasks, rows: Index | None = None, others: Index | None = None
    ) -> Index:
        """Pixels that two masks both mark, `[K]`.

        Args:
            other: masks of the same shape.
            rows: `[K]` which of these masks; None for all.
            others: `[K]` which of the other masks each meets; None for all, or for the only one.
        """
        rows = np.arange(len(self)) if rows is None else rows
        if others is None:
            others = np.zeros_like(rows) if len(other) == 1 else np.arange(len(other))
        counts: Index = count_pairs(self.bits, other.bits, rows, others)
        return counts

    def unpack(self) -> torch.Tensor:
        """The masks as `[N, H, W]` bool."""
        octets = np.ascontiguousarray(self.bits.astype("<u8")).view(np.uint8)
        pixels = np.unpackbits(octets, axis=1, count=self.shape[0] * self.shape[1],
                               bitorder="little")  # fmt: skip
        return torch.from_numpy(pixels.astype(bool)).view(-1, *self.shape)


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
        anywhere, whole_weight = PackedMasks.above(ground_truth, levels)
        if np.array_equal(anywhere.bits, whole_weight.bits):
            return cls((1.0,), (anywhere,), anywhere)
        between = ground_truth[(ground_truth > 0) & (ground_truth < 1)].cpu()
        weights = (*np.unique(between).tolist(), *([1.0] if whole_weight.bits.any() else []))
        parts = tuple(PackedMasks.of(ground_truth == weight) for weight in weights)
        return cls(weights, parts, parts[0] if len(parts) == 1 else anywhere)

    def __getitem__(self, rows: Index | slice) -> PackedTruth:
        """Some of the ground truths, in the order of `rows`."""
        levels = tuple(level[rows] for level in self.levels)
        anywhere = levels[0] if len(levels) == 1 else self.anywhere[rows]
        return PackedTruth(self.weights, levels, anywhere)

    @cached_property
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
        maps = torch.zeros(len(self.anywhere), *self.anywhere.shape)
        for weight, level in zip(self.weights, self.levels, strict=True):
            maps[level.unpack()] = weight
        return maps

    def _weighted(self, counts: Sequence[Index]) -> Array:
        pairs = zip(self.weights, counts, strict=True)
        return np.asarray(sum(weight * count for weight, count in pairs), dtype=np.float64)
