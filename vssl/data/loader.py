"""Batches read by threads of this process, on request or ahead of the networks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import islice
from typing import Any, Generic, TypeVar

import torch

Batch = TypeVar("Batch")
_Item = TypeVar("_Item")
_Place = TypeVar("_Place")

AHEAD = 4
"""Batches that are read before they are asked for."""


class BatchReader:
    """Reads the items of a batch by threads: decoders of images and sounds release the GIL.

    Attributes:
        threads: what reads; None for torch's number of threads.
        pinned: whether batches are in page-locked memory, which a GPU reads while it computes.
    """

    threads: Executor | None = None
    pinned = False

    def read_all(self, read: Callable[[_Place], _Item], places: Sequence[_Place]) -> list[_Item]:
        """Call `read` on each place."""
        if len(places) == 1:
            return [read(places[0])]
        if self.threads is None:
            self.threads = ThreadPoolExecutor(torch.get_num_threads())
        return list(self.threads.map(read, places))

    def stacked(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """Stack the items of a batch."""
        rows = list(rows)
        if not self.pinned:
            return torch.stack(rows)
        # torch keeps pinned memory that is free again for a later batch
        pinned = rows[0].new_empty(len(rows), *rows[0].shape, pin_memory=True)
        return torch.stack(rows, out=pinned)


class BatchLoader(Generic[Batch]):
    """Batches in order, each read once.

    `read` gives the batch of some places. `ahead` batches are read by threads before they are asked
    for; with 0 each is read on request.
    """

    def __init__(self, read: Callable[[Any], Batch], batches: Any, *, ahead: int = 0) -> None:
        self.batches = batches
        self._read = read
        self._ahead = ahead

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        if not self._ahead:
            yield from map(self._read, self.batches)
            return
        left = iter(self.batches)
        threads = ThreadPoolExecutor(self._ahead)
        begun = deque(threads.submit(self._read, each) for each in islice(left, self._ahead))
        try:
            while begun:
                batch = begun.popleft().result()
                begun.extend(threads.submit(self._read, each) for each in islice(left, 1))
                yield batch
        finally:  # also where it was left early
            threads.shutdown(wait=False, cancel_futures=True)
