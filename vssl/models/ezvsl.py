"""EZ-VSL: Localizing Visual Sounds the Easy Way (Mo and Morgado, ECCV 2022)."""

from __future__ import annotations

from torch import Tensor, nn

from vssl.models.base import CheckpointLayout, LocalizationModel, dot_maps, unit
from vssl.models.resnet import ResNet18


class EZVSL(LocalizationModel):
    """Two ResNet-18s with a projection each; max-pooled audio against a 7 x 7 image grid.

    The map is `(cosine + 1) / 2`, as in the released evaluation (docs/protocols.md, R13).
    """

    map_size = (7, 7)
    value_range = (0.0, 1.0)
    checkpoint = CheckpointLayout(wrapper="model")

    def __init__(self) -> None:
        super().__init__()
        self.imgnet = ResNet18()
        self.audnet = ResNet18(channels_in=1)
        self.img_proj = nn.Conv2d(512, 512, 1)
        self.aud_proj = nn.Linear(512, 512)

    def encode_image(self, images: Tensor) -> Tensor:
        """Map `[N, 3, 224, 224]` to unit vectors on a grid `[N, 512, 7, 7]`."""
        return unit(self.img_proj(self.imgnet(images)))

    def encode_audio(self, inputs: Tensor) -> Tensor:
        """Map log spectrograms `[M, 1, 257, 200]` to unit vectors `[M, 512]`."""
        return unit(self.aud_proj(self.audnet(inputs).amax(dim=(2, 3))))

    def similarity(self, image_features: Tensor, audio_features: Tensor) -> Tensor:
        """Maps `(cosine + 1) / 2`, `[N, K, 7, 7]`."""
        return (dot_maps(image_features, audio_features) + 1) / 2
