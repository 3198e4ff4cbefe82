"""Object prior of object-guided localization (OGL): the activation of an ImageNet network.

Source: EZ-VSL (Mo and Morgado, ECCV 2022); vssl_eval evaluates every model with it.
"""

from __future__ import annotations

from pathlib import Path

import torch

from vssl.models.base import CheckpointLayout, Pretrained
from vssl.models.resnet import ResNet18

PUBLISHED_FILES = ("resnet18-f37072fd.pth", "resnet18-5c106cde.pth")
"""Names of torchvision's ImageNet ResNet-18, the newer and the older file of the same weights."""


class ObjectPrior(ResNet18, Pretrained):
    """ImageNet ResNet-18: mean absolute value over the channels of its last feature map.

    The map depends on the image only.
    """

    checkpoint = CheckpointLayout(wrapper=None, unused=("fc.*",))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images `[N, 3, 224, 224]` to object maps `[N, 7, 7]`, not negative, unbounded."""
        return super().forward(x).float().abs().mean(dim=1)


def find_weights(*folders: Path) -> Path | None:
    """Find the ImageNet ResNet-18 by its published names, in the folders or torch.hub's cache."""
    places = [*folders, Path(torch.hub.get_dir()) / "checkpoints"]
    paths = (place / name for place in places for name in PUBLISHED_FILES)
    return next((path for path in paths if path.is_file()), None)
