"""The project's real configuration, as a command line would compose it."""

from __future__ import annotations

import copy
import functools

from omegaconf import DictConfig

from vssl.config.compose import composed_config


def evaluation_config(*overrides: str) -> DictConfig:
    return copy.deepcopy(_composed(overrides))


@functools.cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    """Composing takes a third of a second, and many tests ask for the same."""
    return composed_config("evaluate", overrides)
