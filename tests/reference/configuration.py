"""The project's real configuration, as a command line would compose it."""

from __future__ import annotations

from hydra import compose, initialize_config_module
from omegaconf import DictConfig


def evaluation_config(*overrides: str) -> DictConfig:
    with initialize_config_module("vssl.conf", version_base="1.3"):
        return compose("evaluate", overrides=list(overrides))
