"""All models as configured, and which of them a checkpoint belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from vssl.config.compose import register_resolvers
from vssl.config.networks import make_network
from vssl.config.settings import ModelSettings, PriorSettings
from vssl.core.errors import UsageError
from vssl.core.hashing import file_sha256
from vssl.models.base import Pretrained
from vssl.models.checkpoints import WeightsError, read_checkpoint, state_dict_of
from vssl.models.object_prior import PUBLISHED_FILES, ObjectPrior
from vssl.models.weights import Match, match_weights

_OBJECT_PRIOR = "prior=object_guided"
_SHOWN_PARTS = 8


@dataclass(frozen=True)
class Entry:
    """A model, or the object prior, as configured; the name is what the user types after `model=`.

    The network is without values where that is possible (torch's meta device). `weights` is where
    its checkpoint is looked for; None for a model without weights.
    """

    name: str
    facts: Mapping[str, Any]
    network: Pretrained
    weights: Path | None


def read_entries(overrides: Sequence[str] = (), config_dir: Path | None = None) -> list[Entry]:
    """All models of the group `model`, and the object prior.

    `overrides` are Hydra's, e.g. `paths.weights=FOLDER`; `config_dir` holds further models.

    Raises:
        UsageError: when the folder does not exist or a model cannot be made.
    """
    if config_dir is not None and not config_dir.is_dir():
        raise UsageError(f"{config_dir}: no such folder (--config-dir)")
    search = [] if config_dir is None else [f"hydra.searchpath=[file://{config_dir.absolute()}]"]
    given = [*search, *overrides]
    entries = []
    register_resolvers()
    with initialize_config_module("vssl.conf", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        for name in loader.get_group_options("model", config_name="models", overrides=search):
            model = compose("models", overrides=[*given, f"model={name}"]).model
            facts: Any = OmegaConf.to_container(model, resolve=True)
            try:
                with torch.device("meta"):
                    network = make_network(ModelSettings.of(facts))
            except UsageError:  # its class computes with values
                network = make_network(ModelSettings.of(facts))
            path = facts["weights"] and Path(facts["weights"]).expanduser()
            entries.append(Entry(name, facts, network, path))
        config = compose("models", overrides=given)
        prior: Any = OmegaConf.to_container(config.prior, resolve=True)
        settings = PriorSettings.of(prior, weights_folder=config.paths.weights)
        path = settings.find_weights() or settings.weights_folder / PUBLISHED_FILES[0]
        with torch.device("meta"):
            entries.append(Entry(_OBJECT_PRIOR, prior, ObjectPrior(), path))
    return entries


@dataclass(frozen=True)
class CheckpointState:
    """What is known of a model's checkpoint: in a word, and in a sentence.

    `match` says how a file that is there and fits compares with the model; `fault` is True where
    it is there and cannot be used.
    """

    state: str
    details: str = ""
    match: Match | None = None
    fault: bool = False

    @property
    def fits(self) -> bool:
        """Whether the file is there and fits."""
        return self.match is not None


def read_state(entry: Entry) -> CheckpointState:
    """Look for a model's checkpoint, and compare it with the model."""
    path = entry.weights
    if path is None:
        return CheckpointState("none needed" if entry.network.checkpoint is None else "not set")
    if not path.is_file():
        source = str(entry.facts.get("source", "")).strip()
        return CheckpointState("not found", f"not found at {path}; from {source}")
    try:
        match = match_file(entry, read_checkpoint(path), path)
    except WeightsError as error:
        return CheckpointState("not readable", str(error), fault=True)
    if match.faults:
        faults = "; ".join(match.faults)
        return CheckpointState("does not fit", f"{path}: does not fit: {faults}", fault=True)
    sha256 = file_sha256(path)
    details = f"{path}, sha256 {sha256}, {what_counts(match)}"
    return CheckpointState(f"found, {sha256[:8]}", details, match)


def match_file(entry: Entry, content: Any, path: Path) -> Match:
    """How a checkpoint's content compares with a model.

    Raises:
        WeightsError: when the file has no state dict where the model's checkpoint has it.
    """
    layout = entry.network.checkpoint
    if layout is None:
        raise UsageError(f"{entry.name} has no weights.")
    state = state_dict_of(content, wrapper=layout.wrapper, path=path)
    return match_weights(entry.network, state, layout)


def what_counts(match: Match) -> str:
    """How much of a file a model uses, and which parts it ignores."""
    text = f"{match.used:,} values used, {match.ignored_values:,} ignored"
    if not match.ignored:
        return text
    parts = dict.fromkeys(key.rpartition(".")[0] or key for key in match.ignored)
    if len(parts) > _SHOWN_PARTS:
        # of a part that is used too, like an encoder, by two names
        used = {key.partition(".")[0] for key in match.state}
        names = [key.split(".") for key in match.ignored]
        parts = dict.fromkeys(".".join(each[: 2 if each[0] in used else 1]) for each in names)
    return f"{text} ({len(match.ignored)} entries: {', '.join(parts)})"
