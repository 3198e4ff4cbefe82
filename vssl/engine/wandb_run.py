"""wandb logger whose failures cost a warning, and never the run."""

from __future__ import annotations

import logging
import os
import secrets
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

_log = logging.getLogger(__name__)
_PATIENCE = 10.0  # seconds for the server to begin a run and for each call; twice as many to end it

NO_KEY = "there is no API key (`wandb login`, or WANDB_API_KEY)"


class WandbRun(WandbLogger):
    """Lightning's wandb logger, limited in time and safe from faults of wandb and its server.

    The run begins with the first use. Offline, or online without a key or an answering server,
    wandb writes a folder that `wandb sync` sends. The first call that fails or takes too long logs
    a warning and ends the logging.

    Args:
        tags: words to filter runs by, cut to the 64 characters that wandb allows.
        offline: whether nothing leaves the machine; the environment's `WANDB_MODE=offline` and
            `disabled` take precedence.
        options: further options of Lightning's logger and of `wandb.init`: `project`, `name`,
            `save_dir`, whose logs are sent too, `entity`, `group`, `job_type`, and `version`: a
            later run of it in the folder has the same id, so that wandb shows one for both.
    """

    def __init__(self, *, tags: Sequence[str], offline: bool = True, **options: Any) -> None:
        super().__init__(
            offline=offline, tags=[str(tag)[:64] for tag in tags], config={}, **options
        )
        self._online = False
        self._failed = False

    @property
    def is_open(self) -> bool:
        """Whether the run has begun and no call has failed."""
        return self._experiment is not None and not self._failed

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run, begun on first use; None if it could not begin."""
        if self._experiment is None:
            self._guarded(self._begin)
        return self._experiment

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Set the run's configuration, also before the run begins."""
        self._wandb_init["config"] |= params if isinstance(params, dict) else vars(params)
        if self.is_open:
            self._guarded(lambda: super(WandbRun, self).log_hyperparams(params))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers, or wandb's objects, under their names."""
        if self.experiment is not None:
            self._guarded(lambda: self.experiment.log(dict(metrics)))

    def log_histogram(
        self, key: str, counts: npt.NDArray[np.int64], edges: npt.NDArray[np.float64]
    ) -> None:
        """Log a distribution: `[B]` counts between `[B + 1]` edges."""
        from wandb import Histogram  # noqa: PLC0415 start time

        self.log_metrics({key: Histogram(np_histogram=(counts.tolist(), edges.tolist()))})

    @rank_zero_only
    def close(self, *, failed: bool) -> None:
        """End the run, if it has begun."""
        run, self._experiment = self._experiment, None
        reason = "something before it was not taken" if self._failed else ""
        self._failed = True
        if run is None:
            return
        try:
            # a longer limit than wandb's own
            _within(3 * _PATIENCE, lambda: self._finish(run, failed))
        except Exception as error:
            reason = reason or error_line(error)
        if reason:
            _log.warning(
                "wandb: the end of the run may be missing, %s; `wandb sync %s` sends it",
                reason, run.settings.sync_dir,
            )  # fmt: skip

    def _finish(self, run: Any, failed: bool) -> None:
        folder = Path(self._wandb_init["dir"]).absolute()
        run.save(folder / "*.log", base_path=folder, policy="end")
        run.finish(exit_code=int(failed))

    def _guarded(self, action: Callable[[], object]) -> None:
        """Call wandb; after a failure, never again."""
        if self._failed:
            return
        try:
            if self._online:
                _within(_PATIENCE, action)
            else:
                action()
        except Exception as error:  # of wandb's service, the disk or the server
            self._failed = True
            _log.warning(
                "wandb: nothing more is logged (%s); the files of the run are complete without it",
                error_line(error),
            )

    def _begin(self) -> None:
        """Begin online if asked for and possible, else offline."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # crash reports to its makers
        forced = os.environ.get("WANDB_MODE")
        if forced == "disabled" or self._offline or forced in ("offline", "dryrun"):
            self._experiment = self._init("disabled" if forced == "disabled" else "offline")
            return
        reason = NO_KEY
        if has_key():
            try:
                self._experiment = self._init("online")
                self._online = True
                _log.info("wandb: %s", self._experiment.url)
                return
            except Exception as error:
                reason = error_line(error)
        self._experiment = self._init("offline")
        _log.warning(
            "wandb: kept offline, %s; `wandb sync %s` sends it later",
            reason, self._experiment.settings.sync_dir,
        )  # fmt: skip

    def _init(self, mode: Literal["online", "offline", "disabled"]) -> Any:
        import wandb  # noqa: PLC0415 start time

        Path(self._wandb_init["dir"]).mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            init_timeout=_PATIENCE,
            finish_timeout=2 * _PATIENCE,
            finish_timeout_raises=True,
            reinit="create_new",  # never another open run of this process
            console="off",  # the run has a log file
            save_code=False,
            disable_git=True,
            disable_job_creation=True,
            symlink=False,
            x_save_requirements=False,  # run.json has the versions
            x_stats_sampling_interval=60.0,  # the machine's load would be most of the data
        )
        unwanted = ("id", "resume", "anonymous")  # set by Lightning; wandb warns about them
        facts = {key: value for key, value in self._wandb_init.items() if key not in unwanted}
        return wandb.init(mode=mode, settings=settings, id=self._run_id(), **facts)

    def _run_id(self) -> str | None:
        """The id of the last run of this version in the folder, else a new one."""
        if self._id is None:
            return None
        runs = Path(self._wandb_init["dir"], "wandb").glob(f"*run-*-{self._id}")
        known = sorted(run.name.partition("run-")[2] for run in runs)  # <time>-<id>
        return known[-1].partition("-")[2] if known else f"{secrets.token_hex(4)}-{self._id}"


def has_key() -> bool:
    """Whether wandb has an API key; never prompts for one."""
    import wandb  # noqa: PLC0415 start time

    return bool(wandb.login(prompt=False, verify=False))


def _within(seconds: float, action: Callable[[], object]) -> None:
    """Call in a thread, which is abandoned when it takes too long."""
    # wandb's own limits leave out look-ups of names and checks of permissions
    future: Future[object] = Future()

    def work() -> None:
        try:
            future.set_result(action())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    future.result(timeout=seconds)


def error_line(error: BaseException) -> str:
    """Write an error in a line of at most 200 characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__
