"""vssl-paper: everything behind the paper's tables that runs with the files found, and a report."""

from __future__ import annotations

from vssl.cli.app import command_parser, console_script


@console_script("evaluate")
def main() -> None:
    """Console script."""
    parser = command_parser(
        "vssl-paper",
        "Evaluates the paper's models on its test sets, as far as checkpoints and test sets are"
        " found, makes the report, and says what is missing and where it comes from.",
        example="vssl-paper paths.weights=/weights paths.data=/data",
        overrides="paths.weights=FOLDER, trainer=gpu",
        output="where runs go, and report/ (default: paper/ below paths.outputs)",
        config_dir=False,
    )
    parser.add_argument("--list", action="store_true", help="only say what is there and what not")
    options = parser.parse_intermixed_args()
    from vssl.runs.paper import run_paper

    run_paper(options.overrides, options.output, only_list=options.list)
