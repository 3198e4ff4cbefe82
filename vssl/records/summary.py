"""Reading summaries; those of earlier versions get today's columns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from vssl.records.files import SUMMARY_FILE
from vssl.records.schema import SUBSETS
from vssl.records.store import RecordsError, read_columns
from vssl.types import SoundingObject, SoundingObjects

SOUNDING = "sounding_object"
"""Column that says which object of the picture sounds; null for a pair of conditions."""

PAIR = "-"  # between the two conditions of a pair


def read_summary(path: Path) -> pd.DataFrame:
    """Content of a summary or subsets file (`records.schema.SUMMARY`), fractions."""
    return completed(read_columns(path).to_pandas())


def read_summaries(folders: Iterable[Path]) -> tuple[dict[Path, pd.DataFrame], dict[Path, str]]:
    """Read the summaries of some runs; also return why others cannot be read."""
    summaries, faults = {}, {}
    for folder in folders:
        try:
            summaries[folder] = read_summary(folder / SUMMARY_FILE)
        except RecordsError as error:
            faults[folder] = str(error)
    return summaries, faults


def completed(summary: pd.DataFrame) -> pd.DataFrame:
    """Add the columns that summaries of schema versions 2 and 3 lack.

    Version 2 has only the paper's conditions: the positive's own object sounds, or none. Intervals
    of both versions are over images alone, at fixed thresholds.
    """
    found = summary.copy()
    if "ci_low_at_threshold" not in summary:
        fitted = summary["threshold_source"].str.startswith("fit on")
        for end in ("ci_low", "ci_high"):
            found[f"{end}_at_threshold"] = summary[end]
            found[end] = summary[end].mask(fitted)
        found[[f"share_{source}" for source in ("images", "sounds", "threshold")]] = np.nan
    if SOUNDING not in summary:
        found[SOUNDING] = [
            None if PAIR in str(name) else SoundingObject.assumed(str(name)).value
            for name in summary["condition"]
        ]
    order = [name for name in SUBSETS.names if name in found]
    return found[[*order, *(name for name in found if name not in order)]]


def conditions_of(summary: pd.DataFrame) -> SoundingObjects:
    """Audio conditions of a summary in the run's order (pIA's), and the object that sounds."""
    summary = completed(summary)
    areas_first = pd.concat([summary[summary["metric"] == "pia"], summary])
    single = areas_first[areas_first[SOUNDING].notna() & (areas_first["condition"] != "all")]
    pairs = single[["condition", SOUNDING]].drop_duplicates("condition")
    return SoundingObjects(
        (str(name), SoundingObject(value)) for name, value in pairs.itertuples(index=False)
    )
