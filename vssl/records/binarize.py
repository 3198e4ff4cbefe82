"""Records to masks as bits, sample by sample, so that maps stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from vssl.core.arrays import Floats
from vssl.core.devices import chosen_devices
from vssl.masks import PackedMasks
from vssl.records.localization import Localization
from vssl.records.read import sample_starts
from vssl.tensor_kernels import LOOPS_ON

HOST = torch.device("cpu")


def scoring_device(accelerator: str, devices: Any = 1) -> torch.device:
    """Device that maps are scored on: the first GPU of a `trainer`, or the CPU without one."""
    if accelerator == "cpu" or not torch.cuda.is_available():
        return HOST
    chosen = chosen_devices(devices)
    return torch.device("cuda", chosen[0] if isinstance(chosen, list) else 0)


@dataclass(frozen=True)
class Binarized:
    """Masks of R maps under T thresholds each; those of a map that holds NaN are empty."""

    masks: PackedMasks  # T x R, threshold by threshold
    thresholds: Floats  # [T, R]; NaN where a map holds NaN and the threshold is its own
    maximum: Floats  # [R] largest pixel of each localization map; NaN where it holds NaN

    @classmethod
    def of(cls, maps: torch.Tensor, thresholds: torch.Tensor) -> Binarized:
        """Masks of maps `[R, H, W]` at thresholds `[T, R]`."""
        maximum = maps.amax(dim=(1, 2)) + 0  # 0, not -0, which one device may find first
        masks = PackedMasks.above(maps, thresholds.masked_fill(maximum.isnan(), torch.nan))
        return cls(masks, (thresholds.float() + 0).numpy(force=True), maximum.numpy(force=True))

    @classmethod
    def joined(cls, parts: Sequence[Binarized]) -> Binarized:
        """Several samples' masks as one."""
        masks = [part.masks for part in parts]
        first = np.cumsum([0, *map(len, masks)])[:-1]
        rows = [
            start + np.arange(part.thresholds.size).reshape(part.thresholds.shape)
            for start, part in zip(first, parts, strict=True)
        ]
        bits, areas = torch.cat([m.bits for m in masks]), np.concatenate([m.areas for m in masks])
        return cls(
            PackedMasks(bits, masks[0].shape, areas, np.concatenate(rows, axis=1).ravel()),
            np.concatenate([part.thresholds for part in parts], axis=1),
            np.concatenate([part.maximum for part in parts]),
        )


def maps_by_sample(
    localization: Localization,
    rows: pa.RecordBatch,
    variants: Sequence[str],
    device: torch.device = HOST,
) -> Iterator[tuple[slice, dict[str, torch.Tensor]]]:
    """Rows of each sample, and by map variant their localization maps `[r, 224, 224]`.

    On a device without compiled loops all rows come at once.
    """
    ends = [len(rows)]
    if device.type in LOOPS_ON:
        ends = [*sample_starts(rows)[1:].tolist(), *ends]
    for first, end in pairwise([0, *ends]):
        maps = localization.maps(rows.slice(first, end - first), variants, device)
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
