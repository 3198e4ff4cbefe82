"""Where configurations are looked for besides vssl's own: in installed packages and a folder."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
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


def _folders_of(entry: EntryPoint) -> list[str]:
    """The folder of a package with configuration."""
    try:
        spec = find_spec(entry.value)
    except ImportError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            f"entry point {ENTRY_POINTS} {entry.name} = {entry.value}: there is no such package."
            f" Install {entry.dist.name if entry.dist else entry.name} again, or remove it."
        )
    return list(spec.submodule_search_locations)


def group_files(group: str, folders: Iterable[Path] = ()) -> list[Path]:
    """The yaml files of a group: vssl's, those of packages, of `--config-dir` and of `folders`."""
    packages = [path for entry in entry_points(group=ENTRY_POINTS) for path in _folders_of(entry)]
    places = [Path(str(files("vssl.conf"))), *map(Path, packages), *_given, *folders]
    return [path for place in places for path in sorted((place / group).glob("*.yaml"))]


class _OwnConfigurations(SearchPathPlugin):
    """Adds packages and folders to every configuration that Hydra composes."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for entry in entry_points(group=ENTRY_POINTS):
            for folder in _folders_of(entry):
                search_path.append(entry.name, f"file://{folder}")
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
