"""F_LOC and F_AUC: one number for finding what sounds and ignoring what does not.

Source: Juanola et al., ICASSP 2025; vssl_eval utils_dir/eval_utils.py, end of compute_metrics
(docs/protocols.md, R22). Both want one universal threshold for positives and negatives.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vssl.core.arrays import Array
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.base import FRACTION, CombinedMetric
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.pia import ImageArea


def harmonic_mean(first: Array, second: Array) -> Array:
    """Elementwise `2ab / (a + b)`.

    Args:
        first: fractions.
        second: fractions, of the same shape.

    Returns:
        Fractions; NaN where both are 0.

    Example:
        >>> harmonic_mean(np.array([0.5, 1.0]), np.array([0.5, 0.0]))
        array([0.5, 0. ])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * first * second / (np.asarray(first) + second)


class FLoc(CombinedMetric):
    """F_LOC: harmonic mean of mean cIoU and 1 - mean pIA, averaged over the negative types."""

    name = "f_loc"
    positive, of_positives = ConsensusIoU.name, ConsensusIoU
    negative, of_negatives = ImageArea.name, ImageArea
    higher_is_better = True
    bounds = FRACTION

    @staticmethod
    def combine(positive: Array, negatives: Mapping[str, Array]) -> Array:
        """Combine mean cIoU with the mean pIA of each negative type."""
        return harmonic_mean(positive, 1 - np.mean(list(negatives.values()), axis=0))


class FAuc(CombinedMetric):
    """F_AUC: harmonic mean of AUC and the mean AUC_N over the negative types."""

    name = "f_auc"
    positive, of_positives = AUC.name, AUC
    negative, of_negatives = AUCN.name, AUCN
    higher_is_better = True
    bounds = FRACTION

    @staticmethod
    def combine(positive: Array, negatives: Mapping[str, Array]) -> Array:
        """Combine AUC with the AUC_N of each negative type."""
        return harmonic_mean(positive, np.asarray(np.mean(list(negatives.values()), axis=0)))
