"""Runs side by side: what to call each, and which of them say the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vssl.records.fingerprint import config_hash
from vssl.records.numbers import ALL_NEGATIVES
from vssl.records.summary import PAIR, conditions_of
from vssl.types import POSITIVE

PAPER_MODELS = ("rcgrad", "lvs", "ezvsl", "slavc", "fnac", "ssltie", "sslalign")
"""The models that the paper assesses, in order of their year."""

BASELINES = ("audio_blind", "deaf_best", "center", "constant", "empty", "random", "oracle")
"""Models without weights, whose numbers are known beforehand: they compete with nobody."""


def run_names(summary: pd.DataFrame) -> pd.Series:
    """Names that tell runs apart: the model, and what differs between runs of it.

    That is the negatives, the seed, or else the configuration's hash.

    Args:
        summary: rows of several summaries.

    Returns:
        A name for each row.
    """
    negatives = {
        of: negatives_name(conditions_of(rows))
        for of, rows in summary.groupby("config_hash", sort=False)
    }
    names = summary["model"].astype(str)
    for extra in (
        summary["config_hash"].map(negatives),
        "seed " + summary["seed"].astype(str),
        summary["config_hash"].str[:8],
    ):
        alike = [summary["dataset"], summary["protocol"], names]
        differs = extra.groupby(alike).transform("nunique") > 1
        names = names.where(~differs, names + " " + extra)
    return names


def negatives_name(conditions: Iterable[str]) -> str:
    """Short name of a summary's audio conditions besides the positive.

    `all` for the paper's three, `none`, or their names.
    """
    names = [c for c in conditions if PAIR not in c and c not in (POSITIVE, ALL_NEGATIVES)]
    return "all" if set(names) == {"silence", "noise", "offscreen"} else "+".join(names) or "none"


def widest(
    identities: Mapping[Path, Mapping[str, Any]], summaries: Mapping[Path, pd.DataFrame]
) -> dict[Path, Path]:
    """Of runs that differ in nothing but their negatives, the one with most.

    Args:
        identities: of each run, what can change its records (`identity` in `run.json`).
        summaries: of each run.

    Returns:
        For each run the one that stands for it, itself where it has most negatives of its kind; of
        as many, the one with most draws, then the first.
    """
    found: dict[str, Path] = {}
    known = {
        folder: config_hash({k: v for k, v in identity.items() if k != "negatives"})
        for folder, identity in identities.items()
    }

    def width(folder: Path) -> tuple[int, int]:
        conditions = summaries[folder].groupby("condition")["draws"].max()
        return len(conditions), int(conditions.sum())

    for folder in summaries:
        if known[folder] not in found or width(folder) > width(found[known[folder]]):
            found[known[folder]] = folder
    return {folder: found[known[folder]] for folder in summaries}
