"""A distributed sampler that neither pads nor repeats."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, pairwise

from torch.utils.data import Sampler

from vssl.errors import UsageError


class UnpaddedBatchSampler(Sampler[list[int]]):
    """A contiguous share of the items for each process, in batches; shares differ by at most one.

    torch's own distributed sampler repeats items to give all processes the same number, and
    repeated samples bias every mean. Batches are the same whatever is wanted of them: what a
    network makes of an item depends on the size of its batch, in the last digits.

    Args:
        length: number of items.
        batch_size: items of a batch; the last one may have fewer.
        rank: this process, from 0.
        world_size: number of processes.
        parts: sizes of parts, one after the other, of which no two share a batch; None for one.
        wanted: items that are needed; batches without any are left out. None for all. Where
            nothing of a share is wanted its last batch stays, since Lightning wants one.

    Raises:
        UsageError: when some process would get no item.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        parts: Sequence[int] | None = None,
        wanted: Collection[int] | None = None,
    ) -> None:
        if length < world_size:
            raise UsageError(
                f"Expected at least one item per process, but got {length} items for"
                f" {world_size} processes. Use trainer.devices={max(length, 1)} or fewer."
            )
        share = range(length * rank // world_size, length * (rank + 1) // world_size)
        ends = [end for end in accumulate(parts or ()) if share.start < end < share.stop]
        batches = [
            list(range(n, min(n + batch_size, end)))
            for begin, end in pairwise([share.start, *ends, share.stop])
            for n in range(begin, end, batch_size)
        ]
        if wanted is not None:
            needed = set(wanted)
            batches = [b for b in batches if not needed.isdisjoint(b)] or batches[-1:]
        self._batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)
