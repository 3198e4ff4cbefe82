"""vssl-thresholds: F_LOC over the threshold, regret, transfer; the price of choosing one."""

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


RULES = ("half_image", "half_range", "fixed", "universal_max", "universal_q3", "false_alarm_10")
"""Policies that `--price` compares with, where none are named."""


@console_script("rescore")
def main() -> None:
    """Console script."""
    parser = command_parser(
        "vssl-thresholds",
        "How good universal thresholds are: F_LOC as a function of the threshold, the best"
        " achievable one, what each policy loses against it (regret), cIoU and success rate at"
        " equal rates of false alarms, and, for several runs of one model, thresholds learnt on"
        " each applied to all (transfer). Or, with --price, what choosing a threshold by the ground"
        " truth of the test set buys, against choosing it on half of the images and not choosing.",
        example="vssl-thresholds <vggss run> <is3 run> --output study; vssl-thresholds <vggss run>"
        " --price best_of_19",
        runs="finished runs, or folders above a single one",
        thresholds=POLICIES,
        output="where curves.parquet, thresholds.parquet, .csv and .md go, or price.parquet, .csv"
        " and .md (default: thresholds)",
        resampling=True,
    )
    parser.add_argument(
        "--points", type=whole_number(1), default=501, metavar="N", help="of a curve (501)"
    )
    parser.add_argument(
        "--price", action="append", metavar="NAME",
        help="policy that is chosen by ground truth, e.g. best_of_19; can be repeated. --threshold"
        f" then names what to compare with (default: {', '.join(RULES)})",
    )  # fmt: skip
    options = parser.parse_intermixed_args()
    from vssl.analysis.price import price_choices
    from vssl.analysis.threshold_study import study_thresholds
    from vssl.config.build import policies_named
    from vssl.reporting.tables.threshold_study import write_price, write_study

    runs = list(dict.fromkeys(run_in(folder.absolute()) for folder in options.runs))
    output = (options.output or Path("thresholds")).absolute()
    resampling = {"resamples": options.resamples, "seed": options.seed}
    with output_folder(output):
        if options.price:
            others = policies_named(options.threshold or RULES)
            rows = price_choices(runs, policies_named(options.price), others, **resampling)
            write_price(rows, output, resamples=options.resamples)
            return
        policies = policies_named(options.threshold or POLICIES)
        study = study_thresholds(runs, policies, points=options.points, **resampling)
        write_study(study, output, resamples=options.resamples)
