"""The report over finished runs: tables, figures and one page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from vssl.config.report import import_metrics, report_figures
from vssl.core.errors import UsageError
from vssl.records.scores import Samples
from vssl.reporting.collection import Collection, collect
from vssl.reporting.figures.report import draw_figures
from vssl.reporting.index import INDEX_FILE, INDEX_TEXT, describe_runs, write_index
from vssl.reporting.page.page import write_page
from vssl.reporting.run_labels import PAPER_MODELS
from vssl.reporting.tables.paper import check_policy, write_tables
from vssl.runs.join import JOINED_FOLDER, join_runs

_LISTED = 20


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
    baselines: bool = False,
    keep: Path | None = None,
    expected: str | None = None,
) -> Collection:
    """Make a report over all finished runs below some folders, and say what it holds.

    The options are those of the command.

    Raises:
        UsageError: without a finished run, or if no run has the policy or a sample.
    """
    collection = collect(folders, join=lambda runs: join_runs(runs, output / JOINED_FOLDER))
    lines = [f"{os.path.relpath(folder)}: {why}" for folder, why in collection.left_out.items()]
    left_out = [f"  {line}" for line in lines[:_LISTED]]
    if len(lines) > _LISTED:
        where = ", see report.md" if collection.groups else ""
        left_out.append(f"  and {len(lines) - _LISTED} more{where}")
    if not collection.groups:
        text = f"{', '.join(map(str, folders))}: holds no finished run."
        hint = " vssl-evaluate makes runs, e.g. vssl-evaluate -m experiment=demo"
        raise UsageError("\n".join([f"{text} There are:", *left_out]) if lines else text + hint)
    check_policy(collection, policy)
    import_metrics()
    drawn_figures = report_figures() if figures else []
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
        if drawn_figures:
            own = draw_figures(
                group, output, drawn_figures, policy=policy, samples=chosen[group.name],
                baselines=baselines,
            )  # fmt: skip
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
