"""vssl-export-plan: the images and sounds of an evaluation, for a model that vssl cannot run."""

from __future__ import annotations

import logging
from pathlib import Path

from vssl.cli.app import command_parser, console_script
from vssl.config.compose import composed_config
from vssl.config.settings import RunSettings
from vssl.core.console import quieten_libraries
from vssl.core.errors import UsageError


@console_script("evaluate")
def main() -> None:
    """Console script."""
    quieten_libraries()
    parser = command_parser(
        "vssl-export-plan",
        "Writes what a program outside of vssl has to compute: a table of images and sounds, a map"
        " for each row, and the negatives as wav files (docs/stored-maps.md).",
        example="vssl-export-plan data=vggss data.root=vggss negatives=all output=plan",
        overrides="data=vggss data.root=DIR negatives=all seed=1",
        config_dir=True,
    )
    parser.usage = "vssl-export-plan output=DIR data=NAME [negatives=NAME] [key=value ...]"
    words = parser.parse_intermixed_args().overrides
    outputs = [word.partition("=")[2] for word in words if word.startswith("output=")]
    if not outputs or not outputs[-1].strip():
        raise UsageError("output is not set. Set output=<folder for the plan and the sounds>.")
    rest = [word for word in words if not word.startswith("output=")]
    given = any(word.startswith("model=") for word in rest)
    settings = RunSettings.of(composed_config("evaluate", [*([] if given else [_NONE]), *rest]))
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    from vssl.runs.export_plan import export_plan  # torch

    export_plan(settings, Path(outputs[-1]).expanduser().absolute())


_NONE = "model=center"  # takes no audio, so that clips are whole and at 16 kHz


if __name__ == "__main__":
    main()
