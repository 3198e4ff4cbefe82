"""vssl-rescore: new numbers from the records of a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from vssl.commands.app import run_app
from vssl.commands.identity import RUN_FILE
from vssl.commands.score import announce, score_run

if TYPE_CHECKING:
    import pandas as pd


def main() -> None:
    """Console script."""
    run_app(_hydra_main, "rescore")


@hydra.main(version_base="1.3", config_path="pkg://vssl.conf", config_name="rescore")
def _hydra_main(config: DictConfig) -> pd.DataFrame:
    folder = Path(config.run).expanduser().absolute()
    _no_longer_as_evaluated(folder / RUN_FILE)
    score_run(config, folder, keep=True)
    return announce(folder)


def _no_longer_as_evaluated(path: Path) -> None:
    """Let a later vssl-evaluate know that its scores were changed."""
    from vssl.records.store import write_text

    if path.is_file():
        run = json.loads(path.read_text(encoding="utf-8"))
        write_text(path, json.dumps({**run, "scoring_hash": None}, indent=1))


if __name__ == "__main__":
    main()
