"""The released code's headline CIoU and AUC: five thresholds in one (docs/protocols.md, R9)."""

from __future__ import annotations

import numpy as np
import torch

from vssl.metrics.auc import AUC
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.records.bootstrap import ImageBootstrap
from vssl.records.number import Number
from vssl.records.numbers import mean_of_values, resampled_means
from vssl.records.scores import Scores
from vssl.types import POSITIVE, SoundingObject

POOLED_POLICIES = ("half_image", "fixed", "released_max", "released_max10", "released_q3")
POOLED = "pooled"
"""Name of the five policies together."""

POOLED_SOURCE = "half_image, fixed and the released constants in one list"


def pooled_numbers(scores: Scores, variant: str, bootstrap: ImageBootstrap) -> list[Number]:
    """Success rate and AUC over five thresholds at once; none where a policy was not scored.

    Source: vssl_eval eval.py, where one evaluator is called once for each threshold. Undefined cIoU
    counts as a failure, as there.
    """
    parts = {p.threshold_policy: p for p in scores.parts() if p.map_variant == variant}
    if not set(POOLED_POLICIES) <= set(parts) or ConsensusIoU.column not in scores.columns:
        return []
    asked = scores.there(parts[POOLED_POLICIES[0]], POSITIVE)  # no natural negatives
    if not asked.any():
        return []
    columns = [
        torch.from_numpy(scores.values(parts[name], POSITIVE, ConsensusIoU.column))
        for name in POOLED_POLICIES
    ]
    means = [
        mean_of_values(
            metric,
            POSITIVE,
            np.where(
                asked[:, None],
                np.mean([np.nan_to_num(metric.from_column(c).numpy()) for c in columns], axis=0),
                np.nan,
            ),
            bootstrap,
            (SoundingObject.OWN,),
            asked=asked,
        )
        for metric in (SuccessRate(), AUC())
    ]
    return [*resampled_means(((mean, ()) for mean in means), bootstrap)]
