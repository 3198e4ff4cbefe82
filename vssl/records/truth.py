"""The ground truth of a run: once for each sample, with what else is known about the sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from vssl.core.arrays import Index, Mask
from vssl.core.errors import UsageError
from vssl.maps import consensus_map, mask_pixels
from vssl.records.files import RECORDS_FILE, TRUTH_FILE
from vssl.records.schema import EARLIER_TRUTH, TRUTH
from vssl.records.store import column_names, parquet_writer, read_columns
from vssl.types import EVALUATION_SIZE, POSITIVE, Box, Sample
from vssl.types import Mask as EncodedMask

Objects = tuple[list[Any], list[float], list[EncodedMask], list[float]]
"""Boxes and their weights, masks and their weights: the arguments of `vssl.maps.consensus_map`."""

_KINDS = ("category", "object_size")  # of subsets that are no flags
_OBJECTS = ["boxes", "box_weights", "masks", "mask_weights"]


@dataclass(frozen=True)
class GroundTruth:
    """The ground truth of a run's N samples, in the order of the run; masks stay encoded."""

    table: pa.Table  # `records.schema.TRUTH`

    @classmethod
    def of(cls, run: Path) -> GroundTruth:
        """Read the ground truth of a run: its file, or the records of versions without one.

        Raises:
            RecordsError: when it cannot be read.
        """
        records = run / RECORDS_FILE
        if EARLIER_TRUTH[0] not in column_names(records):
            return cls(read_columns(run / TRUTH_FILE, TRUTH.names).cast(TRUTH))
        positive = pc.field("audio_condition") == POSITIVE
        rows = read_columns(records, ["sample_id", *EARLIER_TRUTH], positive)
        count = len(rows)
        nothing: dict[str, list[Any]] = {name: [[]] * count for name in TRUTH.names}
        known = {name: rows.column(name) for name in rows.column_names}
        return cls(pa.table({**nothing, "natural": [False] * count, **known}, schema=TRUTH))

    @classmethod
    def of_samples(cls, samples: Sequence[Sample]) -> GroundTruth:
        """Collect the ground truth of samples."""
        columns = [
            [sample.sample_id for sample in samples],
            [[list(box) for box in sample.boxes] for sample in samples],
            [list(sample.box_weights) for sample in samples],
            [list(sample.masks) for sample in samples],
            [list(sample.mask_weights) for sample in samples],
            [sample.is_natural_negative for sample in samples],
            [list(sample.flags) for sample in samples],
        ]
        return cls(pa.table(dict(zip(TRUTH.names, columns, strict=True)), schema=TRUTH))

    def of_some(self, ids: Sequence[str]) -> GroundTruth:
        """Select some samples, in this order."""
        return GroundTruth(self.table.take(pa.array(self.rows(ids))))

    def write(self, folder: Path, provenance: Mapping[str, Any]) -> None:
        """Write the file of a run in `folder`, with the provenance of its records."""
        with parquet_writer(folder / TRUTH_FILE, TRUTH, provenance) as write:
            write(self.table)

    @cached_property
    def ids(self) -> list[str]:
        """Names of the samples."""
        return list(self.table.column("sample_id").to_pylist())

    @cached_property
    def natural(self) -> Mask:
        """Which samples are natural negatives, `[N]`."""
        return np.asarray(self.table.column("natural").to_numpy(), dtype=bool)

    @property
    def natural_ids(self) -> list[str]:
        """Names of the natural negatives."""
        return [self.ids[place] for place in np.flatnonzero(self.natural)]

    def rows(self, ids: Sequence[str]) -> Index:
        """Find the places of some samples, `[S]`."""
        return np.array([self._place[name] for name in ids], np.int64)

    def objects(self, ids: Sequence[str]) -> list[Objects]:
        """Read the boxes and masks of some samples."""
        rows = self.table.select(_OBJECTS).take(pa.array(self.rows(ids)))
        return list(zip(*(column.to_pylist() for column in rows.columns), strict=True))

    def flags(self) -> list[dict[str, str]]:
        """What is known about each sample, by kind."""
        return [dict(flags) for flags in self.table.column("flags").to_pylist()]

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.ids)}


def consensus_maps(objects: Sequence[Objects]) -> torch.Tensor:
    """Ground-truth maps of O objects, `[O, 224, 224]`."""
    return torch.stack([consensus_map(*each) for each in objects])


def object_area(
    boxes: Sequence[Box],
    weights: Sequence[float],
    masks: Sequence[EncodedMask] = (),
    mask_weights: Sequence[float] = (),
) -> float:
    """Area of the union of boxes and masks (of the evaluation size), a fraction of the image."""
    if len(boxes) == 1 and not masks:  # most samples have one, whose area needs no drawing
        x0, y0, x1, y1 = (min(int(end), EVALUATION_SIZE) for end in boxes[0])
        pixels = np.float32(max(x1 - x0, 0) * max(y1 - y0, 0))
        return float(pixels / np.float32(EVALUATION_SIZE**2))
    if len(masks) == 1 and not boxes:
        return mask_pixels(masks[0]) / EVALUATION_SIZE**2
    ground_truth = consensus_map(boxes, weights, masks, mask_weights)
    return float((ground_truth > 0).sum() / EVALUATION_SIZE**2)


def check_flags(samples: Sequence[Sample]) -> None:
    """Check that the kinds of samples' flags can name subsets; UsageError where one cannot."""
    for sample in samples:
        kinds = [kind for kind, _ in sample.flags]
        taken = sorted(set(kinds) & set(_KINDS))
        if taken or len(set(kinds)) < len(kinds):
            why = f"{taken[0]} names subsets of another kind" if taken else "a kind is there twice"
            raise UsageError(
                f"sample {sample.sample_id}: its flags are of the kinds {', '.join(kinds)}, but"
                f" {why}. Name each kind of flags once, and otherwise."
            )
