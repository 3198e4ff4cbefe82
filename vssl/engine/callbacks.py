"""Lightning callbacks: records on disk, and progress bars."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar

from vssl.core.checks import check_map_range
from vssl.core.errors import UsageError
from vssl.core.progress import progress_bar, show_progress
from vssl.engine.module import LocalizationModule
from vssl.records.shards import Shards

_FLUSH_BYTES = 32 * 2**20


class RecordWriter(pl.Callback):
    """Writes the collector's maps to shards as they are made, in every process.

    Memory stays flat for any number of samples: one shard is written, by a thread beside the
    networks, while the next one grows. A killed run loses at most `seconds` of work, an interrupted
    one nothing.

    Maps out of the model's range end the run; `names` are of all samples, for messages. The first
    batch is written at once, so that a faulty model runs no longer.
    """

    def __init__(
        self,
        module: LocalizationModule,
        shards: Shards,
        *,
        names: Sequence[str],
        seconds: float = 30.0,
    ) -> None:
        self._collector, self._localizer = module.collector, module.localizer
        self._shards = shards
        self._names = names
        self._seconds = seconds
        self._written = -math.inf
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def on_test_batch_end(self, *_: Any, **__: Any) -> None:
        """Write when the maps are large enough, or the last write is long ago."""
        late = time.monotonic() - self._written >= self._seconds
        if late or self._collector.held_bytes() >= _FLUSH_BYTES:
            self._flush()
        elif self._writing is not None and self._writing.done():
            self._wait()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the rest, and wait until all processes have."""
        self._flush()
        self._wait()
        trainer.strategy.barrier("shards written")

    def on_exception(self, *_: Any, **__: Any) -> None:
        """Write what is complete."""
        with contextlib.suppress(OSError, UsageError):  # which may be what the exception is about
            self._flush()
            self._wait()

    def _flush(self) -> None:
        """Begin to write what is held, when what was held before is written."""
        self._wait()
        if self._collector.held_bytes():
            self._written = time.monotonic()
            self._writing = self._thread.submit(self._write, *self._collector.take())

    def _wait(self) -> None:
        """Raise what stopped the last write."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(
        self, index: torch.Tensor, maps: torch.Tensor, object_maps: torch.Tensor | None
    ) -> None:
        names, localizer = [self._names[n] for n in index.tolist()], self._localizer
        check_map_range(maps, localizer.model.value_range, names, model=localizer.name)
        self._shards.write(index, maps, object_maps)


class OpenBar(pl.Callback):
    """A progress bar that closes when the run ends or fails."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = contextlib.ExitStack()
        self.advance: Callable[[int], None] = lambda count: None

    def open_bar(self, description: str, total: int) -> None:
        """Open a bar in place of the one before; `advance` counts on it."""
        self._bar.close()
        self.advance = self._bar.enter_context(progress_bar(description, total))

    def on_exception(self, *_: Any, **__: Any) -> None:
        """Close the bar."""
        self._bar.close()

    on_test_end = on_train_end = on_exception


class LoaderProgress(OpenBar, ProgressBar):
    """A bar for the sounds, then one for the images; it counts them, not batches."""

    def disable(self) -> None:
        """Draw nothing: in processes but the first."""
        show_progress(False)

    def on_test_batch_start(
        self, trainer: Any, pl_module: object, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Open the bar of the sounds or the images with their first batch."""
        batches = trainer.test_dataloaders.batches
        data = batches[batch_idx][0]
        if batch_idx == 0 or data is not batches[batch_idx - 1][0]:
            name = "sounds" if isinstance(batch, list) else "images"
            self.open_bar(name, sum(len(places) for each, places in batches if each is data))

    def on_test_batch_end(
        self, trainer: object, pl_module: object, outputs: object, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Count a batch."""
        parts = batch if isinstance(batch, list) else [batch]
        self.advance(sum(len(part.index) for part in parts))
