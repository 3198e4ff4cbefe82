"""All models as configured, and which of them a checkpoint belongs to."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vssl.config.compose import composed_config, group_names
from vssl.config.networks import make_network
from vssl.config.settings import ModelSettings, PriorSettings
from vssl.core.errors import UsageError
from vssl.core.hashing import file_sha256
from vssl.models.base import CheckpointLayout, LocalizationModel, Pretrained
from vssl.models.checkpoints import WeightsError, read_checkpoint
from vssl.models.object_prior import PUBLISHED_FILES, ObjectPrior
from vssl.models.weights import Match, match_content
from vssl.reporting.tables.model import Table, text_columns, text_row

_OBJECT_PRIOR = "prior=object_guided"
_SHOWN_PARTS = 8


@dataclass(frozen=True)
class Entry:
    """A model, or the object prior, as configured; the name is what the user types after `model=`.

    The network is without values where that is possible (torch's meta device). `weights` is where
    its checkpoint files are looked for, by part; empty for a model without weights.
    """

    name: str
    facts: Mapping[str, Any]
    network: Pretrained
    weights: Mapping[str, Path]


def read_entries(overrides: Sequence[str] = ()) -> list[Entry]:
    """All models of the group `model`, and the object prior.

    `overrides` are Hydra's, e.g. `paths.weights=FOLDER`.

    Raises:
        UsageError: when a model cannot be made.
    """
    entries = []
    for name in group_names("model"):
        model = composed_config("models", [*overrides, f"model={name}"]).model
        facts: Any = OmegaConf.to_container(model, resolve=True)
        settings = ModelSettings.of({"image": None, **facts})
        try:
            with torch.device("meta"):
                network = make_network(settings)
        except UsageError:  # its class computes with values
            network = make_network(settings)
        entries.append(Entry(name, facts, network, settings.weights))
    config = composed_config("models", overrides)
    prior: Any = OmegaConf.to_container(config.prior, resolve=True)
    weights = PriorSettings.of(prior, weights_folder=config.paths.weights)
    path = weights.find_weights() or weights.weights_folder / PUBLISHED_FILES[0]
    with torch.device("meta"):
        entries.append(Entry(_OBJECT_PRIOR, prior, ObjectPrior(), {"": path}))
    return entries


@dataclass(frozen=True)
class CheckpointState:
    """What is known of a model's checkpoint, or of a part of it: in a word, and in a sentence.

    `fits` says that the file is there and fits; `fault` that it is there and cannot be used.
    """

    state: str
    details: str = ""
    fits: bool = False
    fault: bool = False
    used: int = 0  # values that the model takes
    ignored: int = 0  # values in the files that the map does not need


def read_state(entry: Entry) -> CheckpointState:
    """Look for a model's checkpoint files, and compare them with the model."""
    parts = entry.network.layouts()
    if not parts:
        return CheckpointState("none needed")
    states = {part: _read_part(entry, part) for part in parts}
    if list(states) == [""]:
        return states[""]
    return CheckpointState(
        "; ".join(f"{part} {state.state}" for part, state in states.items()),
        "; ".join(f"{part}: {state.details}" for part, state in states.items() if state.details),
        fits=all(state.fits for state in states.values()),
        fault=any(state.fault for state in states.values()),
        used=sum(state.used for state in states.values()),
        ignored=sum(state.ignored for state in states.values()),
    )


def _read_part(entry: Entry, part: str) -> CheckpointState:
    """Look for one checkpoint file of a model."""
    path = entry.weights.get(part)
    if path is None:
        return CheckpointState("not set")
    if not path.is_file():
        source = str(entry.facts.get("source", "")).strip()
        return CheckpointState("not found", f"not found at {path}; from {source}")
    try:
        match = match_file(entry, read_checkpoint(path), path, part=part)
    except WeightsError as error:
        return CheckpointState("not readable", str(error), fault=True)
    if match.faults:
        faults = "; ".join(match.faults)
        return CheckpointState("does not fit", f"{path}: does not fit: {faults}", fault=True)
    sha256 = file_sha256(path)
    details = f"{path}, sha256 {sha256}, {what_counts(match)}"
    return CheckpointState(
        f"found, {sha256[:8]}", details, True, used=match.used, ignored=match.ignored_values
    )


def match_file(entry: Entry, content: Any, path: Path, *, part: str = "") -> Match:
    """How a checkpoint's content compares with a part of a model.

    Raises:
        WeightsError: when the file has no state dict where the model's checkpoint has it, or is of
            a variant that the model cannot be.
    """
    with torch.device("meta"):
        network = copy.deepcopy(entry.network)  # which may adapt to the file
        return match_content(network, content, part=part, path=path)


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


def model_table(entries: Sequence[Entry], states: Mapping[str, CheckpointState]) -> Table:
    """Return a row for each model: paper, map, front end, and the state of its checkpoint."""
    rows = []
    for entry in entries:
        state = states[entry.name]
        facts = [str(entry.facts.get(fact) or "") for fact in ("paper", "year", "licence")]
        facts += [*_map(entry.network), _front_end(entry.facts)]
        facts += [f"{state.used:,}", f"{state.ignored:,}"] if state.fits else ["", ""]
        rows.append(text_row(entry.name, *facts, state.state))
    texts = ("paper", "licence", "front end", "checkpoint")
    headers = ("paper", "year", "licence", "map", "range", "front end", "used", "ignored")
    columns = text_columns(*headers, "checkpoint", text=texts)
    return Table("models", columns, tuple(rows), label="model")


def _map(network: Pretrained) -> tuple[str, str]:
    """Size and range of the native map."""
    if not isinstance(network, LocalizationModel):
        return "7 x 7", "[0, ∞)"
    height, width = network.map_size
    low, high = network.value_range
    if network.map_size == (0, 0):  # of stored maps
        return "as stored", "as stored"
    bounds = f"[{low:g}, {high:g}]" if high < float("inf") else f"[{low:g}, ∞)"
    return f"{height} x {width}", bounds


def _front_end(facts: Mapping[str, Any]) -> str:
    """The front end in words: window, class and settings."""
    if facts.get("frontend") is None:
        return "takes no audio"
    frontend = instantiate(facts["frontend"])
    window, settings = getattr(frontend, "window", None), getattr(frontend, "extra_repr", str)()
    parts = [type(window).__name__ if window is not None else "", type(frontend).__name__, settings]
    return ", ".join(part for part in parts if part)


class Fit(NamedTuple):
    """How a checkpoint file compares with all models."""

    sha256: str
    fits: dict[str, str]  # how much of it a model uses, those first that declare its sha256
    others: dict[str, str]  # what a model lacks or does not know, the nearest model first
    declared: bool  # whether a model declares its sha256


def sort_by_fit(path: Path, entries: Sequence[Entry]) -> Fit:
    """Compare a checkpoint file with all models.

    Raises:
        WeightsError: when the file cannot be read safely.
        UsageError: when there is no such file.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file (--check)")
    content = read_checkpoint(path)
    sha256 = file_sha256(path)
    fits: dict[str, str] = {}
    # by name: number of keys that model and file do not share, and the faults in words
    others: dict[str, tuple[int, str]] = {}
    named: set[str] = set()
    declared = {entry.name for entry in entries if entry.facts.get("sha256") == sha256}
    parts = [(entry, *each) for entry in entries for each in entry.network.layouts().items()]
    for entry, part, layout in parts:
        name = f"{entry.name}, part {part}" if part else entry.name
        try:
            match = match_file(entry, content, path, part=part)
        except WeightsError as error:
            reason = str(error).removeprefix(f"{path}: ").partition(". ")[0]
            others[name] = sys.maxsize, reason
            continue
        if match.faults:
            count = len(match.missing) + len(match.unknown) + len(match.unfit) + match.heads
            others[name] = count, "; ".join(match.faults)
        else:
            known = "has the sha256 that it declares" if entry.name in declared else ""
            published = entry.weights.get(part)
            if published is not None and published.name == path.name:
                named.add(name)
            called = f"is called {path.name}, as the published file" if name in named else ""
            hints = [what_counts(match), known, _prefix(content, layout), called]
            fits[name] = "; ".join(hint for hint in hints if hint)
    order = sorted(fits, key=lambda name: (name not in declared, name not in named))
    near = sorted(others, key=lambda name: others[name][0])
    return Fit(
        sha256,
        {name: fits[name] for name in order},
        {name: others[name][1] for name in near},
        bool(declared & fits.keys()),
    )


def _prefix(content: Any, layout: CheckpointLayout) -> str:
    """Whether the file's keys begin as those of the published file, where that is known."""
    wrapper = layout.wrapper
    if layout.prefixed is None or isinstance(wrapper, tuple):
        return ""
    if wrapper is not None and wrapper not in content:  # weights that vssl-train wrote
        return ""
    state = content if wrapper is None else content[wrapper]
    prefixed = all(str(key).startswith("module.") for key in state)
    carry = "carry" if prefixed else "lack"
    if prefixed == layout.prefixed:
        return f"its keys {carry} `module.`, as in the published file"
    return f"but its keys {carry} `module.`, unlike the published file"
