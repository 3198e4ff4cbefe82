"""vssl-train: contrastive training of a model that vssl evaluates."""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig

from vssl.cli.app import console_script
from vssl.config import compose  # noqa: F401, registers resolvers
from vssl.config.settings import TrainingSettings


@console_script("train")
@hydra.main(version_base="1.3", config_path="pkg://vssl.conf", config_name="train")
def main(config: DictConfig) -> None:
    """Console script."""
    settings = TrainingSettings.of(config)
    from vssl.runs.train import train  # torch

    train(settings, Path(config.output_dir).expanduser().absolute())
