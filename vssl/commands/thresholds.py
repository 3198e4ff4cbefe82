"""vssl-thresholds: F_LOC over the threshold, the best threshold, regret and transfer."""

from __future__ import annotations

import argparse
from pathlib import Path

from vssl.commands.app import add_resampling_options, given_path, run_app, whole_number
from vssl.commands.run_folder import run_in
from vssl.records.files import output_folder

POLICIES = (
    *("universal_max", "universal_max10", "universal_q3"),
    *("false_alarm_1", "false_alarm_5", "false_alarm_10"),
)
"""Policies that are studied where none are named."""


def main() -> None:
    """Console script."""
    run_app(_main, "rescore")


def _main() -> None:
    options = _parse()
    from vssl.commands.score import policies_named
    from vssl.records.study import study_thresholds
    from vssl.reporting.study import write_study

    runs = list(dict.fromkeys(run_in(folder.absolute()) for folder in options.runs))
    names = options.threshold or POLICIES
    with output_folder(options.output.absolute()):
        study = study_thresholds(
            runs,
            policies_named(names),
            points=options.points,
            resamples=options.resamples,
            seed=options.seed,
        )
        write_study(study, options.output.absolute(), resamples=options.resamples)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="vssl-thresholds",
        description="How good universal thresholds are: F_LOC as a function of the threshold, the"
        " best achievable one, what each policy loses against it (regret), cIoU and success rate at"
        " equal rates of false alarms, and, for several runs of one model, thresholds learnt on"
        " each applied to all (transfer).",
        epilog="example: vssl-thresholds <vggss run> <is3 run> --output study",
    )
    parser.add_argument(
        "runs", nargs="+", type=given_path, metavar="RUN",
        help="finished runs, or folders above a single one",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=given_path, default=Path("thresholds"), metavar="DIR",
        help="where curves.parquet, thresholds.parquet, .csv and .md go (default: thresholds)",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", action="append", metavar="NAME",
        help="policy with one threshold for all maps, several times for several (default:"
        f" {', '.join(POLICIES)})",
    )  # fmt: skip
    parser.add_argument(
        "--points", type=whole_number(1), default=501, metavar="N", help="of a curve (501)"
    )
    add_resampling_options(parser)
    return parser.parse_args()
