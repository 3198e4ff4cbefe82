"""Which rows of a comparison are tested together, and what may be said of each.

One primary row for each compared run answers the question that was asked first; it is corrected
for nothing but the number of compared runs. All others are secondary. Rows that nearly repeat
another row are in no family: F_LOC by type moves with F_LOC at `all`, and would only dilute it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vssl.arrays import Array, Names
from vssl.checks import check_choice
from vssl.errors import UsageError
from vssl.records.numbers import ALL_NEGATIVES
from vssl.records.uncertainty import interval

PRIMARY, SECONDARY, NO_FAMILY = "primary", "secondary", "none"
"""Values of the column `family`."""

LEVEL = 0.05
"""Level of tests; one-sided of each of the two that show equivalence."""

FEWEST, MOST = 10_000, 200_000
"""Bounds of the number of random exchanges where none is asked for."""

_ROOM = 0.2  # share of the level that the smallest possible p, corrected, may take


@dataclass(frozen=True)
class Endpoint:
    """One number of every compared run.

    Attributes:
        metric: its metric.
        policy: its threshold policy, `none` for a metric that needs no threshold.
        condition: its audio condition; empty for `all`, or the only one that there is.
    """

    metric: str
    policy: str
    condition: str = ""

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read `<metric>/<policy>` or `<condition>/<metric>/<policy>`.

        Raises:
            UsageError: for anything else.
        """
        parts = text.split("/")
        if not all(parts) or len(parts) not in (2, 3):
            raise UsageError(
                f"--primary {text}: expected metric/policy or condition/metric/policy, e.g."
                f" {DEFAULT_PRIMARY}."
            )
        return cls(parts[-2], parts[-1], parts[0] if len(parts) == 3 else "")

    def __str__(self) -> str:
        return "/".join(part for part in (self.condition, self.metric, self.policy) if part)


DEFAULT_PRIMARY = Endpoint("f_loc", "universal_q3", ALL_NEGATIVES)


def families(rows: pd.DataFrame, primary: Endpoint | None) -> Names:
    """Sort the rows of a comparison into families.

    Args:
        rows: with `run, metric, condition, threshold_policy`, and `testable`: whether a row can
            have a p at all.
        primary: None takes `DEFAULT_PRIMARY` where it is among the rows.

    Returns:
        `PRIMARY` for the primary endpoint of every run. `SECONDARY` for other testable rows: of a
        run, metric and policy the one at `all`, or every condition where there is no `all`.
        `NO_FAMILY` for the rest.

    Raises:
        UsageError: when the primary endpoint is not among the rows, or not one of them by run.
    """
    keys = rows["condition"] + "/" + rows["metric"] + "/" + rows["threshold_policy"]
    together = rows["condition"] == ALL_NEGATIVES
    of = [rows[name] for name in ("run", "metric", "threshold_policy")]
    repeats = (together & rows["testable"]).groupby(of).transform("any") & ~together
    found = np.where(rows["testable"] & ~repeats, SECONDARY, NO_FAMILY)
    if primary is None:
        chosen = keys == str(DEFAULT_PRIMARY)
    else:
        chosen = keys == _full_key(primary, keys[rows["testable"]])
    found[chosen & rows["testable"]] = PRIMARY
    return found


def _full_key(primary: Endpoint, keys: pd.Series[str]) -> str:
    """The endpoint's key with its condition, one of those of testable rows."""
    there = [*dict.fromkeys(keys)]
    if primary.condition:
        check_choice(str(primary), there, name="--primary")
        return str(primary)
    own = [key for key in there if key.endswith(f"/{primary}")]
    if f"{ALL_NEGATIVES}/{primary}" in own:
        return f"{ALL_NEGATIVES}/{primary}"
    if not own:
        check_choice(str(primary), [*dict.fromkeys(k.partition("/")[2] for k in there)],
                     name="--primary")  # fmt: skip
    if len(own) > 1:
        raise UsageError(f"--primary {primary}: is several rows; name one: {', '.join(own)}.")
    return own[0]


def holm(p: Array) -> Array:
    """Holm's correction of p values for their number.

    The i-th smallest of M is multiplied by M - i + 1, and is never below a smaller one's result
    nor above 1 (Holm, "A simple sequentially rejective multiple test procedure", 1979).

    Args:
        p: `[M]` p values; NaN is no test.

    Returns:
        `[M]` in [0, 1]; NaN stays NaN.

    Example:
        >>> holm(np.array([0.04, 0.01, np.nan, 0.03]))
        array([0.06, 0.03,  nan, 0.06])
    """
    order = np.argsort(p)  # NaN comes last
    steps = p[order] * (np.count_nonzero(~np.isnan(p)) - np.arange(len(p)))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def holm_by_family(p: Array, family: Names) -> Array:
    """Holm's correction `[M]` within the primary rows and within the secondary ones; else NaN."""
    found = np.full(len(p), np.nan)
    for name in (PRIMARY, SECONDARY):
        found[family == name] = holm(p[family == name])
    return found


def enough_exchanges(tests: int) -> int:
    """Random exchanges with which Holm's correction for some tests can reject with room to spare.

    With N of them no p is below 1 / (N + 1), which the correction multiplies by the number of
    tests; the result is a fifth of the level at most, as long as N stays within bounds.
    """
    return min(max(FEWEST, round(tests / (_ROOM * LEVEL)) - 1), MOST)


def equivalent(resampled: Array, images: int, margin: float) -> bool:
    """Whether a difference is shown to be within a margin.

    Two one-sided tests at 5 %: the 90 % interval lies within the margin (Schuirmann, "A comparison
    of the two one-sided tests procedure and the power approach for assessing the equivalence of
    average bioavailability", 1987).

    Args:
        resampled: `[B]` resamples of the difference.
        images: number of images n that it rests on.
        margin: above 0, in the difference's units.
    """
    low, high = interval(resampled, level=1 - 2 * LEVEL)
    if not images:
        return False
    if low == high:
        # no resample differs, but a share s of all images that differ, each by 1 at most, stays
        # unseen with a probability of (1 - s)^n: that is 5 % for this s
        unseen = 1 - LEVEL ** (1 / images)
        low, high = low - unseen, high + unseen
    return bool(-margin < low and high < margin)


def verdict(difference: float, p: float, *, tied: bool, margin: float) -> str:
    """What may be said of a difference, in words.

    Args:
        difference: run minus reference.
        p: corrected; NaN where there is no test.
        tied: whether it is shown to be within the margin.
        margin: as a fraction.

    Returns:
        `higher` or `lower` than the reference, by its value, whether that is good or bad; with
        `(within 1 point)` where it is shown to be that small. Otherwise `tied (within 1 point)`,
        `not shown`, or `not tested` where there is no corrected p.
    """
    within = f"(within {100 * margin:g} point{'' if margin == 0.01 else 's'})"
    if p <= LEVEL:
        word = "higher" if difference > 0 else "lower"
        return f"{word} {within}" if tied else word
    if tied:
        return f"tied {within}"
    return "not tested" if np.isnan(p) else "not shown"
