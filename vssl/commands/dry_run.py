"""vssl-evaluate --dry-run: what would be done, what cannot be and why, and how long it takes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import initialize_config_module
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from vssl.commands import devices
from vssl.commands.absent_options import drop_absent_members
from vssl.commands.estimate import seconds_for
from vssl.commands.identity import identity, leaves_out, scoring
from vssl.commands.inputs import changed_inputs
from vssl.commands.options import check_options
from vssl.commands.run_folder import FINISHED_RUN, NO_RUN, finished_run, run_state
from vssl.commands.sweep import job_name, planned_jobs
from vssl.errors import UsageError
from vssl.records.files import output_folder
from vssl.records.fingerprint import config_hash
from vssl.records.shards import recorded_samples
from vssl.reporting.jobs import duration

CANNOT_RUN, PARTLY = "cannot run", "partly recorded:"


def dry_run(arguments: Sequence[str]) -> None:
    """Print the state of all jobs that a command line asks for, and write nothing.

    Args:
        arguments: the command line, without `--dry-run`.

    Raises:
        SystemExit: with status 1 when a job cannot run.
        UsageError: for options that only choose what Hydra prints or reads.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = get_args_parser().parse_args(list(arguments))
    if options.config_name or options.config_path:
        raise UsageError("--dry-run knows --config-dir, but not --config-name and --config-path.")
    overrides = list(options.overrides)
    if options.config_dir:
        overrides.append(f"hydra.searchpath=[file://{Path(options.config_dir).absolute()}]")
    console, outlook = Console(soft_wrap=True, highlight=False), _Outlook()
    estimates, refused = [], 0
    with initialize_config_module("vssl.conf", version_base="1.3", job_name="vssl-evaluate"):
        loader = GlobalHydra.instance().config_loader()
        jobs = list(_jobs(loader, overrides, multirun=options.multirun))
        for number, (config, folder) in enumerate(jobs, 1):
            state, seconds = outlook.of(config, folder)
            refused += state.startswith(CANNOT_RUN)
            estimates += [] if state.startswith(CANNOT_RUN) else [seconds]
            time = "" if state.startswith(CANNOT_RUN) or seconds == 0 else f", {_about(seconds)}"
            console.print(f"[{number}/{len(jobs)}] {job_name(config)}: {state}{time}", markup=False)
    known = [seconds for seconds in estimates if seconds is not None]
    unknown = len(estimates) - len(known)
    total = [_about(sum(known))] if sum(known) else []
    total += [f"? for {unknown} of unknown length"] if unknown else []
    console.print(
        f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}, {refused} cannot run; one after the"
        f" other: {' + '.join(total) or 'nothing to do'}"
    )
    if refused:
        sys.exit(1)


def _about(seconds: float | None) -> str:
    return "?" if seconds is None else f"about {duration(seconds)}"


def _jobs(
    loader: ConfigLoader, overrides: list[str], *, multirun: bool
) -> Iterator[tuple[DictConfig, Path]]:
    """The configurations of all jobs, and their folders."""

    def load(mode: RunMode) -> DictConfig:
        return loader.load_configuration("evaluate", overrides, run_mode=mode)

    if not multirun:
        single = load(RunMode.RUN)
        if single.hydra.mode != RunMode.MULTIRUN:
            HydraConfig.instance().set_config(single)
            yield _without_hydra(single), Path(single.hydra.run.dir).absolute()
            return
    sweep = load(RunMode.MULTIRUN)
    planned = planned_jobs(sweep, loader)
    if planned is None:
        raise UsageError(
            f"--dry-run: {sweep.hydra.sweeper._target_} decides on its jobs as it goes, so they"
            " cannot be listed."
        )
    for job in planned:
        config = loader.load_sweep_config(sweep, job)
        HydraConfig.instance().set_config(config)
        folder = Path(config.hydra.sweep.dir) / config.hydra.sweep.subdir
        yield _without_hydra(config), folder.expanduser().absolute()


def _without_hydra(config: DictConfig) -> DictConfig:
    config = config.copy()
    with open_dict(config):
        del config["hydra"]
    drop_absent_members(config)
    return config


@dataclass
class _Outlook:
    """States of jobs; what several jobs share is looked at once."""

    seen: dict[str, Any] = field(default_factory=dict)

    def of(self, config: DictConfig, folder: Path) -> tuple[str, float | None]:
        """State and estimated seconds of a job."""
        from vssl.commands.build import least_samples

        try:
            state = self._state(config, folder)
            if state == FINISHED_RUN:
                return state, 0.0
            samples = self._once(_count, config, ("data",), least_samples(config))
            recorded = recorded_samples(folder, config_hash(identity(config)))
            if changed_inputs(folder):  # of other pictures or sounds nothing is taken
                recorded = 0
            seconds = seconds_for(config, state, samples=samples, recorded=recorded, folder=folder)
            if state == NO_RUN and recorded:
                state = f"{PARTLY} {recorded} of {samples}"
            return state, seconds
        except UsageError as error:
            return f"{CANNOT_RUN}: {error}", None

    def _state(self, config: DictConfig, folder: Path) -> str:
        from vssl.commands.evaluate import check_request
        from vssl.commands.make_records import check_same_samples

        check_options(config)
        state = run_state(config, folder)
        if state == FINISHED_RUN:
            return state
        check_request(config)
        devices.request_for(
            config.trainer, gpus=devices.usable_gpus(), cores=devices.usable_cores()
        )
        _check_writable(folder)
        if state == NO_RUN:
            self._once(_check_networks, config, ("model", "prior", "trainer"))
            _check_inputs(config)
            return state
        done = finished_run(folder, config_hash(identity(config)))
        if done is not None and leaves_out(config):
            check_same_samples(config, folder, done)
            if done.get("scoring_hash") == config_hash(scoring(config)):
                return FINISHED_RUN
        return state

    def _once(self, look: Any, config: DictConfig, parts: tuple[str, ...], *more: Any) -> Any:
        """What a look at parts of a configuration finds, or the fault that it finds."""
        seen = (OmegaConf.to_container(config[p], resolve=True) for p in parts)
        key = repr([look.__name__, *seen, *more])
        if key not in self.seen:
            try:
                self.seen[key] = look(config, *more)
            except UsageError as error:
                self.seen[key] = error
        if isinstance(self.seen[key], UsageError):
            raise self.seen[key]
        return self.seen[key]


def _count(config: DictConfig, least: int) -> int:
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


def _check_writable(folder: Path) -> None:
    try:
        with output_folder(folder):
            pass
    except OSError as error:
        raise UsageError(
            f"{error.filename}: nothing can be written there ({error.strerror}). Set another"
            " output_root."
        ) from error
