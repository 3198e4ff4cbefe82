"""Batches read by threads of this process, on request or ahead of the networks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
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

    Args:
        read: gives the batch of some places.
        batches: the places of each batch.
        ahead: batches that are read before they are asked for; with 0 each is read on request.
        following: loader that begins to read when all batches of this one are being read.
    """

    def __init__(
        self,
        read: Callable[[Any], Batch],
        batches: Any,
        *,
        ahead: int = 0,
        following: BatchLoader[Any] | None = None,
    ) -> None:
        self.batches = batches
        self._read = read
        self._ahead = ahead
        self._following = following
        self._left: Iterator[Any] = iter(())
        self._begun: deque[Future[Batch]] = deque()
        self._threads: Executor | None = None

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        if not self._ahead:
            yield from map(self._read, self.batches)
            return
        self.start()
        try:
            while self._begun:
                batch = self._begun.popleft().result()
                self.start()
                yield batch
        finally:  # to begin anew, also where it was left early
            self._begun.clear()
            self._threads = None

    def start(self) -> None:
        """Begin to read as many batches as are allowed."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(max(1, self._ahead))
            self._left = iter(self.batches)
        for places in islice(self._left, self._ahead - len(self._begun)):
            self._begun.append(self._threads.submit(self._read, places))
        if self._following is not None and len(self._begun) < self._ahead:
            self._following.start()
