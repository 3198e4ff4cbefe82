"""vssl-export-plan: what has to be computed elsewhere, for `model=stored`."""

from __future__ import annotations

import logging
import sys

from vssl.cli.app import command_parser, console_script, output_as_option
from vssl.config.compose import composed_config
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError


@console_script("evaluate")
def main() -> None:
    """Console script."""
    parser = command_parser(
        "vssl-export-plan",
        "Writes which maps an evaluation needs: DIR/plan.csv (sample_id, condition, draw, image,"
        " audio, map) and every negative as a wav file. Options are those of vssl-evaluate:"
        " data=..., negatives=..., seed=...",
        example="vssl-export-plan data=vggss data.root=/data/vggss negatives=all output=plan",
        overrides="data=vggss data.root=DIR negatives=all; output=DIR",
        output="the folder; also output=DIR",
    )
    options = parser.parse_intermixed_args(output_as_option(sys.argv[1:]))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for word in options.overrides:
        key = word.partition("=")[0]
        if key in ("model", "protocol", "prior"):
            raise UsageError(f"{word}: a plan does not depend on {key}. Leave it out.")
    if options.output is None:
        raise UsageError("output is not set. Set output=DIR, the folder for the plan.")
    settings = RunSettings.of(composed_config("evaluate", ["model=stored", *options.overrides]))
    from vssl.runs.export_plan import export_plan

    export_plan(settings, options.output.absolute())
