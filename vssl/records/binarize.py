"""Records to masks as bits, under all threshold policies at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from vssl.kernels import binarize_native
from vssl.maps import bilinear_places, rounding_share
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
    bits; other policies need all maps at once.

    Args:
        localization: how localization maps follow from records.
        rows: R records.
        variant: `av` or `ogl`.
        policies: T policies.
        truth: R ground truths, for policies that are oracles.
    """
    numbers = levels_and_ranks(policies, truth)
    if numbers is None:
        return binarize_maps(localization.maps(rows)[variant], policies, truth)
    return binarize_at(localization, rows, variant, *numbers)


def levels_and_ranks(
    policies: Sequence[ThresholdPolicy], truth: PackedTruth
) -> tuple[npt.NDArray[np.float32], Index] | None:
    """Thresholds `[T, R]` of R maps where constant, else their ranks `[T, R]` (0 for the others).

    None where a policy looks at whole maps.
    """
    area = truth.anywhere.area
    levels = np.full((len(policies), len(area)), np.nan, np.float32)
    ranks = np.zeros((len(policies), len(area)), np.int64)
    for k, policy in enumerate(policies):
        value, rank = policy.constant(), policy.rank(area, _PIXELS)
        if type(policy).threshold is not ThresholdPolicy.threshold:
            return None
        if value is not None:
            levels[k] = value
        elif rank is not None:
            ranks[k] = rank
    return levels, ranks


def binarize_at(
    localization: Localization,
    rows: pa.RecordBatch,
    variant: str,
    levels: npt.NDArray[np.float32],
    ranks: Index | None = None,
    *,
    with_confidence: bool = True,
) -> Binarized:
    """Binarize the maps of some records at thresholds of their own.

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
    objects = localization.objects(rows) if variant == OBJECT_GUIDED else None
    parts = []
    for rule in np.unique(rules):
        chosen = np.flatnonzero(rules == rule)
        mixed = None if objects is None else (objects[0], objects[1][chosen], objects[2])
        found = binarize_native_maps(
            native[chosen], levels[:, chosen], ranks[:, chosen], rule=str(rule),
            transform=localization.transform, objects=mixed, with_confidence=with_confidence,
        )  # fmt: skip
        if len(chosen) == len(rows):
            return found
        parts.append((chosen, found))
    masks = np.empty((len(levels), len(rows), (_PIXELS + 63) // 64), np.uint64)
    thresholds = np.empty(levels.shape, np.float32)
    maximum, confidence = np.empty(len(rows), np.float32), np.empty(len(rows))
    for chosen, part in parts:
        for k, packed in enumerate(part.masks):
            masks[k, chosen] = packed.bits
        thresholds[:, chosen] = part.thresholds
        maximum[chosen], confidence[chosen] = part.maximum, part.confidence
    return Binarized([PackedMasks(m, _SHAPE) for m in masks], thresholds, maximum, confidence)


def binarize_native_maps(
    native: npt.NDArray[np.float32],
    levels: npt.NDArray[np.float32],
    ranks: Index,
    *,
    rule: str,
    transform: str = "none",
    objects: tuple[torch.Tensor, torch.Tensor, tuple[float, float, float]] | None = None,
    with_confidence: bool = True,
) -> Binarized:
    """Binarize native maps at thresholds of their own.

    Args:
        native: `[R, h, w]` similarity maps.
        levels: `[T, R]` thresholds.
        ranks: `[T, R]` where above 0, the threshold is the k-th largest pixel instead.
        rule: upsampling rule of all.
        transform: post-processing of the upsampled maps.
        objects: what object-guided maps are mixed from, see `Localization.objects`.
        with_confidence: whether the confidence is wanted; NaN otherwise.
    """
    others, place, mix = np.empty((0, _PIXELS), np.float32), np.zeros(len(native), np.int64), None
    if objects is not None:
        others, place, mix = (
            objects[0].flatten(1).contiguous().numpy(),
            objects[1].numpy(),
            objects[2],
        )
    vertical, horizontal = (bilinear_places(n, EVALUATION_SIZE, rule) for n in native.shape[1:])
    masks, *numbers = binarize_native(
        native, vertical, horizontal, rule == "opencv", others, place, mix or (0.0, 1.0, 1.0),
        levels, ranks, _PIXELS // 4 if with_confidence else 0,
        -1.0 if transform == "none" else rounding_share(),
    )  # fmt: skip
    return Binarized([PackedMasks(m, _SHAPE) for m in masks], *numbers)


def guided_maxima(localization: Localization, rows: pa.RecordBatch) -> npt.NDArray[np.float64]:
    """Largest pixel of each record's object-guided map, `[R]`; NaN where a map holds NaN."""
    nothing = np.empty((0, len(rows)), np.float32)
    found = binarize_at(localization, rows, OBJECT_GUIDED, nothing, with_confidence=False)
    return found.maximum.astype(np.float64)


def binarize_maps(
    maps: torch.Tensor, policies: Sequence[ThresholdPolicy], truth: PackedTruth
) -> Binarized:
    """Binarize localization maps `[R, 224, 224]` under any policies."""
    ground_truth = truth.unpack()
    thresholds = [policy.threshold(maps, ground_truth).float() for policy in policies]
    return Binarized(
        PackedMasks.above(maps, thresholds) if policies else [],
        np.array([t.numpy() for t in thresholds], np.float32).reshape(len(policies), len(maps)),
        maps.amax(dim=(1, 2)).numpy(),
        map_confidence(maps).numpy(),
    )
