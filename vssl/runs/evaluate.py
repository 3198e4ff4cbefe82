"""vssl-evaluate: a model over a test set, on positives and negatives."""

from __future__ import annotations

import logging
import os
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig

from vssl.config.build import build_metrics, build_policies, has_negatives
from vssl.config.identity import (
    identity,
    leaves_out,
    network_hash,
    prior_facts,
    protocol_switches,
    run_names,
    scoring,
)
from vssl.config.networks import check_network_options, gpu_name
from vssl.config.options import check_options
from vssl.core.hashing import config_hash
from vssl.core.memory import keep_freed_memory
from vssl.core.progress import show_progress
from vssl.engine.loggers import log_summary, open_loggers
from vssl.records.files import RECORDS_FILE, run_in
from vssl.records.fit import check_calibration
from vssl.records.store import check_records, read_provenance
from vssl.reporting.tables.run import announce
from vssl.runs.folder import alone_in, finished_run, is_first_process, write_run_file
from vssl.runs.record import check_same_samples, make_records
from vssl.runs.score import score_run
from vssl.runs.wandb_extras import mirror_run
from vssl.thresholds.base import ThresholdPolicy

_log = logging.getLogger(__name__)


def evaluate(
    config: DictConfig,
    folder: Path,
    *,
    quiet: bool = False,
    wait: bool = False,
    device: AbstractContextManager[None] | None = None,
) -> pd.DataFrame | None:
    """Evaluate a model into a folder, or take the finished run that stands there.

    Args:
        config: the composed configuration `evaluate`.
        folder: where the run goes.
        quiet: whether the run's table is not shown, as in sweeps.
        wait: whether to wait for another run that is writing in the folder.
        device: held while the networks run, and not while their records are scored.

    Returns:
        The summary; None in the processes of a distributed run that are not the first.

    Raises:
        UsageError: for any fault in what the user gave.
    """
    keep_freed_memory()
    # of several processes the first; a sweep switches them off where jobs run beside each other
    show_progress(bool(config.trainer.enable_progress_bar) and is_first_process())
    policies = check_request(config)
    identity_hash = config_hash(identity(config))
    if not config.force and not os.access(folder, os.W_OK):  # as on a read-only disk
        done = finished_run(folder, identity_hash)
        if done is not None and is_finished(config, folder, done):
            return announce(folder, quiet=quiet)
    with alone_in(folder, wait=wait):
        done = None if config.force else finished_run(folder, identity_hash)
        if done is not None and is_finished(config, folder, done):
            return announce(folder, quiet=quiet)
        timing = {} if done is None else done.get("timing", {})
        known = {**identity(config), **scoring(config), "run": run_names(config)}
        loggers = [instantiate(each) for each in config.logger.values()]
        with open_loggers(loggers, config=known):
            if done is None:
                with device or nullcontext():
                    begin = time.monotonic()
                    recorded = make_records(config, folder, identity_hash, loggers)
                if recorded is None:
                    return None
                timing = {
                    "records_seconds": round(time.monotonic() - begin, 3),
                    "recorded": recorded,
                    "samples": read_provenance(folder / RECORDS_FILE)["evaluated"],
                    "device": gpu_name(config) or "cpu",
                }
            else:
                check_records(folder)
                _log.info("already evaluated, records are scored anew: %s", folder)
            begin = time.monotonic()
            summary = score_run(config, folder, policies)
            timing["scoring_seconds"] = round(time.monotonic() - begin, 3)
            # before what may fail, or be waited for
            write_run_file(config, folder, identity_hash, timing=timing)
            log_summary(loggers, summary, config=known)
            mirror_run(config, folder, loggers)
    return announce(folder, quiet=quiet)


def is_finished(config: DictConfig, folder: Path, done: dict[str, Any]) -> bool:
    """Whether a finished run needs no new scores; logs it.

    Raises:
        UsageError: when it left out other samples than it would now.
    """
    if leaves_out(config):
        check_same_samples(config, folder, done)
    stands: bool = done.get("scoring_hash") == config_hash(scoring(config))
    if stands:
        _log.info("already evaluated, nothing to do (force=true evaluates again): %s", folder)
    return stands


def check_request(config: DictConfig) -> list[ThresholdPolicy]:
    """Check what can be checked before any work; return the run's threshold policies.

    Raises:
        UsageError: for any fault in what the user gave.
    """
    check_options(config)
    check_network_options(config)
    build_metrics(config)  # which wants those that others combine
    if config.calibration is not None:
        check_calibration(
            run_in(Path(config.calibration).expanduser()),
            model=config.model.name,
            weights_sha256=identity(config)["files_sha256"].get("model.weights"),
            protocol_switches=protocol_switches(config),
            prior=prior_facts(config),
            network_hash=network_hash(config),
        )
    return build_policies(config, model=config.model.name, negatives=has_negatives(config))
