"""The project's real configuration, as a command line would compose it."""

from __future__ import annotations

import copy
import functools

from vssl.config.compose import composed_config
from vssl.config.settings import RunSettings


def evaluation_config(*overrides: str) -> RunSettings:
    return copy.deepcopy(_composed(overrides))


@functools.cache
def _composed(overrides: tuple[str, ...]) -> RunSettings:
    """Composing takes a third of a second, and many tests ask for the same."""
    return RunSettings.of(composed_config("evaluate", overrides))
