"""Records in pieces of whole samples, worked on side by side: memory stays flat."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

Result = TypeVar("Result")

_ROWS_READ = 256
_SAMPLE = "sample_id"


def sample_chunks(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The records of a file in pieces of about 256 rows that hold all rows of their samples.

    Args:
        path: records file.
        columns: columns to read; `sample_id` comes in any case.
    """
    left: list[pa.RecordBatch] = []
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_READ, columns=[*dict.fromkeys((_SAMPLE, *columns))]):
            starts = sample_starts(batch)
            last = int(starts[-1])  # the last sample may go on in the next batch
            goes_on = bool(left) and left[-1].column(_SAMPLE)[0].equals(batch.column(_SAMPLE)[0])
            if last > 0 or not goes_on:
                whole = [*left, batch.slice(0, last)] if last > 0 else left
                if whole:
                    yield _joined(whole)
                left = []
            left.append(batch.slice(last))
    if left:
        yield _joined(left)


def sample_starts(rows: pa.RecordBatch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """First row of each sample in records whose samples stand together."""
    codes = rows.column(_SAMPLE).dictionary_encode().indices.to_numpy()
    return np.append(0, np.flatnonzero(np.diff(codes)) + 1)


def in_threads(
    work: Callable[[pa.RecordBatch], Result], chunks: Iterator[pa.RecordBatch]
) -> Iterator[Result]:
    """Do work on chunks in as many threads as torch would use; results come in order.

    Args:
        work: what to do; kernels and pyarrow release the GIL.
        chunks: from `sample_chunks`; read a few ahead, never all.
    """
    threads = torch.get_num_threads()
    waiting: deque[Future[Result]] = deque()
    torch.set_num_threads(1)  # each thread is one already
    try:
        with ThreadPoolExecutor(threads) as pool:
            for chunk in chunks:
                waiting.append(pool.submit(work, chunk))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.concat_batches(batches)
