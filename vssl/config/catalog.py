"""All models as configured, and which of them a checkpoint belongs to."""

from __future__ import annotations

import copy
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vssl.config.compose import composed_config, group_names
from vssl.config.networks import make_network
from vssl.config.settings import ModelSettings, PriorSettings, by_part
from vssl.core.errors import UsageError
from vssl.core.extras import MissingExtraError
from vssl.core.hashing import file_sha256
from vssl.models.base import CheckpointLayout, LocalizationModel, Pretrained
from vssl.models.checkpoints import WeightsError, read_checkpoint, some, state_dict_of, unwrapped
from vssl.models.object_prior import PUBLISHED_FILES, ObjectPrior
from vssl.models.weights import Match, match_content, match_weights
from vssl.reporting.tables.model import Table, text_columns, text_row

_OBJECT_PRIOR = "prior=object_guided"
_SHOWN_PARTS = 8


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


@dataclass(frozen=True)
class Entry:
    """A model, or the object prior, as configured; the name is what the user types after `model=`.

    The network is without values where that is possible (torch's meta device), and None where a
    library is not installed: `needs` is the command that installs it. The settings' weights are
    where checkpoint files are looked for.
    """

    name: str
    settings: ModelSettings
    network: Pretrained | None
    needs: str = ""

    @property
    def layouts(self) -> Mapping[str, CheckpointLayout]:
        """Layout of each checkpoint file by part, as far as it is known."""
        return {} if self.network is None else self.network.layouts()

    def named(self, part: str) -> str:
        """The name of the model and a part of it."""
        return f"{self.name}, part {part}" if part else self.name

    @cached_property
    def parts(self) -> Mapping[str, CheckpointState]:
        """What is known of each checkpoint file, compared with its part of the model."""
        return {part: _read_part(self, part) for part in self.layouts}

    @property
    def state(self) -> CheckpointState:
        """What is known of all checkpoint files of the model."""
        if self.needs:
            return CheckpointState(f"needs {self.needs}")
        if not self.parts:
            return CheckpointState("none needed")
        if list(self.parts) == [""]:
            return self.parts[""]
        states = self.parts.values()
        words = list(dict.fromkeys(state.state for state in states))
        if len(words) > 1:
            words = [f"{part} {state.state}" for part, state in self.parts.items()]
        return CheckpointState(
            "; ".join(words),
            "; ".join(f"{part}: {s.details}" for part, s in self.parts.items() if s.details),
            fits=all(state.fits for state in states),
            fault=any(state.fault for state in states),
            used=sum(state.used for state in states),
            ignored=sum(state.ignored for state in states),
        )


def read_entries(overrides: Sequence[str] = (), names: Collection[str] = ()) -> list[Entry]:
    """All models of the group `model`, or some by name, and the object prior.

    `overrides` are Hydra's, e.g. `paths.weights=FOLDER`.

    Raises:
        UsageError: when a model cannot be made.
    """
    names = names or group_names("model")
    entries = [_entry(name, _configured(name, overrides)) for name in names]
    config = composed_config("models", overrides)
    prior: Any = OmegaConf.to_container(config.prior, resolve=True)
    weights = PriorSettings.of(prior, weights_folder=config.paths.weights)
    path = weights.find_weights() or weights.weights_folder / PUBLISHED_FILES[0]
    with torch.device("meta"):
        network = ObjectPrior()
    settings = ModelSettings.of({**prior, "weights": str(path)})
    return [*entries, Entry(_OBJECT_PRIOR, settings, network)]


def _entry(name: str, settings: ModelSettings) -> Entry:
    """Make a model by its configuration, without its weights."""
    try:
        with torch.device("meta"):
            network = make_network(settings)
    except MissingExtraError as error:
        return Entry(name, settings, None, needs=str(error).rpartition(": ")[2])
    except UsageError:  # its class computes with values
        network = make_network(settings)
    return Entry(name, settings, network)


def _configured(name: str, overrides: Sequence[str]) -> ModelSettings:
    model = composed_config("models", [*overrides, f"model={name}"]).model
    group: Any = OmegaConf.to_container(model, resolve=True)
    return ModelSettings.of(group)


def models_at_hand(overrides: Sequence[str] = ()) -> list[str]:
    """Names of the models that run as they are: all of their checkpoint files are there.

    Left out are models that are told the ground truth, and stored maps.
    """
    configured = {name: _configured(name, overrides) for name in group_names("model")}
    entries = (
        _entry(name, settings)
        for name, settings in configured.items()
        if all(path.is_file() for path in settings.weights.values())
    )
    return [
        entry.name
        for entry in entries
        if isinstance(entry.network, LocalizationModel)
        and not entry.network.knows
        and entry.network.map_size != (0, 0)
        and set(entry.layouts) <= set(entry.settings.weights)
    ]


def _read_part(entry: Entry, part: str) -> CheckpointState:
    """Look for the checkpoint file of a part, and compare it with the model."""
    settings = entry.settings
    path = settings.weights.get(part)
    if path is None:
        return CheckpointState("not set")
    if not path.is_file():
        source = settings.source_of(part)
        return CheckpointState("not found", f"not found at {path}; source: {source}")
    try:
        match = match_file(entry, read_checkpoint(path), path, part=part)
    except WeightsError as error:
        return CheckpointState("not readable", str(error), fault=True)
    if match.faults:
        faults = "; ".join(match.faults)
        return CheckpointState("does not fit", f"{path}: does not fit: {faults}", fault=True)
    sha256 = file_sha256(path)
    details = f"{path}, sha256 {sha256}, {what_counts(match)}"
    declared = settings.sha256.get(part)
    if declared is not None and declared.lower() != sha256:
        details = f"{details}; but {entry.name} is to have the sha256 {declared}"
        return CheckpointState("another sha256", details, fault=True)
    return CheckpointState(
        f"found, {sha256[:8]}", details, True, used=match.used, ignored=match.ignored_values
    )


def match_file(entry: Entry, content: Any, path: Path, *, part: str) -> Match:
    """How a checkpoint's content compares with a part of a model.

    Raises:
        WeightsError: when the file has no state dict where the model's checkpoint has it, or is of
            a variant that the model cannot be.
    """
    network = entry.network
    assert network is not None
    with torch.device("meta"):
        if type(network).adapt is not Pretrained.adapt:
            network = copy.deepcopy(network)  # it follows this file, and not the next one
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


def model_table(entries: Sequence[Entry]) -> Table:
    """Return a row for each model: paper, map, front end, and the state of its checkpoint."""
    rows = []
    for entry in entries:
        state, group = entry.state, entry.settings.group
        facts = [str(group.get(fact) or "") for fact in ("paper", "year")]
        licences = by_part(group.get("licence")).items()
        facts.append("; ".join(f"{part} {licence}".strip() for part, licence in licences))
        facts += [*_map(entry.network), _front_end(entry.settings)]
        facts += [f"{state.used:,}", f"{state.ignored:,}"] if state.fits else ["", ""]
        rows.append(text_row(entry.name, *facts, state.state))
    texts = ("paper", "licence", "front end", "checkpoint")
    headers = ("paper", "year", "licence", "map", "range", "front end", "used", "ignored")
    columns = text_columns(*headers, "checkpoint", text=texts)
    return Table("models", columns, tuple(rows), label="model")


def _map(network: Pretrained | None) -> tuple[str, str]:
    """Size and range of the native map, where the network is known."""
    if network is None:
        return "", ""
    if not isinstance(network, LocalizationModel):
        return "7 x 7", "[0, ∞)"
    height, width = network.map_size
    low, high = network.value_range
    if network.map_size == (0, 0):  # of stored maps
        return "as stored", "as stored"
    begin = f"[{low:g}" if low > float("-inf") else "(-∞"
    end = f"{high:g}]" if high < float("inf") else "∞)"
    return f"{height} x {width}", f"{begin}, {end}"


def _front_end(settings: ModelSettings) -> str:
    """The front end in words: window, class and settings."""
    if settings.frontend is None:
        return "takes no audio"
    frontend = instantiate(settings.frontend)
    window, options = getattr(frontend, "window", None), getattr(frontend, "extra_repr", str)()
    parts = [type(window).__name__ if window is not None else "", type(frontend).__name__, options]
    return ", ".join(part for part in parts if part)


class Misfit(NamedTuple):
    """How a checkpoint file differs from a part of a model."""

    faults: int  # number of keys that model and file do not share
    reason: str
    entries: Sequence[str] = ()  # a line for each entry that does not fit


class Fit(NamedTuple):
    """How a checkpoint file compares with all models and their parts."""

    sha256: str
    holds: str  # what is in the file
    fits: dict[str, str]  # how much of it a model uses, those first that declare its sha256 or name
    others: dict[str, Misfit]  # what a model lacks or does not know, the nearest model first
    declared: bool  # whether a model declares its sha256


def sort_by_fit(path: Path, entries: Sequence[Entry]) -> Fit:
    """Compare a checkpoint file with all models whose libraries are installed.

    Raises:
        WeightsError: when the file cannot be read safely.
        UsageError: when there is no such file.
    """
    if not path.is_file():
        fault = "is a folder: name a file in it" if path.is_dir() else "no such file"
        raise UsageError(f"{path}: {fault} (--check)")
    content = read_checkpoint(path)
    sha256 = file_sha256(path)
    fits: dict[str, str] = {}
    others: dict[str, Misfit] = {}
    declared, named = set(), set()
    parts = [(entry, *each) for entry in entries for each in entry.layouts.items()]
    for entry, part, layout in parts:
        name = entry.named(part)
        try:
            match = match_file(entry, content, path, part=part)
        except WeightsError as error:
            reason = str(error).removeprefix(f"{path}: ").partition(". ")[0]
            others[name] = Misfit(_distance(entry, part, content, path), reason)
            continue
        if match.faults:
            lines = match.faulty_entries
            others[name] = Misfit(len(lines) + match.heads, "; ".join(match.faults), lines)
            continue
        hints = [what_counts(match), _prefix(content, layout, path)]
        published = entry.settings.weights.get(part)
        if published is not None and published.name == path.name:
            named.add(name)
            hints.append(f"is called {path.name}, as the published file")
        if entry.settings.sha256.get(part, "").lower() == sha256:
            declared.add(name)
            hints.insert(1, "has the sha256 that it declares")
        fits[name] = "; ".join(hint for hint in hints if hint)
    if not fits:
        elsewhere = (
            (e.named(part), _under_another_key(e, part, content, path)) for e, part, _ in parts
        )
        others |= {name: Misfit(0, reason) for name, reason in elsewhere if reason}
    order = sorted(fits, key=lambda name: (name not in declared, name not in named))
    near = sorted(others, key=lambda name: others[name].faults)
    return Fit(
        sha256,
        _content(content),
        {name: fits[name] for name in order},
        {name: others[name] for name in near},
        bool(declared),
    )


def _distance(entry: Entry, part: str, content: Any, path: Path) -> int:
    """Number of faults of a file that a model refuses; the largest for no such state dict."""
    network, layout = entry.network, entry.layouts[part]
    assert network is not None
    try:
        state = state_dict_of(content, wrappers=layout.wrappers, path=path, nested=layout.nested)
        match = match_weights(network.get_submodule(part), state, layout)
    except (WeightsError, KeyError, IndexError, RuntimeError, ValueError):
        return sys.maxsize
    return len(match.faulty_entries)


def _under_another_key(entry: Entry, part: str, content: Any, path: Path) -> str:
    """What to do where a file would fit, were its entries under another key; else empty."""
    wrappers = entry.layouts[part].wrappers
    wanted = wrappers[0]
    groups = content.items() if isinstance(content, Mapping) else ()
    for key, group in groups:
        if not isinstance(group, Mapping):
            continue
        moved = group if wanted is None else {**content, wanted: group}
        try:
            fits = not match_file(entry, moved, path, part=part).faults
        except WeightsError:
            continue
        if fits:
            places = " or ".join("bare" if each is None else f"under `{each}`" for each in wrappers)
            return (
                f"its entries fit, but lie under `{key}`, and are looked for {places}."
                " Save them there (torch.load, torch.save)."
            )
    return ""


def _content(content: Any) -> str:
    """The first names in a checkpoint, and how many entries dicts among them have."""
    if not isinstance(content, Mapping):
        return type(content).__name__
    sizes = {str(key): len(v) if isinstance(v, Mapping) else 0 for key, v in content.items()}
    return some([f"{key} ({size} entries)" if size else key for key, size in sizes.items()])


def _prefix(content: Any, layout: CheckpointLayout, path: Path) -> str:
    """Whether the file's keys begin as those of the published file, where that is known."""
    if layout.prefixed is None or path.suffix == ".safetensors":  # as vssl-train writes them
        return ""
    state = unwrapped(content, wrappers=layout.wrappers, path=path)
    prefixed = all(str(key).startswith("module.") for key in state)
    carry = "carry" if prefixed else "lack"
    if prefixed == layout.prefixed:
        return f"its keys {carry} `module.`, as in the published file"
    return f"but its keys {carry} `module.`, unlike the published file"
