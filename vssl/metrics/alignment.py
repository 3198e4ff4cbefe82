"""Alignment and separability of positive and negative similarities.

"Learning from Silence and Noise for Visual Sound Source Localization" (arXiv 2508.21761) describes
a trade-off between the two. Its formulas were not available to us: these are our own, of the
largest value of each map, in units of the map.
"""

from __future__ import annotations

import numpy as np

from vssl.core.arrays import Array
from vssl.metrics.ranking import weighted_quantile
from vssl.metrics.set_metric import Family, SetMetric, Values


def _quantile(values: Values, weights: Array, level: float) -> Array:
    """A quantile under each weighting, `[B, 1]`."""
    order = np.argsort(values.value, kind="stable")
    found: Array = weighted_quantile(values.value[order], values.image[order], weights, level)
    return found[:, None]


def alignment(positives: Values, negatives: Values, weights: Array) -> Family:
    """Median of the positives' map maxima; the negatives play no part."""
    return {"alignment": _quantile(positives, weights, 0.5)}


def separability(positives: Values, negatives: Values, weights: Array) -> Family:
    """First quartile of the positives' map maxima minus third quartile of the negatives'."""
    low, high = _quantile(positives, weights, 0.25), _quantile(negatives, weights, 0.75)
    return {"separability": low - high}


class Alignment(SetMetric):
    """Median of the positives' map maxima: how much image and sound are brought together."""

    name = "alignment"
    unit = "units of the map"
    on_positives = True
    higher_is_better = True

    family = staticmethod(alignment)


class Separability(SetMetric):
    """Q1(positive) - Q3(negative) of map maxima: above 0, a threshold keeps three quarters each."""

    name = "separability"
    unit = "units of the map"
    higher_is_better = True

    family = staticmethod(separability)
