"""A run's identity: what can change its records, and the folder that follows from it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vssl.records.fingerprint import config_hash

_PARTS = ("model", "data", "negatives", "protocol")
_CANNOT_CHANGE_RECORDS = {"data": ("cache", "root"), "model": ("source", "weights", "sha256")}
_PROTOCOLS = {
    "corrected": {"antialias": True},
    "released": {"antialias": False},
}
"""What tells the two protocols apart besides switches that are set to the protocol's own name."""


def identity(config: DictConfig) -> dict[str, Any]:
    """The part of a configuration that can change a run's records.

    Devices, batch size, workers, loggers, folders of results, thresholds and metrics cannot.
    Weights and files of negatives count by their content, the test set by its absolute folder.
    """
    parts: dict[str, Any] = {"seed": config.seed, "precision": str(config.trainer.precision)}
    for name in _PARTS:
        values = OmegaConf.to_container(config[name], resolve=True)
        if not isinstance(values, dict):
            raise TypeError(f"Expected `{name}` to be a mapping, but got {values!r}.")
        dropped = _CANNOT_CHANGE_RECORDS.get(name, ())
        parts[name] = {key: value for key, value in values.items() if key not in dropped}
    root = config.data.get("root")
    parts["data"]["root"] = None if root is None else str(Path(root).expanduser().resolve())
    parts["files_sha256"] = {
        key: content_hash(Path(str(path)).expanduser())
        for key in ("model.weights", "negatives.manifest", "negatives.noise.file")
        if (path := OmegaConf.select(config, key)) is not None
    }
    return parts


def content_hash(path: Path) -> str | None:
    """sha256 of a file, None where there is none; read once per process unless it changes."""
    if not path.is_file():
        return None
    state = path.stat()
    return _content_hash(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache
def _content_hash(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def protocol_switches(config: DictConfig) -> dict[str, Any]:
    """The protocol's switches, without its name."""
    return {str(switch): value for switch, value in config.protocol.items() if switch != "name"}


def protocol_name(config: DictConfig) -> str:
    """Name of the protocol; switches that are not the protocol's own are named behind it.

    `corrected`, `released`, or e.g. `corrected+antialias=False`.
    """
    name = str(config.protocol.name)
    if name not in _PROTOCOLS:
        return name
    own = _PROTOCOLS[name]
    switches = protocol_switches(config).items()
    changed = [f"{switch}={value}" for switch, value in switches if value != own.get(switch, name)]
    return "+".join([name, *changed])


def scoring(config: DictConfig) -> dict[str, Any]:
    """The part of a configuration that can change scores and summary, but no record."""
    names = ("threshold", "metrics", "calibration", "bootstrap")
    return {
        name: OmegaConf.to_container(config[name], resolve=True)
        if isinstance(config[name], DictConfig)
        else config[name]
        for name in names
    }


def negatives_name(config: DictConfig) -> str:
    """Short name of a mix of negatives: `all`, `none`, or the names joined by `+`."""
    names = [name for name in config.negatives if name != "manifest"]
    if names == ["silence", "noise", "offscreen"]:
        return "all"
    return "+".join(str(name) for name in names) or "none"


def run_folder(mode: str = "", *, _root_: DictConfig) -> str:
    """Folder of a run: `output_dir`, or a folder of its own below `output_root`.

    The latter is `<model>/<data>/<negatives>/<protocol>/<first 8 digits of the config hash>`.

    An OmegaConf resolver, so that Hydra puts its log and configuration there too.

    Args:
        mode: `relative` leaves `output_root` out, for sweeps.
    """
    if _root_.output_dir is not None:
        return str(Path(_root_.output_dir).expanduser().absolute())
    relative = Path(
        str(_root_.model.name),
        str(_root_.data.name),
        negatives_name(_root_),
        protocol_name(_root_),
        config_hash(identity(_root_))[:8],
    )
    return str(relative if mode == "relative" else Path(_root_.output_root).expanduser() / relative)


def register_resolvers() -> None:
    """Make `${run_folder:}` known to OmegaConf."""
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
