"""Sweeps: a process for each job, and a report over all jobs at the end."""

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
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from vssl.config.compose import is_multirun, quoted, with_hydra
from vssl.config.options import check_options
from vssl.config.settings import RunSettings
from vssl.core.console import fail, quieten_libraries
from vssl.core.devices import DeviceRequest, acquire_devices, jobs_here, request_for, usable_cores
from vssl.core.errors import UsageError, was_interrupted
from vssl.core.files import write_text
from vssl.core.hashing import config_hash
from vssl.reporting import jobs as states
from vssl.reporting.jobs import Job, count_jobs
from vssl.runs.folder import FINISHED_RUN, run_state

_log = logging.getLogger(__name__)
_PATIENCE = 60.0  # seconds for an interrupted job to close its files and loggers
_PRELOADED = ("vssl.runs.evaluate", "vssl.reporting.sweep")
_THREAD_SETTINGS = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"}


def _sweep_folder() -> Path:
    """The folder with the state of each job of this sweep, until the sweep is reported."""
    hydra: Any = HydraConfig.get()
    output = Path(hydra.sweep.dir).expanduser().absolute()
    return output / f".sweep-{hydra.callbacks.sweep.sweep_id}"


def _read_plan(sweep: Path) -> tuple[list[str] | None, dict[str, str]]:
    """Names of the jobs, if they are known, and the configuration `overview`."""
    plan = json.loads((sweep / "plan.json").read_text(encoding="utf-8"))
    return plan["names"], plan["overview"]


def _write_job(sweep: Path, job: Job) -> None:
    try:
        write_text(sweep / f"{job.number:05d}.json", json.dumps(asdict(job)))
    except OSError as error:  # the other jobs may still find room
        _log.error("%s: %s", sweep, error.strerror or error)


def _reported_jobs(sweep: Path) -> dict[int, Job]:
    """Written states of jobs, by number."""
    files = sorted(sweep.glob("[0-9]*.json"))
    jobs = [Job(**json.loads(path.read_text(encoding="utf-8"))) for path in files]
    return {job.number: job for job in jobs}


def run_in_sweep(config: DictConfig, folder: Path) -> str:
    """Run a job of a sweep in another process, under any launcher; return its state.

    The sweep goes on however the job ends. Its report reads the state from the sweep's folder.

    Raises:
        KeyboardInterrupt: when the user stops the sweep.
    """
    hydra: Any = HydraConfig.get()
    sweep = _sweep_folder()
    names, _ = _read_plan(sweep)
    if config.sweep_id is None:  # the same for a sweep that goes on
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
            with _place(hydra, at_once, f"{which} {job.name}"):
                status = _run_in_process(
                    _run_job, arguments, str(config.sweep_id), job, sweep, request, at_once, which
                )
            killed = replace(job, state=states.KILLED, reason=_how_killed(status))
            job = _reported_jobs(sweep).get(job.number, job)
            if job.state in (states.BEGUN, states.INTERRUPTED):
                job = killed
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
    """Why a job failed; the type of an error that is not the user's."""
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
        at_once = (jobs_here() if request.kind == "GPU" else len(request.names)) // request.count
    return max(1, at_once if names is None else min(at_once, len(names)))


def _place(hydra: Any, places: int, who: str) -> contextlib.AbstractContextManager[Any]:
    """Wait until a job may start, where the launcher starts all at once."""
    if hydra.runtime.choices["hydra/launcher"] != "submitit_local":
        return contextlib.nullcontext()
    request = DeviceRequest("place", tuple(map(str, range(places))), 1)
    return acquire_devices(request, who=who)


def _single_run(hydra: Any, folder: Path, request: DeviceRequest) -> list[str]:
    """The command line of a job as a single run."""
    return [
        *(
            f"--config-dir={each.path}"
            for each in hydra.runtime.config_sources
            if each.provider == "command-line"
        ),
        *(each for each in hydra.overrides.hydra if not each.startswith("hydra.mode=")),
        *hydra.overrides.task,
        f"hydra.run.dir={quoted(folder)}",
        # counted among those that it sees
        *([f"trainer.devices={request.count}"] if request.kind == "GPU" else []),
    ]


def _run_job(
    arguments: list[str], sweep_id: str, job: Job, sweep: Path, request: DeviceRequest,
    at_once: int, which: str,
) -> None:  # fmt: skip
    """Evaluate in this process as a single run does, and write the job's state."""
    from vssl.runs.evaluate import evaluate  # noqa: PLC0415 torch

    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # a look for GPUs does not initialise CUDA
    if "SLURM_NTASKS" in os.environ:
        # else Lightning takes this process for one of several that srun started
        os.environ["SLURM_JOB_NAME"] = "interactive"
    quieten_libraries()
    for name in ("pytorch_lightning", "lightning_fabric"):  # they print where no log is set up yet
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # Lightning makes command lines of a job's further processes from these
    sys.argv[1:] = arguments
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("vssl.cli.evaluate")
    cores = max(1, len(usable_cores()) // at_once)
    if at_once > 1 and not _THREAD_SETTINGS & os.environ.keys():
        import torch  # noqa: PLC0415 start time

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
        if at_once > 1 and request.kind == "GPU" and config.loader.num_workers is None:
            # of the jobs of a GPU only one reads at a time
            config.loader.num_workers = max(1, len(usable_cores()) // len(request.names))
        device = _gpus(request, f"{which} {job.name}") if request.kind == "GPU" else None

        def work() -> object:
            settings = RunSettings.of(config)
            return evaluate(settings, folder, quiet=True, wait=True, device=device)

        outcomes.append(_outcome(work))

    outcomes.append(_outcome(lambda: with_hydra(run)))
    state, reason = outcomes[0]
    seconds = time.monotonic() - began
    _write_job(sweep, replace(job, state=state, reason=reason, seconds=seconds))


def _outcome(work: Callable[[], object]) -> tuple[str, str]:
    """Call a function; return the state of its job, and the reason."""
    try:
        work()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        # Lightning raises SystemExit after Ctrl-C
        if isinstance(error, SystemExit) or was_interrupted(error):
            return states.INTERRUPTED, ""
        _log.info("failed", exc_info=True)  # to the run's log only
        return states.FAILED, _reason_of(error)
    return states.FINISHED, ""


@contextlib.contextmanager
def _gpus(request: DeviceRequest, who: str) -> Iterator[None]:
    """Hold the GPUs that a job records on."""
    import torch  # noqa: PLC0415 start time

    with acquire_devices(request, who=who) as names:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names)  # before CUDA is initialised
        yield
        torch.cuda.empty_cache()


def _run_in_process(work: Callable[..., None], *arguments: Any) -> int | None:
    """Run a function in a forked process; return its exit status, negative for a signal."""
    process: Any = start_process_server().Process(target=_in_process, args=(work, *arguments))
    try:
        process.start()
        process.join()
    except KeyboardInterrupt:  # passed on, so that the job closes its files
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
    """Start the process to fork from, which imports the libraries and ignores Ctrl-C.

    Returns the context that makes processes. This process does not wait for the imports.
    """
    # joblib's workers set another start method, which a new process does not know
    multiprocessing.set_start_method(None, force=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOADED, *(["wandb"] if wandb else [])])
    resource_tracker.ensure_running()  # its start unblocks the signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return context


def _in_process(work: Callable[..., None], *arguments: Any) -> None:
    """Call a function in a process that ends with its parent and gets Ctrl-C from it."""
    parent: Any = multiprocessing.parent_process()

    def end_with_parent() -> None:
        parent.join()
        os.killpg(os.getpid(), signal.SIGKILL)

    os.setsid()
    threading.Thread(target=end_with_parent, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    work(*arguments)


def planned_jobs(config: DictConfig, loader: ConfigLoader) -> list[list[str]] | None:
    """Return the overrides of each job; None for sweepers that choose jobs one after another."""
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
    """Give a launcher settings for sweeps, where the plugin's own default was left."""
    # a file conf/hydra/launcher/<name>.yaml would clash with the plugin's
    name = hydra.runtime.choices["hydra/launcher"]
    with open_dict(hydra.launcher), read_write(hydra):
        for key, value in (launchers.get(name) or {}).items():
            default = ConfigStore.instance().load(f"hydra/launcher/{name}.yaml").node
            if hydra.launcher[key] == default[key]:
                hydra.launcher[key] = jobs_here() if value is None else value


class Sweep(Callback):
    """Hydra callback: checks all jobs before a multirun, and reports after it.

    All jobs of the sweep read its `sweep_id` in the configuration. `launchers` are settings by
    launcher, in place of the plugins' defaults; null is the number of jobs for this machine's GPUs.
    """

    def __init__(self, sweep_id: str, launchers: Mapping[str, Mapping[str, Any]]) -> None:
        self._launchers = launchers

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the options of all jobs, and write the plan; end the command where either fails."""
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
        """Report, and let the command fail unless everything was done."""
        if not finish_sweep():
            raise SystemExit(1)  # Hydra turns other exceptions of callbacks into warnings


def finish_sweep() -> bool:
    """Show and write tables over the finished jobs of the sweep, and list the others.

    Commands also call it when they fail, as Hydra then does not call `Sweep.on_multirun_end`.
    Returns whether all jobs are done.
    """
    sweep = _sweep_folder() if is_multirun() else None
    if sweep is None or not sweep.is_dir():  # there is none, or it was reported
        return True
    jobs, reported = [], _reported_jobs(sweep)
    # not the log, whose output depends on the launcher
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    shown = False
    try:
        if reported:
            names, overview = _read_plan(sweep)
            jobs = _all_jobs(reported, names or ())
            shown = _run_in_process(_show_sweep, jobs, sweep.parent, overview) == 0
    finally:
        for job in jobs:
            if not job.done:
                console.print(str(job), markup=False)
        if jobs:
            console.print(count_jobs(jobs), markup=False)
        shutil.rmtree(sweep, ignore_errors=True)
    return shown and all(job.done for job in jobs)


def _all_jobs(reported: Mapping[int, Job], names: Sequence[str]) -> list[Job]:
    """All jobs in order, also those without a final state."""
    reason = "it never started, or could not say how it ended"
    jobs = {number: Job(number, name, states.NOT_DONE, reason) for number, name in enumerate(names)}
    reason = "its process was killed, or could not say how it ended"
    return [
        replace(job, state=states.KILLED, reason=reason) if job.state == states.BEGUN else job
        for _, job in sorted({**jobs, **reported}.items())
    ]


def _show_sweep(jobs: Sequence[Job], output: Path, overview: Mapping[str, str]) -> None:
    from vssl.config.report import import_metrics  # noqa: PLC0415 start time
    from vssl.reporting.sweep import report_sweep  # noqa: PLC0415
    from vssl.runs.join import JOINED_FOLDER, join_runs  # noqa: PLC0415

    try:
        import_metrics()
        joined = output / JOINED_FOLDER
        report_sweep(jobs, output, overview=overview, join=lambda runs: join_runs(runs, joined))
    except Exception as error:
        fail(f"the sweep's tables could not be made: {_reason_of(error)}")
