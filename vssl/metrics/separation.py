"""Separation: how well the largest value of a map tells a positive from a negative.

No threshold is involved: these numbers bound what any universal threshold can reach. A deaf model
has AUROC 0.5 and overlap 1.
"""

from __future__ import annotations

import numpy as np
import torch  # noqa: F401, for the examples

from vssl.core.arrays import Counts
from vssl.metrics.base import FRACTION
from vssl.metrics.ranking import rank_statistics
from vssl.metrics.set_metric import Family, SetMetric, Values, ordered


def separation(positives: Values, negatives: Values, weights: Counts) -> Family:
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
    bounds = FRACTION
    family = staticmethod(separation)


class AUROC(_Separation):
    """Area under the ROC curve: probability that a positive's maximum exceeds a negative's.

    Ties count half.

    Example:
        >>> metric = AUROC()
        >>> metric.update(torch.tensor([0.9, 0.6, 0.7, 0.1]), torch.tensor([1, 1, 0, 0]))
        >>> metric.compute()
        tensor(0.7500, dtype=torch.float64)
    """

    name = "auroc"
    label = "AUROC"
    chance = 0.5
    higher_is_better = True


class AveragePrecision(_Separation):
    """Average precision of the positives: sum of precision times gain in recall, no interpolation.

    A model that tells nothing apart has the share of positives: 1/2 with one type of negatives, 1/4
    with the three together.

    Example:
        >>> metric = AveragePrecision()
        >>> metric.update(torch.tensor([0.9, 0.6, 0.7, 0.1]), torch.tensor([1, 1, 0, 0]))
        >>> metric.compute()
        tensor(0.8333, dtype=torch.float64)
    """

    name = "ap"
    label = "AP"
    higher_is_better = True


class FPR95(_Separation):
    """False positive rate at 95 % true positive rate.

    The share of negatives that reach the highest threshold which 95 % of the positives reach.

    Example:
        >>> metric = FPR95()
        >>> metric.update(torch.tensor([0.9, 0.6, 0.7, 0.1]), torch.tensor([1, 1, 0, 0]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    name = "fpr95"
    label = "FPR95"
    chance = 0.95
    higher_is_better = False


class Overlap(_Separation):
    """Overlap of the two distributions: 1 - the largest difference TPR - FPR of any threshold.

    The least sum of missed positives and accepted negatives, as shares: 1 minus the one-sided
    Kolmogorov-Smirnov distance. Where the two densities cross once, it is the area that they share.

    Example:
        >>> metric = Overlap()
        >>> metric.update(torch.tensor([0.9, 0.6, 0.7, 0.1]), torch.tensor([1, 1, 0, 0]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    name = "overlap"
    higher_is_better = False
