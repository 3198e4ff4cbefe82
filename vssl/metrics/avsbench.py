"""The metrics of AVSBench and AVSBench-Robust, by their authors' rules.

Sources: Zhou et al., Audio-Visual Segmentation, ECCV 2022, and OpenNLPLab/AVSBench
`avs_scripts/avs_s4/utils/utility.py` (`mask_iou`, `Eval_Fmeasure`); Li et al., Do Audio-Visual
Segmentation Models Truly Segment Sounding Objects?, arXiv 2502.00358, and
jiali-home/AVSBench-Robust `training_evaluation/code/AVSegFormer/scripts/s4/test.py`. The formula of
the G-numbers is inferred (docs/metrics.md).

A pixel is the object's where the ground truth is above 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vssl.core.arrays import Array, Index
from vssl.core.checks import check_maps, check_same_shape
from vssl.kernels import exceedance
from vssl.masks import PackedMasks, PackedTruth
from vssl.metrics.base import FRACTION, HigherForOwn, SampleMetric, check_masks
from vssl.metrics.curve import CurveMetric
from vssl.metrics.fscore import HarmonicMetric
from vssl.metrics.pia import ImageArea
from vssl.types import POSITIVE, SoundingObject

_EPSILON = 1e-7
_BETA_SQUARED = 0.3
_THRESHOLDS = torch.linspace(0, 1 - 1e-10, 255).numpy()
"""In float32, as theirs: the last one is 1."""

_BELOW = np.nextafter(_THRESHOLDS, np.float32(-1))
"""What exceeds one of these reaches the threshold."""


def avs_iou(masks: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
    """Per-sample IoU by AVSBench's rule.

    The intersection over the union + 1e-7. For an empty ground truth it is the IoU of the inverted
    masks: the share of the pixels that are not marked.

    Args:
        masks: `[N, H, W]` bool.
        ground_truth: `[N, H, W]` floating-point in [0, 1].

    Returns:
        `[N]` float64 in [0, 1].

    Raises:
        TypeError: for masks that are not boolean or a ground truth that is not floating-point.
        ValueError: for shapes other than `[N, H, W]`, or two different ones.
    """
    check_masks(masks, ground_truth)
    marked, own = masks.flatten(1), ground_truth.flatten(1) > 0
    counts = ((each.sum(dim=1)).numpy(force=True) for each in (marked, own, marked & own))
    return torch.from_numpy(_iou(*counts, pixels=marked.shape[1])).to(masks.device)


def _iou(marked: Index, own: Index, both: Index, *, pixels: int) -> Array:
    """IoU from the pixels of mask, ground truth and both, `[N]` each."""
    of_object = both / (marked + own - both + _EPSILON)
    return np.asarray(np.where(own > 0, of_object, (pixels - marked) / (pixels + _EPSILON)))


class _WithObject(HigherForOwn):
    """A comparison with the object's mask under any sound: low is right where another sounds."""

    conditions = tuple(SoundingObject)
    with_natural = True
    higher_is_better = True
    bounds = FRACTION


class AVSMeanIoU(_WithObject, SampleMetric):
    """AVSBench's mIoU, where an empty mask is right for an image in which nothing sounds.

    Natural negatives count among the positives. Under negatives it is the IoU with the object's own
    mask, as in AVSBench-Robust: lower is better.

    Example:
        >>> miou = AVSMeanIoU()
        >>> nothing_marked = torch.zeros(2, 1, 2, dtype=torch.bool)
        >>> miou.update(nothing_marked, torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]]]))
        >>> miou.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    name = "avs_miou"
    label = "mIoU (AVSBench)"
    column = "avs_iou"

    measure = staticmethod(avs_iou)

    @classmethod
    def measure_packed(cls, masks: PackedMasks, truth: PackedTruth) -> Array:
        """The same of masks as bits."""
        own = truth.anywhere
        pixels = masks.shape[0] * masks.shape[1]
        return _iou(masks.area, own.area, masks.overlap(own), pixels=pixels)


class AVSFalsePositiveRate(ImageArea):
    """AVSBench-Robust's FPR, which is pIA: the share of the pixels that are marked.

    Natural negatives count among the positives.

    Example:
        >>> fpr = AVSFalsePositiveRate()
        >>> fpr.update(torch.tensor([[[True, False]]]), torch.zeros(1, 1, 2))
        >>> fpr.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    name = "avs_fpr"
    label = "FPR (AVSBench-Robust)"
    with_natural = True


def avs_f_curves(localization_maps: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
    r"""F of each sample at AVSBench's 255 thresholds from 0 to 1, where `map >= threshold`.

    .. math:: \frac{1.3 \, p r}{0.3 \, p + r}

    Args:
        localization_maps: `[N, H, W]` in [0, 1].
        ground_truth: `[N, H, W]` in [0, 1].

    Returns:
        `[N, 255]` float32 in [0, 1]; a row is NaN for an empty ground truth and for a map that
        holds NaN.

    Raises:
        TypeError: when maps or ground truths are not floating-point.
        ValueError: for shapes other than `[N, H, W]`, or two different ones.
    """
    for name, given in (("localization_maps", localization_maps), ("ground_truth", ground_truth)):
        check_maps(given, name=name)
    check_same_shape(
        localization_maps, ground_truth, names="`localization_maps` and `ground_truth`"
    )
    pixels = localization_maps.flatten(1).float().contiguous().numpy(force=True)
    own = (ground_truth.flatten(1) > 0).float().numpy(force=True)
    undefined = np.isnan(pixels).any(axis=1)
    maps = np.where(undefined[:, None], np.float32(0), pixels)
    marked, _, found = exceedance(maps, _BELOW, own)
    total = own.sum(axis=1, keepdims=True, dtype=np.float64)
    # precision and recall of counts: (1 + b) pr / (bp + r) = (1 + b) found / (b total + marked)
    with np.errstate(invalid="ignore"):
        curves = (1 + _BETA_SQUARED) * found / (_BETA_SQUARED * total + marked)
    curves[undefined | (total[:, 0] == 0)] = np.nan
    return torch.from_numpy(curves.astype(np.float32)).to(localization_maps.device)


class AVSF(_WithObject, CurveMetric):
    """AVSBench's F (beta^2 = 0.3): the largest value of the curve over thresholds.

    The curve is the mean of all samples, as in ACL's corrected rule. Empty ground truths are left
    out.

    Example:
        >>> f = AVSF()
        >>> f.update(torch.tensor([[[0.9, 0.4]]]), torch.tensor([[[1.0, 0.0]]]))
        >>> f.compute()
        tensor(1., dtype=torch.float64)
    """

    name = "avs_f"
    label = "F (AVSBench)"
    column = "avs_f_curve"
    points = len(_THRESHOLDS)

    measure = staticmethod(avs_f_curves)

    def __init__(self) -> None:  # of all samples: by batch it has another name
        super().__init__()


class AVSFBatch(AVSF):
    """AVSBench's F as released: the mean over batches of the largest value of a batch's mean curve.

    It depends on the order of the samples and on the size of a batch. A batch whose ground truths
    are all empty counts 0.

    Args:
        batch: samples of a batch; 5 are the frames of a video of S4 and MS3.

    Example:
        >>> f = AVSFBatch(batch=1)
        >>> maps = torch.tensor([[[0.9, 0.4]], [[0.9, 0.4]]])
        >>> f.update(maps, torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]]))
        >>> f.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    name = "avs_f_batch"
    label = "F by batch (AVSBench)"
    by_subset = False
    by_order = True

    def __init__(self, *, batch: int = 5) -> None:
        CurveMetric.__init__(self, batch=batch)


class GMeanIoU(HarmonicMetric):
    """G-mIoU of AVSBench-Robust: of mIoU with the object's mask, under its sound and negatives.

    Example:
        >>> g_miou = GMeanIoU(negatives="silence")
        >>> masks, truth = torch.tensor([[[True, False]]]), torch.tensor([[[1.0, 1.0]]])
        >>> g_miou.update(masks, truth)
        >>> g_miou.update(masks, truth, "silence")  # a deaf model
        >>> g_miou.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    name = "g_miou"
    label = "G-mIoU"
    positive = negative = AVSMeanIoU.name
    of_positives = of_negatives = AVSMeanIoU


class GFalsePositiveRate(HarmonicMetric):
    """G-FPR of AVSBench-Robust: of the marked share of the image, under its sound and negatives.

    Example:
        >>> g_fpr = GFalsePositiveRate(negatives="silence")
        >>> g_fpr.update(torch.tensor([[[True, False]]]), torch.ones(1, 1, 2))
        >>> g_fpr.update(torch.tensor([[[False, False]]]), torch.ones(1, 1, 2), "silence")
        >>> g_fpr.compute()
        tensor(0.6667, dtype=torch.float64)
    """

    name = "g_fpr"
    label = "G-FPR"
    positive = negative = AVSFalsePositiveRate.name
    of_positives = of_negatives = AVSFalsePositiveRate


class GF(HarmonicMetric):
    """G-F of AVSBench-Robust: of F over the whole set, under its sound and negatives.

    Example:
        >>> g_f = GF(negatives="silence")
        >>> maps, truth = torch.tensor([[[0.9, 0.4]]]), torch.tensor([[[1.0, 0.0]]])
        >>> g_f.update(maps, truth)
        >>> g_f.update(1 - maps, truth, "silence")
        >>> g_f.compute()
        tensor(0.6061, dtype=torch.float64)
    """

    name = "g_f"
    label = "G-F"
    positive = negative = AVSF.name
    of_positives = of_negatives = AVSF

    def update(
        self,
        localization_maps: torch.Tensor,
        ground_truth: torch.Tensor,
        condition: str | Sequence[str] = POSITIVE,
    ) -> None:
        """Add samples: maps in [0, 1] instead of masks, see `CombinedMetric.update`."""
        super().update(localization_maps, ground_truth, condition)


class GFBatch(GF):
    """G-F of AVSBench-Robust with F as released, by batches of five samples in their order.

    Example:
        >>> g_f = GFBatch(negatives="silence")
        >>> maps, truth = torch.tensor([[[0.9, 0.4]]]), torch.tensor([[[1.0, 0.0]]])
        >>> g_f.update(maps, truth)
        >>> g_f.update(1 - maps, truth, "silence")
        >>> g_f.compute()
        tensor(0.6061, dtype=torch.float64)
    """

    name = "g_f_batch"
    label = "G-F by batch"
    by_subset = False
    by_order = True
    positive = negative = AVSFBatch.name
    of_positives = of_negatives = AVSFBatch
