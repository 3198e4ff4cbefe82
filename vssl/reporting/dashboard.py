"""The wandb dashboards of a project, as code: panels for all that some runs have logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from vssl.core.errors import UsageError
from vssl.core.extras import extra
from vssl.core.negatives import ALL_NEGATIVES
from vssl.metrics.base import metric_classes
from vssl.records.aggregate import summary_key
from vssl.records.files import RUN_FILE, SUMMARY_FILE, read_run_file
from vssl.records.join import JOINED_FROM
from vssl.records.schema import NO_POLICY
from vssl.records.summary import PAIR, conditions_of, read_summary
from vssl.types import NATURAL, POSITIVE, SoundingObject

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

NUMBERS, CURVES, PER_CLASS = "numbers", "threshold_curves", "per_class"
GALLERY, MAXIMA = "gallery", "map_maximum"
"""Keys that runs log besides numbers: one each, `map_maximum/<audio condition>`, and one for curves
of each kind of maps: `threshold_curves`, `threshold_curves.ogl`."""

_OVERVIEW = (
    *(("ciou", "positives"), ("false_alarm_rate", "marked"), ("swap_delta", "marked")),
    *(("auroc", ""), ("fpr95", ""), ("f_loc", "universal"), ("ciou", "equal")),
    *(("detection_ap", "marked"), ("max_f1", "marked")),
)
"""Metrics that come first, each at the threshold of a role of the configuration `overview`."""

_PANEL = ["metric", "threshold_policy", "map_variant", "first_sound"]


def logged_numbers(folders: Sequence[Path]) -> pd.DataFrame:
    """Read the defined numbers of all finished runs in and below some folders.

    Columns besides the summaries': `key` in wandb, `first_sound` of a pair of conditions, and
    `overview`, whether it is a number that comes first.

    Raises:
        UsageError: when there is no run, or one cannot be read.
    """
    found = []
    for path in sorted(path for folder in folders for path in folder.rglob(RUN_FILE)):
        run = read_run_file(path.parent)
        if JOINED_FROM in run:  # made for a report, and not logged
            continue
        roles: Mapping[str, str] = run["config"].get("overview", {})
        first = {(metric, roles.get(role, NO_POLICY)) for metric, role in _OVERVIEW}
        rows = read_summary(path.with_name(SUMMARY_FILE)).dropna(subset="value")
        rows["key"] = [summary_key(row) for row in rows.to_dict("records")]
        rows["first_sound"] = rows["condition"].str.rpartition(PAIR)[0]
        named = zip(rows["metric"], rows["threshold_policy"], strict=True)
        found.append(rows.assign(overview=[each in first for each in named]))
    if not found:
        raise UsageError(f"{', '.join(map(str, folders))}: holds no finished run of vssl-evaluate.")
    return pd.concat(found, ignore_index=True)


def build_dashboard(
    entity: str, project: str, numbers: pd.DataFrame, *, model: str = "", group: str = ""
) -> Workspace:
    """Build a workspace for `logged_numbers`; of the runs of one model or group, where it is given.

    The numbers that matter come first, as bars and as columns of the table of runs. Each threshold
    has a section, each metric a panel in it, each audio condition a bar in that.

    Raises:
        MissingExtraError: where wandb-workspaces is not installed.
    """
    with extra("dashboard"):
        from wandb_workspaces import expr, workspaces  # noqa: PLC0415
        from wandb_workspaces.reports import v2 as panels  # noqa: PLC0415

    def bars(rows: pd.DataFrame) -> Any:
        metric, policy, variant, sound = rows[_PANEL].iloc[0]
        kind, better = metric_classes().get(metric), set(rows["higher_is_better"])
        parts = [kind.label if kind else metric, f"{sound} and others" if sound else ""]
        parts += [policy if policy != NO_POLICY else "", variant if variant != "av" else ""]
        if len(better) == 1:
            parts.append("higher is better" if better.pop() else "lower is better")
        return panels.BarPlot(
            title=", ".join(filter(None, parts)),
            title_x=None if kind is None else kind.unit.replace("%", "fraction"),
            metrics=list(rows["key"].unique()),
            max_runs_to_show=100,  # else 10
            max_bars_to_show=100,
        )

    def all_bars(rows: pd.DataFrame) -> list[Any]:
        return [bars(panel) for _, panel in rows.groupby(_PANEL, sort=False)]

    def curve(key: str, column: str) -> Any:
        title = f"{column} (fraction), {key}"
        return panels.CustomChart(
            query={"summaryTable": {"tableKey": key}},
            chart_name="wandb/line/v0",
            chart_fields={"x": "threshold", "y": column},
            chart_strings={"title": title, "x-axis-title": "threshold", "y-axis-title": column},
        )

    sounding = conditions_of(numbers)
    negatives = sounding.besides_positive(SoundingObject.NONE)
    columns = ["f_loc", "ciou", *(f"1-pia/{name}" for name in negatives)]
    keys = [CURVES if v == "av" else f"{CURVES}.{v}" for v in numbers["map_variant"].unique()]
    if not set(negatives) - {NATURAL}:  # then runs log none
        keys = []
    first = numbers[numbers["overview"]]
    main = first["condition"].isin([POSITIVE, ALL_NEGATIVES])
    main |= first["metric"] == "false_alarm_rate"
    gallery = panels.MediaBrowser(
        title="small to large objects, a row for each run", media_keys=[GALLERY],
        mode="grid", grid_x_axis="index", grid_y_axis="run",
    )  # fmt: skip
    sections = {
        "Overview": [*all_bars(first), panels.RunComparer()],
        "Gallery": [gallery],
        "Threshold curves": [curve(key, column) for key in keys for column in columns],
        "Largest values of maps": [
            panels.LinePlot(title=name, y=[f"{MAXIMA}/{name}"]) for name in sounding
        ],
        "Tables": [panels.WeavePanelSummaryTable(table_name=key) for key in (NUMBERS, PER_CLASS)],
    }
    for policy, rows in numbers.groupby("threshold_policy", sort=False):
        sections[f"Threshold: {policy}"] = all_bars(rows)
    shown = [expr.Tags().isin([model[:64]])] if model else []
    shown += [expr.Metric("Group") == group] if group else []
    opened = ("Overview", "Gallery")
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=" ".join(filter(None, ("vssl", group, model))),
        sections=[
            workspaces.Section(name=name, panels=own, is_open=name in opened)
            for name, own in sections.items()
        ],
        runset_settings=workspaces.RunsetSettings(
            filters=shown,
            pinned_columns=[f"summary:{key}" for key in first["key"][main].unique()],
        ),
    )
