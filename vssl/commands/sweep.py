"""What a sweep shows at its end: one table over all jobs, and a picture."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

_log = logging.getLogger(__name__)


class SweepTable(Callback):
    """Hydra callback: after a multirun, tables with one row per model and data set.

    Written as `sweep.md`, `sweep.csv` and `sweep.png` into the sweep's folder, and printed.
    """

    def __init__(self) -> None:
        self._folders: list[Path] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Remember a finished job's folder."""
        if job_return.status == JobStatus.COMPLETED and job_return.hydra_cfg is not None:
            self._folders.append(Path(job_return.hydra_cfg.hydra.runtime.output_dir).absolute())

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print and write the tables and the picture."""
        from vssl.reporting.sweep import report_sweep

        folders = list(dict.fromkeys(self._folders))
        if folders:
            output = Path(config.hydra.sweep.dir).expanduser().absolute()
            try:
                report_sweep(folders, output, overview=dict(config.overview))
            except Exception as error:
                # Hydra turns exceptions of callbacks into warnings and exit status 0
                _log.exception("the sweep's tables could not be made")
                raise SystemExit(1) from error
