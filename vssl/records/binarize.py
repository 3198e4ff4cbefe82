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
    levels = np.full((len(policies), len(rows)), np.nan, np.float32)
    ranks = np.zeros((len(policies), len(rows)), np.int64)
    by_number = localization.transform == "none"
    for k, policy in enumerate(policies):
        value, rank = policy.constant(), policy.rank(area, _PIXELS)
        if type(policy).threshold is not ThresholdPolicy.threshold:
            by_number = False
        elif value is not None:
            levels[k] = value
        elif rank is not None:
            ranks[k] = rank
    if not by_number:
        return _from_maps(localization.maps(rows)[variant], policies, truth)
    return binarize_at(localization, rows, variant, levels, ranks)


def binarize_at(
    localization: Localization,
    rows: pa.RecordBatch,
    variant: str,
    levels: npt.NDArray[np.float32],
    ranks: Index | None = None,
    *,
    with_confidence: bool = True,
) -> Binarized:
    """Binarize maps that have no post-processing at thresholds of their own.

    Args:
        localization: how localization maps follow from records.
        rows: R records.
        variant: `av` or `ogl`.
        levels: `[T, R]` thresholds.
        ranks: `[T, R]` where above 0, the threshold is the k-th largest pixel instead.
        with_confidence: whether the confidence is wanted; NaN otherwise.
    """
    ranks = np.zeros(levels.shape, np.int64) if ranks is None else ranks
    native, conditions = native_maps(rows), rows.column("audio_condition").to_pylist()
    rules = np.array([localization.upsampling[condition] for condition in conditions])
    others, place = np.empty((0, _PIXELS), np.float32), np.zeros(len(rows), np.int64)
    mix = (0.0, 1.0, 1.0)
    if variant == OBJECT_GUIDED:
        seen, where, mix = localization.objects(rows)
        others, place = seen.flatten(1).contiguous().numpy(), where.numpy()
    masks = np.empty((len(levels), len(rows), (_PIXELS + 63) // 64), np.uint64)
    thresholds = np.empty(levels.shape, np.float32)
    maximum, confidence = np.empty(len(rows), np.float32), np.empty(len(rows))
    for rule in np.unique(rules):
        chosen = np.flatnonzero(rules == rule)
        vertical, horizontal = (
            bilinear_places(side, EVALUATION_SIZE, str(rule)) for side in native.shape[1:]
        )
        found = binarize_native(
            native[chosen], vertical, horizontal, rule == "opencv", others, place[chosen], mix,
            levels[:, chosen], ranks[:, chosen], _PIXELS // 4 if with_confidence else 0,
        )  # fmt: skip
        if len(chosen) == len(rows):
            masks, thresholds, maximum, confidence = found
        else:
            masks[:, chosen], thresholds[:, chosen], maximum[chosen], confidence[chosen] = found
    return Binarized([PackedMasks(m, _SHAPE) for m in masks], thresholds, maximum, confidence)


def guided_maxima(localization: Localization, rows: pa.RecordBatch) -> npt.NDArray[np.float64]:
    """Largest pixel of each record's object-guided map, `[R]`; NaN where a map holds NaN."""
    if localization.transform != "none":
        return localization.maps(rows)[OBJECT_GUIDED].amax(dim=(1, 2)).double().numpy()
    nothing = np.empty((0, len(rows)), np.float32)
    found = binarize_at(localization, rows, OBJECT_GUIDED, nothing, with_confidence=False)
    return found.maximum.astype(np.float64)


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
