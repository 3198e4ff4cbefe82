"""Runs side by side: what to call each."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from vssl.records.numbers import ALL_NEGATIVES
from vssl.records.summary import PAIR, conditions_of
from vssl.types import POSITIVE

PAPER_MODELS = ("rcgrad", "lvs", "ezvsl", "slavc", "fnac", "ssltie", "sslalign")
"""The models that the paper assesses, in order of their year."""

BASELINES = ("audio_blind", "deaf_best", "center", "constant", "empty", "random", "oracle")
"""Models without weights, whose numbers are known beforehand: they compete with nobody."""


def run_names(summary: pd.DataFrame) -> pd.Series:
    """Names that tell runs apart: the model, and what differs between runs of it.

    That is the negatives and the seed, as far as they differ, and the configuration's hash where
    that is not enough.

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
    model = [summary["dataset"], summary["protocol"], names]
    for extra in (summary["config_hash"].map(negatives), "seed " + summary["seed"].astype(str)):
        differs = extra.groupby(model).transform("nunique") > 1
        names = names.where(~differs, names + " " + extra)
    alike = [summary["dataset"], summary["protocol"], names]
    differs = summary["config_hash"].groupby(alike).transform("nunique") > 1
    return names.where(~differs, names + " " + summary["config_hash"].str[:8])


def negatives_name(conditions: Iterable[str]) -> str:
    """Short name of a summary's audio conditions besides the positive.

    `all` for the paper's three, `none`, or their names.
    """
    names = [c for c in conditions if PAIR not in c and c not in (POSITIVE, ALL_NEGATIVES)]
    return "all" if set(names) == {"silence", "noise", "offscreen"} else "+".join(names) or "none"
