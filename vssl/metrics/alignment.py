"""Alignment and separability of positive and negative similarities, in units of the map.

"Learning from Silence and Noise for Visual Sound Source Localization" (arXiv 2508.21761) describes
a trade-off between the two. Its formulas were not available to us: these are our own.
"""

from __future__ import annotations

import numpy as np
import torch  # noqa: F401, for the examples

from vssl.core.arrays import Array, Counts
from vssl.metrics.ranking import weighted_quantile
from vssl.metrics.set_metric import Family, SetMetric, Values


def _quantile(values: Values, weights: Counts, level: float) -> Array:
    """A quantile under each weighting, `[B, 1]`."""
    order = np.argsort(values.value, kind="stable")
    return weighted_quantile(values.value[order], values.image[order], weights, level)[:, None]


def alignment(positives: Values, negatives: Values, weights: Counts) -> Family:
    """Compute the median of the positives' map maxima; see `SetMetric.family`."""
    return {"alignment": _quantile(positives, weights, 0.5)}


def separability(positives: Values, negatives: Values, weights: Counts) -> Family:
    """Compute the positives' first quartile minus the negatives' third; see `SetMetric.family`."""
    low, high = _quantile(positives, weights, 0.25), _quantile(negatives, weights, 0.75)
    return {"separability": low - high}


class Alignment(SetMetric):
    """Median of the positives' map maxima: how similar image and sound are.

    Example:
        >>> alignment = Alignment()
        >>> alignment.update(torch.tensor([0.9, 0.7, 0.3, 0.1]), torch.tensor([1, 1, 1, 0]))
        >>> alignment.compute()
        tensor(0.7000, dtype=torch.float64)
    """

    name = "alignment"
    unit = "units of the map"
    on_positives = True
    higher_is_better = True

    family = staticmethod(alignment)


class Separability(SetMetric):
    """Q1(positive) - Q3(negative) of map maxima: above 0, a threshold keeps three quarters each.

    Example:
        >>> separability = Separability()
        >>> separability.update(torch.tensor([0.9, 0.7, 0.3, 0.1]), torch.tensor([1, 1, 0, 0]))
        >>> separability.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    name = "separability"
    unit = "units of the map"
    higher_is_better = True

    family = staticmethod(separability)
