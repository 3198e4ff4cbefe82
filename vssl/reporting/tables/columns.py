"""The columns of all tables of runs' numbers.

`sounding` says which object sounds, by audio condition of the runs; `policy` is a threshold policy,
empty for rows that have one each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from vssl.metrics.agreement import Agreement
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.metrics.detection import DetectionAP, MaxF1
from vssl.metrics.false_alarm import FalseAlarmRate
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.interactive import InteractiveAUC, InteractiveIoU
from vssl.metrics.pia import ImageArea
from vssl.metrics.separation import AUROC, FPR95, AveragePrecision, Overlap
from vssl.metrics.swap import SwapDelta
from vssl.records.numbers import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.records.schema import NO_POLICY
from vssl.records.summary import PAIR, conditions_of
from vssl.reporting.published import DEFINITIONS
from vssl.reporting.tables.model import Column
from vssl.types import POSITIVE, SoundingObject, SoundingObjects

_METRIC_NAMES: dict[Any, str] = {
    ConsensusIoU: "cIoU",
    SuccessRate: "success rate",
    AUC: "AUC",
    ImageArea: "pIA",
    AUCN: "AUC_N",
    FalseAlarmRate: "false alarms",
    FLoc: "F_LOC",
    FAuc: "F_AUC",
    AUROC: "AUROC",
    AveragePrecision: "AP",
    FPR95: "FPR95",
    Overlap: "overlap",
    SwapDelta: "swap delta",
    InteractiveIoU: "IIoU",
    InteractiveAUC: "IAUC",
    Agreement: "agreement",
    DetectionAP: "detection AP",
    MaxF1: "max-F1",
}
HEADERS = {metric.name: words for metric, words in _METRIC_NAMES.items()}
"""What a metric is called in headers."""

_HIGHER_IS_BETTER = {metric.name: bool(metric.higher_is_better) for metric in _METRIC_NAMES}

FALSE_ALARMS = FalseAlarmRate.name


def _column(
    metric: str, condition: str, policy: str = "", said: str = "", *, name: str = "", **more: Any
) -> Column:
    """A column whose header has the metric's name, or `name`, and then `said`.

    Its direction is the metric's, unless an audio condition turns it round.
    """
    name = name or HEADERS[metric]
    first, _, second = (name, "", said) if said else name.partition(" ")
    options = {"higher_is_better": _HIGHER_IS_BETTER[metric], "bottom": name, **more}
    return Column((first, second), metric, condition, policy, **options)


def headline_columns(summary: pd.DataFrame) -> list[Column]:
    """The paper's numbers for the negatives that a summary has, and false alarms.

    F_LOC and F_AUC stand for all three negatives together, or where some are absent for each.
    """
    negatives = conditions_of(summary).besides_positive(SoundingObject.NONE)
    has_all = (summary["condition"] == ALL_NEGATIVES).any()
    together = {ALL_NEGATIVES: ""} if has_all else {c: c for c in negatives}
    return [
        *(_column(metric, POSITIVE) for metric in ("ciou", "success_rate", "auc")),
        *(_column("pia", c, said=c) for c in negatives),
        *(_column(m, c, said=said) for m in ("f_loc", "f_auc") for c, said in together.items()),
        *(_column(FALSE_ALARMS, c, said=c) for c in negatives),
    ]


def paper_columns(policy: str) -> list[Column]:
    """The paper's numbers: positives, each type of negatives (and false alarms), both in one."""
    return [
        *(_column(m, POSITIVE, policy, top="positives") for m in ("ciou", "auc")),
        *(
            _column(metric, c, policy, c, top=c, bottom=bottom)
            for c in NEGATIVE_TYPES
            for metric, bottom in (("pia", "pIA"), ("auc_n", "AUC_N"), (FALSE_ALARMS, "FA"))
        ),
        *(_column(m, ALL_NEGATIVES, policy, top="both") for m in ("f_loc", "f_auc")),
    ]


def field_columns() -> list[Column]:
    """How the field tests: positives only, the threshold told half of the image or the size."""
    return [
        _column(metric, POSITIVE, policy, policy, top=policy)
        for policy in ("half_image", "object_area")
        for metric in ("success_rate", "auc")
    ]


SEPARATION_COLUMNS = (
    _column("auroc", ""),
    _column("ap", ""),
    _column("fpr95", "", said="95 % TPR", name="FPR at"),
    _column("overlap", ""),
)
"""How well map maxima tell positives from negatives; one row for each type of negatives."""


def separation_columns() -> list[Column]:
    """Whether the largest value of a map tells a positive from a negative."""
    return [
        _column(metric, condition, NO_POLICY, said, top=said)
        for condition in (*NEGATIVE_TYPES, ALL_NEGATIVES)
        for said in ["all three" if condition == ALL_NEGATIVES else condition]
        for metric in ("auroc", "fpr95", "overlap")
    ]


def separation_overview(summary: pd.DataFrame) -> list[Column]:
    """AUROC and FPR at 95 % TPR for every type of negatives, and for all together."""
    negatives = conditions_of(summary).besides_positive(SoundingObject.NONE)
    return [
        _column(metric, c, said=c, arrow_first=True)
        for metric in ("auroc", "fpr95")
        for c in (*negatives, ALL_NEGATIVES)
    ]


def listening_columns(sounding: SoundingObjects, policy: str = "") -> list[Column]:
    """Whether the map follows the sound: between an image's objects, and between sounds.

    With the other object's sound, cIoU with the own object should be low.
    """
    others = sounding.besides_positive(SoundingObject.OTHER)
    negatives = (*NEGATIVE_TYPES, *sounding.besides_positive(SoundingObject.NONE))
    objects = "between an image's objects"
    return [
        *(_column(m, POSITIVE, policy, top=objects) for m in ("swap_delta", "iiou", "iauc")),
        *(
            _column("ciou", c, policy, c, top=f"{c} sound", higher_is_better=False)
            for c in others
        ),
        *(
            _column("agreement", pair, policy, f"own, {c}", top=f"own sound and {c}")
            for c in dict.fromkeys((*negatives, *others))
            for pair in [f"{POSITIVE}{PAIR}{c}"]
        ),
    ]  # fmt: skip


DETECTION_COLUMNS = (
    _column("detection_ap", ALL_NEGATIVES, name="detection", said="AP, all"),
    _column("max_f1", ALL_NEGATIVES, said="all"),
)


def altered_columns(sounding: SoundingObjects, policy: str) -> list[Column]:
    """Whether the map withstands changes of the own object's sound; empty where there are none."""
    altered = sounding.besides_positive(SoundingObject.OWN)
    found = [_column(m, POSITIVE, policy, top="own sound") for m in ("ciou", "auc")]
    for c in altered:
        found += [_column(m, c, policy, c, top=c) for m in ("ciou", "auc")]
        found.append(_agreement_with_altered(c, policy))
    return found if altered else []


def altered_overview(sounding: SoundingObjects) -> list[Column]:
    """How cIoU and agreement stand under each changed sound of the own object; empty without."""
    altered = sounding.besides_positive(SoundingObject.OWN)
    ciou = [_column("ciou", c, said=c, arrow_first=True) for c in (POSITIVE, *altered)]
    return [*ciou, *(_agreement_with_altered(c) for c in altered)] if altered else []


def _agreement_with_altered(condition: str, policy: str = "") -> Column:
    pair, said = f"{POSITIVE}{PAIR}{condition}", f"own, {condition}"
    return _column("agreement", pair, policy, said, top=condition, higher_is_better=True)


def published_columns(metrics: Iterable[str]) -> list[Column]:
    """Our numbers for published metrics, each once."""
    return [
        _column(d.metric, d.condition, d.policy, f"{d.condition}, {d.policy}", top=d.policy)
        for d in dict.fromkeys(DEFINITIONS[name] for name in metrics)
    ]


def overview_columns(*, positives: str, marked: str, equal: str, universal: str) -> list[Column]:
    """Four ways of testing side by side, each with its threshold policy.

    Positives as the field scores them, false alarms and the swap test (`marked`), cIoU at an
    equal rate of false alarms, and F_LOC.
    """
    return [
        _column("ciou", POSITIVE, positives, positives, arrow_first=True),
        *(_column(FALSE_ALARMS, c, marked, c, name=f"FA {marked}") for c in NEGATIVE_TYPES),
        _column("swap_delta", POSITIVE, marked, marked, name="swap", arrow_first=True),
        _column("auroc", ALL_NEGATIVES, NO_POLICY),
        _column("ciou", POSITIVE, equal, equal, arrow_first=True),
        _column("f_loc", ALL_NEGATIVES, universal, universal, arrow_first=True),
    ]


def area_columns(marked: str) -> list[Column]:
    """How much is marked under every sound, where nothing else was measured."""
    return [Column((f"pIA {marked}", c), "pia", c, marked) for c in (POSITIVE, *NEGATIVE_TYPES)]
