"""Sweeps: every job in a process of its own, and a report over all of them at the end."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import itertools
import json
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from vssl.config.compose import is_multirun
from vssl.config.options import check_options
from vssl.config.settings import RunSettings
from vssl.core.console import fail, quieten_libraries
from vssl.core.devices import DeviceRequest, lend, request_for, usable_cores
from vssl.core.errors import UsageError, was_interrupted
from vssl.core.files import write_text
from vssl.core.hashing import config_hash
from vssl.reporting import jobs as states
from vssl.reporting.jobs import Job, count_jobs
from vssl.runs.folder import FINISHED_RUN, run_state

_log = logging.getLogger(__name__)
_PATIENCE = 60.0  # seconds that an interrupted job has to close its files and loggers
_PRELOADED = (
    *("vssl.runs.evaluate", "vssl.runs.record", "vssl.runs.wandb_extras"),
    *("vssl.engine.loggers", "vssl.records.aggregate", "vssl.records.fit", "vssl.records.score"),
    "vssl.reporting.sweep",
)
_THREAD_SETTINGS = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"}


def _sweep_folder() -> Path:
    """The folder with a file for each job of this sweep, until it was reported: how it stands."""
    hydra: Any = HydraConfig.get()
    output = Path(hydra.sweep.dir).expanduser().absolute()
    return output / f".sweep-{hydra.callbacks.sweep.sweep_id}"


def _read_plan(sweep: Path) -> tuple[list[str] | None, dict[str, str]]:
    """What the jobs evaluate, where that is known, and the configuration `overview`."""
    plan = json.loads((sweep / "plan.json").read_text(encoding="utf-8"))
    return plan["names"], plan["overview"]


def _write_job(sweep: Path, job: Job) -> None:
    try:
        write_text(sweep / f"{job.number:05d}.json", json.dumps(asdict(job)))
    except OSError as error:  # the other jobs may still find room
        _log.error("%s: %s", sweep, error.strerror or error)


def _reported_jobs(sweep: Path) -> dict[int, Job]:
    """What jobs have said, by their number."""
    files = sorted(sweep.glob("[0-9]*.json"))
    jobs = [Job(**json.loads(path.read_text(encoding="utf-8"))) for path in files]
    return {job.number: job for job in jobs}


def run_in_sweep(config: DictConfig, folder: Path) -> str:
    """Run a job of a sweep in a process of its own, whatever launcher starts it; return its state.

    However it ends, the sweep goes on. The report at its end reads how from the sweep's folder.

    Raises:
        KeyboardInterrupt: when the user stops the sweep.
    """
    hydra: Any = HydraConfig.get()
    sweep = _sweep_folder()
    names, _ = _read_plan(sweep)
    if config.sweep_id is None:  # the same when a sweep that was stopped goes on
        config.sweep_id = hydra.callbacks.sweep.sweep_id
        if names is not None:
            config.sweep_id = f"{sweep.parent.name}-{config_hash({'jobs': names})[:8]}"
    job = Job(hydra.job.num, job_name(config), states.INTERRUPTED, folder=str(folder))
    which = f"[{job.number + 1}/{len(names) if names is not None else '?'}]"
    ended = {other.state for other in _reported_jobs(sweep).values()}
    try:
        if config.fail_fast and ended & {states.FAILED, states.KILLED}:
            reason = "fail_fast=true, and a job before it was not done"
            job = replace(job, state=states.NOT_DONE, reason=reason)
        elif run_state(RunSettings.of(config), folder) == FINISHED_RUN:
            job = replace(job, state=states.ALREADY)
        else:
            _write_job(sweep, replace(job, state=states.BEGUN))
            request = request_for(config.trainer)
            at_once = _jobs_at_once(hydra, request, names)
            arguments = _single_run(hydra, folder, request)
            status = _run_apart(
                _run_job, arguments, str(config.sweep_id), job, sweep, request, at_once, which
            )
            said = _reported_jobs(sweep).get(job.number, job)
            lost = replace(job, state=states.KILLED, reason=_how_killed(status))
            job = lost if said.state in (states.BEGUN, states.INTERRUPTED) else said
    except Exception as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        job = replace(job, state=states.FAILED, reason=_reason_of(error))
    finally:  # also when interrupted
        _log.log(logging.INFO if job.done else logging.ERROR, "%s %s", which, job)
        _write_job(sweep, job)
    return job.state


def job_name(config: DictConfig) -> str:
    """Return what a job evaluates, in a few words."""
    names = RunSettings.unchecked(config).names
    if names["prior"] == "none":
        del names["prior"]
    return " ".join([*names.values(), *([f"seed {config.seed}"] if config.seed else [])])


def _reason_of(error: BaseException) -> str:
    """Why a job failed: the message of an error that users can mend, the kind of all others."""
    text = str(error) or "no further word"
    return text if isinstance(error, UsageError) else f"{type(error).__name__}: {text}"


def _how_killed(status: int | None) -> str:
    if status is None or status >= 0:
        return f"it ended without a word (exit status {status}); see its log"
    name = signal.Signals(-status).name
    return f"killed by {name}" + ", as happens when memory runs out" * (name == "SIGKILL")


def _jobs_at_once(hydra: Any, request: DeviceRequest, names: Sequence[str] | None) -> int:
    """How many jobs run side by side on this machine."""
    launcher = hydra.runtime.choices["hydra/launcher"]
    at_once = 1
    if launcher == "joblib":
        n_jobs = int(hydra.launcher.n_jobs)
        at_once = n_jobs if n_jobs > 0 else len(usable_cores()) + 1 + n_jobs
    elif launcher == "submitit_local":
        at_once = len(request.names) // request.count
    return max(1, at_once if names is None else min(at_once, len(names)))


def _single_run(hydra: Any, folder: Path, request: DeviceRequest) -> list[str]:
    """The command line of a job as a run of its own."""
    return [
        *(
            f"--config-dir={each.path}"
            for each in hydra.runtime.config_sources
            if each.provider == "command-line"
        ),
        *(each for each in hydra.overrides.hydra if not each.startswith("hydra.mode=")),
        *hydra.overrides.task,
        f"hydra.run.dir={QuotedString(str(folder), Quote.single).with_quotes()}",
        # counted among those that it sees
        *([f"trainer.devices={request.count}"] if request.kind == "gpu" else []),
    ]


def _run_job(
    arguments: list[str], sweep_id: str, job: Job, sweep: Path, request: DeviceRequest,
    at_once: int, which: str,
) -> None:  # fmt: skip
    """Evaluate in this process as a single run would, and say how that ended."""
    from vssl.config.compose import with_hydra
    from vssl.runs.evaluate import evaluate

    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # a look for GPUs does not initialise CUDA
    if "SLURM_NTASKS" in os.environ:
        # else Lightning takes this process for one of several that srun started
        os.environ["SLURM_JOB_NAME"] = "interactive"
    quieten_libraries()
    for name in ("pytorch_lightning", "lightning_fabric"):  # they print where no log is set up yet
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # of which Lightning makes the command lines of a job's further processes
    sys.argv[1:] = arguments
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("vssl.cli.evaluate")
    cores = max(1, len(usable_cores()) // at_once)
    if at_once > 1 and not _THREAD_SETTINGS & os.environ.keys():
        import torch

        torch.set_num_threads(cores)
        os.environ["OMP_NUM_THREADS"] = str(cores)  # of further processes
    began = time.monotonic()
    outcomes: list[tuple[str, str]] = []

    def run(config: DictConfig, folder: Path) -> None:
        for handler in logging.getLogger().handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.WARNING)
        config.sweep_id = sweep_id
        launcher = HydraConfig.get().runtime.choices["hydra/launcher"]
        config.trainer.enable_progress_bar &= launcher == "basic" and sys.stderr.isatty()
        if at_once > 1 and request.kind == "gpu" and config.loader.num_workers is None:
            config.loader.num_workers = min(8, cores - 1)
        device = _device(request, f"{which} {job.name}")

        def work() -> object:
            settings = RunSettings.of(config)
            return evaluate(settings, folder, quiet=True, wait=True, device=device)

        outcomes.append(_outcome(work))

    outcomes.append(_outcome(lambda: with_hydra(run)))
    state, reason = outcomes[0]
    seconds = time.monotonic() - began
    _write_job(sweep, replace(job, state=state, reason=reason, seconds=seconds))


def _outcome(work: Callable[[], object]) -> tuple[str, str]:
    """Call a function; the state in which that leaves a job, and why."""
    try:
        work()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        # Lightning makes the latter of Ctrl-C
        if isinstance(error, SystemExit) or was_interrupted(error):
            return states.INTERRUPTED, ""
        _log.info("failed", exc_info=True)  # to the run's log only
        return states.FAILED, _reason_of(error)
    return states.FINISHED, ""


@contextlib.contextmanager
def _device(request: DeviceRequest, who: str) -> Iterator[None]:
    """Have the devices that a job records on."""
    with lend(request, who=who) as taken:
        if request.kind == "gpu":  # before CUDA is initialised
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
        yield
        if request.kind == "gpu":
            import torch

            torch.cuda.empty_cache()


def _run_apart(work: Callable[..., None], *arguments: Any) -> int | None:
    """Run a function in a process that has the libraries; its exit status, negative for a signal.

    Raises:
        KeyboardInterrupt: after the process was interrupted too and has ended.
    """
    process: Any = start_process_server().Process(target=_work_apart, args=(work, *arguments))
    try:
        process.start()
        process.join()
    except KeyboardInterrupt:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGINT)
            process.join(_PATIENCE)
        raise
    finally:
        if process.pid is not None:  # with whatever it has started: loaders, processes of GPUs
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.join()
    status: int | None = process.exitcode
    return status


def start_process_server(*, wandb: bool = False) -> Any:
    """Have the libraries imported in the process to fork from, which does not get Ctrl-C.

    Returns the context in which processes are made; this one goes on meanwhile.
    """
    # joblib's workers have a default of their own, which a new process would not know
    multiprocessing.set_start_method(None, force=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOADED, *(["wandb"] if wandb else [])])
    resource_tracker.ensure_running()  # its start would let the signal through again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return context


def _work_apart(work: Callable[..., None], *arguments: Any) -> None:
    """Call a function in a process that ends with its parent, which passes Ctrl-C on to it."""
    parent: Any = multiprocessing.parent_process()

    def end_with_parent() -> None:
        parent.join()
        os.killpg(os.getpid(), signal.SIGKILL)

    os.setsid()
    threading.Thread(target=end_with_parent, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    work(*arguments)


def planned_jobs(config: DictConfig, loader: ConfigLoader) -> list[list[str]] | None:
    """Return the overrides of each job of a sweep; None for sweepers that decide as they go."""
    sweeper = config.hydra.sweeper
    if not str(sweeper._target_).endswith(".BasicSweeper"):
        return None
    params = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    parser = OverridesParser.create(config_loader=loader)
    values: dict[str, list[str]] = {}
    for override in parser.parse_overrides([*params, *config.hydra.overrides.task]):
        swept = override.is_sweep_override()
        given = override.sweep_string_iterator() if swept else [override.get_value_element_as_str()]
        key = override.get_key_element()
        values[key] = [f"{key}={value}" for value in given]
    return [list(job) for job in itertools.product(*values.values())]


def set_up_launcher(hydra: Any, launchers: Mapping[str, Mapping[str, Any]]) -> None:
    """Give a launcher settings that suit sweeps, where nobody has set another."""
    # a file conf/hydra/launcher/<name>.yaml would clash with the plugin's of the same name
    name = hydra.runtime.choices["hydra/launcher"]
    default = ConfigStore.instance().load(f"hydra/launcher/{name}.yaml").node
    with open_dict(hydra.launcher), read_write(hydra):
        for key, value in (launchers.get(name) or {}).items():
            if hydra.launcher[key] == default[key]:
                hydra.launcher[key] = value


class Sweep(Callback):
    """Hydra callback: after a multirun, tables with one row per run, and how all jobs ended.

    Args:
        sweep_id: one for all jobs of the sweep, which read it in the configuration.
        launchers: settings by the launcher's name, for what is left at the plugin's own default.
    """

    def __init__(self, sweep_id: str, launchers: Mapping[str, Mapping[str, Any]]) -> None:
        self._launchers = launchers

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the options of all jobs, and write down what is to be done.

        Raises:
            SystemExit: when either fails; Hydra turns other exceptions of callbacks into warnings.
        """
        HydraConfig.instance().set_config(config.copy())  # a copy, as it becomes read-only
        set_up_launcher(config.hydra, self._launchers)
        launcher = str(config.hydra.runtime.choices["hydra/launcher"])
        loader = GlobalHydra.instance().config_loader()
        jobs = planned_jobs(config, loader)
        checked: set[str] = set()
        for job in jobs or ():  # each value in one job: of a thousand jobs a few have them all
            if set(job) <= checked:
                continue
            try:
                check_options(loader.load_sweep_config(config, list(job)))
                checked |= set(job)
            except UsageError as error:
                fail(str(error))
            except (HydraException, OmegaConfBaseException):
                pass  # the job says so when its turn comes
        if launcher.startswith("submitit") and "%" in str(config.hydra.sweep.dir):
            fail(
                f"output_root={config.hydra.sweep.dir}: {launcher} puts numbers of jobs in place of"
                " %j and its like. Set an output_root without %."
            )
        names = None
        if jobs is not None:  # by what differs
            shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
            names = [" ".join(each for each in job if each not in shared) for job in jobs]
        sweep = _sweep_folder()
        try:
            for left in sweep.parent.glob(".sweep-*"):  # by sweeps that were killed
                with contextlib.suppress(Timeout), FileLock(left / "lock", blocking=False):
                    shutil.rmtree(left, ignore_errors=True)
            sweep.mkdir(parents=True)
            lock = FileLock(sweep / "lock")
            lock.acquire()
            atexit.register(lock.release)
            plan = {"names": names, "overview": dict(config.overview)}
            write_text(sweep / "plan.json", json.dumps(plan))
        except OSError as error:
            fail(f"{error.filename or sweep.parent}: {error.strerror or error} (output_root)")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Report, and let the command fail unless everything was done.

        Raises:
            SystemExit: with status 1, as Hydra turns other exceptions of callbacks into warnings.
        """
        if not finish_sweep():
            raise SystemExit(1)


def finish_sweep() -> bool:
    """Show and write tables over the finished jobs of the sweep, and list the others.

    Commands call it when they fail: Hydra does not call `Sweep.on_multirun_end` then. Returns
    whether everything in it was done.
    """
    sweep = _sweep_folder() if is_multirun() else None
    if sweep is None or not sweep.is_dir():  # there is none, or it was reported
        return True
    jobs, reported = [], _reported_jobs(sweep)
    # not by the log: what it writes to depends on the launcher
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    shown = False
    try:
        if reported:
            names, overview = _read_plan(sweep)
            jobs = _all_jobs(reported, names or ())
            shown = _run_apart(_show_sweep, jobs, sweep.parent, overview) == 0
    finally:
        for job in jobs:
            if not job.done:
                console.print(str(job), markup=False)
        if jobs:
            console.print(count_jobs(jobs), markup=False)
        shutil.rmtree(sweep, ignore_errors=True)
    return shown and all(job.done for job in jobs)


def _all_jobs(reported: Mapping[int, Job], names: Sequence[str]) -> list[Job]:
    """All jobs in order, also those that left no last word."""
    reason = "it never started, or could not say how it ended"
    jobs = {number: Job(number, name, states.NOT_DONE, reason) for number, name in enumerate(names)}
    reason = "its process was killed, or could not say how it ended"
    return [
        replace(job, state=states.KILLED, reason=reason) if job.state == states.BEGUN else job
        for _, job in sorted({**jobs, **reported}.items())
    ]


def _show_sweep(jobs: Sequence[Job], output: Path, overview: Mapping[str, str]) -> None:
    from vssl.config.report import import_metrics
    from vssl.reporting.sweep import report_sweep
    from vssl.runs.join import JOINED_FOLDER, join_runs

    try:
        import_metrics()
        report_sweep(
            jobs,
            output,
            overview=overview,
            join=lambda runs: join_runs(runs, output / JOINED_FOLDER),
        )
    except Exception as error:
        fail(f"the sweep's tables could not be made: {_reason_of(error)}")
