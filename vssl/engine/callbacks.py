"""Lightning callbacks: records on disk, and progress bars."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar

from vssl.core.progress import progress_bar, show_progress
from vssl.engine.module import RecordCollector
from vssl.records.shards import Shards

_FLUSH_BYTES = 32 * 2**20


class RecordWriter(pl.Callback):
    """Writes the collector's maps to shards as they are made, in every process.

    Memory stays flat for any number of samples. A killed run loses at most `seconds` of work, an
    interrupted one nothing. Samples in earlier shards, at the positions `recorded`, are not
    written again.
    """

    def __init__(
        self,
        collector: RecordCollector,
        shards: Shards,
        *,
        recorded: Sequence[int] = (),
        seconds: float = 30.0,
    ) -> None:
        self._collector = collector
        self._shards = shards
        self._recorded = torch.tensor(list(recorded), dtype=torch.int64)
        self._seconds = seconds
        self._written = time.monotonic()

    def on_test_batch_end(self, *_: Any, **__: Any) -> None:
        """Write when the maps are large enough, or the last write is long ago."""
        late = time.monotonic() - self._written >= self._seconds
        if late or self._collector.held_bytes() >= _FLUSH_BYTES:
            self._flush()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the rest, and wait until all processes have."""
        self._flush()
        trainer.strategy.barrier("shards written")

    def on_exception(self, *_: Any, **__: Any) -> None:
        """Write what is complete."""
        with contextlib.suppress(OSError):  # which may be what the exception is about
            self._flush()

    def _flush(self) -> None:
        self._written = time.monotonic()
        if not self._collector.held_bytes():
            return
        index, maps, object_maps = self._collector.take()
        new = ~torch.isin(index, self._recorded)
        if new.any():
            seen = None if object_maps is None else object_maps[new]
            self._shards.write(index[new], maps[new], seen)


class OpenBar(pl.Callback):
    """A progress bar that closes when the run fails."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = contextlib.ExitStack()
        self.advance: Callable[[int], None] = lambda count: None

    def open_bar(self, description: str, total: int) -> None:
        """Open a bar in place of the one before; `advance` counts on it."""
        self.close_bar()
        self.advance = self._bar.enter_context(progress_bar(description, total))

    def close_bar(self) -> None:
        """Close the bar, if one is open."""
        self._bar.close()

    def on_exception(self, *_: Any, **__: Any) -> None:
        """Close the bar when the run fails or is interrupted."""
        self.close_bar()


class LoaderProgress(OpenBar, ProgressBar):
    """A bar for each loader in turn; it counts sounds or images, not batches."""

    def disable(self) -> None:
        """Draw nothing: in processes but the first."""
        show_progress(False)

    def on_test_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Open the bar of a loader."""
        if batch_idx == 0:
            loaders: Any = trainer.test_dataloaders
            batches = loaders[dataloader_idx].sampler
            name = "sounds" if isinstance(batch, list) else "images"
            self.open_bar(name, sum(map(len, batches)))

    def on_test_batch_end(
        self, trainer: object, pl_module: object, outputs: object, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Count a batch."""
        parts = batch if isinstance(batch, list) else [batch]
        self.advance(sum(len(part.index) for part in parts))

    def on_test_end(self, *_: Any, **__: Any) -> None:
        """Close the last bar."""
        self.close_bar()
