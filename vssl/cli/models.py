"""vssl-models: a table of all models, and which of them a checkpoint file belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vssl.cli.app import command_parser, given_path, run_app
from vssl.core.errors import UsageError

if TYPE_CHECKING:
    from vssl.config.catalog import Entry
    from vssl.models.base import CheckpointLayout, Pretrained


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
    from vssl.config.catalog import read_entries  # torch

    entries = read_entries(options.overrides, options.config_dir)
    if options.check is None:
        show_models(entries)
    else:
        check_file(options.check, entries, why=options.why)


def show_models(entries: Sequence[Entry]) -> None:
    """Print the table, and below it where every checkpoint is or comes from.

    Raises:
        UsageError: after the table, when a checkpoint that is there does not fit its model.
    """
    from rich.console import Console

    from vssl.config.catalog import read_state
    from vssl.reporting.tables.model import Table, text_columns, text_row
    from vssl.reporting.tables.render import show_table

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

    from vssl.config.catalog import match_file, what_counts
    from vssl.core.hashing import file_sha256
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
