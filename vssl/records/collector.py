"""Collects similarity maps during a run."""

from __future__ import annotations

import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class RecordCollector(Metric):
    """Similarity and object maps by sample index, kept on the CPU until somebody takes them.

    A torchmetrics metric with `cat` states: `compute` gives what all processes hold together.
    """

    full_state_update = False
    higher_is_better = None

    index: list[torch.Tensor]
    maps: list[torch.Tensor]
    object_maps: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("index", default=[], dist_reduce_fx="cat")
        self.add_state("maps", default=[], dist_reduce_fx="cat")
        self.add_state("object_maps", default=[], dist_reduce_fx="cat")

    def update(
        self, index: torch.Tensor, maps: torch.Tensor, object_maps: torch.Tensor | None = None
    ) -> None:
        """Add samples.

        Args:
            index: `[N]` int64 position of each sample in the run.
            maps: `[N, K, h, w]` similarity maps, K the run's pairings.
            object_maps: `[N, h, w]` of the object prior; None where there is none.

        Raises:
            ValueError: when there is not one index for each sample.
        """
        if index.ndim != 1 or maps.ndim != 4 or len(index) != len(maps):
            raise ValueError(
                "Expected `index` [N] and `maps` [N, K, h, w], but got"
                f" {list(index.shape)} and {list(maps.shape)}."
            )
        self.index.append(index.detach().cpu())
        self.maps.append(maps.detach().float().cpu())
        if object_maps is not None:
            self.object_maps.append(object_maps.detach().float().cpu())

    def compute(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All samples, sorted by index: `[N]` and `[N, K, h, w]`.

        Raises:
            ValueError: when a sample was added twice.
        """
        index = dim_zero_cat(self.index)
        order = index.argsort()
        index = index[order]
        twice = index[1:][index[1:] == index[:-1]]
        if len(twice):
            raise ValueError(
                f"Expected each sample once, but got sample {int(twice[0])} twice."
                " Does the sampler pad its ranks to equal length?"
            )
        return index, dim_zero_cat(self.maps)[order]

    def held_bytes(self) -> int:
        """Memory of the maps held by this process."""
        return sum(maps.numel() * maps.element_size() for maps in self.maps)

    def take(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """What this process holds, in order of arrival; the collector is empty afterwards."""
        index, maps = dim_zero_cat(self.index), dim_zero_cat(self.maps)
        object_maps = dim_zero_cat(self.object_maps) if self.object_maps else None
        self.reset()
        return index, maps, object_maps
