"""Agreement: do two sounds give the same mask of one image?"""

from __future__ import annotations

import numpy as np
import torch

from vssl.core.arrays import Array, Index
from vssl.core.checks import check_same_shape
from vssl.masks import PackedMasks
from vssl.metrics.base import FRACTION, HigherForOwn, PairMetric


def mask_agreement(masks: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    r"""Per-sample intersection over union of two masks.

    .. math:: \frac{|A \cap B|}{|A \cup B|}, \quad 1 \text{ where both are empty}

    Source: vssl_eval utils_dir/eval_utils.py:compute_IOU_maps (docs/protocols.md, R23).

    Args:
        masks: `[N, H, W]` bool, under one sound.
        others: `[N, H, W]` bool, under another.

    Returns:
        `[N]` float64 in [0, 1].

    Raises:
        ValueError: when the shapes differ.
    """
    check_same_shape(masks, others, names="the masks under two sounds")
    both = (masks & others).flatten(1).sum(dim=1).double()
    either = (masks | others).flatten(1).sum(dim=1).double()
    return torch.where(either > 0, both / either, 1.0)


class Agreement(HigherForOwn, PairMetric):
    """Mean agreement of two audio conditions of one image, for every pair of conditions.

    Between the positive and a negative, low is good: the mask changes with the sound. Between two
    sounds of the own object, high is good: the mask stays. Read it with pIA: a model that marks
    nothing under either sound agrees with itself. A deaf model has 1.

    Example:
        >>> agreement = Agreement()
        >>> agreement.update(torch.tensor([[[True, True]]]), torch.tensor([[[True, False]]]))
        >>> agreement.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    name = "agreement"
    column = "agreement"
    higher_is_better = False
    bounds = FRACTION

    measure = staticmethod(mask_agreement)

    @classmethod
    def measure_packed(cls, masks: PackedMasks, rows: Index, others: Index) -> Array:
        """The same of masks as bits."""
        both = masks.overlap(masks, rows, others)
        either = masks.area[rows] + masks.area[others] - both
        return np.where(either > 0, both / np.maximum(either, 1), 1.0)
