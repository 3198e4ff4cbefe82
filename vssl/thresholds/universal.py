"""Universal thresholds: one value for all images, learnt from negatives.

"A Critical Assessment of VSSL Models Including Negative Audio" (Juanola, Haro, Fuentes, ICASSP
2025): above what negatives reach, something sounds here. They are fitted on the maxima of native
similarity maps (of upsampled mixes for object-guided maps) and applied to localization maps, whose
maxima are slightly lower. That the rule "max" averages the maxima within a negative type is our
reading; the code that derived the released constants is not public (docs/protocols.md, R17).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Literal

import numpy as np

from vssl.core.arrays import Array, Names
from vssl.core.checks import check_choice, check_positive
from vssl.thresholds.base import ThresholdError, ThresholdPolicy

STATISTICS = ("mean", "third_quartile")


class LearntThreshold(ThresholdPolicy):
    """The largest, over negative types, of a level that the type's similarity maxima give.

    Args:
        name: the policy's name.
    """

    needs_fit = True

    def __init__(self, *, name: str) -> None:
        self.name = name
        self.value: float | None = None

    @abstractmethod
    def level(self, maxima: Array) -> float:
        """Level of one negative type, of its finite maxima `[n]`, n >= 1."""

    def from_levels(self, levels: Array) -> Array:
        """Threshold of the largest level; elementwise."""
        return levels

    def fit(self, similarity_max: Array, condition: Names) -> None:
        """Set the threshold from the maxima of negatives, see `fit_types`."""
        names = np.unique(condition).tolist()
        self.fit_types({name: similarity_max[condition == name] for name in names})

    def fit_types(self, maxima: Mapping[str, Array]) -> None:
        """Set the threshold from the maxima `[n]` of each negative type.

        Those that are not finite are left out.

        Raises:
            ThresholdError: without a negative that has a finite maximum.
        """
        finite = (values[np.isfinite(values)] for values in maxima.values())
        levels = [self.level(values) for values in finite if values.size]
        if not levels:
            raise ThresholdError(
                f"threshold {self.name} is learnt from negatives, but there are none. Evaluate with"
                " negatives=all, or give the records of another run: calibration=FOLDER."
            )
        self.value = float(self.from_levels(np.asarray(max(levels))))

    def constant(self) -> float:
        """The fitted value; a ThresholdError when it was not fitted."""
        if self.value is None:
            raise ThresholdError(f"threshold {self.name} was used before it was fitted.")
        return self.value


class UniversalThreshold(LearntThreshold):
    """A threshold from the mean or the third quartile of the similarity maxima.

    Args:
        statistic: `mean` (policies `universal_max`, `universal_max10`) or `third_quartile`
            (`universal_q3`; linear interpolation between order statistics).
        factor: raises the result by `factor - 1` of its size; 1.1 for `universal_max10`. A negative
            threshold is raised too, so that the policy is the stricter one for any range of maps.
        name: the policy's name.

    Raises:
        ValueError: for an unknown statistic or a factor that is not positive.

    Example:
        >>> policy = UniversalThreshold(statistic="mean", name="universal_max")
        >>> policy.fit(np.array([0.1, 0.3, 0.5]), np.array(["silence", "noise", "noise"]))
        >>> policy.constant()
        0.4
    """

    def __init__(
        self,
        *,
        statistic: Literal["mean", "third_quartile"],
        name: str,
        factor: float = 1.0,
    ) -> None:
        check_choice(statistic, STATISTICS, name="statistic")
        check_positive(factor, name="factor")
        super().__init__(name=name)
        self.statistic = statistic
        self.factor = factor

    def level(self, maxima: Array) -> float:
        """Mean or third quartile."""
        return float(np.mean(maxima) if self.statistic == "mean" else np.quantile(maxima, 0.75))

    def from_levels(self, levels: Array) -> Array:
        """The level, raised by the factor; a negative one too."""
        if self.factor == 1:
            return levels
        return np.where(levels > 0, self.factor * levels, levels + (self.factor - 1) * abs(levels))
