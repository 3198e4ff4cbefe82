"""Sweeps: every job in a process of its own, and a report over all of them at the end."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from vssl.commands import devices
from vssl.commands.app import fail
from vssl.commands.identity import negatives_name, protocol_name
from vssl.commands.job import JobFile, reason_of
from vssl.commands.job_process import begin_imports, run_apart, run_process
from vssl.commands.options import check_options
from vssl.commands.run_folder import FINISHED_RUN, run_state
from vssl.commands.sweep_folder import SweepFolder
from vssl.errors import UsageError, was_interrupted
from vssl.records.fingerprint import config_hash
from vssl.reporting.jobs import ALREADY, BEGUN, FAILED, FINISHED, INTERRUPTED, Job, count_jobs

_log = logging.getLogger(__name__)


def begin_early(arguments: Sequence[str]) -> None:
    """Have the libraries imported while Hydra reads the configuration, where a sweep needs them.

    Args:
        arguments: of the command line.
    """
    elsewhere = any(each.startswith("hydra/launcher=") for each in arguments)
    if not elsewhere and not {"-m", "--multirun"}.isdisjoint(arguments):
        begin_imports()


def run_in_sweep(config: DictConfig, folder: Path) -> str:
    """Run a job of a sweep in a process of its own, whatever launcher starts it.

    However it ends, the sweep goes on: how is written down for the report at its end.

    Args:
        config: the job's configuration.
        folder: the run's folder.

    Returns:
        The job's state, see `vssl.reporting.jobs.Job`.

    Raises:
        KeyboardInterrupt: when the user stops the sweep.
    """
    hydra: Any = HydraConfig.get()
    output = Path(hydra.sweep.dir).expanduser().absolute()
    sweep = SweepFolder(output, hydra.callbacks.sweep.sweep_id)
    planned = sweep.planned()
    if config.sweep_id is None:
        config.sweep_id = hydra.callbacks.sweep.sweep_id
        if planned is not None:  # the same when a sweep that was stopped goes on
            config.sweep_id = f"{output.name}-{config_hash({'jobs': planned})[:8]}"
    job = Job(hydra.job.num, job_name(config), BEGUN, folder=str(folder))
    which = f"[{job.number + 1}/{len(planned) if planned is not None else '?'}]"
    _write(sweep, job)
    ended = replace(job, state=INTERRUPTED)
    try:
        path = sweep.path / f"{job.number:05d}.job"
        state, reason, seconds = _run(config, folder, path, who=f"{which} {job.name}")
        ended = replace(job, state=state, reason=reason, seconds=seconds)
    except Exception as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        ended = replace(job, state=FAILED, reason=reason_of(error))
    finally:  # also when interrupted
        _log.log(logging.INFO if ended.done else logging.ERROR, "%s %s", which, ended)
        _write(sweep, ended)
    return ended.state


def _write(sweep: SweepFolder, job: Job) -> None:
    try:
        sweep.write(job)
    except OSError as error:  # the other jobs may still find room
        _log.error("%s: %s", sweep.path, error.strerror or error)


def _run(config: DictConfig, folder: Path, path: Path, *, who: str) -> tuple[str, str, float]:
    """State, reason and the seconds from when it had its device."""
    if run_state(config, folder) == FINISHED_RUN:
        return ALREADY, "", 0.0
    request = devices.request_for(
        config.trainer, gpus=devices.usable_gpus(), cores=devices.usable_cores()
    )
    progress = config.trainer.get("enable_progress_bar", True)
    if request.kind == "gpu":  # counted among those that it sees
        config.trainer.devices = request.count
    job = JobFile(
        config, _whole(config), folder, str(Path.cwd()),
        progress=progress and _one_at_a_time(HydraConfig.get()) and sys.stderr.isatty(),
    )  # fmt: skip
    job.write(path)
    try:
        with devices.lend(request, who=who) as taken:
            begin = time.monotonic()
            environment = {**os.environ, **_outside(), **request.environment(taken)}
            return *run_process(path, environment), time.monotonic() - begin
    finally:
        path.unlink(missing_ok=True)


def _one_at_a_time(hydra: Any) -> bool:
    """Whether jobs start from this process, one after the other."""
    return str(hydra.launcher._target_).endswith("BasicLauncher")


def _whole(config: DictConfig) -> DictConfig:
    """The configuration with Hydra's part, as plain values: a process knows no plugin's classes."""
    hydra: Any = HydraConfig.get()
    parts: Any = OmegaConf.to_container(config, resolve=False)
    whole = OmegaConf.create({**parts, "hydra": OmegaConf.to_container(hydra, resolve=False)})
    OmegaConf.copy_cache(from_config=config, to_config=whole)
    return whole


def _outside() -> dict[str, str]:
    """Within a Slurm job, Lightning would take this process for one of several that srun started.

    It takes it for what it is under a job name that Slurm gives to interactive work.
    """
    return {"SLURM_JOB_NAME": "interactive"} if "SLURM_NTASKS" in os.environ else {}


def job_name(config: DictConfig) -> str:
    """What a job evaluates, in a few words."""
    parts = [config.model.name, config.data.name, negatives_name(config), protocol_name(config)]
    prior = [] if config.prior.name == "none" else [config.prior.name]
    seed = [f"seed {config.seed}"] if config.seed else []
    return " ".join(str(part) for part in (*parts, *prior, *seed))


def planned_jobs(config: DictConfig, loader: ConfigLoader) -> list[list[str]] | None:
    """The overrides of each job of a sweep; None for sweepers that decide as they go.

    Args:
        config: the sweep's configuration.
        loader: Hydra's, for `glob(*)`.
    """
    sweeper = config.hydra.sweeper
    if not str(sweeper._target_).endswith(".BasicSweeper"):
        return None
    params = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    parser = OverridesParser.create(config_loader=loader)
    overrides = parser.parse_overrides([*params, *config.hydra.overrides.task])
    batches = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [list(job) for batch in batches for job in batch]


def check_jobs(config: DictConfig, jobs: Sequence[Sequence[str]], loader: ConfigLoader) -> None:
    """Check the options of all jobs of a sweep before the first one starts.

    Each value is looked at in one job that has it: of a thousand jobs a few have them all.

    Args:
        config: the sweep's configuration.
        jobs: their overrides.
        loader: Hydra's.

    Raises:
        UsageError: for the first value that cannot be.
    """
    seen: set[str] = set()
    for job in jobs:
        if set(job) <= seen:
            continue
        try:
            composed = loader.load_sweep_config(config, list(job))
        except (
            HydraException,
            OmegaConfBaseException,
        ):  # which only this job has; it says so when its turn comes
            continue
        check_options(composed)
        seen |= set(job)


def _what_differs(jobs: Sequence[Sequence[str]]) -> list[str]:
    """The overrides by which each job differs from others."""
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    return [" ".join(each for each in job if each not in shared) for job in jobs]


def set_up_launcher(hydra: Any, launchers: Mapping[str, Mapping[str, Any]]) -> None:
    """Give a launcher settings that suit sweeps, where nobody has set another.

    A file `conf/hydra/launcher/<name>.yaml` would clash with the plugin's of the same name.
    """
    name = hydra.runtime.choices["hydra/launcher"]
    settings = launchers.get(name) or {}
    if settings:
        default = ConfigStore.instance().load(f"hydra/launcher/{name}.yaml").node
        with open_dict(hydra.launcher), read_write(hydra):
            for key, value in settings.items():
                if hydra.launcher[key] == default[key]:
                    hydra.launcher[key] = value


class Sweep(Callback):
    """Hydra callback: after a multirun, tables with one row per run, and how all jobs ended.

    Hydra does not call `on_multirun_end` when a launcher failed or the user stopped the sweep; then
    `finish` reports.

    Args:
        sweep_id: one for all jobs of the sweep.
        launchers: settings by the launcher's name, for what is left at the plugin's own default.
    """

    unreported: ClassVar[list[Sweep]] = []

    def __init__(self, sweep_id: str, launchers: Mapping[str, Mapping[str, Any]]) -> None:
        self._sweep_id = sweep_id
        self._launchers = launchers
        self._folder: SweepFolder | None = None
        self._output = Path()
        self._overview: dict[str, str] = {}
        self._one_at_a_time = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Launchers send it to other processes, where it has nothing to do."""
        return Sweep, (self._sweep_id, {})

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the options of all jobs, and write down what is to be done.

        Raises:
            SystemExit: when either fails; Hydra turns other exceptions of callbacks into warnings.
        """
        self._one_at_a_time = _one_at_a_time(config.hydra)
        set_up_launcher(config.hydra, self._launchers)
        loader = GlobalHydra.instance().config_loader()
        jobs = planned_jobs(config, loader)
        try:
            check_jobs(config, jobs or (), loader)
        except UsageError as error:
            fail(str(error))
        launcher = str(config.hydra.runtime.choices["hydra/launcher"])
        if launcher.startswith("submitit") and "%" in str(config.hydra.sweep.dir):
            fail(
                f"output_root={config.hydra.sweep.dir}: {launcher} puts numbers of jobs in place of"
                " %j and its like. Set an output_root without %."
            )
        self._output = Path(config.hydra.sweep.dir).expanduser().absolute()
        self._overview = dict(config.overview)
        folder = SweepFolder(self._output, self._sweep_id)
        try:
            folder.create(None if jobs is None else _what_differs(jobs))
        except OSError as error:
            fail(f"{error.filename or self._output}: {error.strerror or error} (output_root)")
        self._folder = folder
        Sweep.unreported.append(self)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Report, and let the command fail unless everything was done.

        Raises:
            SystemExit: with status 1, as Hydra turns other exceptions of callbacks into warnings.
        """
        if not Sweep.finish():
            raise SystemExit(1)

    @staticmethod
    def finish() -> bool:
        """Report sweeps that were not reported yet; whether everything in them was done."""
        done = True
        while Sweep.unreported:
            done &= Sweep.unreported.pop().report()
        return done

    def report(self) -> bool:
        """Show and write tables over the finished jobs, and list the others."""
        if self._folder is None or not self._folder.any_begun():
            if self._folder is not None:
                self._folder.remove()
            return False
        jobs = self._folder.jobs()
        # not by the log: what it writes to depends on the launcher
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        try:
            reason = self._show(jobs)
            if reason:
                console.print(f"the sweep's tables could not be made: {reason}", markup=False)
                return False
        finally:
            for job in jobs:
                if not job.done:
                    console.print(str(job), markup=False)
            console.print(count_jobs(jobs), markup=False)
            self._folder.remove()
        return all(job.done for job in jobs)

    def _show(self, jobs: Sequence[Job]) -> str:
        """Make and show the tables; why not, where they could not be made."""
        try:
            if self._one_at_a_time:  # the libraries are there; else where the launcher's jobs were
                state, reason = run_apart(show_sweep, jobs, self._output, self._overview)
                return "" if state == FINISHED else reason
            show_sweep(jobs, self._output, self._overview)
        except Exception as error:
            return reason_of(error)
        return ""


def show_sweep(jobs: Sequence[Job], output: Path, overview: Mapping[str, str]) -> None:
    """Make and show the tables over a sweep, in a process that may have the libraries already."""
    from vssl.commands.joined import JOINED_FOLDER, join_runs
    from vssl.reporting.sweep import report_sweep

    def join(runs: Sequence[Path]) -> Path:
        return join_runs(runs, output / JOINED_FOLDER)

    report_sweep(jobs, output, overview=overview, join=join)
