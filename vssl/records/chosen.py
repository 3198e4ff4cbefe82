"""What masks of positives cover at each threshold that one may be chosen from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from vssl.core.arrays import Array, Floats, Index, Mask, Names
from vssl.kernels import exceedance
from vssl.masks import PackedTruth
from vssl.records.conditions import sounding_objects
from vssl.records.files import RECORDS_FILE
from vssl.records.localization import MAP_COLUMNS, MAP_EXTREMES, Localization
from vssl.records.read import Chunk, in_threads
from vssl.records.store import Labels, read_columns
from vssl.records.truth import GroundTruth
from vssl.thresholds.chosen import ChosenThreshold, best_place
from vssl.types import POSITIVE

_WEIGHTED_AT_ONCE = 64  # resamples
_COLUMNS = ("draw", *MAP_EXTREMES, *MAP_COLUMNS)


@dataclass(frozen=True)
class Coverage:
    """What the masks of N positives cover at T candidates; positives are in the run's order.

    Samples whose map holds NaN are not among them.
    """

    candidates: Mapping[str, Floats]  # by class, or under "" for all: `[T]`
    group: Names  # [N] key of each sample's candidates
    intersection: Array  # [N, T] summed ground truth of the pixels that are marked
    union: Array  # [N, T] summed ground truth, and pixels marked where there is none
    image: Names  # [N] name of the picture
    own: bool  # whether it is of the run that is scored

    @property
    def groups(self) -> list[str]:
        """Names of the classes with a threshold of their own; the empty one if there are none."""
        return sorted(self.candidates)

    def choose(self, policy: ChosenThreshold, group: str = "") -> None:
        """Choose a policy's threshold on the samples of a class, or on all."""
        rows = self.group == group
        candidates = self.candidates[group].astype(np.float64)
        policy.choose(candidates, self.intersection[rows], self.union[rows])

    def best(self, policy: ChosenThreshold, weights: Array, group: str = "") -> Index:
        """Places `[B]` of the best candidates when sample n of N counts `weights[b, n]` times."""
        rows = self.group == group
        terms = policy.terms(self.intersection[rows], self.union[rows])
        best = []
        for first in range(0, len(weights), _WEIGHTED_AT_ONCE):
            some = weights[first : first + _WEIGHTED_AT_ONCE, rows]
            best.append(best_place(*(some @ each for each in terms)))
        return np.concatenate(best)


def coverage_of(
    run: Path,
    facts: Mapping[str, Any],
    variant: str,
    policy: ChosenThreshold,
    *,
    own: bool = True,
) -> Coverage:
    """Measure what masks of a run's positives cover at a policy's candidates.

    `own` tells whether it is the run that is scored.

    Raises:
        RecordsError: when the records cannot be read.
    """
    labels = ["image_group", "category"]
    positive = pc.field("audio_condition") == POSITIVE
    table = read_columns(run / RECORDS_FILE, labels, positive, labels=labels)
    image, category = (Labels.of(table.column(name)) for name in labels)
    group = category if policy.by_class else Labels.of_codes(0 * category.codes, [""])
    ends = dict.fromkeys(group.names.tolist(), Localization.of(facts).range_of(variant))

    def extremes(places: Index, pixels: Floats, truth: PackedTruth) -> tuple[Array, Array]:
        return pixels.min(axis=1).astype(np.float64), pixels.max(axis=1).astype(np.float64)

    if policy.within == "positives":
        places, low, high = _of_positives(run, facts, variant, extremes, "ranges of maps")
        groups = group[places]
        chosen = {name: groups == name for name in np.unique(groups).tolist()}
        ends = {
            name: (float(low[own].min()), float(high[own].max())) for name, own in chosen.items()
        }
    grids = {name: policy.candidates(*each).astype(np.float32) for name, each in ends.items()}

    def covered(places: Index, pixels: Floats, truth: PackedTruth) -> tuple[Array, Array]:
        weights, groups = truth.unpack().flatten(1).numpy(), group[places]
        intersection, union = np.empty((2, len(places), len(next(iter(grids.values())))))
        for name in np.unique(groups).tolist():
            rows = np.flatnonzero(groups == name)
            marked, inside, touched = exceedance(pixels[rows], grids[name], weights[rows])
            intersection[rows] = inside
            union[rows] = truth.total[rows, None] + marked - touched
        return intersection, union

    places, intersection, union = _of_positives(run, facts, variant, covered, "choosing thresholds")
    return Coverage(grids, group[places], intersection, union, image[places], own)


def _of_positives(
    run: Path,
    facts: Mapping[str, Any],
    variant: str,
    work: Callable[[Index, Floats, PackedTruth], tuple[Array, Array]],
    description: str,
) -> tuple[Index, Array, Array]:
    """Places of positives in the run, and what `work` makes of their maps `[n, P]` and truth.

    Those whose map holds NaN are left out.
    """
    localization, sounding = Localization.of(facts), sounding_objects(facts)
    truth, others = GroundTruth.of(run), [name for name in sounding if name != POSITIVE]

    def of_chunk(rows: pa.RecordBatch) -> tuple[Index, Array, Array] | None:
        chunk = Chunk.of(rows, truth, sounding)
        own = chunk.rows_of(POSITIVE)[:, 0]
        defined: Mask = np.isfinite(localization.native_maxima(chunk.rows))[own]
        own = own[defined]
        if not len(own):
            return None
        records = chunk.rows.take(pa.array(own))
        maps: torch.Tensor = localization.maps(records, (variant,))[variant]
        places = truth.rows(records.column("sample_id").to_pylist())
        return places, *work(places, maps.flatten(1).contiguous().numpy(), chunk.truth[own])

    path = run / RECORDS_FILE
    chunks = in_threads(of_chunk, path, _COLUMNS, description=description, without=others)
    found = [each for each in chunks if each is not None]
    if not found:
        return np.arange(0), np.empty((0, 0)), np.empty((0, 0))
    places, one, other = map(np.concatenate, zip(*found, strict=True))
    return places, one, other
