"""Batches read by threads of this process, on request or ahead of the networks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import torch

Batch = TypeVar("Batch")
_Item = TypeVar("_Item")
_Place = TypeVar("_Place")

AHEAD = 4
"""Batches that are read before they are asked for."""


class Batches(Iterable[Any], Sized, Protocol):
    """The places of the items of each batch."""


class BatchReader:
    """Reads the items of a batch by threads: decoders of images and sounds release the GIL."""

    _threads: Executor | None = None
    _pinned = False

    def use(self, threads: Executor | None, *, pinned: bool = False) -> None:
        """Set the threads, None for torch's number of them, and whether batches are pinned.

        Pinned memory is page-locked: a GPU copies from it while it computes.
        """
        self._threads, self._pinned = threads, pinned

    def read_all(self, read: Callable[[_Place], _Item], places: Sequence[_Place]) -> list[_Item]:
        """Call `read` on each place."""
        if len(places) == 1:
            return [read(places[0])]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(torch.get_num_threads())
        return list(self._threads.map(read, places))

    def stacked(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """Stack the items of a batch."""
        if not self._pinned:
            return torch.stack(list(rows))
        shape, kind = (len(rows), *rows[0].shape), rows[0].dtype
        # torch keeps pinned memory that is free again for the next batch
        return torch.stack(list(rows), out=torch.empty(shape, dtype=kind, pin_memory=True))


class BatchLoader(Generic[Batch]):
    """Batches in order, each read once.

    Args:
        read: gives the batch of some places.
        batches: the places of each batch.
        ahead: batches that are read before they are asked for. With 0 each is read on request,
            which leaves the cores to networks on the CPU meanwhile.
        following: loader that begins to read when all batches of this one are being read.
    """

    def __init__(
        self,
        read: Callable[[Any], Batch],
        batches: Batches,
        *,
        ahead: int = 0,
        following: BatchLoader[Any] | None = None,
    ) -> None:
        self.batches = batches
        self._read = read
        self._ahead = ahead
        self._following = following
        self._waiting: Iterator[Any] = iter(())
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
                self._go_on()
                yield batch
        finally:
            self.close()

    def start(self) -> None:
        """Begin to read, unless it has begun."""
        if self._ahead and self._threads is None:
            self._threads = ThreadPoolExecutor(self._ahead)
            self._waiting = iter(self.batches)
            self._go_on()

    def close(self) -> None:
        """Read no more, so that the loader can begin again."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._threads = None
        self._begun.clear()

    def _go_on(self) -> None:
        for places in islice(self._waiting, self._ahead - len(self._begun)):
            assert self._threads is not None
            self._begun.append(self._threads.submit(self._read, places))
        if self._following is not None and len(self._begun) < self._ahead:
            self._following.start()
