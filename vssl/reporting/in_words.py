"""What a run's numbers say, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from vssl.records.numbers import ALL_NEGATIVES, NEGATIVE_TYPES
from vssl.records.schema import NO_POLICY
from vssl.records.summary import PAIR
from vssl.reporting.tables import percent
from vssl.types import POSITIVE

_NOTHING = 0.001
"""Share of the image below which a mask says nothing."""


def in_words(
    summary: pd.DataFrame, *, positives: str, marked: str, equal: str, universal: str
) -> str:
    """Whether a model finds what sounds, listens, stays silent, and what one threshold leaves.

    Only what the summary has numbers for is said. A difference is called one where its 95 %
    interval lies above 0.

    Args:
        summary: rows of one run and map variant.
        positives: policy under which positives are scored, as the field does.
        marked: policy under which the image's sounds are compared.
        equal: policy for a stated rate of false alarms.
        universal: policy under which F_LOC is said.

    Returns:
        Sentences; empty where there is nothing to say.
    """
    found = _numbers(summary)
    sentences = [
        _finds(found, positives),
        _listens(found, marked),
        _notices(found, marked),
        _separates(found),
        _one_threshold(found, positives, equal, universal),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _finds(found: _Numbers, policy: str) -> str:
    ciou = found.get(("ciou", POSITIVE, policy))
    return "" if ciou is None else f"On positives, tested as usual: cIoU {ciou}."


def _listens(found: _Numbers, policy: str) -> str:
    swap = found.get(("swap_delta", POSITIVE, policy))
    agreement = found.get(("agreement", f"{POSITIVE}{PAIR}silence", policy))
    area = found.get(("pia", POSITIVE, policy))
    if area is not None and area.value < _NOTHING:
        return ""  # what does not reach the threshold tells nothing about listening
    if swap is not None:
        follows = swap.low > 0
        return (
            f"{'It listens' if follows else 'It does not listen'}: with the sound of the image's"
            f" other object, the map {'moves there' if follows else 'stays'} (swap delta"
            f" {swap})."
        )
    if agreement is None:
        return ""
    return f"Its masks under the own sound and in silence agree by {percent(agreement.value)} %."


def _notices(found: _Numbers, policy: str) -> str:
    own = found.get(("pia", POSITIVE, policy))
    rates = {c: found.get(("false_alarm_rate", c, policy)) for c in NEGATIVE_TYPES}
    said = [f"{percent(rate.value)} % of {c}" for c, rate in rates.items() if rate is not None]
    if own is None or not said:
        return ""
    return (
        f"At `{policy}` it marks {percent(own.value)} % of the image under its own sound, and"
        f" something in {', '.join(said[:-1])}{' and ' if said[:-1] else ''}{said[-1]}."
    )


def _separates(found: _Numbers) -> str:
    auroc = found.get(("auroc", ALL_NEGATIVES, NO_POLICY))
    if auroc is None:
        return ""
    return f"Its map maxima tell positives from negatives with an AUROC of {auroc}."


def _one_threshold(found: _Numbers, positives: str, equal: str, universal: str) -> str:
    usual = found.get(("ciou", POSITIVE, positives))
    there = found.get(("ciou", POSITIVE, equal))
    f_loc = found.get(("f_loc", ALL_NEGATIVES, universal))
    said = []
    if usual is not None and there is not None and usual.value:
        kept = 100 * there.value / usual.value
        said.append(f"At `{equal}` it keeps {kept:.0f} % of that cIoU")
    if f_loc is not None:
        said.append(f"{'at' if said else 'At'} `{universal}` F_LOC is {f_loc}")
    return f"{'; '.join(said)}." if said else ""


class _Number(NamedTuple):
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        value, low, high = map(percent, self)
        return f"{value} ({low} to {high})"


_Numbers = Mapping[tuple[str, str, str], _Number]


def _numbers(summary: pd.DataFrame) -> _Numbers:
    """Defined numbers by metric, condition and policy."""
    columns = ["metric", "condition", "threshold_policy", "value", "ci_low", "ci_high"]
    rows = summary.loc[summary.value.notna(), columns].itertuples(index=False)
    return {(metric, of, policy): _Number(*number) for metric, of, policy, *number in rows}
