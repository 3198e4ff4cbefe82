"""vssl: one program with all commands; `vssl evaluate ...` is `vssl-evaluate ...`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import vssl
from vssl.core.choices import did_you_mean
from vssl.core.console import fail

COMMANDS = {
    "evaluate": "a model over a test set, on positives and negatives; with -m many of them",
    "check": "what a test set holds, its faults, and a picture of its samples",
    "rescore": "new thresholds and metrics from a finished run, in seconds",
    "report": "tables, figures and one page over finished runs",
    "compare": "paired differences of runs, with intervals and tests; or beside published figures",
    "thresholds": "how good universal thresholds are, and how they transfer",
    "audit": "what each switch of protocol=released does to the numbers",
    "localize": "does something in this image or video make this sound, and where?",
    "demo": "a page to change the sound of a picture and watch the map",
    "prepare": "the frames and sounds of a test set, from its videos",
    "export-plan": "images and sounds of an evaluation, for a model that vssl cannot run",
    "train": "train a model that vssl evaluates, with or without negative audio",
    "models": "all models, and which of them a checkpoint belongs to",
    "paper": "everything behind the paper's tables that runs with the files found",
    "dashboard": "the wandb dashboard of a project",
}
"""Commands with a line each. `vssl.cli.<command>`, `_` for `-`, has the command's `main`."""

_BEGIN = """
begin:  vssl evaluate -m model=tiny_deaf data.scenes=40   a small model on drawn scenes
        vssl evaluate -m experiment=debug                 every part of vssl on four samples
        vssl COMMAND --help                               options and examples of a command
        vssl demo                                         change the sound, watch the map
read:   docs/start.md, ten minutes; docs/evaluate.md; help(vssl) in Python
"""


def main() -> None:
    """Console script."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help") and not rest:
        lines = [f"  {name:<11} {line}" for name, line in COMMANDS.items()]
        title = f"vssl {vssl.__version__}: evaluation of visual sound source localization"
        usage = "usage: vssl COMMAND ...  (vssl-COMMAND is the same)"
        sys.stdout.write("\n".join([title, "", usage, "", *lines, _BEGIN]))
    elif name == "--version":
        sys.stdout.write(f"vssl {vssl.__version__}\n")
    elif name in COMMANDS:
        # Lightning starts the further processes of a run with the script that `sys.argv` names
        sys.argv = [str(Path(sys.argv[0]).with_name(f"vssl-{name}")), *rest]
        importlib.import_module(f"vssl.cli.{name.replace('-', '_')}").main()
    else:
        hint = did_you_mean(name, COMMANDS, " Did you mean `vssl {}`?")
        fail(f"vssl {name}: no such command.{hint} There are: {', '.join(COMMANDS)}", status=2)


if __name__ == "__main__":
    main()
