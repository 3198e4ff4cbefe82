"""Lightning callbacks: records on disk, and progress that says what it counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar

from vssl.engine.module import LocalizationModule
from vssl.negatives.plan import AudioPlan
from vssl.progress import progress_bar, show_progress
from vssl.records.schema import RECORDS
from vssl.records.store import AtomicParquetWriter, merge_shards, records_table
from vssl.types import Sample

_log = logging.getLogger(__name__)
_FLUSH_BYTES = 32 * 2**20


class RecordWriter(pl.Callback):
    """Streams the collector's maps to disk: one shard per process, joined by the first at the end.

    Memory stays flat whatever the number of samples. The records file appears only when complete.

    Args:
        path: records file.
        samples: the run's samples.
        plan: the run's audio plan.
        provenance: kept inside the file.
    """

    def __init__(
        self, path: Path, samples: Sequence[Sample], plan: AudioPlan, provenance: dict[str, Any]
    ) -> None:
        self._path = path
        self._samples = samples
        self._plan = plan
        self._provenance = provenance
        self._writer: AtomicParquetWriter | None = None

    def _shard(self, rank: int) -> Path:
        return self._path.with_name(f"shard_{rank:03d}.parquet")

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open this process's shard."""
        self._writer = AtomicParquetWriter(self._shard(trainer.global_rank), RECORDS, {})

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write when enough has come together."""
        if _collector(pl_module).held_bytes() >= _FLUSH_BYTES:
            self._flush(pl_module)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Complete the shard; the first process joins all shards."""
        self._flush(pl_module)
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        trainer.strategy.barrier("shards written")
        if trainer.is_global_zero:
            shards = [self._shard(rank) for rank in range(trainer.world_size)]
            merge_shards(shards, self._path, self._provenance, self._samples, self._plan)
        trainer.strategy.barrier("records joined")

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave no half file behind."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

    def _flush(self, pl_module: pl.LightningModule) -> None:
        collector = _collector(pl_module)
        if self._writer is not None and collector.held_bytes():
            self._writer.write(records_table(self._samples, self._plan, *collector.take()))


class LoaderProgress(ProgressBar):
    """A bar for each loader in turn, which counts sounds or images and not batches.

    Args:
        loaders: what each loader holds, and how many of it.
    """

    def __init__(self, loaders: Mapping[str, int]) -> None:
        super().__init__()
        self._loaders = list(loaders.items())
        self._bar = ExitStack()
        self._advance: Callable[[int], None] = lambda count: None

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
            self._bar.close()
            name, count = self._loaders[dataloader_idx]
            of_process = -(-count // trainer.world_size)
            self._advance = self._bar.enter_context(progress_bar(name, of_process))

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch."""
        parts = batch if isinstance(batch, list) else [batch]
        self._advance(sum(len(part.index) for part in parts))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the last bar."""
        self._bar.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Close the bar of a run that fails or is interrupted."""
        self._bar.close()


def _collector(module: pl.LightningModule) -> Any:
    if not isinstance(module, LocalizationModule):
        raise TypeError(f"Expected a LocalizationModule, but got {type(module).__name__}.")
    return module.collector
