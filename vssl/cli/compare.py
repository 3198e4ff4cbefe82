"""vssl-compare: how runs differ from each other, and from what was published."""

from __future__ import annotations

import argparse

from vssl.cli.app import command_parser, console_script, finite_number, whole_number
from vssl.core.errors import UsageError

THRESHOLDS = ("universal_q3",)
METRICS = ("ciou", "success_rate", "auc", "pia", "auc_n", "f_loc", "f_auc", "auroc")


@console_script("rescore")
def main() -> None:
    """Console script."""
    parser = _parser()
    options = vars(parser.parse_intermixed_args())
    if options["published"]:
        from vssl.reporting.published import report_published

        unused = [
            f"--{name}"
            for name, value in options.items()
            if value != parser.get_default(name) and name not in ("runs", "published", "output")
        ]
        if unused:
            names = ", ".join(unused)
            raise UsageError(f"--published shows summaries as they are; leave out {names}")
        report_published(options["runs"], options["output"])
        return
    from vssl.runs.compare import show_comparison

    del options["published"], options["config_dir"]
    show_comparison(
        options.pop("runs"),
        metrics=options.pop("metric") or METRICS,
        thresholds=options.pop("threshold") or THRESHOLDS,
        conditions=options.pop("condition") or (),
        margin=options.pop("margin") / 100,
        **options,
    )


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "vssl-compare",
        "Paired differences of runs from the first of them, on the images that all have: 95 %"
        " bootstrap interval, two-sided permutation test of a primary row and, with Holm's"
        " correction, of the others, and whether runs are tied within a margin. Or, with"
        " --published, runs beside published figures.",
        example="vssl-compare outputs/A outputs/B --primary f_loc/universal_q3 --output DIR;"
        " vssl-compare outputs/A --published",
        runs="folder of a run, or one above the only finished run below it",
        thresholds=THRESHOLDS,
        output="write the table there too",
        resampling=True,
    )
    option = parser.add_argument
    option("--metric", action="append", metavar="NAME",
           help=f"metric, repeatable ({', '.join(METRICS)})")  # fmt: skip
    option("--condition", action="append", metavar="NAME",
           help="audio condition, repeatable (all that there are)")  # fmt: skip
    option("--primary", metavar="ROW",
           help="row that is corrected for no other, [condition/]metric/policy; asks for that"
           " metric and policy too (all/f_loc/universal_q3 where it is there)")  # fmt: skip
    option("--margin", default=1.0, metavar="POINTS",
           type=finite_number("a number above 0", above=0),
           help="points within which runs are tied (1)")  # fmt: skip
    option("--variant", default="av", metavar="NAME", help="map variant, av or ogl (av)")
    option("--permutations", type=whole_number(1), metavar="N",
           help="random exchanges (10000, or as many as Holm needs)")  # fmt: skip
    option("--anyway", action="store_true", help="compare runs that are not comparable, and say so")
    option("--published", action="store_true", help="show runs beside published figures")
    return parser
