"""A run's identity: what can change its records, and the folder that follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vssl.core.hashing import config_hash, file_sha256
from vssl.data.synthetic.variants import DEFAULT_DIFFICULTY, DEFAULT_SPLIT, variant_name
from vssl.records.files import RECORDS_VERSION, recorded_sha256

_PARTS = ("model", "data", "negatives", "protocol", "prior")
_CANNOT_CHANGE_RECORDS = {
    "data": ("cache", "root"),
    "model": ("paper", "year", "licence", "source", "weights", "sha256", "precision"),
    "prior": ("paper", "year", "licence", "source", "weights", "sha256"),
}
_FILES = (
    *("model.weights", "negatives.manifest"),
    *("negatives.noise.file", "negatives.offscreen.exclude"),
)
_DEFAULTS = {"data": {"empty": "fault", "silent": "keep"}}
"""Options that came later, and what they are where runs of before do not have them."""

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
    parts: dict[str, Any] = {
        "schema": RECORDS_VERSION,
        "seed": config.seed,
        "precision": str(config.trainer.precision),
    }
    for name in _PARTS:
        dropped, defaults = _CANNOT_CHANGE_RECORDS.get(name, ()), _DEFAULTS.get(name, {})
        parts[name] = {
            key: value
            for key, value in _container(config[name]).items()
            if key not in dropped and (key, value) not in defaults.items()
        }
    there = ("manifest", *negative_names(config))
    parts["negatives"] = {name: v for name, v in parts["negatives"].items() if name in there}
    for options in parts["negatives"].values():
        if isinstance(options, dict) and options.get("snr", 0) is None:
            options.pop("over", None)  # without a ratio it says nothing
        if isinstance(options, dict) and options.get("exclude", "") is None:
            del options["exclude"]  # earlier runs did not know it
    if noise_use(config):  # earlier runs, without it, heard other noise
        parts["noise"] = noise_use(config)
    root = config.data.get("root")
    parts["data"]["root"] = None if root is None else str(Path(root).expanduser().resolve())
    given = {key: OmegaConf.select(config, key) for key in _FILES}
    given["prior.weights"] = _prior_weights(config)
    files = {key: Path(str(path)).expanduser() for key, path in given.items() if path is not None}
    # a missing file has its own error later; here it must not hide the run's folder
    parts["files_sha256"] = {
        key: file_sha256(path) if path.is_file() else None for key, path in files.items()
    }
    return parts


def _container(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def leaves_out(config: DictConfig) -> bool:
    """Whether it depends on the files of the test set which samples are evaluated."""
    return "skip" in (config.data.get("missing"), config.data.get("silent"))


def noise_use(config: DictConfig) -> str:
    """What noise is drawn for: the data set by its name, and by its seed where that is not 0.

    Each has noise of its own, see `vssl.negatives.base.AudioCondition.draw_seed`. That of the
    embedded benchmark's test split has no name, as it is older than the others.
    """
    seed = config.data.get("seed") or ""
    use = f"{config.data.name} {seed}".rstrip()
    return "" if use == variant_name(DEFAULT_SPLIT, DEFAULT_DIFFICULTY, None) else use


def network_hash(config: DictConfig) -> str:
    """Hash of what makes a model's maps besides its weights: front end, images, precision."""
    known = identity(config)
    return config_hash({key: known[key] for key in ("model", "precision")})


def _prior_weights(config: DictConfig) -> Path | None:
    if config.prior.name == "none":
        return None
    from vssl.config.networks import find_prior_weights  # noqa: PLC0415 torch, --help

    return find_prior_weights(config)


def prior_facts(config: DictConfig) -> dict[str, Any] | None:
    """What tells two object priors apart: weight, scale and weights file; None without a prior."""
    path = _prior_weights(config)
    if path is None:
        return None
    return {
        "alpha": config.prior.alpha,
        "scale": config.prior.scale,
        "sha256": file_sha256(path) if path.is_file() else None,
    }


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
    names = ("threshold", "metrics", "calibration", "bootstrap", "subsets")
    parts = {name: _container(config[name]) for name in names}
    if config.calibration is not None:  # by content; those of earlier versions by their folder
        known = recorded_sha256(Path(str(config.calibration)).expanduser())
        parts |= {} if known is None else {"calibration_sha256": known}
    return parts


def negative_names(config: DictConfig) -> list[str]:
    """The negatives that are configured, in order.

    The group also holds the manifest to replay, and in a sweep options of negatives that this job
    lacks, see `vssl.config.options`.
    """
    group = config.negatives
    return [str(name) for name in group if name != "manifest" and "_target_" in group[name]]


def negatives_name(config: DictConfig) -> str:
    """Short name of a mix of negatives: `all`, `none`, or the names joined by `+`."""
    names = negative_names(config)
    if names == ["silence", "noise", "offscreen"]:
        return "all"
    return "+".join(names) or "none"


def run_names(config: DictConfig) -> dict[str, str]:
    """A run's parts by the names that users filter runs by."""
    return {
        "model": str(config.model.name),
        "data": str(config.data.name),
        "negatives": negatives_name(config),
        "protocol": protocol_name(config),
        "prior": str(config.prior.name),
    }
