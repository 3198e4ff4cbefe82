"""Train a model that vssl evaluates, with or without negative audio.

    python experiments/train_tiny.py model=tiny_san

The bundled models were made so. `--help` lists the options; docs/training.md describes the loop.
"""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig

from vssl.cli.app import run_app
from vssl.config.compose import register_resolvers
from vssl.config.settings import TrainingSettings
from vssl.core.console import quieten_libraries

register_resolvers()


@hydra.main(version_base="1.3", config_path="pkg://vssl.conf", config_name="train")
def _hydra_main(config: DictConfig) -> None:
    settings = TrainingSettings.of(config)
    from vssl.runs.train import train  # torch: only where it is needed

    train(settings, Path(config.output_dir).expanduser().absolute())


if __name__ == "__main__":
    quieten_libraries()
    run_app(_hydra_main, "train")
