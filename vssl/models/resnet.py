"""ResNet-18 (He et al., CVPR 2016), the encoder of every model of the paper."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C_in, h, w]` to `[N, C, h / stride, w / stride]`."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


class ResNet18(nn.Module):
    """ResNet-18 up to its last feature map, with torchvision's parameter names.

    Args:
        channels_in: 3 for images, 1 for spectrograms.
        last_stride: stride of `layer4`: 2 gives maps of 1/32 of the input (7 x 7 for 224), 1 gives
            1/16 (14 x 14).
    """

    def __init__(self, *, channels_in: int = 3, last_stride: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, 1)
        self.layer2 = _layer(64, 128, 2)
        self.layer3 = _layer(128, 256, 2)
        self.layer4 = _layer(256, 512, last_stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, channels_in, H, W]` to non-negative features `[N, 512, h, w]`."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.max_pool2d(x, 3, 2, 1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return x

    def fold_batch_norms(self) -> None:
        """Fold each batch norm into the convolution in front of it.

        For evaluation only: the running statistics become part of the weights. Features change by
        roundings. A second call does nothing.
        """
        for module in list(self.modules()):
            for (_, before), (name, norm) in pairwise(module.named_children()):
                if isinstance(before, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(module, name, _folded(before, norm))


def _layer(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(channels_in, channels, stride), BasicBlock(channels, channels, 1)
    )


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Module:
    """Fold a batch norm into its convolution, and return the identity in its place."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:  # a norm that learns no statistics
        return norm
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
    return nn.Identity()
