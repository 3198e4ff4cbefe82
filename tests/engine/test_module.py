"""The table of encoded sounds over processes, and what is written of a run beside its networks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from vssl.core.errors import UsageError
from vssl.engine.callbacks import RecordWriter
from vssl.engine.module import AudioTable, RecordCollector


def added_up(tables: list[AudioTable]) -> None:
    """Share tables as the processes of a run do, one tensor after another."""
    given: list[list[torch.Tensor]] = []
    for table in tables:
        own: list[torch.Tensor] = []
        table.share(lambda values, reduce_op, own=own: own.append(values))
        given.append(own)
    for tensors in zip(*given, strict=True):
        total = torch.stack([each.clone() for each in tensors]).sum(0, dtype=tensors[0].dtype)
        for each in tensors:
            each.copy_(total)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
@pytest.mark.parametrize("processes", [1, 3])
def test_shared_rows_keep_every_bit(
    kind: torch.dtype, shape: tuple[int, ...], processes: int
) -> None:
    odd = torch.tensor([-0.0, torch.nan, -torch.inf, 1e-42, -1.5, 0.0])
    torch.manual_seed(0)
    vectors = torch.randn(12, *shape).where(torch.rand(12, *shape) < 0.6, odd[1:2])
    vectors[:6] = odd.view(-1, *(1 for _ in shape))
    vectors = vectors.to(kind)
    tables = [AudioTable(14) for _ in range(processes)]
    for rank, table in enumerate(tables):
        for n in range(rank, 12, processes):  # place 5 is of nobody, and so is the last
            place = n + (n >= 5)
            table.add(torch.tensor([place]), vectors[n : n + 1])
    if processes > 1:
        added_up(tables)
    for table in tables:
        rows = table.rows()
        assert rows[[5, 13]].isnan().all()
        kept = torch.cat([rows[:5], rows[6:13]])
        assert torch.equal(kept.view(torch.uint8) if shape else kept[:, None].view(torch.uint8),
                           vectors.view(torch.uint8) if shape else
                           vectors[:, None].view(torch.uint8))  # fmt: skip


class Written:
    """Stands for the shards: keeps what is written."""

    def __init__(self) -> None:
        self.positions: list[list[int]] = []

    def write(
        self, index: torch.Tensor, maps: torch.Tensor, object_maps: torch.Tensor | None
    ) -> None:
        np.testing.assert_array_equal(maps[:, 0, 0, 0], index)
        self.positions.append(index.tolist())


def writer(written: Written, collector: RecordCollector, **options: Any) -> RecordWriter:
    """A writer for samples a to i, of a model with maps of their positions, at most 6."""
    shards: Any = written
    model = SimpleNamespace(value_range=(0.0, 6.0))
    module: Any = SimpleNamespace(
        collector=collector, localizer=SimpleNamespace(model=model, name="lvs")
    )
    return RecordWriter(module, shards, names="abcdefghi", **options)


def feed(collector: RecordCollector, *positions: int) -> None:
    index = torch.tensor(positions)
    collector.update(index, index.float().view(-1, 1, 1, 1).expand(-1, 2, 3, 3))


def test_the_first_batch_is_written_at_once_and_the_rest_at_the_end() -> None:
    written, collector = Written(), RecordCollector()
    callback = writer(written, collector, seconds=3600)
    for positions in ((0, 1), (2, 3), (4,)):
        feed(collector, *positions)
        callback.on_test_batch_end()
    trainer = mock.Mock()
    callback.on_test_end(trainer, mock.Mock())
    assert written.positions == [[0, 1], [2, 3, 4]]


@pytest.mark.parametrize("begun", [False, True])
def test_maps_that_are_refused_end_the_run(begun: bool) -> None:
    written, collector = Written(), RecordCollector()
    callback = writer(written, collector, seconds=3600)
    if begun:
        feed(collector, 0)
        callback.on_test_batch_end()
    feed(collector, 7)
    trainer = mock.Mock()
    with pytest.raises(UsageError, match="from 7 to 7 for h"):
        callback.on_test_end(trainer, mock.Mock())
    feed(collector, 5)
    callback.on_exception()
    assert written.positions == [[0], [5]][not begun :]
