"""vssl-thresholds: F_LOC over the threshold, the best threshold, regret and transfer."""

from __future__ import annotations

from pathlib import Path

from vssl.cli.app import command_parser, console_script, whole_number
from vssl.core.files import output_folder
from vssl.records.files import run_in

POLICIES = (
    *("universal_max", "universal_max10", "universal_q3"),
    *("false_alarm_1", "false_alarm_5", "false_alarm_10"),
)
"""Policies that are studied where none are named."""


@console_script("rescore")
def main() -> None:
    """Console script."""
    parser = command_parser(
        "vssl-thresholds",
        "How good universal thresholds are: F_LOC as a function of the threshold, the best"
        " achievable one, what each policy loses against it (regret), cIoU and success rate at"
        " equal rates of false alarms, and, for several runs of one model, thresholds learnt on"
        " each applied to all (transfer).",
        example="vssl-thresholds <vggss run> <is3 run> --output study",
        runs="finished runs, or folders above a single one",
        thresholds=POLICIES,
        output="where curves.parquet, thresholds.parquet, .csv and .md go (default: thresholds)",
        config_dir=True,
        resampling=True,
    )
    parser.add_argument(
        "--points", type=whole_number(1), default=501, metavar="N", help="of a curve (501)"
    )
    options = parser.parse_intermixed_args()
    from vssl.analysis.threshold_study import study_thresholds
    from vssl.config.build import policies_named
    from vssl.reporting.tables.threshold_study import write_study

    runs = list(dict.fromkeys(run_in(folder.absolute()) for folder in options.runs))
    output = (options.output or Path("thresholds")).absolute()
    with output_folder(output):
        study = study_thresholds(
            runs,
            policies_named(options.threshold or POLICIES),
            points=options.points,
            resamples=options.resamples,
            seed=options.seed,
        )
        write_study(study, output, resamples=options.resamples)
