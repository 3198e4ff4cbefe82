"""The columns of all tables of runs' numbers.

A layout chooses metrics, audio conditions and threshold policies. Header, arrow and unit are the
metric class's. A metric that no layout names gets columns by `other_columns`. `sounding` says
which object sounds, by audio condition; `policy` is a threshold policy, empty for rows that have
one each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from vssl.core.negatives import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.metrics.agreement import Agreement
from vssl.metrics.alignment import Alignment, Separability
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.avsbench import AVSF, GF, AVSFalsePositiveRate, AVSMeanIoU, GMeanIoU
from vssl.metrics.base import MeanMetric, ReportedMetric, metric_classes
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.metrics.detection import DetectionAP, MaxF1
from vssl.metrics.false_alarm import FalseAlarmRate
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.interactive import InteractiveAUC, InteractiveIoU
from vssl.metrics.pia import ImageArea
from vssl.metrics.pointing import PointingGame
from vssl.metrics.separation import AUROC, FPR95, AveragePrecision, Overlap
from vssl.metrics.swap import SwapDelta
from vssl.records.schema import NO_POLICY
from vssl.records.summary import PAIR, conditions_of
from vssl.reporting.collection import ReportRun
from vssl.reporting.tables.model import Column
from vssl.types import NATURAL, POSITIVE, SoundingObject, SoundingObjects

FALSE_ALARMS = FalseAlarmRate.name
SIZES, CLASSES = "object_size", "category"  # kinds of subsets; all others are flags
_OWN, _OTHER = SoundingObject.OWN, SoundingObject.OTHER
_PLACED: tuple[type[ReportedMetric], ...] = (
    *(ConsensusIoU, SuccessRate, AUC, ImageArea, AUCN, FalseAlarmRate, FLoc, FAuc),
    *(AUROC, AveragePrecision, FPR95, Overlap, DetectionAP, MaxF1),
    *(SwapDelta, InteractiveIoU, InteractiveAUC, Agreement),
    *(PointingGame, Alignment, Separability),  # in summary.parquet alone
)
"""Metrics whose place in tables is decided here; the others get columns by themselves."""


def metric_column(
    metric: type[ReportedMetric],
    condition: str = "",
    policy: str = "",
    detail: str = "",
    *,
    name: str = "",
    sounding: Sequence[SoundingObject] = (),
    **more: Any,
) -> Column:
    """A column whose header is the metric's label, or `name`, and `detail` behind it or on top.

    `sounding` are the objects that sound under the condition, or under both of a pair, where the
    direction depends on them.
    """
    name = name or metric.label
    first, _, second = (name, "", detail) if detail else name.partition(" ")
    higher = bool(metric.higher_is_better)
    if sounding and issubclass(metric, MeanMetric):
        higher = metric.is_higher_better(*sounding)
    options = {"higher_is_better": higher, "top": detail, "bottom": name, **more}
    return Column(
        (first, second), metric.name, condition, policy, unit=metric.unit, chance=metric.chance,
        **options,
    )  # fmt: skip


def other_columns(summary: pd.DataFrame, policies: Sequence[str] = ()) -> list[Column]:
    """A column for each number of a metric that no layout names, in the summary's order.

    With `policies`, only numbers of these, and each column is of one. Directions are those of the
    summary; label and unit those of the class if it is imported, else the metric's name.
    """
    placed = [metric.name for metric in _PLACED]
    rows = summary[~summary["metric"].isin(placed)]
    if policies:
        rows = rows[rows["threshold_policy"].isin(policies)]
    known = metric_classes()
    keys = ["metric", "condition", *(["threshold_policy"] if policies else [])]
    found = []
    for row in rows.drop_duplicates(keys).to_dict("records"):
        kind = known.get(row["metric"], ReportedMetric)
        label = kind.label or row["metric"].replace("_", " ")
        if kind.unit != "%":
            label += f" ({kind.unit})"
        found.append(
            Column(
                (label, row["condition"]), row["metric"], row["condition"],
                row["threshold_policy"] if policies else "", bool(row["higher_is_better"]),
                top=label, bottom=row["condition"], unit=kind.unit, chance=kind.chance,
            )
        )  # fmt: skip
    return found


def headline_columns(summary: pd.DataFrame) -> list[Column]:
    """The paper's numbers for the negatives that a summary has, and false alarms.

    F_LOC and F_AUC are of all three negatives together, or of each where one is missing.
    """
    negatives = conditions_of(summary).besides_positive(SoundingObject.NONE)
    has_all = (summary["condition"] == ALL_NEGATIVES).any()
    together = {ALL_NEGATIVES: ""} if has_all else {c: c for c in negatives}
    return [
        *(metric_column(metric, POSITIVE) for metric in (ConsensusIoU, SuccessRate, AUC)),
        *(metric_column(ImageArea, c, detail=c) for c in negatives),
        *(
            metric_column(m, c, detail=detail)
            for m in (FLoc, FAuc)
            for c, detail in together.items()
        ),
        *(metric_column(FalseAlarmRate, c, detail=c) for c in negatives),
    ]


def paper_columns(policy: str, negatives: Sequence[str] = NEGATIVE_TYPES) -> list[Column]:
    """The paper's numbers: positives, each type of negatives (and false alarms), both in one."""
    return [
        *(metric_column(m, POSITIVE, policy, top="positives") for m in (ConsensusIoU, AUC)),
        *(
            metric_column(metric, c, policy, c, bottom=bottom)
            for c in negatives
            for metric, bottom in ((ImageArea, "pIA"), (AUCN, "AUC_N"), (FalseAlarmRate, "FA"))
        ),
        *(metric_column(m, ALL_NEGATIVES, policy, top="both") for m in (FLoc, FAuc)),
    ]


def field_columns() -> list[Column]:
    """The field's numbers: positives only, thresholds by half of the image or the object's size."""
    return [
        metric_column(metric, POSITIVE, policy, policy)
        for policy in ("half_image", "object_area")
        for metric in (SuccessRate, AUC)
    ]


SEPARATION_COLUMNS = (
    metric_column(AUROC),
    metric_column(AveragePrecision),
    metric_column(FPR95, detail="95 % TPR", name="FPR at"),
    metric_column(Overlap),
)
"""How well map maxima tell positives from negatives; one row for each type of negatives."""


def separation_columns(negatives: Sequence[str] = NEGATIVE_TYPES) -> list[Column]:
    """Whether the largest value of a map tells a positive from a negative."""
    return [
        metric_column(metric, condition, NO_POLICY, detail)
        for condition in (*negatives, ALL_NEGATIVES)
        for detail in ["all three" if condition == ALL_NEGATIVES else condition]
        for metric in (AUROC, FPR95, Overlap)
    ]


def detection_columns(policy: str, negatives: Sequence[str] = NEGATIVE_TYPES) -> list[Column]:
    """Finding the object and rejecting negatives as one detection (SLAVC's view)."""
    return [
        metric_column(metric, c, policy, c, top="all three" if c == ALL_NEGATIVES else c)
        for c in (*negatives, ALL_NEGATIVES)
        for metric in (DetectionAP, MaxF1)
    ]


def equal_rate_columns(policies: Sequence[str], negatives: Sequence[str]) -> list[Column]:
    """What is left of cIoU where a stated share of the negatives may be marked, and their share."""
    return [
        column
        for policy in policies
        for column in (
            metric_column(ConsensusIoU, POSITIVE, policy, policy),
            *(
                metric_column(
                    FalseAlarmRate, c, policy, f"{c} {policy}", top=policy, bottom=f"FA {c}"
                )
                for c in negatives
            ),
        )
    ]


def avsbench_columns(policy: str, negatives: Sequence[str]) -> list[Column]:
    """The numbers of AVSBench under every sound, and AVSBench-Robust's of all together."""
    found = []
    for c in (POSITIVE, *negatives):
        top, own = "own sound" if c == POSITIVE else c, c == POSITIVE
        for metric, bottom in ((AVSMeanIoU, "mIoU"), (AVSF, "F")):
            at = NO_POLICY if metric is AVSF else policy
            options: Any = {"top": top, "bottom": bottom, "higher_is_better": own}
            found.append(metric_column(metric, c, at, c, **options))
        if not own:
            found.append(metric_column(AVSFalsePositiveRate, c, policy, c, top=top, bottom="FPR"))
    for c in _together(negatives):
        for m, p in ((GMeanIoU, policy), (GF, NO_POLICY)):
            found.append(
                metric_column(m, c, p, c, top="both" if c == ALL_NEGATIVES else f"own, {c}")
            )
    return found


def _together(negatives: Sequence[str]) -> Sequence[str]:
    """Conditions of numbers of positives and negatives: the paper's three in one, or each."""
    return (ALL_NEGATIVES,) if set(NEGATIVE_TYPES) <= set(negatives) else negatives


def subset_columns(
    subsets: Iterable[tuple[str, str]], policy: str, negatives: Sequence[str]
) -> list[Column]:
    """CIoU and F_LOC on each of some subsets, which are a kind and a name.

    F_LOC is of the paper's three negatives, or of each where a run lacks one.
    """
    found = []
    for key in subsets:
        short = subset_name(*key)
        found.append(metric_column(ConsensusIoU, POSITIVE, policy, short, subset=key))
        for c in _together(negatives):
            behind = "" if c == ALL_NEGATIVES else f" {c}"
            options: Any = {"top": short, "bottom": f"{FLoc.label}{behind}", "subset": key}
            found.append(metric_column(FLoc, c, policy, short + behind, **options))
    return found


def subsets_by_kind(runs: Iterable[ReportRun]) -> dict[str, list[tuple[str, str]]]:
    """The subsets that any of some runs has: of object sizes, of `flags`, and of classes."""
    kinds: dict[str, list[tuple[str, str]]] = {SIZES: [], "flags": [], CLASSES: []}
    for key in dict.fromkeys(key for run in runs for key in run.subsets):
        kinds.get(key[0], kinds["flags"]).append(key)
    return kinds


def subset_name(kind: str, name: str, *, whole: bool = False) -> str:
    """Name of a subset: a class, a flag's kind and value, or a quarter, `whole` with its range."""
    if kind == SIZES:
        quarter, _, limits = name.partition(":")
        shares = [f"{100 * float(share):.1f}" for share in re.findall(r"\d\.\d+", limits)]
        return f"{quarter}: {' to '.join(shares)} %" if whole else quarter
    return name if kind == CLASSES else f"{kind} {name}"


def listening_columns(sounding: SoundingObjects, policy: str = "") -> list[Column]:
    """Whether the map follows the sound: between an image's objects, and between sounds.

    With the other object's sound, cIoU with the own object should be low.
    """
    others = sounding.besides_positive(SoundingObject.OTHER)
    negatives = (*NEGATIVE_TYPES, *sounding.besides_positive(SoundingObject.NONE))
    objects = "between an image's objects"
    by_object = (SwapDelta, InteractiveIoU, InteractiveAUC)
    return [
        *(metric_column(m, POSITIVE, policy, top=objects) for m in by_object),
        *(
            metric_column(ConsensusIoU, c, policy, c, top=f"{c} sound", sounding=[_OTHER])
            for c in others
        ),
        *(
            metric_column(Agreement, pair, policy, f"own, {c}", top=f"own sound and {c}")
            for c in dict.fromkeys((*negatives, *others))
            if c != NATURAL  # is compared with no other sound
            for pair in [f"{POSITIVE}{PAIR}{c}"]
        ),
    ]  # fmt: skip


def altered_columns(sounding: SoundingObjects, policy: str = "") -> list[Column]:
    """Whether the map withstands changes of the own object's sound; empty without any."""
    altered = sounding.besides_positive(SoundingObject.OWN)
    found = [metric_column(m, POSITIVE, policy, top="own sound") for m in (ConsensusIoU, AUC)]
    for c in altered:
        found += [metric_column(m, c, policy, c) for m in (ConsensusIoU, AUC)]
        pair, detail = f"{POSITIVE}{PAIR}{c}", f"own, {c}"
        found.append(metric_column(Agreement, pair, policy, detail, top=c, sounding=[_OWN]))
    return found if altered else []


def published_columns(places: Iterable[tuple[str, ...]]) -> list[Column]:
    """Our numbers beside published figures: a metric, a condition and a policy, each once."""
    kinds = metric_classes()
    return [
        metric_column(kinds[metric], condition, policy, f"{condition}, {policy}", top=policy)
        for metric, condition, policy in dict.fromkeys(places)
    ]


def overview_columns(*, positives: str, marked: str, equal: str, universal: str) -> list[Column]:
    """Four ways of testing side by side, each with its threshold policy.

    Positives as the field scores them, false alarms and the swap test (`marked`), cIoU at an
    equal rate of false alarms, and F_LOC.
    """
    return [
        metric_column(ConsensusIoU, POSITIVE, positives, positives, arrow_first=True),
        *(metric_column(FalseAlarmRate, c, marked, c, name=f"FA {marked}") for c in NEGATIVE_TYPES),
        metric_column(SwapDelta, POSITIVE, marked, marked, name="swap", arrow_first=True),
        metric_column(AUROC, ALL_NEGATIVES, NO_POLICY),
        metric_column(ConsensusIoU, POSITIVE, equal, equal, arrow_first=True),
        metric_column(FLoc, ALL_NEGATIVES, universal, universal, arrow_first=True),
    ]


def area_columns(marked: str) -> list[Column]:
    """Marked area under every sound, for runs with no other number."""
    return [
        Column((f"pIA {marked}", c), ImageArea.name, c, marked) for c in (POSITIVE, *NEGATIVE_TYPES)
    ]
