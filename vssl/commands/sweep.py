"""What a sweep shows at its end: one table over all jobs, a picture, and the jobs that failed."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

_log = logging.getLogger(__name__)


class SweepTable(Callback):
    """Hydra callback: after a multirun, tables with one row per run.

    Written as `sweep.md`, `sweep.csv` and pictures into the sweep's folder, and printed. Hydra does
    not call `on_multirun_end` when a job failed; then `finish` does the same.
    """

    unreported: ClassVar[list[SweepTable]] = []

    def __init__(self) -> None:
        self._folders: list[Path] = []
        self._failed: list[str] = []
        self._config: DictConfig | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember the sweep."""
        self._config = config
        SweepTable.unreported.append(self)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Remember how a job ended."""
        if job_return.status == JobStatus.COMPLETED and job_return.hydra_cfg is not None:
            self._folders.append(Path(job_return.hydra_cfg.hydra.runtime.output_dir).absolute())
        else:
            self._failed.append(f"{' '.join(job_return.overrides or ())}: {_reason(job_return)}")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print and write the tables and the picture."""
        SweepTable.finish()

    @staticmethod
    def finish() -> None:
        """Report a sweep that was not reported yet.

        Raises:
            SystemExit: with status 1 when that fails. Hydra turns other exceptions of callbacks
                into warnings, and the sweep would seem to have succeeded.
        """
        while SweepTable.unreported:
            sweep = SweepTable.unreported.pop()
            try:
                sweep.report()
            except Exception as error:
                _log.exception("the sweep's tables could not be made")
                raise SystemExit(1) from error

    def report(self) -> None:
        """Report the finished jobs, and list the others."""
        from vssl.reporting.sweep import report_sweep

        folders = list(dict.fromkeys(self._folders))
        if folders and self._config is not None:
            output = Path(self._config.hydra.sweep.dir).expanduser().absolute()
            report_sweep(folders, output, overview=dict(self._config.overview))
        for failed in self._failed:
            _log.error("failed: %s", failed)


def _reason(job: JobReturn) -> str:
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # Hydra prints at each look at the value
            return str(job.return_value)
    except Exception as error:
        return str(error) or type(error).__name__
