"""A run's numbers in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from vssl.core.negatives import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.records.schema import NO_POLICY
from vssl.records.summary import PAIR
from vssl.reporting.tables.model import percent
from vssl.types import POSITIVE

_NOTHING = 0.001  # share of the image below which a mask says nothing


def in_words(
    summary: pd.DataFrame, *, positives: str, marked: str, equal: str, universal: str
) -> str:
    """Whether a model finds what sounds, listens, stays silent, and what one threshold leaves.

    Sentences whose number the summary (of one run and map variant) lacks are left out. A difference
    counts where its interval lies above 0. Policies: `positives` scores positives as the field
    does, `marked` compares the image's sounds, `equal` has a stated rate of false alarms,
    `universal` is that of F_LOC.
    """
    columns = ["metric", "condition", "threshold_policy", "value", "ci_low", "ci_high"]
    rows = summary.loc[summary.value.notna(), columns].itertuples(index=False)
    found = {(metric, of, policy): _Number(*number) for metric, of, policy, *number in rows}
    usual = found.get(("ciou", POSITIVE, positives))
    auroc = found.get(("auroc", ALL_NEGATIVES, NO_POLICY))
    sentences = [
        f"On positives, tested as usual: cIoU {usual}." if usual else "",
        _listens(found, marked),
        _notices(found, marked),
        f"Its map maxima tell positives from negatives with an AUROC of {auroc}." if auroc else "",
        _one_threshold(found, usual, equal, universal),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


class _Number(NamedTuple):
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        value, low, high = map(percent, self)
        return f"{value} ({low} to {high})"


_Numbers = Mapping[tuple[str, str, str], _Number]  # defined numbers by metric, condition and policy


def _listens(found: _Numbers, policy: str) -> str:
    swap = found.get(("swap_delta", POSITIVE, policy))
    agreement = found.get(("agreement", f"{POSITIVE}{PAIR}silence", policy))
    area = found.get(("pia", POSITIVE, policy))
    if area is not None and area.value < _NOTHING:
        return ""  # what does not reach the threshold tells nothing about listening
    if swap is not None:
        says, moves = ("listens", "moves there") if swap.low > 0 else ("does not listen", "stays")
        return (
            f"It {says}: with the sound of the image's other object, the map {moves} (swap delta"
            f" {swap})."
        )
    if agreement is None:
        return ""
    return f"Its masks under the own sound and in silence agree by {percent(agreement.value)} %."


def _notices(found: _Numbers, policy: str) -> str:
    own = found.get(("pia", POSITIVE, policy))
    rates = {c: found.get(("false_alarm_rate", c, policy)) for c in NEGATIVE_TYPES}
    alarms = [f"{percent(rate.value)} % of {c}" for c, rate in rates.items() if rate is not None]
    if own is None or not alarms:
        return ""
    return (
        f"At `{policy}` it marks {percent(own.value)} % of the image under its own sound, and"
        f" something in {', '.join(alarms[:-1])}{' and ' if alarms[:-1] else ''}{alarms[-1]}."
    )


def _one_threshold(found: _Numbers, usual: _Number | None, equal: str, universal: str) -> str:
    at_equal = found.get(("ciou", POSITIVE, equal))
    f_loc = found.get(("f_loc", ALL_NEGATIVES, universal))
    parts = []
    if usual is not None and at_equal is not None and usual.value:
        kept = 100 * at_equal.value / usual.value
        parts.append(f"At `{equal}` it keeps {kept:.0f} % of that cIoU")
    if f_loc is not None:
        parts.append(f"{'at' if parts else 'At'} `{universal}` F_LOC is {f_loc}")
    return f"{'; '.join(parts)}." if parts else ""
