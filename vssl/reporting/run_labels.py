"""Names of runs in tables and figures."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from vssl.core.negatives import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.records.summary import PAIR, conditions_of
from vssl.types import NATURAL, POSITIVE

PAPER_MODELS = ("rcgrad", "lvs", "ezvsl", "slavc", "fnac", "ssltie", "sslalign")
"""Models of the paper, by year."""

BASELINES = ("audio_blind", "deaf_best", "center", "constant", "empty", "random", "oracle")
"""Models without weights, which are left out of rankings."""


def paper_place(model: str) -> int:
    """Position of a model or a variant (`rcgrad_raw`) in the paper; others come last."""
    places = (i for i, name in enumerate(PAPER_MODELS) if f"{model}_".startswith(f"{name}_"))
    return next(places, len(PAPER_MODELS))


def label_runs(summary: pd.DataFrame) -> pd.Series:
    """Name the run of each row of several summaries.

    By the model, then by negatives and seed if its runs differ in them, then by the configuration's
    hash.
    """
    hashes = summary["config_hash"]
    negatives = {of: mix_name(conditions_of(rows)) for of, rows in summary.groupby(hashes)}
    names = summary["model"].astype(str)
    test = [summary["dataset"], summary["protocol"]]
    of_model = [*test, names]
    for extra in (hashes.map(negatives), "seed " + summary["seed"].astype(str)):
        differs = extra.groupby(of_model).transform("nunique") > 1
        names = names.where(~differs, names + " " + extra)
    differs = hashes.groupby([*test, names]).transform("nunique") > 1
    return names.where(~differs, names + " " + hashes.str[:8])


def mix_name(conditions: Iterable[str]) -> str:
    """Name a mix of negatives: `all` for the paper's three, `none`, or their names."""
    names = [c for c in conditions if PAIR not in c and c not in (POSITIVE, NATURAL, ALL_NEGATIVES)]
    return "all" if set(names) == set(NEGATIVE_TYPES) else "+".join(names) or "none"
