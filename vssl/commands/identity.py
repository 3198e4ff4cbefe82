"""A run's identity: what can change its records, and the folder that follows from it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vssl.records.fingerprint import config_hash

_PARTS = ("model", "data", "negatives", "protocol")
_CANNOT_CHANGE_RECORDS = {"data": ("cache",), "model": ("source",)}


def identity(config: DictConfig) -> dict[str, Any]:
    """The part of a configuration that can change a run's records.

    Devices, batch size, workers, loggers, folders of results, thresholds and metrics cannot. Files
    of negatives count by their content.
    """
    parts: dict[str, Any] = {"seed": config.seed}
    for name in _PARTS:
        values = OmegaConf.to_container(config[name], resolve=True)
        if not isinstance(values, dict):
            raise TypeError(f"Expected `{name}` to be a mapping, but got {values!r}.")
        dropped = _CANNOT_CHANGE_RECORDS.get(name, ())
        parts[name] = {key: value for key, value in values.items() if key not in dropped}
    named = [config.negatives.manifest, OmegaConf.select(config, "negatives.noise.file")]
    files = [Path(str(name)).expanduser() for name in named if name is not None]
    parts["files_sha256"] = [_sha256(path) for path in files if path.is_file()]
    return parts


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        str(_root_.protocol.name),
        config_hash(identity(_root_))[:8],
    )
    return str(relative if mode == "relative" else Path(_root_.output_root).expanduser() / relative)


def register_resolvers() -> None:
    """Make `${run_folder:}` known to OmegaConf."""
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
