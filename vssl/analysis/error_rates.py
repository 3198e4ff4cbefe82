"""Error rates of verdicts at a threshold, from the records of a calibration run.

As in `vssl-localize`, a map is marked if some pixel of it lies strictly above the threshold. Images
are the unit: the draws and samples of one image are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vssl.core.arrays import Array, Index, Mask
from vssl.metrics.ciou import SUCCESS, packed_consensus_iou
from vssl.records.binarize import binarize_at
from vssl.records.conditions import no_negatives, sounding_objects
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import MAP_COLUMNS, Localization
from vssl.records.read import Chunk, in_threads
from vssl.records.store import read_provenance
from vssl.records.truth import GroundTruth
from vssl.types import NATURAL, POSITIVE

_JUDGED_COLUMNS = ("draw", "audio_source_id", "image_group", *MAP_COLUMNS)
WRONG_SOUND_LEVEL = 0.05
"""Default p value above which a wrong sound is not ruled out."""

_NORMAL = 1.959964
"""0.975 quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Share:
    """A share of maps of some images, with its 95 % interval over images."""

    rate: float
    low: float
    high: float
    maps: int
    images: int


def share_of(found: Mask, image: Index, clip: Index | None = None) -> Share | None:
    """Share of maps in which something was found; None without maps.

    Wilson's interval (1927) for as many independent maps as would have the variance that the
    images show, as Korn and Graubard (Survey Methodology 24, 1998) take for exact intervals: at
    most all maps, and as many as images if all maps agree. The variance is the linearised one of a
    ratio of totals over images, or over images and shared clips (Cameron, Gelbach and Miller, J. of
    Business and Economic Statistics 29, 2011).

    Simulated coverage is 93 to 98 % from 60 images on; down to 87 % for a rate of 2 % in at most 60
    images with ten dependent draws each.

    Args:
        found: `[R]` whether it was found in a map.
        image: `[R]` number of the map's image.
        clip: `[R]` number of the clip that is heard; None if clips are not shared.
    """
    if not len(found):
        return None
    maps, images, rate = len(found), len(np.unique(image)), float(found.mean())
    variance = _variance(found, image)
    if clip is not None:
        both = np.unique(np.stack([image, clip]), axis=1, return_inverse=True)[1].ravel()
        variance += max(_variance(found, clip) - _variance(found, both), 0.0)
    size = float(images)
    if images > 1 and variance > 0:
        size = maps * min(rate * (1 - rate) / (maps - 1) / variance, 1.0)
    square = _NORMAL**2
    middle = (rate + square / (2 * size)) / (1 + square / size)
    half = math.sqrt(rate * (1 - rate) / size + square / (4 * size**2))
    half *= _NORMAL / (1 + square / size)
    # at the bounds rounding may leave the rate a bit outside
    low, high = min(max(middle - half, 0.0), rate), max(min(middle + half, 1.0), rate)
    return Share(rate, low, high, maps, images)


def _variance(found: Mask, group: Index) -> float:
    """Variance of a share, over groups of maps."""
    _, place = np.unique(group, return_inverse=True)
    beside = np.bincount(place, weights=found - found.mean())
    return float((beside**2).sum()) / len(found) ** 2 * len(beside) / max(len(beside) - 1, 1)


@dataclass(frozen=True)
class Reach:
    """Distribution of the maxima of one type of negatives."""

    maxima: Array  # `[R]` largest values of localization maps, finite
    weights: Array  # `[R]` of each map; those of an image add up to 1

    @classmethod
    def of(cls, maxima: Array, image: Index) -> Reach:
        """Weight maps so that every image counts once."""
        _, place, each = np.unique(image, return_inverse=True, return_counts=True)
        return cls(maxima, 1 / each[place])

    @property
    def images(self) -> int:
        """Number of images K."""
        return round(float(self.weights.sum()))

    def p_value(self, largest: float) -> float:
        """Conformal p value of a map: the share of negatives, one per image, that reach it.

        `(1 + s) / (K + 1)`; s sums, over images, the share of their maps that reach the value. If
        map and calibration images are exchangeable, a negative gets a p of at most a with a
        probability of at most a (hierarchical conformal prediction; Lee, Barber and Willett, arXiv
        2306.06342).

        Example:
            >>> Reach.of(np.array([1.0, 2.0, 3.0]), np.arange(3)).p_value(2.5)
            0.5
        """
        above = float(self.weights[~(self.maxima < largest)].sum())  # all of them for NaN
        return min((1 + above) / (self.images + 1), 1.0)


@dataclass(frozen=True)
class ErrorRates:
    """How often a verdict at a threshold is wrong in a calibration run."""

    run: str
    dataset: str
    in_sample: bool  # whether the threshold was learnt on the same records
    false_alarms: Mapping[str, Share]  # by type of negatives: something is marked
    misses: Share | None  # of own sounds: nothing is marked
    right_places: Share | None  # of own sounds that mark something: cIoU of at least 0.5
    undefined: int  # maps left out since they hold NaN
    # types that play other clips, as a user's wrong sound is one; not natural negatives
    wrong_sounds: tuple[str, ...]
    reach: Mapping[str, Reach]  # by type of negatives
    level: float = WRONG_SOUND_LEVEL  # p value above which a wrong sound is not ruled out

    def p_values(self, largest: float) -> dict[str, float]:
        """Conformal p value of a map by type of negatives, see `Reach.p_value`."""
        return {name: reach.p_value(largest) for name, reach in self.reach.items()}

    def wrong_sound_p(self, largest: float) -> float | None:
        """The largest p value against wrong sounds; None where the run has none."""
        values = [self.reach[name].p_value(largest) for name in self.wrong_sounds]
        return max(values, default=None)

    def as_json(self) -> dict[str, Any]:
        """The same without the maps, for a JSON file."""
        facts = asdict(replace(self, reach={}))
        del facts["reach"]
        return {"calibration": facts.pop("run"), **facts}


def error_rates(
    run: Path, *, variant: str, threshold: float, in_sample: bool, level: float = WRONG_SOUND_LEVEL
) -> ErrorRates:
    """Measure the error rates of a threshold on a run's negatives and positives.

    Other audio conditions, under which an object of the picture sounds, are ignored. The threshold
    is in units of the localization map of the variant (`av` or `ogl`).

    Raises:
        RecordsError: when the records cannot be read.
    """
    records = run / RECORDS_FILE
    facts = read_provenance(records)
    localization = Localization.of(facts)
    left_out = [name for name in no_negatives(facts) if name != POSITIVE]
    truth, sounding = GroundTruth.of(run), sounding_objects(facts)

    def work(rows: pa.RecordBatch) -> tuple[Any, ...]:
        levels = np.full((1, len(rows)), threshold, np.float32)
        found = binarize_at(localization, rows, variant, levels)
        chunk = Chunk.of(rows, truth, sounding)
        ciou = packed_consensus_iou(found.masks, chunk.truth)
        played, image = (
            rows.column(name).fill_null("").to_numpy(zero_copy_only=False)
            for name in ("audio_source_id", "image_group")
        )
        return chunk.conditions, image, found.maximum, ciou >= SUCCESS, played

    chunks = in_threads(work, records, _JUDGED_COLUMNS, description="error rates", without=left_out)
    condition, group, maximum, right, played = map(np.concatenate, zip(*chunks, strict=True))
    defined, marked = np.isfinite(maximum), maximum > np.float32(threshold)
    image, clip = (
        np.unique(names.astype(str), return_inverse=True)[1] for names in (group, played)
    )
    of_type = {
        str(name): defined & (condition == name) for name in dict.fromkeys(condition[defined])
    }
    own = of_type.pop(POSITIVE, np.zeros(len(defined), bool))
    wrong = tuple(
        name for name, chosen in of_type.items()
        if name != NATURAL and (played[chosen] != "").any()
    )  # fmt: skip
    shares = {
        name: share_of(marked[chosen], image[chosen], clip[chosen] if name in wrong else None)
        for name, chosen in of_type.items()
    }
    return ErrorRates(
        run=str(run),
        dataset=str(facts["dataset"]),
        in_sample=in_sample,
        false_alarms={name: share for name, share in shares.items() if share is not None},
        misses=share_of(~marked[own], image[own]),
        right_places=share_of(right[own & marked], image[own & marked]),
        undefined=int((~defined).sum()),
        wrong_sounds=wrong,
        reach={
            name: Reach.of(maximum[chosen].astype(np.float64), image[chosen])
            for name, chosen in of_type.items()
        },
        level=level,
    )
