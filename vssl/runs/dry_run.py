"""vssl-evaluate --dry-run: what would be done, and what cannot be done and why."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict
from rich.console import Console

from vssl.config import build
from vssl.config.compose import with_hydra
from vssl.config.options import drop_absent_members, with_override
from vssl.config.settings import RunSettings
from vssl.core.console import fail
from vssl.core.devices import request_for
from vssl.core.errors import UsageError
from vssl.core.files import output_folder
from vssl.negatives.manifest import read_manifest
from vssl.records.shards import recorded_samples
from vssl.runs.evaluate import check_request, is_finished
from vssl.runs.folder import FINISHED_RUN, NO_RUN, finished_run, run_state
from vssl.runs.inputs import changed_inputs
from vssl.runs.sweep import job_name, planned_jobs


def dry_run(arguments: Sequence[str]) -> None:
    """Print the state of all jobs that a command line without `--dry-run` asks for.

    Raises:
        SystemExit: with status 1 when a job cannot run.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    callback = f"hydra.callbacks.sweep._target_={__name__}.DryRun"
    sys.argv[1:] = with_override(arguments, callback)
    try:
        with_hydra(lambda config, folder: None)
    except SystemExit as end:
        if end.code:
            raise


class DryRun(Callback):
    """Hydra callback in place of `vssl.runs.sweep.Sweep`, whose settings it ignores."""

    def __init__(self, **settings: Any) -> None:
        pass

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> NoReturn:
        """Print the state of a single run, and end the command."""
        HydraConfig.instance().set_config(config)
        _show_states([(config, Path(config.hydra.run.dir).absolute())])

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> NoReturn:
        """Print the states of a sweep's jobs, and end the command."""
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
        _show_states(jobs)


def _show_states(jobs: Sequence[tuple[DictConfig, Path]]) -> NoReturn:
    console, refused = Console(soft_wrap=True, highlight=False), 0
    looks: dict[str, int | UsageError] = {}
    for number, (config, folder) in enumerate(jobs, 1):
        with open_dict(config):
            del config["hydra"]
        drop_absent_members(config)
        try:
            state = _state(RunSettings.of(config), folder, looks)
        except UsageError as error:
            state = f"cannot run: {error}"
            refused += 1
        console.print(f"[{number}/{len(jobs)}] {job_name(config)}: {state}", markup=False)
    console.print(f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}, {refused} cannot run")
    sys.exit(min(refused, 1))


def _state(settings: RunSettings, folder: Path, looks: dict[str, int | UsageError]) -> str:
    """What is left to do for a job; `looks` has what was found for jobs that read the same."""
    state = run_state(settings, folder)
    if state == FINISHED_RUN:
        return state
    check_request(settings)
    request_for(settings.trainer.recipe)
    try:
        with output_folder(folder):
            pass
    except OSError as error:
        raise UsageError(
            f"{error.filename}: nothing can be written there ({error.strerror}). Set another"
            " output_root."
        ) from error
    if state == NO_RUN:
        parts = ("model", "prior", "trainer", "data", "negatives", "protocol")
        key = repr([getattr(settings, part) for part in parts])
        if key not in looks:
            try:
                looks[key] = _count_samples(settings)
            except UsageError as error:
                looks[key] = error
        samples = looks[key]
        if isinstance(samples, UsageError):
            raise samples
        recorded = recorded_samples(folder, settings.identity_hash)
        if recorded and not changed_inputs(folder):  # of other files nothing is taken
            return f"partly recorded: {recorded} of {samples}"
    elif settings.data.leaves_out and is_finished(settings, folder, finished_run(settings, folder)):
        return FINISHED_RUN
    return state


def _count_samples(settings: RunSettings) -> int:
    """Read and make what a run does before its long work; return its number of samples."""
    accelerator = settings.trainer.accelerator
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UsageError(f"trainer.accelerator={accelerator}: no GPU can be used.")
    build.build_localizer(settings, build.build_conditions(settings))
    if settings.negatives.manifest is not None:
        read_manifest(settings.negatives.manifest)
    reader = build.build_reader(settings.data)
    build.set_needs(reader, settings)
    return reader.count()
