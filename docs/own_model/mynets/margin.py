"""A loss with a margin: own pairs above it, all others below."""

import torch
from torch import nn


class Margin(nn.Module):
    def __init__(self, margin: float = 0.3) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, maps: torch.Tensor, negative_maps: torch.Tensor) -> torch.Tensor:
        scores = maps.amax(dim=(-2, -1))  # [N + E, N, h, w] to [N + E, N]; pair n is (n, n)
        own = scores.diagonal()
        others = scores[~torch.eye(*scores.shape, dtype=torch.bool, device=scores.device)]
        others = torch.cat([others, negative_maps.amax(dim=(-2, -1)).flatten()])  # [N, K, h, w]
        return (self.margin - own).relu().mean() + (others + self.margin).relu().mean()
