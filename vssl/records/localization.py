"""Records to localization maps: upsampled, post-processed, and mixed with the object prior."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from vssl.maps import object_guided, stretch, transform_maps, transformed_maximum, upsample
from vssl.types import EVALUATION_SIZE, POSITIVE

Array = npt.NDArray[np.float64]

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

    def maps(
        self, rows: pa.RecordBatch, variants: Collection[str] | None = None
    ) -> dict[str, torch.Tensor]:
        """Localization maps of some records.

        Args:
            rows: records with `MAP_COLUMNS`.
            variants: map variants wanted; None for all that the run has. `av` comes in any case.

        Returns:
            Map variant to `[R, 224, 224]`.
        """
        conditions = rows.column("audio_condition").to_pylist()
        rules = [self.upsampling[condition] for condition in conditions]
        native = torch.from_numpy(native_maps(rows))
        maps = {AUDIO_VISUAL: transform_maps(_upsample(native, rules), self.transform)}
        if self.prior is not None and (variants is None or OBJECT_GUIDED in variants):
            seen, place, (low, high, alpha) = self.objects(rows)
            maps[OBJECT_GUIDED] = object_guided(
                maps[AUDIO_VISUAL], seen, place=place, value_range=(low, high), alpha=alpha
            )
        return maps

    def localize(
        self,
        native: torch.Tensor,
        conditions: Sequence[str],
        object_maps: torch.Tensor | None,
        variants: Collection[str] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Localization maps of native maps that a model just made for one picture."""
        objects = None if object_maps is None else object_maps[0]
        return self.maps(map_rows(conditions, native, objects), variants)

    def native_maxima(self, rows: pa.RecordBatch) -> Array:
        """Largest value of each record's native similarity map, after the model's post-processing.

        This is what universal thresholds and separation look at for `av` maps. Object-guided maps
        mix two of different native sizes: there the largest pixel of the upsampled mix counts.

        Args:
            rows: records with `similarity_max` and `similarity_min`.

        Returns:
            `[R]`; NaN where a map holds NaN.
        """
        extremes = (rows.column(name).to_numpy() for name in ("similarity_max", "similarity_min"))
        high, low = (torch.from_numpy(values.copy()) for values in extremes)
        return transformed_maximum(high, low, self.transform).double().numpy()

    def objects(
        self, rows: pa.RecordBatch
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[float, float, float]]:
        """What object-guided maps of some records are mixed from.

        Returns:
            `[M, 224, 224]` object maps, `[R]` which of them each record has, and the mix: the range
            of the audio-visual map that is brought to [0, 1], and its weight.

        Raises:
            ValueError: for a run without object maps.
        """
        if self.prior is None:
            raise ValueError("Expected a run with object maps, but this one has none.")
        flat = _lists(rows, "object_map")
        side = round(flat.shape[1] ** 0.5)
        native = torch.from_numpy(flat).view(-1, side, side)
        # an image's rows stand together and share one object map
        different, place = torch.unique_consecutive(native, dim=0, return_inverse=True)
        corrected = self.prior["scale"] == "corrected"
        # by the positive's rule for every condition, as in the released code (QUIRKS 27)
        seen = upsample(
            stretch(different) if corrected else different, rule=self.upsampling[POSITIVE]
        )
        low, high = self.value_range if corrected else (0.0, 1.0)
        return seen, place, (float(low), float(high), float(self.prior["alpha"]))


def map_rows(
    conditions: Sequence[str], similarity_maps: torch.Tensor, object_map: torch.Tensor | None
) -> pa.RecordBatch:
    """Maps that a model just made, as the records that `Localization` takes.

    Args:
        conditions: audio condition of each of R maps.
        similarity_maps: `[R, h, w]` native maps.
        object_map: `[g, g]` native object map of their image; None without a prior.

    Returns:
        R rows with `MAP_COLUMNS` and the extremes of the native maps.
    """
    flat = similarity_maps.float().cpu().flatten(1)
    seen = None if object_map is None else object_map.float().cpu().flatten().tolist()
    height, width = similarity_maps.shape[1:]
    count = len(conditions)
    columns: dict[str, Any] = {
        "audio_condition": list(conditions),
        "map_height": [height] * count,
        "map_width": [width] * count,
        "similarity_map": pa.array(list(flat.numpy()), pa.list_(pa.float32())),
        "object_map": pa.array([seen] * count, pa.list_(pa.float32())),
        "similarity_max": flat.amax(dim=1).numpy(),
        "similarity_min": flat.amin(dim=1).numpy(),
    }
    return pa.RecordBatch.from_pydict(columns)


def native_maps(rows: pa.RecordBatch) -> npt.NDArray[np.float32]:
    """Similarity maps of some records, `[R, h, w]`."""
    shape = rows.column("map_height")[0].as_py(), rows.column("map_width")[0].as_py()
    return _lists(rows, "similarity_map").reshape(-1, *shape)


def _lists(rows: pa.RecordBatch, column: str) -> npt.NDArray[np.float32]:
    """A column of lists of one length, `[R, L]`."""
    flat = rows.column(column).flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(rows), -1).copy()  # type: ignore[no-any-return]


def _upsample(native: torch.Tensor, rules: list[str]) -> torch.Tensor:
    """Upsample maps, each by its own rule."""
    if len(set(rules)) == 1:
        return upsample(native, rule=rules[0])
    maps = native.new_empty(len(native), EVALUATION_SIZE, EVALUATION_SIZE)
    for name in set(rules):
        chosen = torch.from_numpy(np.array(rules) == name)
        maps[chosen] = upsample(native[chosen], rule=name)
    return maps
