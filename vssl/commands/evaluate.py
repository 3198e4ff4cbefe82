"""vssl-evaluate: a model over a test set, on positives and negatives."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vssl.commands.app import is_multirun, quieten_libraries, run_app
from vssl.commands.identity import (
    identity,
    leaves_out,
    network_hash,
    prior_facts,
    protocol_switches,
    register_resolvers,
    run_names,
    scoring,
)
from vssl.commands.options import allow_absent_members, check_options, drop_absent_members
from vssl.commands.run_folder import (
    alone_in,
    finished_run,
    is_first_process,
    run_in,
    write_run_file,
)
from vssl.commands.sweep import finish_sweep, run_in_sweep, start_process_server
from vssl.memory import keep_freed_memory
from vssl.progress import show_progress
from vssl.records.fingerprint import config_hash

if TYPE_CHECKING:
    import pandas as pd

    from vssl.thresholds.base import ThresholdPolicy

DRY_RUN = "--dry-run"

_log = logging.getLogger(__name__)

register_resolvers()


def main() -> None:
    """Console script."""
    quieten_libraries()
    # Hydra's examples write it so, for a group that is not among the defaults
    arguments = [re.sub(r"^\+(?=experiment=)", "", argument) for argument in sys.argv[1:]]
    arguments = allow_absent_members(arguments)
    if DRY_RUN in arguments:
        from vssl.commands.dry_run import dry_run

        arguments.remove(DRY_RUN)
        run_app(lambda: dry_run(arguments), "evaluate")
        return
    sys.argv[1:] = arguments
    elsewhere = any(argument.startswith("hydra/launcher=") for argument in arguments)
    if not elsewhere and not {"-m", "--multirun"}.isdisjoint(arguments):
        start_process_server(wandb="logger=none" not in arguments)  # while Hydra reads files
    run_app(lambda: with_hydra(_run), "evaluate", before_error=finish_sweep)


_said: set[str] = set()
"""Options that were said to be ignored; a sweep says it once."""


def _run(config: DictConfig, folder: Path) -> pd.DataFrame | str | None:
    """Evaluate, or have a process do it where this is a job of a sweep."""
    if is_multirun():
        return run_in_sweep(config, folder)
    if not is_first_process():  # the first one says the same
        logging.getLogger("vssl").setLevel(logging.WARNING)
    check_options(config)
    return evaluate(config, folder)


def with_hydra(work: Callable[[DictConfig, Path], Any]) -> None:
    """Let Hydra compose the command line's jobs; call a function with each and its folder."""

    @hydra.main(version_base="1.3", config_path="pkg://vssl.conf", config_name="evaluate")
    def main(config: DictConfig) -> Any:
        for option in drop_absent_members(config):
            if option not in _said and is_multirun():
                _said.add(option)
                member = option.rpartition(".")[0]
                _log.warning("%s is ignored where %s is not part of the run", option, member)
        return work(config, Path(HydraConfig.get().runtime.output_dir).absolute())

    main()


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
    from hydra.utils import instantiate

    from vssl.commands.make_records import make_records
    from vssl.commands.mirror import mirror_run
    from vssl.commands.networks import gpu_name
    from vssl.commands.score import announce, score_run
    from vssl.engine.loggers import log_summary, open_loggers
    from vssl.records.files import RECORDS_FILE
    from vssl.records.store import check_records, read_provenance

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
    from vssl.commands.make_records import check_same_samples

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
    from vssl.commands.build import build_metrics, build_policies, has_negatives
    from vssl.commands.networks import check_network_options
    from vssl.records.fit import check_calibration

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


if __name__ == "__main__":
    main()
