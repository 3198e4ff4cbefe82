"""What the audio conditions of a run count as, from the provenance of its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vssl.core.arrays import Index
from vssl.types import POSITIVE, SoundingObject, SoundingObjects

Facts = Mapping[str, Any]

_BEFORE: dict[str, dict[str, Any]] = {
    "noise": {"level": 1.0, "colour": "white", "over": "clip"},
    "mixed": {"over": "clip"},
}
"""Options that earlier runs do not name, or name by their value, and what they stand for."""


def sounding_objects(provenance: Facts) -> SoundingObjects:
    """Which object sounds, by audio condition of a run in its order.

    A run of before that was recorded, or of a condition that says nothing, has what is assumed.
    """
    said = provenance.get("sounding_objects") or {}
    names = dict.fromkeys(str(name) for name, _ in provenance.get("pairings") or ())
    found = SoundingObjects((name, SoundingObject.assumed(name)) for name in names)
    found.update((name, SoundingObject(value)) for name, value in said.items())
    return found


def image_sources(provenance: Facts, ids: Sequence[str]) -> Index:
    """Number of sounding objects of each sample's picture, `[N]`.

    A picture of which fewer samples were evaluated is incomplete. A run of before that was recorded
    has 0: its pictures count as complete.
    """
    said = provenance.get("image_sources") or 0
    known = said if isinstance(said, Mapping) else dict.fromkeys(ids, said)
    return np.array([known.get(name, 0) for name in ids], np.int64)


def true_negatives(provenance: Facts) -> list[str]:
    """Audio conditions of a run under which nothing in the picture sounds, in its order."""
    return sounding_objects(provenance).besides_positive(SoundingObject.NONE)


def no_negatives(provenance: Facts) -> list[str]:
    """Audio conditions of a run that are no negatives: an object of the picture sounds."""
    found = {POSITIVE: SoundingObject.OWN, **sounding_objects(provenance)}
    return [name for name, sounding in found.items() if sounding != SoundingObject.NONE]


def without_conditions(
    rows: pa.RecordBatch | pa.Table, conditions: Sequence[str]
) -> pa.RecordBatch | pa.Table:
    """Leave out the rows of some audio conditions."""
    left_out = pa.array(conditions, pa.string())
    return rows.filter(pc.invert(pc.is_in(rows.column("audio_condition"), value_set=left_out)))


def condition_settings(provenance: Facts) -> dict[str, dict[str, Any]]:
    """Options of a run's audio conditions, by condition; those of earlier runs in today's words."""
    known = provenance.get("negatives") or {}
    found = {}
    for name, options in known.items():
        if name == POSITIVE or not isinstance(options, Mapping):
            continue
        before = _BEFORE.get(name, {})
        named = {**before, **{k: v for k, v in options.items() if v is not None}}
        found[name] = {**dict.fromkeys(options), **named}
        if named.get("snr") is None:  # without which it says nothing
            found[name].pop("over", None)
    return found
