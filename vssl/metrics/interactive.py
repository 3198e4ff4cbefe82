"""IIoU and IAUC: does a model find every source of an image, each by its own sound?

Source: Senocak et al., "Sound Source Localization is All about Cross-Modal Alignment", ICCV 2023;
vssl_eval utils_dir/utils.py:Evaluator_iiou. An image counts only if every one of its sources
reaches the IoU, so both are the plain metrics of the smallest cIoU over an image's samples.
"""

from __future__ import annotations

import torch
from torchmetrics.utilities import dim_zero_cat

from vssl.metrics.auc import AUC
from vssl.metrics.ciou import ConsensusIoU, SuccessRate
from vssl.types import SoundingObject


class _Interactive(ConsensusIoU):
    """Keeps every sample's cIoU, since an image's samples may come in different batches."""

    by_image = True
    by_subset = False
    conditions = (SoundingObject.OWN,)

    columns: list[torch.Tensor]
    images: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("columns", default=[], dist_reduce_fx="cat")
        self.add_state("images", default=[], dist_reduce_fx="cat")

    def update(  # type: ignore[override]
        self, masks: torch.Tensor, ground_truth: torch.Tensor, images: torch.Tensor
    ) -> None:
        """Add samples: masks and ground truths `[N, H, W]`, and `[N]` int64 image of each."""
        found = self.measure(masks, ground_truth).to(self.device)
        self.columns.append(found)
        # as float64: torchmetrics gathers an empty process's states as floats
        self.images.append(images.to(found))

    def compute(self) -> torch.Tensor:
        """The mean over images whose samples are all defined; NaN without any."""
        if not len(self.columns):
            return torch.tensor(torch.nan, dtype=torch.float64)
        column, images = dim_zero_cat(self.columns), dim_zero_cat(self.images)
        different, place = torch.unique(images, return_inverse=True)
        smallest = torch.full_like(different, torch.inf).scatter_reduce(0, place, column, "amin")
        return self.from_column(smallest).nanmean()


class InteractiveIoU(_Interactive):
    """IIoU: share of images of which every source reaches a cIoU of 0.5.

    Example:
        >>> iiou = InteractiveIoU()
        >>> masks, truth = torch.tensor([[[True, True]]]), torch.tensor([[[1.0, 0.0]]])
        >>> iiou.update(masks, truth, images=torch.tensor([7]))
        >>> iiou.update(~masks, truth, images=torch.tensor([7]))  # another source of that image
        >>> iiou.compute()
        tensor(0., dtype=torch.float64)
    """

    name = "iiou"
    label = "IIoU"

    from_column = staticmethod(SuccessRate.from_column)


class InteractiveAUC(_Interactive):
    """IAUC: area under the share of images of which every source reaches 0, .05, ..., 1.

    Example:
        >>> iauc = InteractiveAUC()
        >>> masks, truth = torch.tensor([[[True, True]]]), torch.tensor([[[1.0, 0.0]]])
        >>> iauc.update(masks, truth, images=torch.tensor([7]))
        >>> iauc.compute()
        tensor(0.5250, dtype=torch.float64)
    """

    name = "iauc"
    label = "IAUC"
    bounds = AUC.bounds

    from_column = staticmethod(AUC.from_column)
