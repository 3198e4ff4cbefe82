"""Columns and types of the files of a run: records, ground truth, scores, summary, subsets."""

from __future__ import annotations

import pyarrow as pa

METADATA_KEY = b"vssl"
"""Key of the JSON provenance in the parquet schema's metadata."""

_LABEL = pa.dictionary(pa.int32(), pa.string())

RECORD_KEY = ("sample_id", "audio_condition", "draw")

RECORDS = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("audio_condition", pa.string(), nullable=False),
        pa.field("draw", pa.int16(), nullable=False),
        pa.field("audio_source_id", pa.string()),  # null for a waveform that is made
        pa.field("audio_path", pa.string()),  # of the clip heard; null where none is, or before 4
        pa.field("image_path", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("image_group", pa.string(), nullable=False),
        pa.field("map_height", pa.int16(), nullable=False),
        pa.field("map_width", pa.int16(), nullable=False),
        pa.field("similarity_map", pa.list_(pa.float32()), nullable=False),
        pa.field("object_map", pa.list_(pa.float32())),  # square; null without a prior
        pa.field("similarity_max", pa.float32()),
        pa.field("similarity_min", pa.float32()),
    ]
)
"""One row per sample, audio condition and draw, with the native similarity map (row-major).

`similarity_max` and `similarity_min` are the native similarity map's.
"""

TRUTH = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("boxes", pa.list_(pa.list_(pa.int16())), nullable=False),
        pa.field("box_weights", pa.list_(pa.float32()), nullable=False),
        pa.field("masks", pa.list_(pa.binary()), nullable=False),  # of `vssl.maps.encode_mask`
        pa.field("mask_weights", pa.list_(pa.float32()), nullable=False),
        pa.field("natural", pa.bool_(), nullable=False),  # whether nothing in the image sounds
        pa.field("flags", pa.map_(pa.string(), pa.string()), nullable=False),
    ]
)
"""One row per sample, in the order of the run: its ground truth, and what is known about it."""

EARLIER_TRUTH = ("boxes", "box_weights")
"""Columns of the ground truth that records up to schema version 4 have in every row."""

SCORE_KEY = [
    pa.field("sample_id", _LABEL, nullable=False),
    pa.field("audio_condition", _LABEL, nullable=False),
    pa.field("draw", pa.int16(), nullable=False),
    pa.field("map_variant", _LABEL, nullable=False),
    pa.field("threshold_policy", _LABEL, nullable=False),
    pa.field("threshold_source", _LABEL, nullable=False),
    pa.field("threshold", pa.float32()),
]

SUMMARY = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("condition", pa.string(), nullable=False),
        pa.field("sounding_object", pa.string()),  # own, other or none; null for a pair
        pa.field("map_variant", pa.string(), nullable=False),
        pa.field("threshold_policy", pa.string(), nullable=False),
        pa.field("threshold_source", pa.string(), nullable=False),
        pa.field("threshold", pa.float64()),  # null where every map has its own
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64()),  # a fraction; null where undefined
        pa.field("std_over_draws", pa.float64()),  # null for a single draw
        pa.field("ci_low", pa.float64()),  # null for a single image
        pa.field("ci_high", pa.float64()),
        pa.field("ci_low_at_threshold", pa.float64()),  # images alone, threshold as it stands
        pa.field("ci_high_at_threshold", pa.float64()),
        pa.field("share_images", pa.float64()),  # of the variance; null where there is none
        pa.field("share_sounds", pa.float64()),  # of clips and noise draws that images share
        pa.field("share_threshold", pa.float64()),  # of fitting the threshold anew
        pa.field("n", pa.int64(), nullable=False),  # samples
        pa.field("n_undefined", pa.int64(), nullable=False),  # rows left out of the mean
        pa.field("draws", pa.int64(), nullable=False),
        pa.field("higher_is_better", pa.bool_(), nullable=False),
        pa.field("seed", pa.int64()),
        pa.field("coverage", pa.float64(), nullable=False),  # evaluated / listed
        pa.field("manifest_hash", pa.string(), nullable=False),
        pa.field("config_hash", pa.string(), nullable=False),
    ]
)
"""One row per number. `condition` is an audio condition, a pair, or `all` for the three negatives.

`sounding_object` says which object of the picture sounds under it (`vssl.types.SoundingObject`).
The 95 % interval `ci_low`, `ci_high` is that of `Number.interval`, the other one that of
`Number.interval_at_threshold`.
"""


SUBSETS = pa.schema(
    [
        pa.field("subset_kind", pa.string(), nullable=False),  # category, object_size, or a flag's
        pa.field("subset", pa.string(), nullable=False),
        *SUMMARY,
    ]
)
"""The summary's columns for parts of the test set."""

NO_POLICY = "none"
"""Threshold policy of numbers that involve no threshold."""

NO_THRESHOLD = "no threshold"
"""Their threshold's source."""


def pair_column(column: str, partner: str) -> str:
    """Name of the column that compares a row's mask with that under the audio `partner`."""
    return f"{column}_{partner}"
