"""vssl-audit: what each departure of the released protocol does to the published figures."""

from __future__ import annotations

import logging
from pathlib import Path

from vssl.cli.app import command_parser, console_script
from vssl.core.files import output_folder
from vssl.records.files import run_in

AUDIT_THRESHOLDS = ("universal_q3", "released_q3")


@console_script("rescore")
def main() -> None:
    """Console script."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = command_parser(
        "vssl-audit",
        "For each model: what every departure of protocol=released from protocol=corrected"
        " changes, one at a time and all together, in points. Departures that change what a network"
        " is shown are evaluated anew, unless runs with that one switch are given (vssl-evaluate -m"
        " experiment=protocol_audit makes them).",
        example="vssl-audit outputs/lvs/vggss/all/released/1a2b3c4d"
        " outputs/lvs/vggss/all/corrected/5e6f7a8b",
        runs="folders of finished runs: for each model one released and one corrected, on the same"
        " samples and negatives",
        thresholds=AUDIT_THRESHOLDS,
        output="where audit.parquet, .csv, .md and the runs in between go (default: audit)",
        resampling=True,
    )
    parser.add_argument(
        "--no-evaluate", action="store_true",
        help="leave out, and list, departures that need the network and the data again",
    )  # fmt: skip
    options = parser.parse_intermixed_args()
    output = (options.output or Path("audit")).absolute()
    from vssl.runs.audit import audit

    with output_folder(output):
        audit(
            [run_in(folder.absolute()) for folder in options.runs],
            output,
            policies=options.threshold or AUDIT_THRESHOLDS,
            evaluate=not options.no_evaluate,
            resamples=options.resamples,
            seed=options.seed,
        )
