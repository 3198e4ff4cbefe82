"""Records to masks as bits, under all threshold policies at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from vssl.kernels import binarize_native
from vssl.maps import bilinear_places
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.detection import map_confidence
from vssl.records.localization import OBJECT_GUIDED, Localization, native_maps
from vssl.thresholds.base import ThresholdPolicy
from vssl.types import EVALUATION_SIZE

Index = npt.NDArray[np.int64]

_SHAPE = (EVALUATION_SIZE, EVALUATION_SIZE)
_PIXELS = EVALUATION_SIZE * EVALUATION_SIZE


@dataclass(frozen=True)
class Binarized:
    """Masks of R maps under T policies, and what else one look at the maps gives.

    Attributes:
        masks: for each policy, R masks.
        thresholds: `[T, R]` float32; NaN where a map holds NaN and the threshold is its own.
        maximum: `[R]` float32 largest pixel of each localization map; NaN where a map holds NaN.
        confidence: `[R]` float64 mean of the top quarter of its pixels.
    """

    masks: list[PackedMasks]
    thresholds: npt.NDArray[np.float32]
    maximum: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float64]


def binarize_records(
    localization: Localization,
    rows: pa.RecordBatch,
    variant: str,
    policies: Sequence[ThresholdPolicy],
    truth: PackedTruth,
) -> Binarized:
    """Binarize one variant of the localization maps of some records.

    Where every policy is a constant or a rank, one map at a time goes from its native size to
    bits; other policies, and models with a post-processing, need all maps at once.

    Args:
        localization: how localization maps follow from records.
        rows: R records.
        variant: `av` or `ogl`.
        policies: T policies.
        truth: R ground truths, for policies that are oracles.
    """
    area = truth.anywhere.area
    kinds = [(policy.constant(), policy.rank(area, _PIXELS)) for policy in policies]
    by_number = all(
        type(policy).threshold is ThresholdPolicy.threshold
        and (value is not None or rank is not None)
        for policy, (value, rank) in zip(policies, kinds, strict=True)
    )
    if localization.transform != "none" or not by_number:
        return _from_maps(localization.maps(rows)[variant], policies, truth)
    constants = {k: value for k, (value, _) in enumerate(kinds) if value is not None}
    ranks = {
        k: rank for k, (_, rank) in enumerate(kinds) if k not in constants and rank is not None
    }
    found = _from_native(
        localization, rows, variant, list(constants.values()), list(ranks.values())
    )
    bits, thresholds, maximum, confidence = found
    order = [*constants, *ranks]
    masks = {k: PackedMasks(bits[place], _SHAPE) for place, k in enumerate(order)}
    return Binarized(
        [masks[k] for k in range(len(policies))],
        thresholds[np.argsort(order)] if order else thresholds,
        maximum,
        confidence,
    )


def guided_maxima(localization: Localization, rows: pa.RecordBatch) -> npt.NDArray[np.float64]:
    """Largest pixel of each record's object-guided map, `[R]`; NaN where a map holds NaN."""
    if localization.transform != "none":
        return localization.maps(rows)[OBJECT_GUIDED].amax(dim=(1, 2)).double().numpy()
    _, _, maximum, _ = _from_native(localization, rows, OBJECT_GUIDED, [], [])
    return maximum.astype(np.float64)


def _from_maps(
    maps: torch.Tensor, policies: Sequence[ThresholdPolicy], truth: PackedTruth
) -> Binarized:
    ground_truth = truth.unpack()
    thresholds = [policy.threshold(maps, ground_truth).float() for policy in policies]
    return Binarized(
        PackedMasks.above(maps, thresholds) if policies else [],
        np.array([t.numpy() for t in thresholds], np.float32).reshape(len(policies), len(maps)),
        maps.amax(dim=(1, 2)).numpy(),
        map_confidence(maps).numpy(),
    )


def _from_native(
    localization: Localization,
    rows: pa.RecordBatch,
    variant: str,
    constants: Sequence[float],
    ranks: Sequence[Index],
) -> tuple[
    npt.NDArray[np.uint64],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.float64],
]:
    """Masks `[T, R, W]`, thresholds `[T, R]`, maxima, confidences `[R]`: constants, then ranks."""
    native, conditions = native_maps(rows), rows.column("audio_condition").to_pylist()
    rules = np.array([localization.upsampling[condition] for condition in conditions])
    others, place = np.empty((0, _PIXELS), np.float32), np.zeros(len(rows), np.int64)
    mix = (0.0, 1.0, 1.0)
    if variant == OBJECT_GUIDED:
        seen, where, mix = localization.objects(rows)
        others, place = seen.flatten(1).contiguous().numpy(), where.numpy()
    by_rank = np.stack(ranks, axis=1) if ranks else np.empty((len(rows), 0), np.int64)
    levels = np.array(constants, np.float32)
    kinds = len(constants) + len(ranks)
    masks = np.empty((kinds, len(rows), (_PIXELS + 63) // 64), np.uint64)
    thresholds = np.empty((kinds, len(rows)), np.float32)
    maximum, confidence = np.empty(len(rows), np.float32), np.empty(len(rows))
    for rule in np.unique(rules):
        chosen = np.flatnonzero(rules == rule)
        vertical, horizontal = (
            bilinear_places(side, EVALUATION_SIZE, str(rule)) for side in native.shape[1:]
        )
        found = binarize_native(
            native[chosen], vertical, horizontal, rule == "opencv", others, place[chosen],
            mix, levels, by_rank[chosen], _PIXELS // 4,
        )  # fmt: skip
        if len(chosen) == len(rows):
            return found  # type: ignore[no-any-return]
        masks[:, chosen], thresholds[:, chosen], maximum[chosen], confidence[chosen] = found
    return masks, thresholds, maximum, confidence
