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
        for state in ("index", "maps", "object_maps"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(
        self, index: torch.Tensor, maps: torch.Tensor, object_maps: torch.Tensor | None = None
    ) -> None:
        """Add samples.

        Args:
            index: `[N]` int64 position of each sample in the run.
            maps: `[N, K, h, w]` similarity maps, K the run's pairings.
            object_maps: `[N, h, w]` of the object prior; None where there is none.
        """
        self.index.append(index.cpu())
        self.maps.append(maps.float().cpu())
        if object_maps is not None:
            self.object_maps.append(object_maps.float().cpu())

    def compute(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Positions `[N]`, maps `[N, K, h, w]` and object maps `[N, h, w]`, in order of arrival."""
        return self._held()

    def held_bytes(self) -> int:
        """Memory of the maps held by this process."""
        return sum(maps.nbytes for maps in self.maps)

    def take(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """What this process holds, without waiting for others; it is empty afterwards."""
        found = self._held()
        self.reset()
        return found

    def _held(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        object_maps = dim_zero_cat(self.object_maps) if self.object_maps else None
        return dim_zero_cat(self.index), dim_zero_cat(self.maps), object_maps
