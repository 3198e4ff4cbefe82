"""SACL (Song et al., T-PAMI 2024).

Enhancing Sound Source Localization via False Negative Elimination.
"""

from __future__ import annotations

from torch import Tensor, nn

from vssl.models.base import CheckpointLayout, LocalizationModel, unit
from vssl.models.resnet import ResNet18


class VGGish(nn.Module):
    """VGGish (Hershey et al., ICASSP 2017), and a head into the space of the image vectors.

    Six convolutions with four poolings, and three linear layers, as in AudioSet's network; its 128
    numbers then pass through two more linear layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_convolution(1, 64), nn.MaxPool2d(2),
            *_convolution(64, 128), nn.MaxPool2d(2),
            *_convolution(128, 256), *_convolution(256, 256), nn.MaxPool2d(2),
            *_convolution(256, 512), *_convolution(512, 512), nn.MaxPool2d(2),
        )  # fmt: skip
        self.embeddings = nn.Sequential(
            nn.Linear(6 * 4 * 512, 4096), nn.ReLU(inplace=True),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True),
            nn.Linear(4096, 128), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.fc = nn.Sequential(nn.Linear(128, 512), nn.ReLU(inplace=True), nn.Linear(512, 512))

    def forward(self, examples: Tensor) -> Tensor:
        """Map log mel spectrograms `[M, 1, 96, 64]` to vectors `[M, 512]`, not normalized."""
        features = self.features(examples)  # [M, 512, 6, 4]
        # channels come last in the order of the weights, which are from TensorFlow
        vectors: Tensor = self.fc(self.embeddings(features.permute(0, 2, 3, 1).flatten(1)))
        return vectors


class SACL(LocalizationModel):
    """ResNet-18 with `layer4` at stride 1 for images, VGGish for sounds.

    A sound is several examples of 0.96 s, whose vectors are averaged before they are normalized.
    The map is the cosine of this vector with the vector of each position. The files of the two
    networks, and the ImageNet classifier in that of the images, are as the authors' training saved
    them. Source: zjsong/SACL test.py and models/.
    """

    map_size = (14, 14)
    value_range = (-1.0, 1.0)
    checkpoint = {
        "image": CheckpointLayout(wrapper=None, unused=("fc.*",)),
        "audio": CheckpointLayout(wrapper=None),
    }

    def __init__(self) -> None:
        super().__init__()
        self.image = ResNet18(last_stride=1)
        self.audio = VGGish()

    def encode_image(self, images: Tensor) -> Tensor:
        """Map `[N, 3, 224, 224]` to unit vectors on a grid `[N, 512, 14, 14]`."""
        return unit(self.image(images))

    def encode_audio(self, inputs: Tensor) -> Tensor:
        """Map E examples of each sound, `[M, E, 1, 96, 64]`, to unit vectors `[M, 512]`."""
        vectors = self.audio(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        return unit(vectors.mean(dim=1))


def _convolution(channels_in: int, channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(channels_in, channels, 3, padding=1), nn.ReLU(inplace=True)
