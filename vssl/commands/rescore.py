"""vssl-rescore: new numbers from the records of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from vssl.commands.app import run_app
from vssl.commands.run_folder import alone_in, mark_rescored
from vssl.commands.score import announce, score_run
from vssl.records.files import RECORDS_FILE

if TYPE_CHECKING:
    import pandas as pd


def main() -> None:
    """Console script."""
    run_app(_hydra_main, "rescore")


@hydra.main(version_base="1.3", config_path="pkg://vssl.conf", config_name="rescore")
def _hydra_main(config: DictConfig) -> pd.DataFrame:
    from vssl.records.store import read_provenance

    folder = Path(config.run).expanduser().absolute()
    read_provenance(folder / RECORDS_FILE)
    with alone_in(folder):
        score_run(config, folder, keep=True)
        mark_rescored(folder)
    return announce(folder)


if __name__ == "__main__":
    main()
