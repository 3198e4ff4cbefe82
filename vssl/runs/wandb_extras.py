"""Distributions, pictures and tables of a finished run for wandb."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pytorch_lightning.loggers import Logger

from vssl.analysis.threshold_curves import maxima_histograms, threshold_curves
from vssl.config.settings import RunSettings
from vssl.engine.wandb_run import WandbRun
from vssl.records.conditions import true_negatives
from vssl.records.files import RECORDS_FILE, SUBSETS_FILE, SUMMARY_FILE
from vssl.records.localization import AUDIO_VISUAL, Localization
from vssl.records.store import read_provenance
from vssl.records.summary import read_summary
from vssl.reporting.dashboard import CURVES, GALLERY, MAXIMA, NUMBERS, PER_CLASS
from vssl.reporting.tables.model import shared_threshold
from vssl.types import POSITIVE

_log = logging.getLogger(__name__)

GALLERY_SHARES = (0.1, 0.5, 0.9)
"""Which samples are drawn: the same for all models, from small ground truth to large."""


def mirror_run(settings: RunSettings, folder: Path, loggers: Sequence[Logger]) -> None:
    """Log distributions, pictures, threshold curves and tables to wandb.

    A part that cannot be made costs a warning, and neither the rest nor the run.
    """
    # tables last: online, wandb asks the server for each
    parts = {MAXIMA: _log_maxima, GALLERY: _log_gallery, NUMBERS: _log_numbers}
    parts |= {CURVES: _log_curves, PER_CLASS: _log_classes}
    for run in loggers:
        if isinstance(run, WandbRun) and run.is_open:
            for name, log in parts.items():
                try:
                    log(settings, folder, run)
                except Exception as error:  # a mirror must not break what it shows
                    _log.warning("wandb: no %s (%s: %s)", name, type(error).__name__, error)


def _log_maxima(settings: RunSettings, folder: Path, run: WandbRun) -> None:
    edges, by_condition = maxima_histograms(folder)
    for condition, counts in by_condition.items():
        run.log_histogram(f"{MAXIMA}/{condition}", counts, edges)


def _log_gallery(settings: RunSettings, folder: Path, run: WandbRun) -> None:
    from vssl.reporting.figures.gallery import draw_gallery  # noqa: PLC0415 matplotlib

    threshold = shared_threshold(read_summary(folder / SUMMARY_FILE), settings.overview["marked"])
    with tempfile.TemporaryDirectory() as place:
        drawn = draw_gallery(folder, Path(place), threshold=threshold, shares=GALLERY_SHARES)
        paths, captions = zip(*drawn, strict=True)
        run.log_image(GALLERY, [str(path) for path in paths], caption=list(captions))


def _log_curves(settings: RunSettings, folder: Path, run: WandbRun) -> None:
    facts = read_provenance(folder / RECORDS_FILE)
    if not true_negatives(facts):  # F_LOC needs negatives
        return
    for variant in Localization.of(facts).variants:
        # one draw of each negative: a pass over all would take as long as scoring
        curves = threshold_curves(folder, variant, points=51, resamples=0, draws=1)
        columns = {"threshold": curves.thresholds.astype(float)}
        columns |= {"ciou": curves.ciou, "f_loc": curves.f_loc}
        for (metric, name), values in curves.values.items():
            if metric == "pia":
                columns[f"1-pia/{name}"] = 1 - values
        key = CURVES if variant == AUDIO_VISUAL else f"{CURVES}.{variant}"
        _log_table(run, key, pd.DataFrame(columns).round(6))


def _log_numbers(settings: RunSettings, folder: Path, run: WandbRun) -> None:
    summary = read_summary(folder / SUMMARY_FILE)
    _log_table(run, NUMBERS, summary.drop(columns=["manifest_hash", "config_hash"]).round(6))


def _log_classes(settings: RunSettings, folder: Path, run: WandbRun) -> None:
    if not (folder / SUBSETS_FILE).is_file():
        return
    subsets = read_summary(folder / SUBSETS_FILE).rename(columns={"subset": "class"})
    by_class = subsets["subset_kind"] == "category"
    kept = subsets[by_class & subsets["threshold_policy"].isin(list(settings.overview.values()))]
    if kept.empty:
        return
    keys = ["class", "threshold_policy", "map_variant"]
    names = kept["condition"] + "/" + kept["metric"]
    wide = kept.assign(name=names).pivot(index=keys, columns="name", values="value")
    wide = wide[list(dict.fromkeys(names))].round(6)
    counts = kept[kept["condition"] == POSITIVE].groupby(keys)["n"].max()
    wide.insert(0, "n", counts.reindex(wide.index).fillna(0).astype(int))
    _log_table(run, PER_CLASS, wide.reset_index())


def _log_table(run: WandbRun, key: str, table: pd.DataFrame) -> None:
    """Log a table, with null for what is undefined."""
    rows = table.astype(object).where(table.notna(), None).to_numpy(dtype=object).tolist()
    run.log_table(key, list(table.columns), rows)
