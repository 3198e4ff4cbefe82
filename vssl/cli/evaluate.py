"""vssl-evaluate: a model over a test set, on positives and negatives."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

from omegaconf import DictConfig

from vssl.cli.app import run_app
from vssl.config.compose import is_multirun, with_hydra
from vssl.config.options import allow_absent, with_override
from vssl.config.settings import RunSettings
from vssl.core.console import fail
from vssl.runs.folder import is_first_process
from vssl.runs.sweep import finish_sweep, run_in_sweep, start_process_server

DRY_RUN = "--dry-run"


def main() -> None:
    """Console script."""
    # Hydra's examples write it so, for a group that is not among the defaults
    arguments = [re.sub(r"^\+(?=experiment=)", "", argument) for argument in sys.argv[1:]]
    arguments = allow_absent(limit_as_override(arguments))
    if DRY_RUN in arguments:
        from vssl.runs.dry_run import dry_run

        arguments.remove(DRY_RUN)
        run_app(lambda: dry_run(arguments), "evaluate")
        return
    sys.argv[1:] = arguments
    elsewhere = any(argument.startswith("hydra/launcher=") for argument in arguments)
    if not elsewhere and not {"-m", "--multirun"}.isdisjoint(arguments):
        start_process_server(wandb="logger=none" not in arguments)  # while Hydra reads files
    run_app(_evaluate, "evaluate")


def limit_as_override(arguments: list[str]) -> list[str]:
    """Replace `--limit N` by the override of `data.limit`, also for readers of other packages."""
    kept: list[str] = []
    limits = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option == "--limit":
            limits.append(value if equals else next(words, ""))
        else:
            kept.append(word)
    if not limits:
        return kept
    if not limits[-1].isdecimal():
        fail(f"--limit: expected a number of samples, as in --limit 20, but got `{limits[-1]}`.")
    return with_override(kept, f"++data.limit={limits[-1]}")


def _evaluate() -> None:
    try:
        with_hydra(_run)
    except (Exception, KeyboardInterrupt):  # of which Hydra tells no callback
        finish_sweep()
        raise


def _run(config: DictConfig, folder: Path) -> object:
    """Evaluate, or have a process do it where this is a job of a sweep."""
    if is_multirun():
        return run_in_sweep(config, folder)
    if not is_first_process():  # the first one says the same
        logging.getLogger("vssl").setLevel(logging.WARNING)
    settings = RunSettings.of(config)
    # torch, once the command line is known to be right
    from vssl.runs.evaluate import evaluate

    return evaluate(settings, folder)


if __name__ == "__main__":
    main()
