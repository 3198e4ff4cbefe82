"""vssl-report: the paper's tables and figures over finished runs, and a page to look at them."""

from __future__ import annotations

from pathlib import Path

from vssl.cli.app import command_parser, console_script, given_path, whole_number
from vssl.core.files import output_folder


@console_script("evaluate")
def main() -> None:
    """Console script."""
    parser = command_parser(
        "vssl-report",
        "The paper's tables (Markdown, csv, LaTeX) and figures (SVG, PNG) over all finished runs"
        " below some folders, and one self-contained page with a threshold slider. Runs stand in"
        " one table only if they have one test set, protocol and list of ids; what is left out is"
        " listed with its reason.",
        example="vssl-report outputs --output report",
        runs="folders of runs, or above them (runs=FOLDER means the same)",
        output="where the report goes (default: report; output_dir=DIR means the same)",
    )
    option = parser.add_argument
    option("--policy", default="universal_q3", metavar="NAME",
           help="threshold policy of positives and negatives, one threshold for all maps"
           " (default: universal_q3)")  # fmt: skip
    option("--intervals", action="store_true", help="95 %% intervals in the LaTeX tables too")
    option("--no-page", dest="page", action="store_false", help="no index.html")
    option("--no-figures", dest="figures", action="store_false", help="no figures")
    option("--baselines", action="store_true", help="draw the baselines in the figures, too")
    option("--gallery", type=whole_number(0), default=60, metavar="N",
           help="samples in the page's gallery (60)")  # fmt: skip
    option("--sample", dest="samples", action="append", default=[], metavar="ID",
           help="a sample of the qualitative grids, in place of a small, a medium and a large"
           " object; can be given several times")  # fmt: skip
    option("--keep", type=given_path, default=None, metavar="DIR",
           help="also put a copy of each csv there, under the group's name")  # fmt: skip
    option("--expected", choices=("paper",), default=None,
           help="also a row for each of the paper's models that has no finished run")  # fmt: skip
    options = vars(parser.parse_intermixed_args())
    folders, _ = options.pop("runs"), options.pop("config_dir")
    output = (options.pop("output") or Path("report")).expanduser().absolute()
    # torch and matplotlib, once the command line is known to be right
    from vssl.runs.report import make_report

    with output_folder(output):
        make_report(folders, output, **options)
