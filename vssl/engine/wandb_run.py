"""A run on wandb: a mirror of the run's files. Whatever fails there is said and costs nothing."""

from __future__ import annotations

import json
import logging
import os
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from vssl.engine.wandb_server import reason_of, result_within, server_hindrance, unreachable

_log = logging.getLogger(__name__)

_INIT_SECONDS = 10.0
_CALL_SECONDS = 10.0
_FINISH_SECONDS = 30.0
_STATS_SECONDS = 60.0  # between samples of the machine's load, which would outgrow all else
_TAG_LENGTH = 64  # wandb's limit

Result = TypeVar("Result")


class WandbRun(Logger):
    """Lightning logger of one wandb run, begun when the networks start.

    Offline, wandb writes a folder that `wandb sync` sends. Online falls back to that, within
    seconds, without a key or a server that answers. No fault of wandb or its server raises, and
    none delays the run by more than a minute in all: it is logged, and the run goes on.

    Args:
        project: wandb project.
        name: the run's name.
        group: runs of one sweep share it.
        job_type: what made the run.
        tags: words to filter runs by.
        save_dir: folder below which wandb writes.
        offline: whether nothing leaves the machine; the environment's `WANDB_MODE=offline` and
            `disabled` hold for either.
        entity: wandb user or team; None for the key's own.
        media_bytes: budget of tables, histograms and pictures together; what does not fit is left
            out, and said.
    """

    def __init__(
        self,
        *,
        project: str,
        name: str,
        group: str,
        job_type: str,
        tags: Sequence[str],
        save_dir: str,
        offline: bool = True,
        entity: str | None = None,
        media_bytes: int = 4 * 2**20,
    ) -> None:
        super().__init__()
        self._facts: dict[str, Any] = {
            "project": project,
            "name": name,
            "group": group,
            "job_type": job_type,
            "tags": [str(tag)[:_TAG_LENGTH] for tag in tags],
            "entity": entity,
        }
        self._save_dir = Path(save_dir)
        self._offline = offline
        self._bytes_left = media_bytes
        self._config: dict[str, Any] = {}
        self._run: Any = None
        self._online = False
        self._failed = False

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self._facts["name"])

    @property
    def version(self) -> str | None:
        """Wandb's id of the run, once begun."""
        return None if self._run is None else str(self._run.id)

    @property
    def save_dir(self) -> str:
        """Folder below which wandb writes."""
        return str(self._save_dir)

    @property
    def is_open(self) -> bool:
        """Whether what is logged now has a chance to arrive."""
        return self._run is not None and not self._failed

    @rank_zero_only
    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """Set the run's configuration; before the run has begun, it is kept until then."""
        self._config |= params if isinstance(params, dict) else vars(params)
        if self._run is not None:
            self._do(lambda run: run.config.update(self._config, allow_val_change=True))

    @rank_zero_only
    def save(self) -> None:
        """Begin the run: Lightning calls this when the networks start."""
        self._do(lambda run: None)

    def finalize(self, status: str) -> None:
        """Nothing: when Lightning is done, the summary is still to come; `close` ends the run."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers under their names."""
        self._do(lambda run: run.log(dict(metrics)))

    @rank_zero_only
    def log_histogram(
        self, key: str, counts: npt.NDArray[np.int64], edges: npt.NDArray[np.float64]
    ) -> None:
        """Log a distribution: `[B]` counts between `[B + 1]` edges."""

        def action(run: Any) -> None:
            from wandb import Histogram

            run.log({key: Histogram(np_histogram=(counts.tolist(), edges.tolist()))})

        if self._fits(key, len(json.dumps([counts.tolist(), edges.tolist()]))):
            self._do(action)

    @rank_zero_only
    def log_pictures(self, key: str, pictures: Sequence[tuple[Path, str]]) -> None:
        """Log image files with their captions, together."""

        def action(run: Any) -> None:
            from wandb import Image

            run.log({key: [Image(str(path), caption=caption) for path, caption in pictures]})

        if self._fits(key, sum(path.stat().st_size for path, _ in pictures)):
            self._do(action)

    @rank_zero_only
    def log_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log a table of texts, numbers and None."""

        def action(run: Any) -> None:
            from wandb import Table

            data: list[Any] = [list(row) for row in rows]
            run.log({key: Table(columns=list(columns), data=data, allow_mixed_types=True)})

        if self._fits(key, len(json.dumps([list(columns), *map(list, rows)]).encode())):
            self._do(action)

    @rank_zero_only
    def close(self, *, failed: bool) -> None:
        """End the run, if it was ever begun; the next one is a run of its own."""
        run, self._run, self._failed = self._run, None, True
        if run is None:
            return
        reason = unreachable(run.settings.base_url) if self._online else ""
        try:
            self._within(_FINISH_SECONDS + 5, lambda: run.finish(exit_code=int(failed)))
        except Exception as error:
            reason = reason or reason_of(error)
        if reason:
            _log.warning(
                "wandb: the end of the run may be missing, %s; `wandb sync %s` sends it",
                reason, run.settings.sync_dir,
            )  # fmt: skip

    def _fits(self, key: str, size: int) -> bool:
        if size > self._bytes_left:
            _log.warning(
                "wandb: %s is left out, its %d bytes exceed what is left of media_bytes (%d)",
                key, size, self._bytes_left,
            )  # fmt: skip
            return False
        self._bytes_left -= size
        return True

    def _do(self, action: Callable[[Any], object]) -> None:
        """Do something with the run, which is begun first; after a failure, nothing more."""
        if self._failed:
            return
        try:
            if self._run is None:
                self._begin()
            self._within(_CALL_SECONDS, lambda: action(self._run))
        # whatever wandb raises: its service may have died, the disk be full, the server be gone
        except Exception as error:
            self._failed = True
            _log.warning(
                "wandb: nothing more is logged (%s); the files of the run are complete without it",
                reason_of(error),
            )

    def _begin(self) -> None:
        """Begin online where that is asked for and possible, else offline."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its makers' crash reports
        forced = os.environ.get("WANDB_MODE")
        if forced == "disabled":
            self._run = self._init("disabled")
            return
        if self._offline or forced in ("offline", "dryrun"):
            self._run = self._init("offline")
            return
        reason = server_hindrance()
        if not reason:
            try:
                self._run = self._init("online")
            except Exception as error:
                reason = reason_of(error)
            else:
                self._online = True
                _log.info("wandb: %s", self._run.url)
                return
        self._run = self._init("offline")
        _log.warning(
            "wandb: kept offline, %s; `wandb sync %s` sends it later",
            reason, self._run.settings.sync_dir,
        )  # fmt: skip

    def _init(self, mode: Literal["online", "offline", "disabled"]) -> Any:
        import wandb

        self._save_dir.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            init_timeout=_INIT_SECONDS,
            finish_timeout=_FINISH_SECONDS,
            finish_timeout_raises=True,
            reinit="create_new",  # never another run that is open in this process
            console="off",  # the log is a file of the run; bars do not belong there
            save_code=False,
            disable_git=True,
            disable_job_creation=True,
            symlink=False,
            x_save_requirements=False,  # run.json has the versions that matter
            x_stats_sampling_interval=_STATS_SECONDS,
        )
        return wandb.init(
            dir=str(self._save_dir), config=self._config, mode=mode, settings=settings,
            **self._facts,
        )  # fmt: skip

    def _within(self, seconds: float, action: Callable[[], Result]) -> Result:
        """The result of an action; where the server takes part, TimeoutError after some seconds."""
        return result_within(seconds, action) if self._online else action()
