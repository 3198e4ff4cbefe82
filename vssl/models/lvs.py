"""LVS: Localizing Visual Sounds the Hard Way (Chen et al., CVPR 2021)."""

from __future__ import annotations

from torch import Tensor

from vssl.models.base import CheckpointLayout, LocalizationModel, unit
from vssl.models.resnet import ResNet18


class LVS(LocalizationModel):
    """Two ResNet-18s with `layer4` at stride 1; max-pooled audio against a 14 x 14 image grid.

    The map is the plain cosine. Both encoders of the checkpoint carry stems for other inputs and a
    classifier; only the image stem `conv1` and the audio stem `conv1_a` are used.
    """

    map_size = (14, 14)
    value_range = (-1.0, 1.0)
    checkpoint = CheckpointLayout(
        wrapper="model_state_dict",
        unused=("imgnet.conv1_a.*", "audnet.conv1.*", "*net.conv1_flow.*", "*net.fc.*"),
        rename={"audnet.conv1_a.": "audnet.conv1."},
        prefixed=True,
    )

    def __init__(self) -> None:
        super().__init__()
        self.imgnet = ResNet18(last_stride=1)
        self.audnet = ResNet18(channels_in=1, last_stride=1)

    def encode_image(self, images: Tensor) -> Tensor:
        """Map `[N, 3, 224, 224]` to unit vectors on a grid `[N, 512, 14, 14]`."""
        return unit(self.imgnet(images))

    def encode_audio(self, inputs: Tensor) -> Tensor:
        """Map log spectrograms `[M, 1, 257, 299]` to unit vectors `[M, 512]`."""
        return unit(self.audnet(inputs).amax(dim=(2, 3)))
