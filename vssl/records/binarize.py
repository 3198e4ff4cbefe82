"""Records to masks as bits, sample by sample, so that maps stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import torch

from vssl.core.arrays import Floats
from vssl.masks import PackedMasks
from vssl.records.localization import Localization
from vssl.records.read import sample_starts


@dataclass(frozen=True)
class Binarized:
    """Masks of R maps under T thresholds each; those of a map that holds NaN are empty."""

    masks: list[PackedMasks]  # R for each threshold
    thresholds: Floats  # [T, R]; NaN where a map holds NaN and the threshold is its own
    maximum: Floats  # [R] largest pixel of each localization map; NaN where it holds NaN

    @classmethod
    def of(cls, maps: torch.Tensor, thresholds: torch.Tensor) -> Binarized:
        """Masks of maps `[R, H, W]` at thresholds `[T, R]`."""
        maximum = maps.amax(dim=(1, 2))
        masks = PackedMasks.above(maps, thresholds.masked_fill(maximum.isnan(), torch.nan))
        return cls(masks, thresholds.float().numpy(), maximum.numpy())

    @classmethod
    def joined(cls, parts: Sequence[Binarized]) -> Binarized:
        """Several samples' masks as one."""
        together = zip(*(part.masks for part in parts), strict=True)
        return cls(
            [PackedMasks(np.concatenate([m.bits for m in each]), each[0].shape)
             for each in together],
            np.concatenate([part.thresholds for part in parts], axis=1),
            np.concatenate([part.maximum for part in parts]),
        )  # fmt: skip


def maps_by_sample(
    localization: Localization, rows: pa.RecordBatch, variants: Sequence[str]
) -> Iterator[tuple[slice, dict[str, torch.Tensor]]]:
    """Rows of each sample, and by map variant their localization maps `[r, 224, 224]`."""
    native, conditions, objects = localization.inputs(rows, variants)
    for first, end in pairwise([*sample_starts(rows).tolist(), len(rows)]):
        seen = None if objects is None else objects[first:end]
        maps = localization.localize(native[first:end], conditions[first:end], seen)
        yield slice(first, end), {variant: maps[variant] for variant in variants}


def binarize_at(
    localization: Localization, rows: pa.RecordBatch, variant: str, levels: Floats
) -> Binarized:
    """Binarize the maps of R records at thresholds `[T, R]`."""
    thresholds = torch.from_numpy(levels)
    return Binarized.joined(
        [
            Binarized.of(maps[variant], thresholds[:, place])
            for place, maps in maps_by_sample(localization, rows, [variant])
        ]
    )
