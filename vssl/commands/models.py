"""vssl-models: a table of all models, and which of them a checkpoint file belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from vssl.commands.app import command_parser, given_path, run_app
from vssl.commands.identity import register_resolvers
from vssl.errors import UsageError

if TYPE_CHECKING:
    from vssl.models.base import CheckpointLayout, Pretrained
    from vssl.models.weights import Match


_OBJECT_PRIOR = "prior=object_guided"
_SHOWN_PARTS = 8


def main() -> None:
    """Console script."""
    run_app(_list_or_check, "models")


def _list_or_check() -> None:
    parser = command_parser(
        "vssl-models",
        "Lists all models: paper, licence of the original, map, front end, checkpoint.",
        example="vssl-models paths.weights=/weights; vssl-models --check download.pth",
        overrides="paths.weights=FOLDER",
        config_dir=True,
    )
    parser.add_argument(
        "--check", type=given_path, metavar="FILE", help="say which models a checkpoint file fits"
    )
    parser.add_argument(
        "--why", action="store_true", help="with --check, also why it does not fit the others"
    )
    options = parser.parse_intermixed_args()
    entries = read_entries(options.overrides, options.config_dir)
    if options.check is None:
        show_models(entries)
    else:
        check_file(options.check, entries, why=options.why)


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
    import torch

    from vssl.commands.networks import find_prior_weights, make_network
    from vssl.models.object_prior import PUBLISHED_FILES, ObjectPrior

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
                    network = make_network(facts)
            except UsageError:  # its class computes with values
                network = make_network(facts)
            path = facts["weights"] and Path(facts["weights"]).expanduser()
            entries.append(Entry(name, facts, network, path))
        config = compose("models", overrides=given)
        prior: Any = OmegaConf.to_container(config.prior, resolve=True)
        published = Path(config.paths.weights).expanduser() / PUBLISHED_FILES[0]
        path = find_prior_weights(config) or published
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
    from vssl.hashing import file_sha256
    from vssl.models.checkpoints import WeightsError, read_checkpoint

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
    from vssl.models.checkpoints import state_dict_of
    from vssl.models.weights import match_weights

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


def show_models(entries: Sequence[Entry]) -> None:
    """Print the table, and below it where every checkpoint is or comes from.

    Raises:
        UsageError: after the table, when a checkpoint that is there does not fit its model.
    """
    from rich.console import Console

    from vssl.reporting.renderers import show_table
    from vssl.reporting.tables import Table, text_columns, text_row

    checkpoints = [read_state(entry) for entry in entries]
    rows = []
    for entry, checkpoint in zip(entries, checkpoints, strict=True):
        match = checkpoint.match
        facts = [str(entry.facts.get(fact) or "") for fact in ("paper", "year", "licence")]
        facts += [*_map(entry.network), _front_end(entry.facts)]
        facts += ["", ""] if match is None else [f"{match.used:,}", f"{match.ignored_values:,}"]
        rows.append(text_row(entry.name, *facts, checkpoint.state))
    texts = ("paper", "licence", "front end", "checkpoint")
    headers = ("paper", "year", "licence", "map", "range", "front end", "used", "ignored")
    columns = text_columns(*headers, "checkpoint", text=texts)
    console = Console(highlight=False)
    show_table(console, Table("models", columns, tuple(rows), label="model"))
    for entry, checkpoint in zip(entries, checkpoints, strict=True):
        if checkpoint.details:
            console.print(f"{entry.name}: {checkpoint.details}", soft_wrap=True)
    faults = [checkpoint.details for checkpoint in checkpoints if checkpoint.fault]
    if faults:
        raise UsageError("; ".join(faults))


def _map(network: Pretrained) -> tuple[str, str]:
    """Size and range of the native map."""
    from vssl.models.base import LocalizationModel

    if not isinstance(network, LocalizationModel):
        return "7 x 7", "[0, ∞)"
    height, width = network.map_size
    low, high = network.value_range
    bounds = f"[{low:g}, {high:g}]" if high < float("inf") else f"[{low:g}, ∞)"
    return f"{height} x {width}", bounds


def _front_end(facts: Mapping[str, Any]) -> str:
    """The front end in words: window, class and settings."""
    from hydra.utils import instantiate

    if facts.get("frontend") is None:
        return "takes no audio"
    frontend = instantiate(facts["frontend"])
    window, settings = getattr(frontend, "window", None), getattr(frontend, "extra_repr", str)()
    parts = [type(window).__name__ if window is not None else "", type(frontend).__name__, settings]
    return ", ".join(part for part in parts if part)


def check_file(path: Path, entries: Sequence[Entry], *, why: bool = False) -> None:
    """Say which models a file fits; where none, or with `why`, what the others lack or do not know.

    Raises:
        WeightsError: when the file cannot be read safely.
        UsageError: when it fits none.
    """
    from rich.console import Console

    from vssl.hashing import file_sha256
    from vssl.models.checkpoints import WeightsError, read_checkpoint

    if not path.is_file():
        raise UsageError(f"{path}: no such file (--check)")
    content = read_checkpoint(path)
    sha256 = file_sha256(path)
    fits: dict[str, str] = {}
    others: dict[str, str] = {}
    declared = {entry.name for entry in entries if entry.facts.get("sha256") == sha256}
    for entry in entries:
        layout = entry.network.checkpoint
        if layout is None:
            continue
        try:
            match = match_file(entry, content, path)
        except WeightsError as error:
            others[entry.name] = str(error).removeprefix(f"{path}: ").partition(". ")[0]
            continue
        if match.faults:
            others[entry.name] = "; ".join(match.faults)
        else:
            known = "has the sha256 that it declares" if entry.name in declared else ""
            hints = [what_counts(match), known, _prefix(content, layout)]
            fits[entry.name] = "; ".join(hint for hint in hints if hint)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{path}: sha256 {sha256}")
    for name in sorted(fits, key=lambda name: name not in declared):
        console.print(f"  fits {name}: {fits[name]}")
    if len(fits) > 1 and not declared & fits.keys():
        console.print(
            "  These have one layout: the file cannot say which of them it is; its source can."
        )
    if fits and not why:
        console.print(f"  fits none of the other {len(others)}; --why says what each lacks")
        return
    for name, text in others.items():
        console.print(f"  not {name}: {text}")
    if not fits:
        raise UsageError(
            f"{path}: fits no model. The lists above say what each of them lacks or does not know."
        )


def _prefix(content: Any, layout: CheckpointLayout) -> str:
    """Whether the file's keys begin as those of the published file, where that is known."""
    if layout.prefixed is None:
        return ""
    state = content if layout.wrapper is None else content[layout.wrapper]
    prefixed = all(str(key).startswith("module.") for key in state)
    carry = "carry" if prefixed else "lack"
    if prefixed == layout.prefixed:
        return f"its keys {carry} `module.`, as in the published file"
    return f"but its keys {carry} `module.`, unlike the published file"


if __name__ == "__main__":
    main()
