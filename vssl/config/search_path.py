"""Where configurations are looked for besides vssl's own: in installed packages and a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from vssl.core.errors import UsageError

ENTRY_POINTS = "vssl.conf"
"""Group of entry points whose values are packages with configuration, e.g. `mypkg.conf`."""

_given: list[Path] = []  # `--config-dir` of commands that Hydra does not run


def add_config_folder(folder: Path) -> None:
    """Look for configurations in a folder too, until `forget_config_folders`."""
    _given.append(folder)


def forget_config_folders() -> None:
    """Look in vssl and installed packages alone."""
    _given.clear()


@cache
def packages() -> list[tuple[str, str]]:
    """Names and folders of installed packages with configuration, looked for once."""
    found = []
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            spec = find_spec(entry.value)
        except ImportError:
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(
                f"entry point {ENTRY_POINTS} {entry.name} = {entry.value}: there is no such"
                f" package. Install {entry.dist.name if entry.dist else entry.name} again, or"
                " remove it."
            )
        found += [(entry.name, folder) for folder in spec.submodule_search_locations]
    return found


def group_files(group: str, arguments: Sequence[str] = ()) -> list[Path]:
    """The yaml files of a group: vssl's, those of packages, and of folders on a command line."""
    folders = [folder for _, folder in packages()]
    for number, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag in ("--config-dir", "-cd"):
            folders.append(value or "".join(arguments[number + 1 : number + 2]))
        elif flag == "hydra.searchpath":
            folders += re.findall(r"file://([^]\"',]+)", value)
    places = [Path(str(files("vssl.conf"))), *map(Path, folders), *_given]
    return [path for place in places for path in sorted((place / group).glob("*.yaml"))]


class _OwnConfigurations(SearchPathPlugin):
    """Adds packages and folders to every configuration that Hydra composes."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for name, folder in packages():
            search_path.append(name, f"file://{folder}")
        missing = [folder for folder in _given if not folder.is_dir()]
        if missing:
            raise UsageError(f"{missing[0]}: no such folder (--config-dir)")
        places = [f"file://{folder.absolute()}" for folder in _given]
        if HydraConfig.initialized():
            sources = HydraConfig.get().runtime.config_sources
            places += [f"{s.schema}://{s.path}" for s in sources if s.provider == "command-line"]
        for place in places:
            search_path.append("config-dir", place)


Plugins.instance().register(_OwnConfigurations)
