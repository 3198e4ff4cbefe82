"""Numbers in sentences: of a run, and of a test set's models beside each other."""

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
_HALF = 0.5  # of the images
_LITTLE = 0.01  # of the swap delta, in [-1, 1]
_NAMED = 4  # models that a sentence names
_SOUNDS = {"silence": "silence", "noise": "noise", "offscreen": "a sound from another video"}


def in_words(
    summary: pd.DataFrame, *, positives: str, marked: str, equal: str, universal: str
) -> str:
    """Whether a model finds what sounds, listens, stays silent, and what one threshold leaves.

    Sentences whose number the summary (of one run and map variant) lacks are left out. A difference
    counts where its interval lies above 0. Policies: `positives` scores positives as the field
    does, `marked` compares the image's sounds, `equal` has a stated rate of false alarms,
    `universal` is that of F_LOC.
    """
    found = _numbers(summary)
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


def finding(
    models: Mapping[str, pd.DataFrame],
    *,
    positives: str,
    marked: str,
    universal: str,
    **_: str,
) -> list[str]:
    """What the models of one test set show together: false alarms, separation, one threshold.

    `models` are summaries of one map variant by label; policies are those of `in_words`. More than
    half, and above others, is said only where the 95 % interval shows it. Sentences whose numbers
    the summaries lack are left out.
    """
    found = {label: _numbers(summary) for label, summary in models.items()}

    def each(*key: str) -> dict[str, _Number]:
        return {label: number for label, own in found.items() if (number := own.get(key))}

    auroc = each("auroc", ALL_NEGATIVES, NO_POLICY)
    usual = each("ciou", POSITIVE, positives)
    left = each("ciou", POSITIVE, universal)
    kept = [left[label].value / number.value for label, number in usual.items()
            if label in left and number.value]  # fmt: skip
    alarms = [
        (f"{sum(rate.low > _HALF for rate in rates.values())} of {len(rates)}", sound)
        for condition, sound in _SOUNDS.items()
        if (rates := each("false_alarm_rate", condition, marked))
    ]
    sentences = []
    if alarms:
        (count, sound), *others = alarms
        sentences.append(
            f"Though nothing in the picture sounds, {count} models mark something in more than half"
            f" of the images with {sound}{''.join(f', {n} with {other}' for n, other in others)}"
            f" (95 % intervals above half, threshold {marked})."
        )
    if auroc:
        sentences.append(_leader(auroc, "tells positives from negatives", "AUROC"))
    elif usual:
        sentences.append(_leader(usual, "finds what sounds", f"cIoU ({positives})"))
    if kept and alarms:
        low, high = (f"{100 * share:.0f}" for share in (min(kept), max(kept)))
        sentences.append(
            f"One threshold for all sounds ({universal}) leaves"
            f" {low if low == high else f'{low} to {high}'} % of the cIoU that the models reach"
            f" when tested as usual, on positives alone ({positives})."
        )
    return sentences


def _leader(numbers: Mapping[str, _Number], does: str, what: str) -> str:
    """Which model has the highest number; it is best if no other interval reaches its own."""
    first = max(numbers, key=lambda label: numbers[label].value)
    rest = {label: number for label, number in numbers.items() if label != first}
    rivals = [label for label, number in rest.items() if number.high >= numbers[first].low]
    if not rivals:
        return f"{first} {does} best: {what} {numbers[first]}, above all other models' intervals."
    named = ", ".join(rivals[:_NAMED])
    if len(rivals) > _NAMED:
        named += f" and {len(rivals) - _NAMED} more"
    return (
        f"No model alone {does} best: {first} has the highest {what}, {numbers[first]}, and its"
        f" interval overlaps with that of {named}."
    )


class _Number(NamedTuple):
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        value, low, high = map(percent, self)
        return f"{value} ({low} to {high})"


_Numbers = Mapping[tuple[str, ...], _Number]  # defined numbers by metric, condition and policy


def _numbers(summary: pd.DataFrame) -> _Numbers:
    columns = ["metric", "condition", "threshold_policy", "value", "ci_low", "ci_high"]
    rows = summary.loc[summary.value.notna(), columns].itertuples(index=False)
    return {(metric, of, policy): _Number(*number) for metric, of, policy, *number in rows}


def _listens(found: _Numbers, policy: str) -> str:
    swap = found.get(("swap_delta", POSITIVE, policy))
    agreement = found.get(("agreement", f"{POSITIVE}{PAIR}silence", policy))
    area = found.get(("pia", POSITIVE, policy))
    if area is not None and area.value < _NOTHING:
        return ""  # what does not reach the threshold tells nothing about listening
    if swap is not None:
        if swap.low > 0:
            says, moves = "It listens", "moves there"
        elif swap.high < _LITTLE:
            says, moves = "It does not listen", "does not move there"
        else:
            says, moves = "Whether it listens is open", "is not shown to move there"
        other = "with the sound of the image's other object, the map"
        return f"{says}: {other} {moves} (swap delta {swap})."
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
