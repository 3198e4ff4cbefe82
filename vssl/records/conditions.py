"""The audio conditions of a run: which object sounds, and their settings, from its provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vssl.core.arrays import Index
from vssl.types import POSITIVE, SoundingObject, SoundingObjects

Facts = Mapping[str, Any]

NATURAL_NEGATIVES = "natural_negatives"
"""Key of a run's provenance: its number of natural negatives, if it has any."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "noise": {"level": 1.0, "colour": "white", "over": "clip"},
    "mixed": {"over": "clip"},
}
"""Defaults of options that earlier runs do not record."""


def sounding_objects(provenance: Facts) -> SoundingObjects:
    """Map the audio conditions of a run, in its order, to the object that sounds.

    Runs written before schema 3 do not record this; the default by name is used.
    """
    names = dict.fromkeys(str(name) for name, _ in provenance.get("pairings") or ())
    sounding = SoundingObjects((name, SoundingObject.assumed(name)) for name in names)
    recorded = provenance.get("sounding_objects") or {}
    sounding.update((name, SoundingObject(value)) for name, value in recorded.items())
    return sounding


def image_sources(provenance: Facts, ids: Sequence[str]) -> Index:
    """Read the number of sounding objects of each sample's picture, `[N]`.

    A picture with fewer evaluated samples is incomplete. Earlier runs do not record this: they give
    0, and their pictures count as complete.
    """
    recorded = provenance.get("image_sources") or 0
    by_id = recorded if isinstance(recorded, Mapping) else dict.fromkeys(ids, recorded)
    return np.array([by_id.get(name, 0) for name in ids], np.int64)


def true_negatives(provenance: Facts) -> list[str]:
    """List the audio conditions under which nothing in the picture sounds, in the run's order."""
    return sounding_objects(provenance).besides_positive(SoundingObject.NONE)


def no_negatives(provenance: Facts) -> list[str]:
    """List the audio conditions that are no negatives: an object of the picture sounds."""
    sounding = {POSITIVE: SoundingObject.OWN, **sounding_objects(provenance)}
    return [name for name, which in sounding.items() if which != SoundingObject.NONE]


def without_conditions(
    rows: pa.RecordBatch | pa.Table, conditions: Sequence[str]
) -> pa.RecordBatch | pa.Table:
    """Drop the rows of some audio conditions."""
    left_out = pa.array(conditions, pa.string())
    return rows.filter(pc.invert(pc.is_in(rows.column("audio_condition"), value_set=left_out)))


def condition_settings(provenance: Facts) -> dict[str, dict[str, Any]]:
    """Options of a run's audio conditions, by condition; earlier runs get today's option names."""
    settings = {}
    for name, options in (provenance.get("negatives") or {}).items():
        if name == POSITIVE or not isinstance(options, Mapping):
            continue
        given = {key: value for key, value in options.items() if value is not None}
        settings[name] = {**dict.fromkeys(options), **_DEFAULTS.get(name, {}), **given}
        if given.get("snr") is None:  # `over` is the span that an SNR is measured over
            settings[name].pop("over", None)
    return settings
