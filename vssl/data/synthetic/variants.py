"""Which data set of the embedded benchmark: its split, difficulty and noise, and their names.

Imports nothing heavy: a run's name, and so its folder, is made from it.
"""

from __future__ import annotations

from typing import Any

DEFAULT_SPLIT, DEFAULT_DIFFICULTY = "test", "two_sources"
SPLITS = ("test", "validation", "train")
DIFFICULTIES = ("easy", "two_sources", "overlap", "same_class_pair")


def variant_name(split: str, difficulty: str, snr: float | None) -> str:
    """Name of a data set in runs, tables and folders: `synthetic`, and what is not the default.

    Example:
        >>> variant_name("test", "two_sources", None)
        'synthetic'
        >>> variant_name("validation", "overlap", -5)
        'synthetic_overlap_validation_snr-5'
    """
    parts = ["synthetic"]
    parts += [difficulty] if difficulty != DEFAULT_DIFFICULTY else []
    parts += [split] if split != DEFAULT_SPLIT else []
    parts += [snr_name(snr)] if snr is not None else []
    return "_".join(map(str, parts))  # a wrong value is refused later, and needs a name until then


def snr_name(snr: Any) -> str:
    """Name of a noise level, `snr0` for 0 and 0.0."""
    whole = isinstance(snr, float) and snr.is_integer()
    return f"snr{int(snr) if whole else snr}"
