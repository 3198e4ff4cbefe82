"""The middle of each map's range: the rule of SACL, CLIPTran and RCGrad.

Sources: zjsong/SACL 265a749, test.py 385-411; hohsiangwu/rethinking-visual-sound-localization
5226f04, eval_utils.py 61-90 (docs/protocols.md, R28 and R31).
"""

from __future__ import annotations

import torch

from vssl.maps import stretch
from vssl.thresholds.base import ThresholdPolicy


class HalfRange(ThresholdPolicy):
    """Marks what reaches the middle between the smallest and the largest pixel of its map.

    The same as stretching each map to [0, 1] and marking 0.5 and above. Every map has a pixel that
    is marked, silence's too; a constant map has none.

    Example:
        >>> maps = torch.tensor([[[0.1, 0.2], [0.4, 0.5]]])
        >>> maps > HalfRange().threshold(maps, torch.zeros_like(maps)).view(-1, 1, 1)
        tensor([[[False, False],
                 [ True,  True]]])
    """

    name = "half_range"

    def threshold(
        self, localization_maps: torch.Tensor, ground_truth: torch.Tensor
    ) -> torch.Tensor:
        """The largest pixel of each map below the middle of its range."""
        stretched = stretch(localization_maps)
        upper = stretched >= 0.5
        below = localization_maps.masked_fill(upper, -torch.inf).amax(dim=(1, 2))
        return below.masked_fill(stretched.amax(dim=(1, 2)).isnan(), torch.nan)
