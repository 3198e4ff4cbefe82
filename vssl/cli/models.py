"""vssl-models: a table of all models, and which of them a checkpoint file belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.cli.app import command_parser, console_script, given_path
from vssl.core.errors import UsageError

if TYPE_CHECKING:
    from vssl.config.catalog import Entry

_NEAREST = 3
"""Models that are named where a file fits none."""


@console_script("models")
def main() -> None:
    """Console script."""
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
    from vssl.config.catalog import read_entries

    entries = read_entries(options.overrides)
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

    from vssl.config.catalog import model_table, read_state
    from vssl.reporting.tables.render import show_table

    states = {entry.name: read_state(entry) for entry in entries}
    console = Console(highlight=False)
    show_table(console, model_table(entries, states))
    for name, state in states.items():
        if state.details:
            console.print(f"{name}: {state.details}", soft_wrap=True)
    faults = [state.details for state in states.values() if state.fault]
    if faults:
        raise UsageError("; ".join(faults))


def check_file(path: Path, entries: Sequence[Entry], *, why: bool = False) -> None:
    """Say which models a file fits; where none, what the nearest lack or do not know.

    `why` says so of all others.

    Raises:
        WeightsError: when the file cannot be read safely.
        UsageError: when it fits none.
    """
    from rich.console import Console

    from vssl.config.catalog import sort_by_fit

    fit = sort_by_fit(path, entries)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{path}: sha256 {fit.sha256}")
    for name, text in fit.fits.items():
        console.print(f"  fits {name}: {text}")
    if len(fit.fits) > 1 and not fit.declared:
        console.print(
            "  These have one layout: the file cannot say which of them it is; its source can."
        )
    if fit.fits and not why:
        console.print(f"  fits none of the other {len(fit.others)}; --why says what each lacks")
        return
    shown = list(fit.others) if why else list(fit.others)[:_NEAREST]
    for name in shown:
        console.print(f"  not {name}: {fit.others[name]}")
    if not fit.fits:
        more = "" if why else f"; --why says so of the other {len(fit.others) - len(shown)}"
        raise UsageError(
            f"{path}: fits no model. The list above says what it lacks of each and has besides, the"
            f" nearest model first{more}."
        )
