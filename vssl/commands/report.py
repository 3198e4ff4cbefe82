"""vssl-report: the paper's tables and figures over finished runs, and a page to look at them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.commands.app import command_parser, given_path, run_app, whole_number
from vssl.errors import UsageError
from vssl.records.files import output_folder

if TYPE_CHECKING:
    from vssl.reporting.report.collection import Collection

_LISTED = 20


def main() -> None:
    """Console script."""
    run_app(_parse_and_report, "evaluate")


def _parse_and_report() -> None:
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
    folders = options.pop("runs")
    output = (options.pop("output") or Path("report")).expanduser().absolute()
    with output_folder(output):
        make_report(folders, output, **options)


def make_report(
    folders: Sequence[Path],
    output: Path,
    *,
    policy: str = "universal_q3",
    page: bool = True,
    figures: bool = True,
    intervals: bool = False,
    gallery: int = 60,
    samples: Sequence[str] = (),
    keep: Path | None = None,
    expected: str | None = None,
) -> Collection:
    """Make a report over all finished runs below some folders, and say what it holds.

    The options are those of the command.

    Raises:
        UsageError: when there is no finished run, none has the policy, or none has a sample.
    """
    from rich.console import Console

    from vssl.commands.joined import JOINED_FOLDER, join_runs
    from vssl.reporting.names import PAPER_MODELS
    from vssl.reporting.report.collection import collect
    from vssl.reporting.report.figures import draw_figures
    from vssl.reporting.report.index import INDEX_FILE, INDEX_TEXT, describe_runs, write_index
    from vssl.reporting.report.page import write_page
    from vssl.reporting.report.paper import check_policy, write_tables

    collection = collect(folders, join=lambda runs: join_runs(runs, output / JOINED_FOLDER))
    lines = [f"{os.path.relpath(each.folder)}: {each.reason}" for each in collection.left_out]
    left_out = [f"  {line}" for line in lines[:_LISTED]]
    if len(lines) > _LISTED:
        where = ", see report.md" if collection.groups else ""
        left_out.append(f"  and {len(lines) - _LISTED} more{where}")
    if not collection.groups:
        text = f"{', '.join(map(str, folders))}: holds no finished run."
        hint = " vssl-evaluate makes runs, e.g. vssl-evaluate -m experiment=demo"
        raise UsageError("\n".join([f"{text} There are:", *left_out]) if lines else text + hint)
    check_policy(collection, policy)
    chosen = _chosen_samples(collection, samples)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print("\n".join(describe_runs(collection)))
    if lines:
        console.print("\n".join([f"left out: {len(lines)}", *left_out]))
    files: list[Path] = []
    tables, drawn = {}, {}
    for group in collection.groups:
        rows = PAPER_MODELS if expected == "paper" else ()
        tables[group.name] = write_tables(
            group, output, policy=policy, intervals=intervals, expected=rows
        )
        files += [output / f"paper_{group.name}{end}" for end in (".md", ".csv", ".tex")]
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files[-2], keep / f"{group.name}.csv")
        if figures:
            own = draw_figures(group, output, policy=policy, samples=chosen[group.name])
            files += [path for figure in own for path in (figure.svg, figure.png)]
            drawn[group.name] = own
    first = output / INDEX_TEXT
    if page:
        first = write_page(
            collection, output, figures=drawn, tables=tables, gallery=gallery, policy=policy
        )
        files.insert(0, first)
    write_index(collection, output, files, policy=policy)
    console.print(f"\nreport: {first}")
    console.print(f"{len(files)} files, listed in {INDEX_TEXT} and {INDEX_FILE}: {output}")
    if keep is not None:
        console.print(f"kept: {', '.join(str(keep / f'{name}.csv') for name in tables)}")
    return collection


def _chosen_samples(collection: Collection, samples: Sequence[str]) -> dict[str, list[str]]:
    """Which of some samples each group has, by its name; a sample that none has is refused."""
    from vssl.records.scores import Samples

    if not samples:
        return {group.name: [] for group in collection.groups}
    known = {group.name: set(Samples.of(group.runs[0].folder).ids) for group in collection.groups}
    everything = set().union(*known.values())
    if unknown := [name for name in samples if name not in everything]:
        raise UsageError(
            f"--sample {unknown[0]}: no run has a sample of that id. records.parquet lists them"
            " (sample_id)."
        )
    return {name: [s for s in dict.fromkeys(samples) if s in ids] for name, ids in known.items()}


if __name__ == "__main__":
    main()
