"""vssl-paper: everything behind the paper's tables that runs with the files found, and a report."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.commands.app import given_path, run_app
from vssl.commands.identity import composed_config
from vssl.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

MODELS = ("rcgrad", "rcgrad_raw", "lvs", "ezvsl", "slavc", "fnac", "ssltie", "sslalign")
"""Models of the paper, and RCGrad's raw map, which can have a universal threshold."""

_TEST_SETS = {
    "vggss": "annotations: https://github.com/hche11/Localizing-Visual-Sounds-the-Hard-Way; the"
    " clips are YouTube's",
    "is3": "linked from https://github.com/kaistmm/SSLalignment",
}
"""Test sets of the paper, and where each comes from."""

_PRIOR = "prior=object_guided"
_EVALUATE = "from vssl.commands.evaluate import main; main()"


@dataclass(frozen=True)
class Stock:
    """What is there of what the paper's tables need.

    Attributes:
        models: whose checkpoints are there.
        test_sets: that can be read.
        guided: whether the object prior's weights are there.
        missing: what is not, a line each: what, why, and where it comes from.
    """

    models: tuple[str, ...]
    test_sets: tuple[str, ...]
    guided: bool
    missing: tuple[str, ...]


def main() -> None:
    """Console script."""
    run_app(_main, "evaluate")


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="vssl-paper",
        description="Evaluates the paper's models on its test sets, as far as checkpoints and test"
        " sets are found, makes the report, and says what is missing and where it comes from.",
        epilog="example: vssl-paper paths.weights=/weights paths.data=/data",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value",
        help="as for vssl-evaluate, e.g. paths.weights=FOLDER, trainer=gpu",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=given_path, default=None, metavar="DIR",
        help="where runs go, and report/ (default: paper/ below paths.outputs)",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="only say what is there and what not")
    options = parser.parse_args()
    run_paper(options.overrides, options.output, only_list=options.list)


def run_paper(overrides: Sequence[str], output: Path | None, *, only_list: bool = False) -> None:
    """Evaluate what can be evaluated, report on it, and list what is missing.

    Args:
        overrides: as for vssl-evaluate.
        output: where runs go; None takes `paper/` below `paths.outputs`.
        only_list: whether nothing is evaluated.

    Raises:
        UsageError: at the end, when a sweep failed.
    """
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    stock = take_stock(overrides)
    if output is None:
        output = Path(str(composed_config("evaluate", overrides).paths.outputs)) / "paper"
    output = output.expanduser().absolute()
    failed = []
    if not only_list and stock.models:
        for name in stock.test_sets:
            console.print(f"\n{name}: {', '.join(stock.models)}", markup=False)
            if not _sweep(name, stock, overrides, output):
                failed.append(name)
    if not only_list:
        _report(console, output)
    _list(console, stock)
    if failed:
        raise UsageError(f"not all of {', '.join(failed)} was done: {output}/sweep.md says why.")


def take_stock(overrides: Sequence[str]) -> Stock:
    """Look for checkpoints, the object prior's weights and the test sets.

    Args:
        overrides: as for vssl-evaluate.
    """
    from vssl.commands.models import read_entries, read_state

    weights = composed_config("evaluate", overrides).paths.weights
    entries = {entry.name: entry for entry in read_entries([f'paths.weights="{weights}"'])}
    missing = []
    there = []
    for name in (*MODELS, _PRIOR):
        state = read_state(entries[name])
        if state.fits:
            there.append(name)
        else:
            missing.append(f"{name}: {state.details or state.state}")
    test_sets = []
    for name, source in _TEST_SETS.items():
        fault = _fault_of(name, overrides)
        if fault:
            missing.append(f"data={name}: {fault} ({source})")
        else:
            test_sets.append(name)
    models = tuple(name for name in there if name != _PRIOR)
    return Stock(models, tuple(test_sets), _PRIOR in there, tuple(missing))


def _fault_of(name: str, overrides: Sequence[str]) -> str:
    """Why a test set cannot be read; empty where it can."""
    from vssl.commands.build import build_reader

    try:
        config = composed_config("evaluate", [f"experiment=paper_{name}", *overrides])
        build_reader(config).count()
    except UsageError as error:
        return str(error)
    return ""


def _sweep(name: str, stock: Stock, overrides: Sequence[str], output: Path) -> bool:
    """Evaluate the models that are there on a test set; whether all of it was done."""
    command = [
        *(sys.executable, "-c", _EVALUATE, "-m", f"experiment=paper_{name}"),
        f'hydra.sweeper.params.model="{",".join(stock.models)}"',
        f"output_root={output}",
        *([] if stock.guided else ["prior=none"]),
        *overrides,
    ]
    return subprocess.run(command, check=False).returncode == 0


def _report(console: Console, output: Path) -> None:
    """The report over what is there, of this call or an earlier one."""
    from vssl.commands.report import make_report

    if not output.is_dir():
        console.print(f"\nnothing was evaluated, so there is no report ({output})", markup=False)
        return
    try:
        make_report([output], output / "report", expected="paper")
    except UsageError as error:
        console.print(f"\nno report: {error}", markup=False)


def _list(console: Console, stock: Stock) -> None:
    found = [*stock.models, *([_PRIOR] if stock.guided else [])]
    found += [f"data={name}" for name in stock.test_sets]
    console.print(f"\nfound: {', '.join(found) or 'nothing'}", markup=False)
    if not stock.missing:
        console.print("missing: nothing")
        return
    console.print(f"missing: {len(stock.missing)}")
    for line in stock.missing:
        console.print(f"  {line}", markup=False)
    console.print(
        "Put checkpoints under their published names into one folder, and test sets as vggss/ and"
        " is3/ into another; then: make paper WEIGHTS=FOLDER DATA=FOLDER, or"
        " vssl-paper paths.weights=FOLDER paths.data=FOLDER. What is finished is not repeated.",
        markup=False,
    )


if __name__ == "__main__":
    main()
