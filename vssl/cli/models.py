"""vssl-models: a table of all models, and which of them a checkpoint file belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.cli.app import command_parser, console_script, given_path
from vssl.core.errors import UsageError

if TYPE_CHECKING:
    from vssl.config.catalog import Entry

_NEAREST = 3  # models that are named where a file fits none


@console_script("models")
def main() -> None:
    """Console script."""
    parser = command_parser(
        "vssl-models",
        "Lists all models: paper, licence of the original, map, front end, checkpoint.",
        example="vssl-models paths.weights=/weights; vssl-models --check download.pth",
        overrides="paths.weights=FOLDER",
    )
    parser.add_argument(
        "--check", type=given_path, metavar="FILE",
        help="say which model a checkpoint file fits, or which part of one",
    )  # fmt: skip
    parser.add_argument(
        "--why", action="store_true",
        help="with --check, also why it does not fit the others; where it fits none, every entry"
        " that the nearest lack or do not know",
    )  # fmt: skip
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

    from vssl.config.catalog import model_table
    from vssl.reporting.tables.render import show_table

    console = Console(highlight=False)
    show_table(console, model_table(entries))
    faults = []
    for entry in entries:
        if entry.needs:
            console.print(f"{entry.name}: {entry.state.state}", markup=False)
        for part, state in entry.parts.items():
            if state.details:
                line = f"{entry.named(part)}: {state.details}"
                console.print(line, markup=False, soft_wrap=True)
            faults += [state.details] if state.fault else []
    if faults:
        raise UsageError("; ".join(faults))


def check_file(path: Path, entries: Sequence[Entry], *, why: bool = False) -> None:
    """Say which models a file fits; where none, what the nearest lack or do not know.

    `why` says so of all others, and where it fits none lists every entry that does not fit the
    nearest.

    Raises:
        WeightsError: when the file cannot be read safely.
        UsageError: when it fits none.
    """
    from rich.console import Console

    from vssl.config.catalog import sort_by_fit

    fit = sort_by_fit(path, entries)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"{path}: sha256 {fit.sha256}; holds {fit.holds}")
    for name, text in fit.fits.items():
        console.print(f"  fits {name}: {text}")
    if len(fit.fits) > 1 and not fit.declared:
        console.print(
            "  These have one layout: the file cannot say which of them it is; its source can."
        )
    for entry in entries:
        if entry.needs:
            console.print(f"  not compared with {entry.name}: {entry.needs}")
    if fit.fits and not why:
        console.print(f"  fits none of the other {len(fit.others)}; --why says what each lacks")
        return
    shown = list(fit.others) if why else list(fit.others)[:_NEAREST]
    for number, name in enumerate(shown):
        misfit = fit.others[name]
        console.print(f"  not {name}: {misfit.reason}")
        if why and not fit.fits and number < _NEAREST:
            for line in misfit.entries:
                console.print(f"    {line}")
    if not fit.fits:
        others = f"the other {len(fit.others) - len(shown)}"
        more = "" if why else f"; --why says so of {others}, and lists all entries of the nearest"
        compared = " that it was compared with" if any(entry.needs for entry in entries) else ""
        raise UsageError(
            f"{path}: fits no model{compared}. The list above says what it lacks of each and has"
            f" besides, the nearest model first{more}."
        )
