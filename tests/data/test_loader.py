"""Batches that are read by threads: their order, how far ahead, errors, ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from vssl.data.loader import BatchLoader


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what a thread is about to do."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


class Notes:
    """Reads batches, and notes which."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.go = threading.Event()
        self.go.set()

    def read(self, batch: int) -> int:
        self.begun.append(batch)
        assert self.go.wait(30)
        if batch == 99:
            raise ValueError("broken")
        return 10 * batch


@pytest.mark.parametrize("ahead", [0, 1, 3, 50])
def test_batches_come_in_order_and_again(ahead: int) -> None:
    notes = Notes()
    loader = BatchLoader(notes.read, range(20), ahead=ahead)
    assert len(loader) == 20
    for _ in range(2):
        assert list(loader) == list(range(0, 200, 10))
    assert sorted(notes.begun) == sorted([*range(20)] * 2)


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_no_more_is_read_than_was_allowed(ahead: int) -> None:
    notes = Notes()
    read = iter(BatchLoader(notes.read, range(20), ahead=ahead))
    assert not notes.begun, "nothing is asked for yet"
    for asked in range(1, 6):
        next(read)
        wait_until(lambda asked=asked: len(notes.begun) >= asked + ahead)
        time.sleep(0.01)
        assert sorted(notes.begun) == list(range(asked + ahead))


def test_an_error_comes_in_its_place() -> None:
    loader = BatchLoader(Notes().read, [1, 2, 99, 3], ahead=4)
    read = iter(loader)
    assert [next(read), next(read)] == [10, 20]
    with pytest.raises(ValueError, match="broken"):
        next(read)


def test_a_loader_that_is_left_early_begins_anew() -> None:
    before = set(threading.enumerate())
    loader = BatchLoader(Notes().read, range(9), ahead=3)
    for batch in loader:
        assert batch == 0
        break
    assert list(loader) == list(range(0, 90, 10))
    wait_until(lambda: before.issuperset(threading.enumerate()))  # some may end
