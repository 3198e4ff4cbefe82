"""Metrics: plain torchmetrics for any validation loop, which also make the numbers of a run.

- of masks and ground truth: `ConsensusIoU`, `SuccessRate`, `AUC`; of masks under negatives:
  `ImageArea` (pIA), `AUCN`, `FalseAlarmRate`; of both: `FLoc`, `FAuc`
- of masks of one image: `InteractiveIoU`, `InteractiveAUC`, `SwapDelta`, `Agreement`
- of localization maps: `PointingGame`, `Confidence`
- of the largest values of maps: `AUROC`, `AveragePrecision`, `FPR95`, `Overlap`, `Alignment`,
  `Separability`; with success: `DetectionAP`, `MaxF1`
- of AVSBench and AVSBench-Robust: `AVSMeanIoU`, `AVSFalsePositiveRate`, `GMeanIoU` and
  `GFalsePositiveRate` of masks; `AVSF`, `AVSFBatch`, `GF` and `GFBatch` of localization maps
- for a loop of one's own: `OnConditions`, `EpochThreshold`

`update` takes a batch, `compute` gives the number, a fraction; states add up over processes. What
each number means is in docs/metrics.md, a whole loop in docs/validation-loop.md.

Example:
    >>> import torch
    >>> masks = torch.tensor([[[True, False], [False, False]]])
    >>> truth = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    >>> ciou = ConsensusIoU()
    >>> ciou.update(masks, truth)
    >>> ciou.compute()
    tensor(0.5000, dtype=torch.float64)
"""

from vssl.metrics.agreement import Agreement, mask_agreement
from vssl.metrics.alignment import Alignment, Separability
from vssl.metrics.auc import AUC, AUCN
from vssl.metrics.avsbench import (
    AVSF,
    GF,
    AVSFalsePositiveRate,
    AVSFBatch,
    AVSMeanIoU,
    GFalsePositiveRate,
    GFBatch,
    GMeanIoU,
)
from vssl.metrics.base import (
    CombinedMetric,
    MapMetric,
    MeanMetric,
    PairMetric,
    SampleMetric,
    SwapMetric,
)
from vssl.metrics.ciou import ConsensusIoU, SuccessRate, consensus_iou
from vssl.metrics.curve import CurveMetric
from vssl.metrics.detection import Confidence, DetectionAP, MaxF1
from vssl.metrics.false_alarm import FalseAlarmRate
from vssl.metrics.fscore import FAuc, FLoc
from vssl.metrics.interactive import InteractiveAUC, InteractiveIoU
from vssl.metrics.own_loop import EpochThreshold, OnConditions
from vssl.metrics.pia import ImageArea, image_area
from vssl.metrics.pointing import PointingGame, points_at_object
from vssl.metrics.separation import AUROC, FPR95, AveragePrecision, Overlap
from vssl.metrics.set_metric import SetMetric, Values
from vssl.metrics.swap import SwapDelta

__all__ = [
    "AUC",
    "AUCN",
    "AUROC",
    "AVSF",
    "FPR95",
    "GF",
    "AVSFBatch",
    "AVSFalsePositiveRate",
    "AVSMeanIoU",
    "Agreement",
    "Alignment",
    "AveragePrecision",
    "CombinedMetric",
    "Confidence",
    "ConsensusIoU",
    "CurveMetric",
    "DetectionAP",
    "EpochThreshold",
    "FAuc",
    "FLoc",
    "FalseAlarmRate",
    "GFBatch",
    "GFalsePositiveRate",
    "GMeanIoU",
    "ImageArea",
    "InteractiveAUC",
    "InteractiveIoU",
    "MapMetric",
    "MaxF1",
    "MeanMetric",
    "OnConditions",
    "Overlap",
    "PairMetric",
    "PointingGame",
    "SampleMetric",
    "Separability",
    "SetMetric",
    "SuccessRate",
    "SwapDelta",
    "SwapMetric",
    "Values",
    "consensus_iou",
    "image_area",
    "mask_agreement",
    "points_at_object",
]
