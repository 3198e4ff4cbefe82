"""Several runs side by side: tables and pictures."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from vssl.images import ImageFileError
from vssl.records.files import RUN_FILE, SUMMARY_FILE, read_run_file, whole_file, write_text
from vssl.records.schema import NO_POLICY
from vssl.records.summary import read_summaries, read_summary
from vssl.reporting.figures import draw_comparison
from vssl.reporting.in_words import in_words
from vssl.reporting.jobs import Job, list_jobs
from vssl.reporting.joining import Join, JoinedRows, rows_of_runs
from vssl.reporting.names import BASELINES, run_names
from vssl.reporting.tables import (
    Column,
    altered_columns,
    area_columns,
    markdown_table,
    overview_columns,
    paper_columns,
    separation_columns,
    shared_threshold,
    used_columns,
    with_threshold,
    with_variant,
)
from vssl.reporting.terminal import show_table

_log = logging.getLogger(__name__)

SWEEP_TEXT, SWEEP_TABLE, SWEEP_CSV = "sweep.md", "sweep.parquet", "sweep.csv"

LEGEND = """\
{positives}: how the field tests, on positives only; this threshold is told how large the object \
is, which tells a deaf model which object sounds where their sizes differ. FA: false alarms, the \
share of negatives in which anything is marked at the threshold `{marked}`. swap: how much better \
the mask fits the object that sounds than the image's other object; 0 for a model that does not \
listen. AUROC: how well the largest value of a map tells positives from negatives; 50 is chance. \
{equal}: what is left of the positives at a threshold that a stated share of the negatives of the \
hardest type exceeds. {universal}: one threshold for everything, learnt from negatives; F_LOC \
counts how much of a negative is marked, not how often, so that it is nearly blind to negatives \
where masks are small. A mask is what lies strictly above the threshold, so a map that is the same \
everywhere, or as high on every negative as on positives, marks nothing."""


def report_sweep(
    jobs: Sequence[Job],
    output: Path,
    *,
    overview: Mapping[str, str],
    join: Join | None = None,
) -> None:
    """Print an overview of a sweep's runs; write it with one table per threshold policy.

    Writes `sweep.md`, which also counts the jobs and lists those that are not done, `sweep.parquet`
    and `sweep.csv` (the runs' summaries, fractions, with their folder as `run`) and, for each data
    set and protocol, `sweep_<data>_<protocol>.png` where the images are at hand. The files are of
    all sweeps into the folder: runs that stand in its `sweep.parquet` stay, as long as they are
    there. Without any finished run there is only `sweep.md`.

    Args:
        jobs: the sweep's jobs.
        output: where to write.
        overview: threshold policies `positives`, `marked`, `equal` and `universal` of the overview.
        join: makes one run of several that differ in their negatives; None joins nothing.
    """
    own = dict.fromkeys(Path(job.folder) for job in jobs if job.done)
    output.mkdir(parents=True, exist_ok=True)
    earlier = [folder for folder in _earlier(output) if folder not in own]
    gone = [folder for folder in earlier if not (folder / RUN_FILE).is_file()]
    known, faults = read_summaries(folder for folder in (*earlier, *own) if folder not in gone)
    for fault in faults.values():
        _log.error("left out: %s", fault)
    listed = "".join(f"- left out: {fault}\n" for fault in faults.values())
    folders = list(known)
    own = dict.fromkeys(folder for folder in own if folder in known)
    if not folders:
        for name in (SWEEP_TABLE, SWEEP_CSV):
            (output / name).unlink(missing_ok=True)
        write_text(output / SWEEP_TEXT, list_jobs(jobs) + listed)
        return
    written = [known[f].assign(run=_place(f, output)) for f in folders]
    table = pd.concat(written, ignore_index=True)
    with whole_file(output / SWEEP_TABLE) as partial:
        table.to_parquet(partial, index=False)
    write_text(output / SWEEP_CSV, table.to_csv(index=False))
    rows = _rows(folders, join)
    # what the files leave out is shown once, at the end of the sweep that evaluated it
    shown_once = [folder for folder in own if folder in rows.left_out]
    summaries = {
        f: known[f] if f in known else read_summary(f / SUMMARY_FILE)
        for f in (*rows.sources, *shown_once)
    }
    summary = pd.concat(
        [each.assign(folder=str(folder)) for folder, each in summaries.items()], ignore_index=True
    )
    summary = with_variant(summary.assign(run=run_names(summary)), "run")
    new = {str(folder) for folder, made in rows.sources.items() if not own.keys().isdisjoint(made)}
    new |= {str(folder) for folder in shown_once}
    console = Console()
    texts = [list_jobs(jobs) + listed, _about(rows, gone, output, len(folders), len(own))]
    for (data, protocol), everything in summary.groupby(["dataset", "protocol"], sort=False):
        title = f"{data}, protocol {protocol}"
        columns: Sequence[Column] = overview_columns(**overview)
        if not used_columns(everything, columns):
            columns = area_columns(overview["marked"])
        mine = everything[everything["folder"].isin(new)]  # the others are in the files alone
        group = everything[~everything["folder"].isin([str(folder) for folder in shown_once])]
        shown, my_own = (
            rows_of[rows_of["threshold_policy"].isin([*overview.values(), NO_POLICY])]
            for rows_of in (group, mine)
        )
        if len(my_own):
            show_table(console, my_own, columns, label="run", title=title)
            for run, words in _in_words(mine, overview).items():
                line = Text(f"\n{run}: ", style="bold") + Text(words, style="not bold")
                console.print(line)
        if len(shown):
            texts.append(markdown_table(shown, columns, label="run", title=title))
            said = _in_words(group, overview)
            texts += [f"- **{run}**: {words}" for run, words in said.items()] + [""]
        universal = group[group["threshold_policy"] == overview["universal"]]
        altered = used_columns(universal, altered_columns(group))
        if altered:
            question = f"{title}: do maps withstand altered sound ({overview['universal']})?"
            own_rows = mine[mine["threshold_policy"] == overview["universal"]]
            show_table(console, own_rows, altered, label="run", title=question)
            texts.append(markdown_table(universal, altered, label="run", title=question))
        plain = group["threshold_policy"] == NO_POLICY
        for policy, part in group[~plain].groupby("threshold_policy", sort=False):
            of_policy = f"{title}, threshold {policy}"
            named = with_threshold(part, "run")
            texts.append(markdown_table(named, paper_columns(part), label="run", title=of_policy))
        separated = used_columns(group[plain], separation_columns(group[plain]))
        if separated:
            question = f"{title}: do map maxima tell positives from negatives?"
            texts.append(markdown_table(group[plain], separated, label="run", title=question))
        same = {f: summaries[f] for f in rows.sources if _test(summaries[f]) == (data, protocol)}
        picture = output / f"sweep_{data}_{protocol}.png"
        try:
            thresholds = [shared_threshold(s, overview["marked"]) for s in same.values()]
            draw_comparison(list(same), picture, thresholds=thresholds)
            console.print(f"picture: {picture}", soft_wrap=True)
        except ImageFileError as error:
            _log.warning("no picture of %s: %s", data, error)
    legend = LEGEND.format(**overview)
    write_text(output / SWEEP_TEXT, "\n".join([*texts, legend, ""]))
    tables = ", ".join(str(output / name) for name in (SWEEP_TEXT, SWEEP_TABLE, SWEEP_CSV))
    console.print(f"tables: {tables}", soft_wrap=True)
    console.print(f"\nHow to read it. {legend}")


def _in_words(summary: pd.DataFrame, overview: Mapping[str, str]) -> dict[str, str]:
    """By run what its numbers say; not of baselines where there are others beside them."""
    runs = {str(run): rows for run, rows in summary.groupby("run", sort=False)}
    others = {run: rows for run, rows in runs.items() if rows["model"].iloc[0] not in BASELINES}
    said = {run: in_words(rows, **overview) for run, rows in (others or runs).items()}
    return {run: words for run, words in said.items() if words}


def _test(summary: pd.DataFrame) -> tuple[str, str]:
    """Data set and protocol of a run."""
    first = summary.iloc[0]
    return first["dataset"], first["protocol"]


def _earlier(output: Path) -> list[Path]:
    """Folders of the runs in the `sweep.parquet` that stands there."""
    try:
        places = pd.read_parquet(output / SWEEP_TABLE, columns=["run"])["run"].unique()
    except (OSError, ValueError, KeyError):  # of no sweep, or of one before runs were named in it
        return []
    return [Path(os.path.normpath(output / str(place))) for place in places]


def _place(folder: Path, output: Path) -> str:
    return Path(os.path.relpath(folder, output)).as_posix()


def _rows(folders: Sequence[Path], join: Join | None) -> JoinedRows:
    runs = {folder: read_run_file(folder) for folder in folders}
    return rows_of_runs(
        {folder: run["identity"] for folder, run in runs.items()},
        {folder: run["provenance"] for folder, run in runs.items()},
        join,
    )


def _about(rows: JoinedRows, gone: Sequence[Path], output: Path, runs: int, own: int) -> str:
    """What the tables hold: runs of earlier sweeps too, which were joined, what is left out."""
    lines = []
    if runs > own:
        lines.append(
            f"The tables are of {runs} runs: {own} of this sweep, the others of earlier ones."
        )
    for folder, made in rows.sources.items():
        if len(made) > 1:
            lines.append(
                f"- one row, {_place(folder, output)}, for runs that differ in their negatives"
                f" alone: {', '.join(_place(each, output) for each in made)}"
            )
    left_out = rows.left_out | dict.fromkeys(gone, "no run is there any more.")
    lines += [f"- in no table: {_place(f, output)}: {why}" for f, why in left_out.items()]
    return "\n".join([*lines, ""])
