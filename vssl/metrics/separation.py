"""Separation: how well the largest value of a map tells "it sounds here" from a negative.

No threshold is involved: these say what any universal threshold could reach. A deaf model has
AUROC 0.5 and overlap 1.
"""

from __future__ import annotations

import numpy as np

from vssl.core.arrays import Array
from vssl.metrics.base import FRACTION
from vssl.metrics.ranking import rank_statistics
from vssl.metrics.set_metric import Family, SetMetric, Values, ordered


def separation(positives: Values, negatives: Values, weights: Array) -> Family:
    """AUROC, average precision, FPR at 95 % TPR and overlap of map maxima, see `SetMetric.family`.

    Returns:
        By metric name, `[B, 1]`; NaN where either side is empty.
    """
    order, ends = ordered(positives, negatives)
    positive = order < len(positives.value)
    image = np.concatenate([positives.image, negatives.image])[order]
    found = rank_statistics(ends, positive, image, weights)
    names = ("auroc", "ap", "fpr95", "overlap")
    return {name: found[:, k, None] for k, name in enumerate(names)}


class _Separation(SetMetric):
    family = staticmethod(separation)


class AUROC(_Separation):
    """Area under the ROC curve: probability that a positive's maximum exceeds a negative's.

    Ties count half.
    """

    name = "auroc"
    label = "AUROC"
    chance = 0.5
    higher_is_better = True
    bounds = FRACTION


class AveragePrecision(_Separation):
    """Average precision of the positives: sum of precision times gain in recall, no interpolation.

    Its value for a model that tells nothing apart is the share of positives, which differs between
    one type of negatives (1/2) and the three together (1/4).
    """

    name = "ap"
    label = "AP"
    higher_is_better = True
    bounds = FRACTION


class FPR95(_Separation):
    """Share of negatives that reach the highest value which 95 % of the positives reach."""

    name = "fpr95"
    label = "FPR95"
    chance = 0.95
    higher_is_better = False
    bounds = FRACTION


class Overlap(_Separation):
    """Overlap of the two distributions: 1 - the largest difference TPR - FPR of any threshold.

    It is the least sum of missed positives and accepted negatives, as shares: 1 minus the (one-
    sided) Kolmogorov-Smirnov distance. Equals the shared area of the two densities where they cross
    once, and needs no bins.
    """

    name = "overlap"
    higher_is_better = False
    bounds = FRACTION
