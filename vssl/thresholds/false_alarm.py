"""Thresholds for a stated rate of false alarms, learnt from negatives."""

from __future__ import annotations

import numpy as np

from vssl.core.arrays import Array
from vssl.core.checks import check_finite
from vssl.thresholds.universal import LearntThreshold


class FalseAlarmThreshold(LearntThreshold):
    """The threshold that a stated share of the negatives of each type exceeds at most.

    For each type the r-th smallest of its n maxima, r = ceil((n + 1)(1 - rate)): of n + 1
    exchangeable values, the last one exceeds it with a probability of at most the rate (split
    conformal prediction; Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World",
    2005). The largest of them where n < 1 / rate - 1, which is too few for that promise. The
    threshold is the largest of the types': the rate is reached for the type that is hardest to tell
    from positives, and the others have fewer false alarms.

    Args:
        rate: share of negatives in which anything may be marked, above 0 and below 1.
        name: the policy's name.

    Raises:
        ValueError: for a rate outside of (0, 1).

    Example:
        >>> policy = FalseAlarmThreshold(rate=0.1, name="false_alarm_10")
        >>> policy.fit(np.arange(1.0, 20.0), np.repeat("noise", 19))
        >>> policy.constant()
        18.0
    """

    def __init__(self, *, rate: float, name: str) -> None:
        check_finite(rate, name="rate")
        if not 0 < rate < 1:
            raise ValueError(f"Expected `rate` between 0 and 1, but got {rate}. 0.05 is 5 %.")
        super().__init__(name=name)
        self.rate = rate

    def level(self, maxima: Array) -> float:
        """The smallest of some maxima that a further one rarely exceeds."""
        # rounded, since (n + 1)(1 - rate) may lie a bit above the whole number that it is
        rank = int(np.ceil(round((len(maxima) + 1) * (1 - self.rate), 9)))
        place = min(max(rank, 1), len(maxima)) - 1
        return float(np.sort(maxima, kind="stable")[place])  # quick where they ascend already
