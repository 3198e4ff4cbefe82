"""Summaries of runs, those of earlier versions with today's columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from vssl.types import SoundingObject, SoundingObjects

SOUNDING = "sounding_object"
"""Column that says which object of the picture sounds; null for a pair of conditions."""

PAIR = "-"  # between the two conditions of a pair


def read_summary(path: Path) -> pd.DataFrame:
    """Content of a summary or subsets file (`records.schema.SUMMARY`), fractions."""
    return completed(pd.read_parquet(path))


def completed(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary with the columns that those of schema versions 2 and 3 lack.

    Version 2 knows the paper's conditions alone: the positive's own object sounds, and else none.
    The intervals of both are of images alone, at thresholds as they stand.
    """
    summary = _with_intervals(summary)
    if SOUNDING in summary:
        return summary
    sounding = [
        None if PAIR in str(name) else SoundingObject.assumed(str(name)).value
        for name in summary["condition"]
    ]
    place = list(summary.columns).index("condition") + 1
    found = summary.copy()
    found.insert(place, SOUNDING, pd.Series(sounding, summary.index))
    return found


def _with_intervals(summary: pd.DataFrame) -> pd.DataFrame:
    if "ci_low_at_threshold" in summary:
        return summary
    found, place = summary.copy(), list(summary.columns).index("ci_high") + 1
    fitted = summary["threshold_source"].str.startswith("fit on")
    for end in ("ci_low", "ci_high"):
        found.insert(place, f"{end}_at_threshold", summary[end])
        found[end] = summary[end].mask(fitted)
        place += 1
    for source in ("images", "sounds", "threshold"):
        found.insert(place, f"share_{source}", np.nan)
        place += 1
    return found


def conditions_of(summary: pd.DataFrame) -> SoundingObjects:
    """Audio conditions of a summary, in the order of the run, and which object sounds under each.

    The order is that of pIA, which every condition has.
    """
    summary = completed(summary)
    areas_first = pd.concat([summary[summary["metric"] == "pia"], summary])
    single = areas_first[areas_first[SOUNDING].notna() & (areas_first["condition"] != "all")]
    pairs = single[["condition", SOUNDING]].drop_duplicates("condition")
    return SoundingObjects(
        (str(name), SoundingObject(value)) for name, value in pairs.itertuples(index=False)
    )
