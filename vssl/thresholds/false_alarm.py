"""Thresholds for a stated rate of false alarms, learnt from negatives."""

from __future__ import annotations

import numpy as np

from vssl.core.arrays import Array
from vssl.core.checks import check_finite
from vssl.thresholds.universal import LearntThreshold


def exceeded_rarely(maxima: Array, rate: float) -> float:
    """Smallest of some maxima that a further one exceeds with a probability of at most `rate`.

    The r-th smallest of n, r = ceil((n + 1)(1 - rate)): of n + 1 exchangeable values, the last one
    exceeds it with a probability of at most `rate` (split conformal prediction; Vovk, Gammerman and
    Shafer, "Algorithmic Learning in a Random World", 2005). The largest where n < 1 / rate - 1,
    which is too few for that promise.

    Args:
        maxima: `[n]` largest values of negatives' maps, finite.
        rate: above 0, below 1.

    Example:
        >>> exceeded_rarely(np.arange(1.0, 20.0), 0.1)
        18.0
    """
    # rounded, since (n + 1)(1 - rate) may lie a bit above the whole number that it is
    rank = int(np.ceil(round((len(maxima) + 1) * (1 - rate), 9)))
    place = min(max(rank, 1), len(maxima)) - 1
    return float(np.partition(maxima, place)[place])


class FalseAlarmThreshold(LearntThreshold):
    """The threshold that a stated share of the negatives of each type exceeds at most.

    For each type the value of `exceeded_rarely`; the largest of these. The rate is reached for the
    type that is hardest to tell from positives, and the others have fewer false alarms.

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
        """See `exceeded_rarely`."""
        return exceeded_rarely(maxima, self.rate)
