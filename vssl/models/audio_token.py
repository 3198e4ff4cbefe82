"""What ACL trains: a word for a text network out of a sound, and a shift of the map.

The word is AudioToken (Yariv et al., Interspeech 2023).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vssl.models.beats import WIDTH


class AudioToken(nn.Module):
    """The mean of projected BEATs patches, weighted by factor graph attention.

    The weight of a patch comes from two potentials (Schwartz et al., CVPR 2019): of the patch, and
    its mean cosine with all patches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(3 * WIDTH, 3 * WIDTH)
        self.fc2 = nn.Linear(3 * WIDTH, 512)
        self.unary = nn.Sequential(nn.Conv1d(512, 512, 1), nn.ReLU(), nn.Conv1d(512, 1, 1))
        self.pairwise_X = nn.Conv1d(512, 512, 1)
        self.pairwise_Y = nn.Conv1d(512, 512, 1)
        self.mix = nn.Conv1d(2, 1, 1, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Map L patches, with the outputs of three layers each, `[M, L, 2304]` to `[M, 512]`."""
        x = self.fc2(F.gelu(self.fc1(patches))).transpose(1, 2)
        one, other = F.normalize(self.pairwise_X(x)), F.normalize(self.pairwise_Y(x))
        cosines = (one * other.mean(dim=2, keepdim=True)).sum(dim=1, keepdim=True)
        weights = self.mix(torch.cat([self.unary(x), cosines], dim=1)).softmax(dim=2)
        return torch.sum(x * weights, dim=2)


class Mask(nn.Module):
    """Sigmoid with a shift; the factor `w` serves training alone (modules/mask_utils.py)."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))

    def forward(self, logits: Tensor) -> Tensor:
        """Map logits to (0, 1)."""
        return torch.sigmoid(logits + self.b / self.w)
