"""The columns of the report's tables."""

from __future__ import annotations

from collections.abc import Iterable

from vssl.records.numbers import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.records.schema import NO_POLICY
from vssl.records.summary import PAIR
from vssl.reporting.published import DEFINITIONS
from vssl.reporting.report.tables import Column
from vssl.types import POSITIVE, SoundingObject, SoundingObjects

HEADERS = {
    "ciou": "cIoU",
    "success_rate": "success rate",
    "auc": "AUC",
    "pia": "pIA",
    "auc_n": "AUC_N",
    "false_alarm_rate": "false alarms",
    "f_loc": "F_LOC",
    "f_auc": "F_AUC",
    "auroc": "AUROC",
    "fpr95": "FPR95",
    "overlap": "overlap",
    "swap_delta": "swap delta",
    "iiou": "IIoU",
    "iauc": "IAUC",
    "agreement": "agreement",
    "detection_ap": "detection AP",
    "max_f1": "max-F1",
}
FALSE_ALARMS = "false_alarm_rate"
_LOWER_IS_BETTER = ("pia", "false_alarm_rate", "fpr95", "overlap", "agreement")


def _column(
    metric: str,
    condition: str,
    policy: str,
    *,
    top: str,
    said: str,
    bottom: str = "",
    higher_is_better: bool | None = None,
) -> Column:
    """A column; `said` is what its header says beside the metric, `bottom` below `top` if not that.

    Its direction is the metric's own but where an audio condition turns it round.
    """
    name = HEADERS[metric]
    return Column(
        key=f"{metric}/{condition}/{policy}",
        header=f"{name} {said}".strip(),
        higher_is_better=(
            metric not in _LOWER_IS_BETTER if higher_is_better is None else higher_is_better
        ),
        percent=True,
        metric=metric,
        condition=condition,
        policy=policy,
        top=top,
        bottom=bottom or name,
    )


def paper_columns(policy: str) -> list[Column]:
    """The paper's numbers: positives, each type of negatives (and false alarms), both in one."""
    return [
        *(_column(m, POSITIVE, policy, top="positives", said="") for m in ("ciou", "auc")),
        *(
            column
            for c in NEGATIVE_TYPES
            for column in (
                *(_column(m, c, policy, top=c, said=c) for m in ("pia", "auc_n")),
                _column(FALSE_ALARMS, c, policy, top=c, said=c, bottom="FA"),
            )
        ),
        *(_column(m, ALL_NEGATIVES, policy, top="both", said="") for m in ("f_loc", "f_auc")),
    ]


def field_columns() -> list[Column]:
    """How the field tests: positives only, the threshold told half of the image or the size."""
    return [
        _column(metric, POSITIVE, policy, top=policy, said=policy)
        for policy in ("half_image", "object_area")
        for metric in ("success_rate", "auc")
    ]


def separation_columns() -> list[Column]:
    """Whether the largest value of a map tells a positive from a negative."""
    return [
        _column(metric, condition, NO_POLICY, top=said, said=said)
        for condition in (*NEGATIVE_TYPES, ALL_NEGATIVES)
        for said in ["all three" if condition == ALL_NEGATIVES else condition]
        for metric in ("auroc", "fpr95", "overlap")
    ]


def listening_columns(policy: str, sounding: SoundingObjects) -> list[Column]:
    """Whether the map follows the sound: between an image's objects, and between sounds.

    Args:
        policy: threshold policy.
        sounding: which object sounds, by audio condition of the runs.
    """
    others = sounding.besides_positive(SoundingObject.OTHER)
    pairs = [(f"{POSITIVE}{PAIR}{c}", c) for c in (*NEGATIVE_TYPES, *others)]
    return [
        *(
            _column(m, POSITIVE, policy, top="between an image's objects", said="")
            for m in ("swap_delta", "iiou", "iauc")
        ),
        *(
            _column("ciou", c, policy, top=f"{c} sound", said=c, higher_is_better=False)
            for c in others
        ),
        *(
            _column("agreement", pair, policy, top=f"own sound and {c}", said=f"own, {c}")
            for pair, c in pairs
        ),
    ]


def altered_columns(policy: str, sounding: SoundingObjects) -> list[Column]:
    """Whether the map withstands what is done to the own object's sound; empty where nothing is.

    Args:
        policy: threshold policy.
        sounding: which object sounds, by audio condition of the runs.
    """
    altered = sounding.besides_positive(SoundingObject.OWN)
    if not altered:
        return []
    return [
        *(_column(m, POSITIVE, policy, top="own sound", said="") for m in ("ciou", "auc")),
        *(
            column
            for c in altered
            for column in (
                _column("ciou", c, policy, top=c, said=c),
                _column("auc", c, policy, top=c, said=c),
                _column(
                    "agreement", f"{POSITIVE}{PAIR}{c}", policy, top=c, said=f"own, {c}",
                    higher_is_better=True,
                ),
            )
        ),
    ]  # fmt: skip


def published_columns(metrics: Iterable[str]) -> list[Column]:
    """What published metrics are here, each once."""
    wanted = dict.fromkeys(DEFINITIONS[name] for name in metrics)
    return [
        _column(d.metric, d.condition, d.policy, top=d.policy, said=f"{d.condition}, {d.policy}")
        for d in wanted
    ]
