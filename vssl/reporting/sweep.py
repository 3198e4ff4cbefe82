"""Several runs side by side: tables and pictures."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from vssl.images import ImageFileError
from vssl.records.files import read_run_file, whole_file, write_text
from vssl.records.schema import NO_POLICY
from vssl.records.summary import read_summaries
from vssl.reporting.figures import draw_comparison
from vssl.reporting.in_words import in_words
from vssl.reporting.jobs import Job, list_jobs
from vssl.reporting.names import BASELINES, run_names, widest
from vssl.reporting.tables import (
    altered_columns,
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
is. pIA is the share of the image that is marked at the threshold `{marked}`: a model that listens \
marks less when the sound's source is not there. swap: how much better its mask fits the object \
that sounds than the image's other object; 0 for a model that does not listen. {universal}: one \
threshold for everything, learnt from what the model's maps reach on negatives; F_LOC is high only \
for a model that finds what sounds and marks nothing otherwise. A mask is what lies strictly above \
the threshold, so a map that is the same everywhere, or as high on every negative as on positives, \
marks nothing."""


def report_sweep(jobs: Sequence[Job], output: Path, *, overview: Mapping[str, str]) -> None:
    """Print an overview of all runs; write it with one table per threshold policy and a picture.

    Writes `sweep.md`, which also counts the jobs and lists those that are not done, `sweep.parquet`
    and `sweep.csv` (the joined summaries, fractions) and, for each data set and protocol,
    `sweep_<data>_<protocol>.png` where the images are at hand. Without any finished run there is
    only `sweep.md`.

    Args:
        jobs: the sweep's jobs.
        output: where to write.
        overview: threshold policies `positives`, `marked` and `universal` of the overview.
    """
    folders = dict.fromkeys(Path(job.folder) for job in jobs if job.done)
    output.mkdir(parents=True, exist_ok=True)
    for name in (SWEEP_TABLE, SWEEP_CSV):  # an earlier sweep's
        (output / name).unlink(missing_ok=True)
    summaries, faults = read_summaries(folders)
    listed = [list_jobs(jobs), *(f"- left out: {fault}\n" for fault in faults.values())]
    for fault in faults.values():
        _log.error("left out: %s", fault)
    if not summaries:
        write_text(output / SWEEP_TEXT, "\n".join(listed))
        return
    summary = pd.concat(summaries.values(), ignore_index=True)
    summary = with_variant(summary.assign(run=run_names(summary)), "run")
    joined = summary.drop(columns="run")
    with whole_file(output / SWEEP_TABLE) as partial:
        joined.to_parquet(partial, index=False)
    write_text(output / SWEEP_CSV, joined.to_csv(index=False))
    console, texts = Console(), listed
    for (data, protocol), group in summary.groupby(["dataset", "protocol"], sort=False):
        title = f"{data}, protocol {protocol}"
        columns = overview_columns(**overview)
        shown = group[group["threshold_policy"].isin(overview.values())]
        if len(shown):
            show_table(console, shown, columns, label="run", title=title)
            texts.append(markdown_table(shown, columns, label="run", title=title))
            said = _in_words(group, overview)
            texts += [f"- **{run}**: {words}" for run, words in said.items()] + [""]
            for run, words in said.items():
                console.print(Text(f"\n{run}: ", style="bold") + Text(words, style="not bold"))
        universal = group[group["threshold_policy"] == overview["universal"]]
        altered = used_columns(universal, altered_columns(group))
        if altered:
            question = f"{title}: do maps withstand altered sound ({overview['universal']})?"
            show_table(console, universal, altered, label="run", title=question)
            texts.append(markdown_table(universal, altered, label="run", title=question))
        plain = group["threshold_policy"] == NO_POLICY
        for policy, rows in group[~plain].groupby("threshold_policy", sort=False):
            of_policy = f"{title}, threshold {policy}"
            named = with_threshold(rows, "run")
            texts.append(markdown_table(named, paper_columns(rows), label="run", title=of_policy))
        separated = used_columns(group[plain], separation_columns(group[plain]))
        if separated:
            question = f"{title}: do map maxima tell positives from negatives?"
            texts.append(markdown_table(group[plain], separated, label="run", title=question))
        same = _widest({f: s for f, s in summaries.items() if _test(s) == (data, protocol)})
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


def _widest(summaries: Mapping[Path, pd.DataFrame]) -> dict[Path, pd.DataFrame]:
    """Of runs that differ in nothing but their negatives, the one with most."""
    runs = {f: read_run_file(f) for f in summaries}
    stand_in = widest({folder: run["identity"] for folder, run in runs.items()}, summaries)
    return {folder: summaries[folder] for folder in dict.fromkeys(stand_in.values())}
