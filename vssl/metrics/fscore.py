"""F_LOC and F_AUC: one number for finding what sounds and ignoring what does not.

Source: Juanola et al., ICASSP 2025; vssl_eval utils_dir/eval_utils.py, end of compute_metrics
(docs/protocols.md, R22). Both want one universal threshold for positives and negatives.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch  # noqa: F401, for the examples

from vssl.core.arrays import Array
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.base import FRACTION, CombinedMetric
from vssl.metrics.ciou import ConsensusIoU
from vssl.metrics.pia import ImageArea


def harmonic_mean(first: Array, second: Array) -> Array:
    """Elementwise `2ab / (a + b)` of fractions; NaN where both are 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * first * second / (np.asarray(first) + second)


class HarmonicMetric(CombinedMetric):
    """The harmonic mean of a mean on positives, and 1 - a mean on negatives of all types."""

    higher_is_better = True
    bounds = FRACTION

    @staticmethod
    def combine(positive: Array, negatives: Mapping[str, Array]) -> Array:
        """Combine the mean on positives with that on each negative type."""
        return harmonic_mean(positive, 1 - np.mean(list(negatives.values()), axis=0))


class FLoc(HarmonicMetric):
    r"""F_LOC: harmonic mean of mean cIoU and 1 - mean pIA, averaged over the negative types.

    .. math:: \frac{2 a b}{a + b}, \quad a = \overline{\mathrm{cIoU}}, \quad
        b = 1 - \frac{1}{T} \sum_t \overline{\mathrm{pIA}}_t

    `update` takes the audio condition of a batch, or of each of its samples.

    Example:
        >>> f_loc = FLoc(negatives=["silence", "noise"])
        >>> masks = torch.tensor([[[True, True]], [[False, False]], [[True, False]]])
        >>> truth = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0]]])
        >>> f_loc.update(masks, truth, ["positive", "silence", "noise"])
        >>> f_loc.compute()  # of cIoU 0.5 and 1 - (0 + 0.5) / 2
        tensor(0.6000, dtype=torch.float64)
    """

    name = "f_loc"
    label = "F_LOC"
    positive, of_positives = ConsensusIoU.name, ConsensusIoU
    negative, of_negatives = ImageArea.name, ImageArea


class FAuc(CombinedMetric):
    """F_AUC: harmonic mean of AUC and the mean AUC_N over the negative types.

    Example:
        >>> f_auc = FAuc(negatives=["silence"])
        >>> truth = torch.tensor([[[1.0, 0.0]]])
        >>> f_auc.update(torch.tensor([[[True, True]]]), truth, "positive")
        >>> f_auc.update(torch.tensor([[[True, False]]]), truth, "silence")
        >>> f_auc.compute()
        tensor(0.5250, dtype=torch.float64)
    """

    name = "f_auc"
    label = "F_AUC"
    positive, of_positives = AUC.name, AUC
    negative, of_negatives = AUCN.name, AUCN
    higher_is_better = True
    bounds = FRACTION

    @staticmethod
    def combine(positive: Array, negatives: Mapping[str, Array]) -> Array:
        """Combine AUC with the AUC_N of each negative type."""
        return harmonic_mean(positive, np.asarray(np.mean(list(negatives.values()), axis=0)))
