"""Records to localization maps: upsampled, post-processed, and mixed with the object prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from vssl.maps import object_guided, stretch, transform_maps, upsample
from vssl.types import EVALUATION_SIZE, POSITIVE

AUDIO_VISUAL = "av"
"""Map variant: the model's own map."""

OBJECT_GUIDED = "ogl"
"""Map variant: the model's map mixed with the object prior's."""

MAP_COLUMNS = ("audio_condition", "map_height", "map_width", "similarity_map", "object_map")
"""Columns of the records that localization maps are made of."""


@dataclass(frozen=True)
class Localization:
    """How the localization maps of a run follow from its records.

    Attributes:
        upsampling: upsampling rule by audio condition.
        transform: the model's published post-processing (`vssl.maps.transform_maps`).
        value_range: bounds of the audio-visual localization map.
        prior: weight of the audio-visual map `alpha`, and `scale`; None without object maps.
            `corrected`: the audio-visual map is brought from its declared range to [0, 1], each
            native object map is stretched to [0, 1]. `released`: both are mixed as they are.
    """

    upsampling: Mapping[str, str]
    transform: str
    value_range: tuple[float, float]
    prior: Mapping[str, Any] | None

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Localization:
        """The localization of a run, from the provenance of its records."""
        low, high = provenance["value_range"]
        transform = provenance["map_transform"]
        unbounded = (-np.inf if low is None else low, np.inf if high is None else high)
        return cls(
            upsampling=provenance["upsampling"],
            transform=transform,
            value_range=unbounded if transform == "none" else (0.0, 1.0),
            prior=provenance["prior"],
        )

    @property
    def variants(self) -> tuple[str, ...]:
        """The map variants that the run has."""
        return (AUDIO_VISUAL,) if self.prior is None else (AUDIO_VISUAL, OBJECT_GUIDED)

    def maps(self, rows: pa.RecordBatch) -> dict[str, torch.Tensor]:
        """Localization maps of some records.

        Args:
            rows: records with `MAP_COLUMNS`.

        Returns:
            Map variant to `[R, 224, 224]`.
        """
        conditions = rows.column("audio_condition").to_pylist()
        shape = rows.column("map_height")[0].as_py(), rows.column("map_width")[0].as_py()
        rules = [self.upsampling[condition] for condition in conditions]
        native = _native(rows, "similarity_map").view(-1, *shape)
        maps = {AUDIO_VISUAL: transform_maps(_upsample(native, rules), self.transform)}
        if self.prior is not None:
            object_maps = _native(rows, "object_map")
            side = round(object_maps.shape[1] ** 0.5)
            maps[OBJECT_GUIDED] = self._mix(maps[AUDIO_VISUAL], object_maps.view(-1, side, side))
        return maps

    def _mix(self, localization: torch.Tensor, object_maps: torch.Tensor) -> torch.Tensor:
        """Object-guided maps `[R, 224, 224]` from maps of both kinds, the latter native."""
        if self.prior is None:
            raise ValueError("Expected a run with object maps, but this one has none.")
        # an image's rows stand together and share one object map
        different, place = torch.unique_consecutive(object_maps, dim=0, return_inverse=True)
        if self.prior["scale"] == "corrected":
            low, high = self.value_range
            localization = (localization - low) / (high - low)
            different = stretch(different)
        # by the positive's rule for every condition, as in the released code (QUIRKS 27)
        seen = upsample(different, rule=self.upsampling[POSITIVE])[place]
        return object_guided(localization, seen, alpha=self.prior["alpha"])


def _native(rows: pa.RecordBatch, column: str) -> torch.Tensor:
    """Maps of a column, `[R, h * w]`."""
    flat = rows.column(column).flatten().to_numpy(zero_copy_only=False)
    return torch.from_numpy(flat.reshape(len(rows), -1).copy())


def _upsample(native: torch.Tensor, rules: list[str]) -> torch.Tensor:
    """Upsample maps, each by its own rule."""
    if len(set(rules)) == 1:
        return upsample(native, rule=rules[0])
    maps = native.new_empty(len(native), EVALUATION_SIZE, EVALUATION_SIZE)
    for name in set(rules):
        chosen = torch.from_numpy(np.array(rules) == name)
        maps[chosen] = upsample(native[chosen], rule=name)
    return maps
