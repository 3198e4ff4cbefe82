"""vssl-report: the paper's tables and figures over finished runs, and a page to look at them."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.commands.app import given_path, run_app, whole_number
from vssl.errors import UsageError
from vssl.records.files import output_folder

if TYPE_CHECKING:
    from rich.console import Console

    from vssl.reporting.report.collection import Collection, LeftOut

_SHOWN = 20


def main() -> None:
    """Console script."""
    run_app(_main, "evaluate")


def _main() -> None:
    options = _parse()
    folders, output = _words(options.folders, options.output)
    with output_folder(output):
        make_report(
            folders,
            output,
            policy=options.policy,
            page=options.page,
            figures=options.figures,
            intervals=options.intervals,
            gallery=options.gallery,
            samples=options.samples,
            keep=options.keep,
            expected=options.expected,
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="vssl-report",
        description="The paper's tables (Markdown, csv, LaTeX) and figures (SVG, PNG) over all"
        " finished runs below some folders, and one self-contained page with a threshold slider."
        " Runs stand in one table only if they have one test set, protocol and list of ids; what is"
        " left out is listed with its reason.",
        epilog="example: vssl-report outputs --output report",
    )
    parser.add_argument(
        "folders", nargs="+", metavar="FOLDER",
        help="folders of runs, or above them (runs=FOLDER means the same)",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=given_path, default=None, metavar="DIR",
        help="where the report goes (default: report; output_dir=DIR means the same)",
    )  # fmt: skip
    parser.add_argument(
        "--policy", default="universal_q3", metavar="NAME",
        help="threshold policy of positives and negatives, one threshold for all maps"
        " (default: universal_q3)",
    )  # fmt: skip
    parser.add_argument(
        "--intervals", action="store_true", help="95 %% intervals in the LaTeX tables too"
    )
    parser.add_argument("--no-page", dest="page", action="store_false", help="no index.html")
    parser.add_argument("--no-figures", dest="figures", action="store_false", help="no figures")
    parser.add_argument(
        "--gallery", type=whole_number(0), default=60, metavar="N",
        help="samples in the page's gallery (60)",
    )  # fmt: skip
    parser.add_argument(
        "--sample", dest="samples", action="append", default=[], metavar="ID",
        help="a sample of the qualitative grids, in place of a small, a medium and a large object;"
        " can be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=given_path, default=None, metavar="DIR",
        help="also put a copy of each csv there, under the group's name: results to keep",
    )  # fmt: skip
    parser.add_argument(
        "--expected", choices=("paper",), default=None,
        help="also a row for each of the paper's models of which no finished run was found",
    )  # fmt: skip
    return parser.parse_args()


def _words(given: Sequence[str], output: Path | None) -> tuple[list[Path], Path]:
    """Folders and output, also where they are written as vssl-evaluate's overrides are."""
    folders: list[Path] = []
    for word in given:
        if word.startswith("output_dir="):
            output = _path(word, "output_dir=")
        else:
            folders.append(_path(word, "runs=").expanduser())
    if not folders:
        raise UsageError("no folder is given. Name the folders of runs, e.g. vssl-report outputs")
    return folders, (output or Path("report")).expanduser().absolute()


def _path(word: str, key: str) -> Path:
    path = word.removeprefix(key)
    if not path.strip():
        raise UsageError(f"Expected `{word or 'FOLDER'}` to name a folder, but it is empty.")
    return Path(path)


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

    Args:
        folders: folders of runs, or above them.
        output: the report's folder, made where it is missing.
        policy: threshold policy of positives and negatives.
        page: whether to write the page.
        figures: whether to draw figures.
        intervals: whether LaTeX has intervals.
        gallery: samples in the page's gallery.
        samples: ids of the qualitative grids' samples; none takes three by the object's size.
        keep: where copies of the csv files go; None keeps none.
        expected: `paper` for rows of the paper's models that have no run; None for none.

    Returns:
        What was found.

    Raises:
        UsageError: when there is no finished run, none has the policy, or none has a sample.
    """
    from rich.console import Console

    from vssl.commands.joined import JOINED_FOLDER, join_runs
    from vssl.reporting.names import PAPER_MODELS
    from vssl.reporting.report.collection import collect
    from vssl.reporting.report.figures import draw_figures
    from vssl.reporting.report.index import INDEX_FILE, INDEX_TEXT, write_index
    from vssl.reporting.report.page import write_page
    from vssl.reporting.report.paper import check_policy
    from vssl.reporting.report.write import write_tables

    collection = collect(folders, join=lambda runs: join_runs(runs, output / JOINED_FOLDER))
    if not collection.groups:
        raise UsageError(_nothing(folders, collection.left_out))
    check_policy(collection, policy)
    chosen = _chosen(collection, samples)
    console = Console(soft_wrap=True, highlight=False)
    _show_found(console, collection)
    rows = PAPER_MODELS if expected == "paper" else ()
    files: list[Path] = []
    tables, drawn = {}, {}
    for group in collection.groups:
        tables[group.name] = write_tables(
            group, output, policy=policy, intervals=intervals, expected=rows
        )
        texts = [output / f"paper_{group.name}{suffix}" for suffix in (".md", ".csv", ".tex")]
        files += texts
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(texts[1], keep / f"{group.name}.csv")
        if figures:
            drawn[group.name] = draw_figures(
                group, output, policy=policy, samples=chosen[group.name]
            )
            files += [path for figure in drawn[group.name] for path in (figure.svg, figure.png)]
    if page:
        made = write_page(
            collection, output, figures=drawn, tables=tables, gallery=gallery, policy=policy
        )
        files.insert(0, made)
    write_index(collection, output, files, policy=policy)
    first = files[0] if files[0].suffix == ".html" else output / INDEX_TEXT
    console.print(f"\nreport: {first}")
    console.print(f"{len(files)} files, listed in {INDEX_TEXT} and {INDEX_FILE}: {output}")
    if keep is not None:
        console.print(f"kept: {', '.join(str(keep / f'{name}.csv') for name in tables)}")
    return collection


def _chosen(collection: Collection, samples: Sequence[str]) -> dict[str, list[str]]:
    """Which of some samples each group has, by its name.

    Raises:
        UsageError: for a sample that no group has.
    """
    from vssl.records.scores import Samples

    if not samples:
        return {group.name: [] for group in collection.groups}
    known = {group.name: set(Samples.of(group.runs[0].folder).ids) for group in collection.groups}
    unknown = [name for name in samples if not any(name in ids for ids in known.values())]
    if unknown:
        raise UsageError(
            f"--sample {unknown[0]}: no run has a sample of that id. records.parquet lists them"
            " (sample_id)."
        )
    return {name: [s for s in dict.fromkeys(samples) if s in ids] for name, ids in known.items()}


def _nothing(folders: Sequence[Path], left_out: Sequence[LeftOut]) -> str:
    from vssl.reporting.report.index import describe_left_out

    where = ", ".join(str(folder) for folder in folders)
    text = f"{where}: holds no finished run."
    if left_out:
        lines = describe_left_out(left_out[:_SHOWN], relative_to=Path.cwd())
        more = len(left_out) - len(lines)
        lines += [f"and {more} more"] if more else []
        return "\n  ".join([f"{text} There are:", *lines])
    return f"{text} vssl-evaluate makes runs, e.g. vssl-evaluate -m experiment=demo"


def _show_found(console: Console, collection: Collection) -> None:
    from vssl.reporting.report.index import describe_group, describe_left_out

    joined = [run for group in collection.groups for run in group.runs if run.sources]
    count = sum(len(run.sources) or 1 for group in collection.groups for run in group.runs)
    tests = len(collection.groups)
    console.print(
        f"{count} finished {'run' if count == 1 else 'runs'} of {tests}"
        f" {'test' if tests == 1 else 'tests'} (test set, protocol, list of ids):"
    )
    for group in collection.groups:
        console.print(f"  {describe_group(group)}", markup=False)
    for run in joined:
        text = f"  {run.label} is joined from {len(run.sources)} runs with other negatives each"
        console.print(f"{text}: {run.dataset}, protocol {run.protocol}", markup=False)
    if not collection.left_out:
        return
    console.print(f"left out: {len(collection.left_out)}")
    lines = describe_left_out(collection.left_out, relative_to=Path.cwd())
    for line in lines[:_SHOWN]:
        console.print(f"  {line}", markup=False)
    if len(lines) > _SHOWN:
        console.print(f"  and {len(lines) - _SHOWN} more, see report.md")


if __name__ == "__main__":
    main()
