"""A distributed sampler that neither pads nor repeats."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from vssl.errors import UsageError


class UnpaddedSampler(Sampler[int]):
    """A contiguous share of the items for each process; shares differ by at most one item.

    torch's own distributed sampler repeats items to give all processes the same number, and
    repeated samples bias every mean.

    Args:
        length: number of items.
        rank: this process, from 0.
        world_size: number of processes.

    Raises:
        UsageError: when some process would get no item.
    """

    def __init__(self, length: int, *, rank: int = 0, world_size: int = 1) -> None:
        if length < world_size:
            raise UsageError(
                f"Expected at least one item per process, but got {length} items for"
                f" {world_size} processes. Use trainer.devices={max(length, 1)} or fewer."
            )
        self._share = range(length * rank // world_size, length * (rank + 1) // world_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self._share)

    def __len__(self) -> int:
        return len(self._share)
