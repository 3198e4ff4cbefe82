"""The loggers of a run: open them, log the summary, close them whatever happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pandas as pd
from pytorch_lightning.loggers import Logger

from vssl.engine.wandb_run import WandbRun
from vssl.records.aggregate import summary_key


@contextmanager
def open_loggers(loggers: Sequence[Logger], *, config: Mapping[str, Any]) -> Iterator[None]:
    """Close loggers when the run ends, also when it fails or is interrupted.

    wandb in particular: a run left open would swallow the next run of the same process. It shows
    the configuration from the beginning.
    """
    status = "failed"

    def close(logger: Logger) -> None:
        logger.finalize(status)
        if isinstance(logger, WandbRun):
            logger.close(failed=status != "success")

    with ExitStack() as stack:  # closes all, also when one cannot be closed
        for logger in loggers:
            stack.callback(close, logger)
            if isinstance(logger, WandbRun):
                logger.log_hyperparams(dict(config))
        yield
        status = "success"


def log_summary(
    loggers: Sequence[Logger], summary: pd.DataFrame, *, config: Mapping[str, Any]
) -> None:
    """Log every defined summary value as `<condition>/<metric>/<policy>`, and the configuration."""
    rows = summary.dropna(subset="value").to_dict("records")
    for logger in loggers:
        logger.log_hyperparams(dict(config))
        logger.log_metrics({summary_key(row): row["value"] for row in rows})
