"""Names of the embedded benchmark's splits, difficulties and noise levels.

A run's folder is named by them, so this module imports nothing heavy.
"""

from __future__ import annotations

from typing import Any

DEFAULT_SPLIT, DEFAULT_DIFFICULTY = "test", "two_sources"
SPLITS = ("test", "validation", "train")
DIFFICULTIES = ("easy", "two_sources", "overlap", "same_class_pair")


def variant_name(split: str, difficulty: str, snr: float | None) -> str:
    """Name a data set by its settings other than the default, behind `synthetic`.

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
    return "_".join(map(str, parts))  # wrong values are refused later, and need a name until then


def snr_name(snr: Any) -> str:
    """Name a noise level, `snr0` for 0 and 0.0."""
    whole = isinstance(snr, float) and snr.is_integer()
    return f"snr{int(snr) if whole else snr}"
