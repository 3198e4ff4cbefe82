"""Everything behind the paper's tables that runs with the files found, and a report."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from vssl.config.build import build_reader
from vssl.config.catalog import read_entries
from vssl.config.compose import composed_config
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.runs.report import make_report

EVALUATED_MODELS = ("rcgrad", "rcgrad_raw", "lvs", "ezvsl", "slavc", "fnac", "ssltie", "sslalign")
"""Models of the paper, and RCGrad's raw map, which can have a universal threshold."""

_TEST_SETS = {
    "vggss": "annotations: https://github.com/hche11/Localizing-Visual-Sounds-the-Hard-Way; the"
    " clips are YouTube's",
    "is3": "linked from https://github.com/kaistmm/SSLalignment",
}
"""Test sets of the paper, and where each comes from."""

_PRIOR = "prior=object_guided"


def run_paper(overrides: Sequence[str], output: Path | None, *, only_list: bool = False) -> None:
    """Evaluate what can be evaluated into `output`, report on it, and list what is missing.

    Without `output`, runs go into `paper/` below `paths.outputs`. `overrides` are as for
    vssl-evaluate.

    Raises:
        UsageError: at the end, when a sweep failed.
    """
    console = Console(soft_wrap=True, highlight=False, markup=False)
    models, test_sets, missing = _take_stock(overrides)
    if output is None:
        output = Path(str(composed_config("evaluate", overrides).paths.outputs)) / "paper"
    output = output.expanduser().absolute()
    evaluated = [name for name in models if name != _PRIOR]
    failed = []
    for name in test_sets if evaluated and not only_list else ():
        console.print(f"\n{name}: {', '.join(evaluated)}")
        command = [
            *(sys.executable, "-c", "from vssl.cli.evaluate import main; main()"),
            *("-m", f"experiment=paper_{name}"),
            f'hydra.sweeper.params.model="{",".join(evaluated)}"',
            f"output_root={output}",
            *([] if _PRIOR in models else ["prior=none"]),
            *overrides,
        ]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if not only_list and not output.is_dir():
        console.print(f"\nnothing was evaluated, so there is no report ({output})")
    elif not only_list:  # of what this call evaluated, or an earlier one
        try:
            make_report([output], output / "report", expected="paper")
        except UsageError as error:
            console.print(f"\nno report: {error}")
    found = ", ".join([*models, *(f"data={name}" for name in test_sets)])
    console.print(f"\nfound: {found or 'nothing'}")
    console.print(f"missing: {len(missing) or 'nothing'}")
    for line in missing:
        console.print(f"  {line}")
    if missing:
        console.print(
            "Put checkpoints under their published names into one folder, and test sets as vggss/"
            " and is3/ into another; then: make paper WEIGHTS=FOLDER DATA=FOLDER, or"
            " vssl-paper paths.weights=FOLDER paths.data=FOLDER. What is finished is not repeated."
        )
    if failed:
        raise UsageError(f"not all of {', '.join(failed)} was done: {output}/sweep.md says why.")


def _take_stock(overrides: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """List models with the object prior, test sets, and a line for each one that is missing."""
    weights = composed_config("evaluate", overrides).paths.weights
    known = read_entries([f'paths.weights="{weights}"'], EVALUATED_MODELS)
    entries = {entry.name: entry for entry in known}
    models, test_sets, missing = [], [], []
    for name in (*EVALUATED_MODELS, _PRIOR):
        state = entries[name].state
        if state.fits:
            models.append(name)
        else:
            missing.append(f"{name}: {state.details or state.state}")
    for name, source in _TEST_SETS.items():
        try:
            config = composed_config("evaluate", [f"experiment=paper_{name}", *overrides])
            build_reader(RunSettings.unchecked(config).data).count()
            test_sets.append(name)
        except UsageError as error:
            missing.append(f"data={name}: {error} ({source})")
    return models, test_sets, missing
