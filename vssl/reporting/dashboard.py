"""The wandb dashboard of a project, as code: which panels show what runs log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vssl.core.errors import UsageError
from vssl.core.negatives import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.metrics.separation import AUROC, FPR95, AveragePrecision, Overlap
from vssl.records.schema import NO_POLICY

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

MAXIMA, GALLERY, CURVES, PER_CLASS = "map_maximum", "gallery", "threshold_curves", "per_class"
"""Keys that runs log besides numbers: `map_maximum/<audio condition>`, and one key each.

Curves of object-guided maps have `.ogl` behind the key.
"""


def curve_column(metric: str, condition: str = "") -> str:
    """Name of a curve: `ciou`, `f_loc`, `1-pia/<negative>`; higher is better for all."""
    return f"1-pia/{condition}" if metric == "pia" else metric


def build_dashboard(entity: str, project: str) -> Workspace:
    """Build a workspace with F_LOC, separation, threshold curves, gallery and table by class.

    Raises:
        UsageError: where wandb-workspaces is not installed.
    """
    try:
        # an optional dependency
        from wandb_workspaces.reports import v2 as panels  # noqa: PLC0415
        from wandb_workspaces.workspaces import Section, Workspace  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "vssl-dashboard needs wandb-workspaces: pip install 'vssl[dashboard]' (or"
            " wandb-workspaces)."
        ) from error

    def bars(title: str, metrics: list[str]) -> Any:
        return panels.BarPlot(title=title, metrics=metrics, groupby=panels.Config("run.model"))

    def curve(title: str, column: str) -> Any:
        return panels.CustomChart(
            query={"summaryTable": {"tableKey": CURVES}},
            chart_name="wandb/line/v0",
            chart_fields={"x": "threshold", "y": column},
            chart_strings={"title": title, "x-axis-title": "threshold", "y-axis-title": title},
        )

    main = "universal_q3"
    universal = (main, "universal_max", "universal_max10")
    curves = [
        ("F_LOC", curve_column("f_loc")),
        ("cIoU of positives", curve_column("ciou")),
        *((f"1 - pIA, {name}", curve_column("pia", name)) for name in NEGATIVE_TYPES),
    ]
    separation = {
        "AUROC": AUROC,
        "average precision": AveragePrecision,
        "FPR at 95 % TPR": FPR95,
        "overlap": Overlap,
    }
    sections = {
        "F_LOC by model": [
            *(bars(f"F_LOC, {name}", [f"all/f_loc/{name}"]) for name in universal),
            bars(f"F_LOC by negative, {main}", [f"{n}/f_loc/{main}" for n in NEGATIVE_TYPES]),
            bars(f"cIoU of positives, {main}", [f"positive/ciou/{main}"]),
            bars(f"pIA (lower is better), {main}", [f"{n}/pia/{main}" for n in NEGATIVE_TYPES]),
        ],
        "Do map maxima tell positives from negatives?": [
            bars(
                f"{title} ({'higher' if metric.higher_is_better else 'lower'} is better)",
                [f"{name}/{metric.name}/{NO_POLICY}" for name in (*NEGATIVE_TYPES, ALL_NEGATIVES)],
            )
            for title, metric in separation.items()
        ],
        "Threshold curves": [curve(title, column) for title, column in curves],
        "Gallery": [panels.MediaBrowser(title="from small objects to large", media_keys=[GALLERY])],
        "By class": [panels.WeavePanelSummaryTable(table_name=PER_CLASS)],
    }
    return Workspace(
        entity=entity,
        project=project,
        name="vssl",
        sections=[Section(name=n, panels=own, is_open=True) for n, own in sections.items()],
    )
