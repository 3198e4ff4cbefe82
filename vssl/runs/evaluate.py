"""vssl-evaluate: a model over a test set, on positives and negatives."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd
from pytorch_lightning.loggers import Logger

from vssl.config.build import (
    build_metrics,
    build_policies,
    check_data,
    has_negatives,
    policies_named,
)
from vssl.config.networks import check_network_options, make
from vssl.config.settings import FOLDER, Recipe, RunSettings
from vssl.core.errors import UsageError
from vssl.core.hashing import ids_hash
from vssl.core.memory import keep_freed_memory
from vssl.core.progress import show_progress
from vssl.engine.loggers import log_summary, open_loggers
from vssl.records.binarize import HOST, scoring_device
from vssl.records.fit import check_calibration
from vssl.records.store import check_records
from vssl.reporting.tables.run import announce
from vssl.runs.folder import alone_in, finished_run, is_first_process, write_run_file
from vssl.runs.record import record
from vssl.runs.score import score_run
from vssl.runs.wandb_extras import mirror_run
from vssl.thresholds.base import ThresholdPolicy

_log = logging.getLogger(__name__)


def evaluate(
    settings: RunSettings,
    folder: Path,
    *,
    quiet: bool = False,
    wait: bool = False,
    device: AbstractContextManager[None] | None = None,
) -> pd.DataFrame | None:
    """Evaluate a model into a folder, or take the finished run that is there.

    `quiet` shows no table, as in sweeps; `wait` waits for another run that is writing in the
    folder; `device` is held while the networks run. Returns the summary; None in the processes of a
    distributed run that are not the first.

    Raises:
        UsageError: for any fault in what the user gave.
    """
    keep_freed_memory()
    # of several processes the first; a sweep switches them off where jobs run beside each other
    show_progress(settings.trainer.progress_bar and is_first_process())
    policies = check_request(settings)
    read_only = not os.access(folder, os.W_OK)  # where nobody else writes
    if read_only and is_finished(settings, folder, finished_run(settings, folder)):
        return announce(folder, quiet=quiet)
    with alone_in(folder, wait=wait):
        done = finished_run(settings, folder)
        if is_finished(settings, folder, done):
            return announce(folder, quiet=quiet)
        loggers = [_logger(recipe, folder) for recipe in settings.loggers.values()]
        with open_loggers(loggers, config=settings.known):
            if done is None:
                timing = record(settings, folder, loggers, device)
                if timing is None:
                    return None
            else:
                timing = done.get("timing", {})
                check_records(folder)
                _log.info("already evaluated, records are scored anew: %s", folder)
            begin = time.monotonic()
            scored_on = HOST  # a device that was lent is another job's by now
            if device is None:
                scored_on = scoring_device(settings.trainer.accelerator, settings.trainer.devices)
            summary = score_run(settings.scoring, folder, policies, device=scored_on)
            timing["scoring_seconds"] = round(time.monotonic() - begin, 3)
            # before what may fail, or be waited for
            write_run_file(settings, folder, timing=timing)
            log_summary(loggers, summary, config=settings.known)
            mirror_run(settings, folder, loggers)
    return announce(folder, quiet=quiet)


def _logger(recipe: Recipe, folder: Path) -> Logger:
    if isinstance(recipe, Mapping):
        recipe = {key: str(folder) if v == FOLDER else v for key, v in recipe.items()}
    logger: Logger = make(recipe)
    return logger


def is_finished(settings: RunSettings, folder: Path, done: Mapping[str, Any] | None) -> bool:
    """Whether `finished_run` gave a run that needs no new scores; logs it.

    Raises:
        UsageError: when it left out other samples than it would now.
    """
    if done is None:
        return False
    if settings.data.leaves_out:
        whole = ids_hash(sample.sample_id for sample in check_data(settings).samples)
        if whole != done["provenance"]["manifest_hash"]:
            raise UsageError(
                f"{folder}: holds a finished run on other samples than are whole in"
                f" {settings.data.root} now. Set another output_dir, or force=true to replace it."
            )
    is_scored: bool = done.get("scoring_hash") == settings.scoring.hash
    if is_scored:
        _log.info("already evaluated, nothing to do (force=true evaluates again): %s", folder)
    return is_scored


def check_request(settings: RunSettings) -> list[ThresholdPolicy]:
    """Check what the options alone do not tell; return the run's threshold policies.

    Raises:
        UsageError: for any fault in what the user gave.
    """
    check_network_options(settings)
    build_metrics(settings.scoring)  # which wants those that others combine
    calibration = settings.scoring.calibration_run
    if calibration is not None:
        check_calibration(calibration, **settings.map_unit)
    policies = build_policies(
        settings.scoring, model=settings.model.name, negatives=has_negatives(settings)
    )
    rule = settings.model.released.get("threshold")
    if rule and settings.protocol.name == "released" and rule not in settings.scoring.threshold:
        policies += policies_named([rule])  # the one of the model's authors
    return policies
