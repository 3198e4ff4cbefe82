"""Several runs side by side: tables and pictures."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from vssl.core.files import whole_file, write_text
from vssl.images import ImageFileError
from vssl.records.files import RUN_FILE, SUMMARY_FILE, read_run_file
from vssl.records.schema import NO_POLICY
from vssl.records.summary import conditions_of, read_summaries, read_summary
from vssl.reporting.figures.gallery import draw_comparison
from vssl.reporting.interpret import in_words
from vssl.reporting.jobs import Job, list_jobs
from vssl.reporting.joining import Join, rows_of_runs
from vssl.reporting.run_labels import BASELINES, label_runs
from vssl.reporting.tables import columns
from vssl.reporting.tables.model import (
    Column,
    Table,
    shared_threshold,
    summary_table,
    used_columns,
    with_threshold,
    with_variant,
)
from vssl.reporting.tables.render import markdown_table, show_table
from vssl.types import SoundingObject

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
    jobs: Sequence[Job], output: Path, *, overview: Mapping[str, str], join: Join | None = None
) -> None:
    """Print an overview of a sweep's runs; write it with one table per threshold policy.

    Writes `sweep.md`, which also lists the jobs that are not done, `sweep.parquet` and `sweep.csv`
    (the runs' summaries, fractions, with their folder as `run`) and, for each data set and
    protocol, `sweep_<data>_<protocol>.png` where the images are at hand. Runs of earlier sweeps
    into the folder stay in the tables as long as their folders exist. Without any finished run,
    only `sweep.md` is written.

    `overview` names its threshold policies `positives`, `marked`, `equal` and `universal`; `join`
    makes one run of several that differ in their negatives.
    """
    own = dict.fromkeys(Path(job.folder) for job in jobs if job.done)
    output.mkdir(parents=True, exist_ok=True)
    earlier = [folder for folder in _earlier_runs(output) if folder not in own]
    gone = [folder for folder in earlier if not (folder / RUN_FILE).is_file()]
    known, faults = read_summaries(folder for folder in (*earlier, *own) if folder not in gone)
    for fault in faults.values():
        _log.error("left out: %s", fault)
    texts = [list_jobs(jobs) + "".join(f"- left out: {fault}\n" for fault in faults.values())]
    own = dict.fromkeys(folder for folder in own if folder in known)
    if not known:
        for name in (SWEEP_TABLE, SWEEP_CSV):
            (output / name).unlink(missing_ok=True)
        write_text(output / SWEEP_TEXT, texts[0])
        return
    placed = [each.assign(run=_relative_place(f, output)) for f, each in known.items()]
    numbers = pd.concat(placed, ignore_index=True)
    with whole_file(output / SWEEP_TABLE) as partial:
        numbers.to_parquet(partial, index=False)
    write_text(output / SWEEP_CSV, numbers.to_csv(index=False))
    runs = {folder: read_run_file(folder) for folder in known}
    facts = {folder: (run["identity"], run["provenance"]) for folder, run in runs.items()}
    sources, left_out = rows_of_runs(facts, join)
    # what the files leave out is shown once, at the end of the sweep that evaluated it
    shown_once = [folder for folder in own if folder in left_out]
    joined = {f: read_summary(f / SUMMARY_FILE) for f in sources if f not in known}
    summaries = {f: (known | joined)[f] for f in (*sources, *shown_once)}
    named = [each.assign(folder=str(folder)) for folder, each in summaries.items()]
    summary = pd.concat(named, ignore_index=True)
    summary = with_variant(summary.assign(run=label_runs(summary)), "run")
    new = [folder for folder, made in sources.items() if not own.keys().isdisjoint(made)]
    new += shown_once
    console = Console()
    if len(known) > len(own):
        text = f"The tables are of {len(known)} runs: {len(own)} of this sweep"
        texts.append(f"{text}, the others of earlier ones.")
    left_out |= dict.fromkeys(gone, "no run is there any more.")
    texts += [*_about_rows(sources, left_out, output), ""]
    for (data, protocol), everything in summary.groupby(["dataset", "protocol"], sort=False):
        title = f"{data}, protocol {protocol}"
        mine = everything[everything["folder"].isin(map(str, new))]
        for table in _overview_tables(mine, title, overview):
            show_table(console, table)
        for run, words in _models_in_words(mine, overview).items():
            console.print(Text.assemble((f"\n{run}: ", "bold"), words))
        group = everything[~everything["folder"].isin(map(str, shown_once))]
        texts += map(markdown_table, _overview_tables(group, title, overview))
        sentences = _models_in_words(group, overview)
        texts += [*(f"- **{run}**: {words}" for run, words in sentences.items()), ""]
        texts += map(markdown_table, _policy_tables(group, title))
        shown = set(group["folder"])
        same = [folder for folder in sources if str(folder) in shown]
        picture = output / f"sweep_{data}_{protocol}.png"
        try:
            thresholds = [shared_threshold(summaries[f], overview["marked"]) for f in same]
            draw_comparison(same, picture, thresholds=thresholds)
            console.print(f"picture: {picture}", soft_wrap=True)
        except ImageFileError as error:
            _log.warning("no picture of %s: %s", data, error)
    legend = LEGEND.format(**overview)
    write_text(output / SWEEP_TEXT, "\n".join([*texts, legend, ""]))
    tables = ", ".join(str(output / name) for name in (SWEEP_TEXT, SWEEP_TABLE, SWEEP_CSV))
    console.print(f"tables: {tables}", soft_wrap=True)
    console.print(f"\nHow to read it. {legend}")


def _overview_tables(
    summary: pd.DataFrame, title: str, overview: Mapping[str, str]
) -> Iterator[Table]:
    """The overview, or marked areas without numbers for it; whether maps withstand other sounds."""
    policy = summary["threshold_policy"]
    shown = summary[policy.isin([*overview.values(), NO_POLICY])]
    layout = columns.overview_columns(**overview)
    if not used_columns(shown, layout):
        layout = columns.area_columns(overview["marked"])
    yield from _table(shown, layout, title)
    universal = summary[policy == overview["universal"]]
    question = f"{title}: do maps withstand altered sound ({overview['universal']})?"
    yield from _table(universal, columns.altered_columns(conditions_of(summary)), question)


def _models_in_words(summary: pd.DataFrame, overview: Mapping[str, str]) -> dict[str, str]:
    """What numbers say of each run; of baselines only if no other model is beside them."""
    models = summary[~summary["model"].isin(BASELINES)]
    runs = (summary if models.empty else models).groupby("run", sort=False)
    sentences = {str(run): in_words(rows, **overview) for run, rows in runs}
    return {run: words for run, words in sentences.items() if words}


def _policy_tables(summary: pd.DataFrame, title: str) -> Iterator[Table]:
    """The paper's numbers under each policy, and how well map maxima separate."""
    plain = summary["threshold_policy"] == NO_POLICY
    for policy, part in summary[~plain].groupby("threshold_policy", sort=False):
        layout = [*columns.headline_columns(part), *columns.other_columns(part)]
        yield from _table(with_threshold(part, "run"), layout, f"{title}, threshold {policy}")
    rows, negatives = summary[plain], conditions_of(summary).besides_positive(SoundingObject.NONE)
    question = f"{title}: do map maxima tell positives from negatives?"
    yield from _table(rows, columns.separation_columns(negatives), question)
    others = columns.other_columns(rows)
    yield from _table(rows, others, f"{title}: other metrics, without threshold")


def _table(summary: pd.DataFrame, layout: Sequence[Column], title: str) -> Iterator[Table]:
    """A table of runs, if the summary has a number for any of the columns."""
    if used_columns(summary, layout):
        yield summary_table(summary, layout, label="run", title=title)


def _earlier_runs(output: Path) -> list[Path]:
    """Folders of the runs in the folder's `sweep.parquet`."""
    try:
        places = pd.read_parquet(output / SWEEP_TABLE, columns=["run"])["run"].unique()
    except (OSError, ValueError, KeyError):  # of no sweep, or of one before runs were named in it
        return []
    return [Path(os.path.normpath(output / str(place))) for place in places]


def _relative_place(folder: Path, output: Path) -> str:
    return Path(os.path.relpath(folder, output)).as_posix()


def _about_rows(
    sources: Mapping[Path, Sequence[Path]], left_out: Mapping[Path, str], output: Path
) -> Iterator[str]:
    """Lines on the runs of the tables: which are joined, and which are left out."""
    for folder, made in sources.items():
        if len(made) > 1:
            places = [_relative_place(each, output) for each in (folder, *made)]
            yield (
                f"- one row, {places[0]}, for runs that differ in their negatives alone:"
                f" {', '.join(places[1:])}"
            )
    for folder, why in left_out.items():
        yield f"- in no table: {_relative_place(folder, output)}: {why}"
