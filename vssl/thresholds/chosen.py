"""Thresholds that are chosen by how well the objects of positives are found with them.

They look at the answers: on the run that they were chosen on, their numbers are too good. Every
number says so in its threshold source. `vssl-thresholds --price` measures by how much.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, Protocol

import numpy as np
import torch

from vssl.core.arrays import Array, Index
from vssl.core.checks import check_choice
from vssl.thresholds.base import ThresholdError, ThresholdPolicy

CHOSEN_ON = "chosen on"
"""Start of the source of a threshold that was chosen by the ground truth of a run."""

BY_CLASS = ", by class"
"""End of its source where each class has its own."""

WITHIN = ("declared", "positives")

_TIE = 1e-12  # rounding of sums whose exact values are equal


class ChosenThreshold(ThresholdPolicy):
    """The best of some candidates, by the ground truth of positives.

    Attributes:
        within: range that the candidates lie in: `declared`, what the model declares of its maps,
            or `positives`, from the smallest to the largest pixel of the positives' localization
            maps.
        by_class: whether each class has its own threshold, chosen on its own samples (and within
            the range of these).
    """

    source = f"{CHOSEN_ON} the test set"
    within: Literal["declared", "positives"] = "declared"
    by_class: bool = False

    def __init__(self, *, name: str) -> None:
        self.name = name
        self.value: float | None = None

    @abstractmethod
    def candidates(self, low: float, high: float) -> Array:
        """Ascending thresholds `[T]` within a range; as always, pixels at one are not marked."""

    @abstractmethod
    def terms(self, intersection: Array, union: Array) -> tuple[Array, Array]:
        """Numerator and denominator `[N, T]` of the quality of each threshold.

        The quality is the ratio of their sums over samples, higher is better.

        Args:
            intersection: `[N, T]` summed ground truth of the pixels that are marked.
            union: `[N, T]` summed ground truth, and pixels that are marked where there is none.
        """

    def choose(self, candidates: Array, intersection: Array, union: Array) -> None:
        """Set the threshold: the best candidate `[T]` on N samples, the lowest of equal ones.

        Raises:
            ThresholdError: when no sample has a defined quality.
        """
        numerator, denominator = (each.sum(axis=0) for each in self.terms(intersection, union))
        if not (denominator > 0).any():
            raise ThresholdError(
                f"threshold {self.name} is chosen by the objects of positives, but there are none."
            )
        self.value = float(candidates[best_place(numerator, denominator)])

    def constant(self) -> float:
        """The chosen value; a ThresholdError when it was not chosen."""
        if self.value is None:
            raise ThresholdError(
                f"threshold {self.name} is chosen by the ground truth of a run. Score one with it:"
                f" vssl-rescore run=DIR threshold={self.name}."
            )
        return self.value


def best_place(numerator: Array, denominator: Array) -> Index:
    """Place of the largest ratio along the last axis; the first of equal ones."""
    with np.errstate(invalid="ignore", divide="ignore"):
        quality = np.where(denominator > 0, numerator / denominator, -np.inf)
    return np.asarray((quality >= quality.max(axis=-1, keepdims=True) - _TIE).argmax(axis=-1))


class OfIoU(Protocol):
    """A metric that follows from each sample's cIoU, as `AUC` and `SuccessRate`."""

    @staticmethod
    def from_column(column: torch.Tensor) -> torch.Tensor:
        """Values of samples, from their cIoU."""


class BestOf(ChosenThreshold):
    """The best of evenly spaced thresholds.

    `best_of_19` is ACL's rule (swimmiing/ACL-SSL 57f4a6c, Eval.py 60-117), `best_of_20` that of
    DenseAV (mhamilton723/DenseAV 2221b8c, eval_utils.py 33-52; docs/protocols.md, R29 and R30).

    Args:
        name: the policy's name.
        count: number of thresholds.
        first: the lowest, as a fraction of the range.
        last: the highest.
        metric: of samples, whose mean is to be largest; None for the IoU of all samples' pixels
            together.
        within: see `ChosenThreshold`.
        by_class: see `ChosenThreshold`.
        inclusive: whether pixels at the threshold are marked too.

    Example:
        >>> policy = BestOf(name="best_of_3", count=3, first=0.25, last=0.75)
        >>> policy.candidates(-1.0, 1.0)
        array([-0.5,  0. ,  0.5])
        >>> policy.choose(policy.candidates(-1, 1), np.array([[5, 4, 3]]), np.array([[9, 6, 6]]))
        >>> policy.constant()
        0.0
    """

    def __init__(
        self,
        *,
        name: str,
        count: int,
        first: float = 0.0,
        last: float = 1.0,
        metric: OfIoU | None = None,
        within: Literal["declared", "positives"] = "declared",
        by_class: bool = False,
        inclusive: bool = False,
    ) -> None:
        check_choice(within, WITHIN, name="within")
        if not (0 <= first <= last <= 1 and count > 0):
            raise ValueError(
                f"Expected 0 <= first <= last <= 1 and a positive count, but got {first}, {last}"
                f" and {count}."
            )
        super().__init__(name=name)
        # decimal fractions: 3 x 0.05 would lie above 0.15
        self.shares = np.linspace(first, last, count).round(12)
        self.metric, self.inclusive = metric, inclusive
        self.within, self.by_class = within, by_class
        if by_class:
            self.source += BY_CLASS

    def candidates(self, low: float, high: float) -> Array:
        """Evenly spaced thresholds."""
        values = low + (high - low) * self.shares
        if self.inclusive:
            values = np.nextafter(values.astype(np.float32), np.float32(-np.inf))
        return values.astype(np.float64)

    def terms(self, intersection: Array, union: Array) -> tuple[Array, Array]:
        """The metric and where it is defined; intersection and union without one."""
        if self.metric is None:
            return intersection, union
        with np.errstate(invalid="ignore"):
            ciou = torch.from_numpy(np.asarray(intersection / union))
        values = self.metric.from_column(ciou.flatten()).view(ciou.shape).numpy()
        defined = ~np.isnan(values)
        return np.where(defined, values, 0.0), defined.astype(np.float64)
