"""A run on wandb: a mirror of the run's files. Whatever fails there costs a warning, no more."""

from __future__ import annotations

import logging
import os
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

_PATIENCE = 10.0
"""Seconds that a server may take, to begin a run and for each call; twice as much to end it."""

NO_KEY = "there is no API key (`wandb login`, or WANDB_API_KEY)"


class WandbRun(WandbLogger):
    """Lightning's wandb logger, for one run that a fault of wandb or its server cannot harm.

    The run begins when Lightning or a number asks for it. Offline, and online without a key or a
    server that answers, wandb writes a folder that `wandb sync` sends. After the first call that
    fails or takes too long, a warning says so and nothing more is logged.

    Args:
        tags: words to filter runs by, cut to the 64 characters that wandb allows.
        offline: whether nothing leaves the machine; the environment's `WANDB_MODE=offline` and
            `disabled` hold for either.
        options: further options of Lightning's logger and of `wandb.init`: `project`, `name`,
            `save_dir`, `entity`, `group`, `job_type`.
    """

    def __init__(self, *, tags: Sequence[str], offline: bool = True, **options: Any) -> None:
        super().__init__(
            offline=offline, tags=[str(tag)[:64] for tag in tags], config={}, **options
        )
        self._online = False
        self._failed = False

    @property
    def is_open(self) -> bool:
        """Whether what is logged now has a chance to arrive."""
        return self._experiment is not None and not self._failed

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run, begun on first use; None where it could not begin."""
        if self._experiment is None:
            self._guarded(self._begin)
        return self._experiment

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Set the run's configuration; before the run has begun, it is kept until then."""
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
        """End the run, if it was ever begun; the next one is a run of its own."""
        run, self._experiment = self._experiment, None
        reason = "something before it was not taken" if self._failed else ""
        self._failed = True
        if run is None:
            return
        try:
            # wandb's own limit comes first
            _within(3 * _PATIENCE, lambda: run.finish(exit_code=int(failed)))
        except Exception as error:
            reason = reason or error_line(error)
        if reason:
            _log.warning(
                "wandb: the end of the run may be missing, %s; `wandb sync %s` sends it",
                reason, run.settings.sync_dir,
            )  # fmt: skip

    def _guarded(self, action: Callable[[], object]) -> None:
        """Do something with the run; after a failure, nothing more."""
        if self._failed:
            return
        try:
            if self._online:
                _within(_PATIENCE, action)
            else:
                action()
        # whatever wandb raises: its service may have died, the disk be full, the server be gone
        except Exception as error:
            self._failed = True
            _log.warning(
                "wandb: nothing more is logged (%s); the files of the run are complete without it",
                error_line(error),
            )

    def _begin(self) -> None:
        """Begin online where that is asked for and possible, else offline."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its makers' crash reports
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
            reinit="create_new",  # never another run that is open in this process
            console="off",  # the log is a file of the run; bars do not belong there
            save_code=False,
            disable_git=True,
            disable_job_creation=True,
            symlink=False,
            x_save_requirements=False,  # run.json has the versions that matter
            x_stats_sampling_interval=60.0,  # the machine's load would outgrow all else
        )
        unwanted = ("id", "resume", "anonymous")  # which Lightning sets, and wandb warns about
        facts = {key: value for key, value in self._wandb_init.items() if key not in unwanted}
        return wandb.init(mode=mode, settings=settings, **facts)


def has_key() -> bool:
    """Whether wandb has an API key, which nobody is asked for."""
    import wandb  # noqa: PLC0415 start time

    return bool(wandb.login(prompt=False, verify=False))


def _within(seconds: float, action: Callable[[], object]) -> None:
    """Do something in a thread, which is left to itself when it takes too long.

    Names are looked up without a time limit, and wandb waits for its server where it checks who
    may write tables.
    """
    future: Future[object] = Future()

    def work() -> None:
        try:
            future.set_result(action())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    future.result(timeout=seconds)


def error_line(error: BaseException) -> str:
    """An error in one line of at most 200 characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__
