"""The released protocol's departures from the corrected one, one switch at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from vssl.commands.identity import register_resolvers
from vssl.thresholds.released import CONSTANTS

DESCRIPTIONS = {
    "antialias": "images shrunk without a low-pass",
    "log_missing": "silence and noise without the logarithm",
    "made_audio": "silence and noise made at the window's length, unclipped",
    "positive_window": "FNAC: the first 3 s, wrapped around",
    "offscreen_window": "offscreen clips doubled, not tiled, and not centred",
    "standardization": "RCGrad: silence standardized to a rounding error",
    "upsampling": "some positives upsampled by another rule",
    "object_map": "object maps mixed unscaled",
    "pooled_ciou": "five thresholds in one list of cIoU",
}
"""Switch of `conf/protocol/` -> what its released value does."""

NETWORK, LOCALIZATION, SCORES = "network", "localization", "scores"
"""What a switch changes: similarity maps, localization maps, or only what is made of scores."""


def saved_config(run: dict[str, Any]) -> DictConfig:
    """The configuration of a finished run, with its paths as they were meant.

    Args:
        run: content of its run.json.
    """
    register_resolvers()
    config: DictConfig = OmegaConf.create(run["config"])
    there = Path(run.get("working_directory", "."))
    root = run["identity"]["data"].get("root")
    with open_dict(config):
        config.logger, config.force = {}, False
        config.calibration = None
        # the audit scores the records itself
        config.subsets = []
        config.threshold = {"fixed": {"_target_": "vssl.thresholds.base.FixedThreshold"}}
        config.metrics = {"pia": {"_target_": "vssl.metrics.pia.ImageArea"}}
        if root is not None:
            config.data.root = root
        for key in ("model.weights", "prior.weights", "negatives.manifest", "negatives.noise.file",
                    "negatives.offscreen.exclude", "data.cache"):  # fmt: skip
            path = OmegaConf.select(config, key)
            if path is not None:
                OmegaConf.update(config, key, str(there / Path(str(path)).expanduser()))
    return config


def with_switch(config: DictConfig, switch: str, value: Any) -> DictConfig:
    """A copy of a configuration with one switch of its protocol set."""
    changed = config.copy()
    changed.protocol[switch] = value
    return changed


def what_changes(config: DictConfig, switch: str, value: Any) -> str | None:
    """What setting a switch changes for this model, test set and prior; None for nothing."""
    changed = with_switch(config, switch, value)
    if _network(config) != _network(changed):
        return NETWORK
    if localization_facts(config) != localization_facts(changed):
        return LOCALIZATION
    # the five thresholds include the released constants, which only the paper's models have
    return SCORES if switch == "pooled_ciou" and config.model.name in CONSTANTS else None


def _network(config: DictConfig) -> dict[str, Any]:
    """Everything that similarity maps depend on, protocol applied."""
    from vssl.commands.build import made_length, released_settings, sounding_objects

    model: Any = OmegaConf.to_container(config.model, resolve=True)
    frontends: dict[str, Any] = {}
    if config.model.frontend is not None:
        for condition in sounding_objects(config):
            settings = released_settings(config, condition)
            frontends[condition] = OmegaConf.to_container(settings, resolve=True)
    prior: Any = OmegaConf.to_container(config.prior, resolve=True)
    prior.pop("scale", None)  # how maps are mixed, see `localization_facts`
    made = made_length(config)
    return {"model": model, "frontends": frontends, "made_length": made, "prior": prior}


def localization_facts(config: DictConfig) -> dict[str, Any]:
    """Everything that localization maps depend on besides similarity maps."""
    from vssl.commands.build import sounding_objects, upsampling_rules

    guided = config.prior.name != "none"
    return {
        "upsampling": upsampling_rules(config, list(sounding_objects(config))),
        "scale": config.prior.scale if guided else None,
    }
