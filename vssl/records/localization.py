"""Records to localization maps: upsampled, post-processed, and mixed with the object prior."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from vssl.core.arrays import Array, Floats
from vssl.maps import object_guided, stretch, transform_maps, transformed_maximum, upsample
from vssl.types import EVALUATION_SIZE, POSITIVE

AUDIO_VISUAL = "av"
"""Map variant: the model's own map."""

OBJECT_GUIDED = "ogl"
"""Map variant: the model's map mixed with the object prior's."""

MAP_COLUMNS = ("audio_condition", "map_height", "map_width", "similarity_map", "object_map")
"""Columns of the records from which localization maps are made."""

MAP_EXTREMES = ("similarity_max", "similarity_min")
"""Columns of the records with the extremes of the native maps."""


@dataclass(frozen=True)
class Localization:
    """How the localization maps of a run follow from its records.

    Attributes:
        prior: weight of the audio-visual map `alpha`, and `scale`; None without object maps.
            `corrected`: the audio-visual map is brought from its declared range to [0, 1], each
            native object map is stretched to [0, 1]. `released`: both are mixed as they are.
    """

    upsampling: Mapping[str, str]  # rule by audio condition
    transform: str  # the model's published post-processing, see `vssl.maps.transform_maps`
    value_range: tuple[float, float]  # bounds of the audio-visual localization map
    prior: Mapping[str, Any] | None

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Localization:
        """Read the localization of a run from the provenance of its records."""
        low, high = provenance["value_range"]
        declared = (-np.inf if low is None else low, np.inf if high is None else high)
        transform = provenance["map_transform"]
        value_range = declared if transform == "none" else (0.0, 1.0)
        return cls(provenance["upsampling"], transform, value_range, provenance["prior"])

    @property
    def variants(self) -> tuple[str, ...]:
        """The map variants that the run has."""
        return (AUDIO_VISUAL,) if self.prior is None else (AUDIO_VISUAL, OBJECT_GUIDED)

    def range_of(self, variant: str) -> tuple[float, float]:
        """Bounds of the localization maps of a map variant; infinite where they are not known."""
        if variant == AUDIO_VISUAL or self.prior is None:
            return self.value_range
        return (0.0, 1.0) if self.prior["scale"] == "corrected" else (-np.inf, np.inf)

    def maps(
        self,
        rows: pa.RecordBatch,
        variants: Collection[str] | None = None,
        device: torch.device | None = None,
    ) -> dict[str, torch.Tensor]:
        """Make localization maps `[R, 224, 224]` of records with `MAP_COLUMNS`, by map variant.

        `variants` None makes all that the run has; `av` is always made. `device` None is the CPU.
        """
        objects = None
        if self.prior is not None and (variants is None or OBJECT_GUIDED in variants):
            objects = object_maps(rows).to(device)
        native = torch.from_numpy(native_maps(rows)).to(device)
        return self.localize(native, rows.column("audio_condition").to_pylist(), objects)

    def localize(
        self, native: torch.Tensor, conditions: Sequence[str], objects: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Localization maps `[R, 224, 224]` of native maps, by map variant.

        Args:
            native: `[R, h, w]` float32 similarity maps on the CPU.
            conditions: audio condition of each.
            objects: `[R, g, g]` their native object maps; None leaves object-guided maps out.
        """
        rules = np.array([self.upsampling[condition] for condition in conditions])
        different = np.unique(rules).tolist()
        if len(different) == 1:
            upsampled = upsample(native, rule=different[0])
        else:
            upsampled = native.new_empty(len(native), EVALUATION_SIZE, EVALUATION_SIZE)
            for rule in different:
                chosen = torch.from_numpy(rules == rule)
                upsampled[chosen] = upsample(native[chosen], rule=rule)
        maps = {AUDIO_VISUAL: transform_maps(upsampled, self.transform)}
        if objects is not None:
            seen, place, (low, high, alpha) = self.objects(objects)
            maps[OBJECT_GUIDED] = object_guided(
                maps[AUDIO_VISUAL], seen, place=place, value_range=(low, high), alpha=alpha
            )
        return maps

    def native_maxima(self, rows: pa.RecordBatch | pa.Table) -> Array:
        """Largest value of each record's native similarity map, after the model's post-processing.

        Universal thresholds and separation use it for `av` maps. Object-guided maps mix two of
        different native sizes, so theirs is the largest pixel of the upsampled mix. NaN where a map
        holds NaN.
        """
        extremes = (rows.column(name).to_numpy() for name in MAP_EXTREMES)
        high, low = (torch.from_numpy(values.copy()) for values in extremes)
        return transformed_maximum(high, low, self.transform).double().numpy()

    def objects(
        self, native: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[float, float, float]]:
        """Make the parts of object-guided maps from native object maps `[R, g, g]`.

        Returns:
            `[M, 224, 224]` object maps, `[R]` which of them each record has, and the mix: the range
            of the audio-visual map that is brought to [0, 1], and its weight.
        """
        if self.prior is None:
            raise ValueError("Expected a run with object maps, but this one has none.")
        # an image's rows are consecutive and share one object map
        different, place = torch.unique_consecutive(native, dim=0, return_inverse=True)
        corrected = self.prior["scale"] == "corrected"
        # the positive's rule for every condition, as in the released code (docs/protocols.md, R7)
        seen = upsample(
            stretch(different) if corrected else different, rule=self.upsampling[POSITIVE]
        )
        low, high = self.value_range if corrected else (0.0, 1.0)
        return seen, place, (float(low), float(high), float(self.prior["alpha"]))


def native_maps(rows: pa.RecordBatch) -> Floats:
    """Similarity maps of some records, `[R, h, w]`."""
    shape = rows.column("map_height")[0].as_py(), rows.column("map_width")[0].as_py()
    return _rows_of_lists(rows, "similarity_map").reshape(-1, *shape)


def object_maps(rows: pa.RecordBatch) -> torch.Tensor:
    """Native object maps of some records, `[R, g, g]`."""
    flat = _rows_of_lists(rows, "object_map")
    side = round(flat.shape[1] ** 0.5)
    return torch.from_numpy(flat).view(-1, side, side)


def _rows_of_lists(rows: pa.RecordBatch, column: str) -> Floats:
    """A column of lists of one length, `[R, L]`."""
    flat = rows.column(column).flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(rows), -1).copy()  # type: ignore[no-any-return]
