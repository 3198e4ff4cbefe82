"""vssl-evaluate --dry-run: what would be done, and what cannot be done and why."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from vssl.commands.app import fail
from vssl.commands.devices import request_for
from vssl.commands.identity import identity, leaves_out, scoring
from vssl.commands.inputs import changed_inputs
from vssl.commands.options import check_options, drop_absent_members
from vssl.commands.run_folder import FINISHED_RUN, NO_RUN, finished_run, run_state
from vssl.commands.sweep import job_name, planned_jobs
from vssl.errors import UsageError
from vssl.records.files import output_folder
from vssl.records.fingerprint import config_hash
from vssl.records.shards import recorded_samples

_CANNOT_RUN = "cannot run"


def dry_run(arguments: Sequence[str]) -> None:
    """Print the state of all jobs that a command line asks for, and write nothing.

    Args:
        arguments: the command line, without `--dry-run`.

    Raises:
        SystemExit: with status 1 when a job cannot run.
    """
    from vssl.commands.evaluate import with_hydra

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    callback = f"hydra.callbacks.sweep._target_={__name__}.DryRun"
    sys.argv[1:] = [*arguments, callback]
    try:
        with_hydra(lambda config, folder: None)
    except SystemExit as end:
        if end.code:
            raise


class DryRun(Callback):
    """Hydra callback in place of `vssl.commands.sweep.Sweep`: prints states and ends the command.

    Args:
        settings: of the callback that it replaces.
    """

    def __init__(self, **settings: Any) -> None:
        self._looked: dict[str, Any] = {}  # what several jobs share is looked at once

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> NoReturn:
        """Print the state of a single run."""
        HydraConfig.instance().set_config(config)
        self._show([(config, Path(config.hydra.run.dir).absolute())])

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> NoReturn:
        """Print the states of a sweep's jobs."""
        loader = GlobalHydra.instance().config_loader()
        planned = planned_jobs(config, loader)
        if planned is None:
            fail(
                f"--dry-run: {config.hydra.sweeper._target_} decides on its jobs as it goes, so"
                " they cannot be listed."
            )
        jobs = []
        for job in planned:
            composed = loader.load_sweep_config(config, job)
            HydraConfig.instance().set_config(composed)
            folder = Path(composed.hydra.sweep.dir) / composed.hydra.sweep.subdir
            jobs.append((composed, folder.expanduser().absolute()))
        self._show(jobs)

    def _show(self, jobs: Sequence[tuple[DictConfig, Path]]) -> NoReturn:
        console, refused = Console(soft_wrap=True, highlight=False), 0
        for number, (config, folder) in enumerate(jobs, 1):
            with open_dict(config):
                del config["hydra"]
            drop_absent_members(config)
            try:
                state = self._state(config, folder)
            except UsageError as error:
                state = f"{_CANNOT_RUN}: {error}"
                refused += 1
            console.print(f"[{number}/{len(jobs)}] {job_name(config)}: {state}", markup=False)
        console.print(f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}, {refused} cannot run")
        sys.exit(min(refused, 1))

    def _state(self, config: DictConfig, folder: Path) -> str:
        """What is left to do for a job.

        Raises:
            UsageError: when it cannot run.
        """
        from vssl.commands.build import least_samples
        from vssl.commands.evaluate import check_request
        from vssl.commands.make_records import check_same_samples

        check_options(config)
        state = run_state(config, folder)
        if state == FINISHED_RUN:
            return state
        check_request(config)
        request_for(config.trainer)
        try:
            with output_folder(folder):
                pass
        except OSError as error:
            raise UsageError(
                f"{error.filename}: nothing can be written there ({error.strerror}). Set another"
                " output_root."
            ) from error
        if state == NO_RUN:
            self._once(_check_networks, config, "model", "prior", "trainer")
            _check_inputs(config)
            samples = self._once(
                functools.partial(_count, least=least_samples(config)), config, "data"
            )
            recorded = recorded_samples(folder, config_hash(identity(config)))
            if recorded and not changed_inputs(folder):  # of other files nothing is taken
                return f"partly recorded: {recorded} of {samples}"
        elif leaves_out(config):
            done = finished_run(folder, config_hash(identity(config)))
            check_same_samples(config, folder, done or {})
            if done and done.get("scoring_hash") == config_hash(scoring(config)):
                return FINISHED_RUN
        return state

    def _once(self, look: Callable[[DictConfig], Any], config: DictConfig, *parts: str) -> Any:
        """What a look at parts of a configuration finds, or the fault that it finds."""
        seen = (OmegaConf.to_container(config[part], resolve=True) for part in parts)
        key = repr([str(look), *seen])
        if key not in self._looked:
            try:
                self._looked[key] = look(config)
            except UsageError as error:
                self._looked[key] = error
        if isinstance(self._looked[key], UsageError):
            raise self._looked[key]
        return self._looked[key]


def _count(config: DictConfig, *, least: int) -> int:
    from vssl.commands.build import build_reader

    reader = build_reader(config)
    reader.least_samples = least
    return reader.count()


def _check_networks(config: DictConfig) -> None:
    """Networks with their weights, on hardware that is there."""
    import torch

    from vssl.commands.networks import build_model, build_prior

    if str(config.trainer.accelerator) in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UsageError(f"trainer.accelerator={config.trainer.accelerator}: no GPU can be used.")
    model, _ = build_model(config)
    build_prior(config, model)


def _check_inputs(config: DictConfig) -> None:
    """Everything else that a run reads or makes before its long work."""
    from vssl.commands import build
    from vssl.negatives.manifest import read_manifest

    names = [condition.name for condition in build.build_conditions(config)]
    if config.negatives.manifest:
        read_manifest(Path(config.negatives.manifest).expanduser())
    build.build_frontends(config, names)
    build.build_transforms(config)
    build.build_metrics(config)
