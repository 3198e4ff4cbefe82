"""The project's real configuration, as a command line would compose it."""

from __future__ import annotations

import copy
import functools

from hydra import compose, initialize_config_module
from omegaconf import DictConfig


def evaluation_config(*overrides: str) -> DictConfig:
    return copy.deepcopy(_composed(overrides))


@functools.cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    """Composing takes a third of a second, and many tests ask for the same."""
    with initialize_config_module("vssl.conf", version_base="1.3"):
        return compose("evaluate", overrides=list(overrides))
