"""Distributions, pictures and tables of a finished run for wandb."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pytorch_lightning.loggers import Logger

from vssl.analysis.threshold_curves import maxima_histograms, threshold_curves
from vssl.config.settings import RunSettings
from vssl.engine.wandb_run import WandbRun
from vssl.records.conditions import true_negatives
from vssl.records.files import RECORDS_FILE, SUBSETS_FILE, SUMMARY_FILE
from vssl.records.localization import AUDIO_VISUAL, Localization
from vssl.records.store import read_provenance
from vssl.records.summary import read_summary
from vssl.reporting.dashboard import CURVES, GALLERY, MAXIMA, PER_CLASS, curve_column
from vssl.reporting.figures.gallery import draw_gallery
from vssl.reporting.tables.model import shared_threshold

_log = logging.getLogger(__name__)

GALLERY_SHARES = (0.1, 0.5, 0.9)
"""Which samples are drawn: the same for all models, from small ground truth to large."""


def mirror_run(settings: RunSettings, folder: Path, loggers: Sequence[Logger]) -> None:
    """Log distributions, pictures, threshold curves and the table by class to wandb.

    A part that cannot be made costs a warning, and neither the rest nor the run.
    """
    # tables last: online, wandb asks the server for each
    names = (MAXIMA, GALLERY, CURVES, PER_CLASS)
    parts = (_log_maxima, _log_gallery, _log_curves, _log_classes)
    for run in loggers:
        if isinstance(run, WandbRun) and run.is_open:
            for name, log in zip(names, parts, strict=True):
                try:
                    log(settings, folder, run)
                except Exception as error:  # a mirror must not break what it shows
                    _log.warning("wandb: no %s (%s: %s)", name, type(error).__name__, error)


def _log_maxima(settings: RunSettings, folder: Path, run: WandbRun) -> None:
    edges, by_condition = maxima_histograms(folder)
    for condition, counts in by_condition.items():
        run.log_histogram(f"{MAXIMA}/{condition}", counts, edges)


def _log_gallery(settings: RunSettings, folder: Path, run: WandbRun) -> None:
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
        columns = {
            "threshold": curves.thresholds,
            curve_column("ciou"): curves.ciou,
            curve_column("f_loc"): curves.f_loc,
        }
        for (metric, name), values in curves.values.items():
            if metric == "pia":
                columns[curve_column("pia", name)] = 1 - values
        rows = [
            [None if value != value else round(float(value), 6) for value in row]
            for row in zip(*columns.values(), strict=True)
        ]
        key = CURVES if variant == AUDIO_VISUAL else f"{CURVES}.{variant}"
        run.log_table(key, list(columns), rows)


def _log_classes(settings: RunSettings, folder: Path, run: WandbRun) -> None:
    if not (folder / SUBSETS_FILE).is_file():
        return
    subsets = read_summary(folder / SUBSETS_FILE)
    keys = ["subset", "threshold_policy", "map_variant"]
    by_class = subsets["subset_kind"] == "category"
    kept = subsets[by_class & subsets["threshold_policy"].isin(list(settings.overview.values()))]
    if kept.empty:
        return
    names = kept["condition"] + "/" + kept["metric"]
    wide = kept.assign(name=names).pivot(index=keys, columns="name", values="value")
    wide = wide[list(dict.fromkeys(names))].round(6)
    counts = kept[kept["condition"] == "positive"].groupby(keys)["n"].max()
    wide.insert(0, "n", counts.reindex(wide.index).fillna(0).astype(int))
    table = wide.reset_index().rename(columns={"subset": "class"})
    table = table.astype(object).where(table.notna(), None)
    run.log_table(PER_CLASS, list(table.columns), table.to_numpy(dtype=object).tolist())
