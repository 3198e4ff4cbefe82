"""vssl-rescore: new numbers from the records of a finished run."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig
from rich.console import Console

from vssl.cli.app import console_script
from vssl.config.options import check_options
from vssl.config.settings import ScoringSettings
from vssl.core.files import write_text
from vssl.records.files import RECORDS_FILE, RELEASED_FILE, run_in

if TYPE_CHECKING:
    import pandas as pd


@console_script("rescore")
@hydra.main(version_base="1.3", config_path="pkg://vssl.conf", config_name="rescore")
def main(config: DictConfig) -> pd.DataFrame:
    """Console script."""
    check_options(config)
    from vssl.records.binarize import scoring_device
    from vssl.reporting.tables.run import announce
    from vssl.runs.score import rescore

    folder = run_in(Path(config.run).expanduser().absolute())
    export = None if config.export is None else partial(_export_released, folder)
    device = scoring_device(config.accelerator)
    rescore(ScoringSettings.of(config), folder, device=device, before=export)
    return announce(folder)


def _export_released(folder: Path) -> None:
    """Write the metrics file of the authors' released code."""
    from vssl.analysis.released import released_metrics
    from vssl.records.store import read_provenance

    metrics = released_metrics(folder)
    provenance = read_provenance(folder / RECORDS_FILE)
    # JSON has no NaN: null stands for what is undefined
    defined = {name: None if math.isnan(value) else value for name, value in metrics.items()}
    output = folder / RELEASED_FILE
    write_text(output, json.dumps(defined, indent=1))
    console = Console(soft_wrap=True)
    console.print(f"{len(metrics)} values under the authors' names: {output}")
    if provenance["prior"] is None:
        console.print("without the names that end in OGL: evaluate with prior=object_guided")
    protocol = provenance["protocol"]
    if protocol != "released":
        console.print(f"the run is of protocol {protocol}: their code would give other values")
