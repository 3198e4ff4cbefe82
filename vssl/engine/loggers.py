"""The loggers of a run: opened once, told the summary, closed whatever happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
from pytorch_lightning.loggers import Logger, WandbLogger

from vssl.records.aggregate import summary_key


class WandbRun(WandbLogger):
    """Lightning's wandb logger, without the option that makes today's wandb print a warning."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._wandb_init.pop("anonymous", None)

    def close(self, *, failed: bool) -> None:
        """End the run on wandb's side, if it was ever begun."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(failed))


@contextmanager
def open_loggers(loggers: Sequence[Logger]) -> Iterator[list[Logger]]:
    """Close loggers when the run ends, also when it fails or is interrupted.

    wandb in particular: a run left open would swallow the next run of the same process.

    Args:
        loggers: Lightning loggers.
    """
    status = "failed"
    try:
        yield list(loggers)
        status = "success"
    finally:
        for logger in loggers:
            logger.finalize(status)
            if isinstance(logger, WandbRun):
                logger.close(failed=status != "success")


def log_summary(
    loggers: Sequence[Logger], summary: pd.DataFrame, *, config: Mapping[str, Any]
) -> None:
    """Log every summary value under `<condition>/<metric>/<policy>`.

    Args:
        loggers: open loggers.
        summary: the run's summary.
        config: the run's configuration, kept beside the numbers.
    """
    rows = summary.to_dict("records")
    values = {summary_key(row): row["value"] for row in rows if not pd.isna(row["value"])}
    for logger in loggers:
        logger.log_hyperparams(dict(config))
        logger.log_metrics(values)
        logger.save()
