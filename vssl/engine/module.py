"""The Lightning module: similarity maps of a whole test set, each network used once per input."""

from __future__ import annotations

from collections.abc import Callable

import pytorch_lightning as pl
import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vssl.engine.feature_table import RunTables
from vssl.engine.localizer import Localizer
from vssl.types import AudioBatch, ImageBatch


class AudioTable:
    """Encodings of the run's `length` distinct audio inputs, a row each.

    A process fills the rows of its own inputs until `share` brings together those of all.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._rows: torch.Tensor | None = None
        self._is_filled = torch.empty(0)

    def add(self, index: torch.Tensor, vectors: torch.Tensor) -> None:
        """Add `[M, ...]` encodings of the inputs `index` `[M]`."""
        if self._rows is None:
            self._rows = vectors.new_zeros(self._length, *vectors.shape[1:])
            self._is_filled = index.new_zeros(self._length, dtype=torch.uint8)
        self._rows[index] = vectors
        self._is_filled[index] = 1

    def share(self, reduce: Callable[..., torch.Tensor]) -> None:
        """Take the rows of all processes by `reduce`, which adds tensors up in place."""
        if self._rows is not None:  # each row is of one process: sums of bytes keep every bit
            reduce(self._rows.view(torch.uint8), reduce_op="sum")
            reduce(self._is_filled, reduce_op="sum")

    def rows(self) -> torch.Tensor:
        """The encodings `[length, ...]`; NaN for inputs not encoded."""
        assert self._rows is not None
        self._rows[self._is_filled == 0] = torch.nan
        return self._rows


class RecordCollector(Metric):
    """Similarity and object maps of this process by sample index, on the CPU until `take`."""

    full_state_update = False

    index: list[torch.Tensor]
    maps: list[torch.Tensor]
    object_maps: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        for state in ("index", "maps", "object_maps"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(
        self, index: torch.Tensor, maps: torch.Tensor, object_maps: torch.Tensor | None = None
    ) -> None:
        """Add samples by their position: maps `[N, K, h, w]`, object maps `[N, h, w]` if any.

        A GPU copies them when it has made them; `take` waits for that.
        """
        self.index.append(index.cpu())
        self.maps.append(maps.float().to("cpu", non_blocking=True))
        if object_maps is not None:
            self.object_maps.append(object_maps.float().to("cpu", non_blocking=True))

    def compute(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Positions, maps and object maps, in order of arrival."""
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.current_stream().synchronize()
        object_maps = dim_zero_cat(self.object_maps) if self.object_maps else None
        return dim_zero_cat(self.index), dim_zero_cat(self.maps), object_maps

    def held_bytes(self) -> int:
        """Memory of the maps held."""
        return sum(maps.nbytes for maps in self.maps)

    def take(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Return and forget the maps of this process, without waiting for others."""
        held = RecordCollector.compute(self)
        self.reset()
        return held


class LocalizationModule(pl.LightningModule):
    """Runs a model in test mode, once, over positives and negatives.

    Audio batches come first: the front end and the audio network encode them into a table. Each
    image batch is then compared with its K sounds from the table at once. Similarity and object
    maps go to the collector; `tables` hold known encodings and keep new ones. A step only tells a
    GPU what to do, and waits for nothing. `sounds` is the number of distinct audio inputs.
    """

    def __init__(self, localizer: Localizer, *, sounds: int) -> None:
        super().__init__()
        self.localizer = localizer
        self.collector = RecordCollector()
        self.tables = RunTables()
        self._audio_table = AudioTable(sounds)
        self._encoded_audio: torch.Tensor | None = None

    def test_step(self, batch: list[AudioBatch] | ImageBatch, batch_idx: int) -> None:
        """Encode audio inputs, or localize in a batch of images."""
        if isinstance(batch, ImageBatch):
            found = self.localizer.native_maps(batch, self._audio_features(batch), self.tables)
            self.collector.update(batch.index, found.similarity, found.objects)
            return
        for group in batch:
            vectors = self.localizer.encode_audio(group.waveforms, group.frontend)
            self._audio_table.add(group.index, vectors)

    def _audio_features(self, batch: ImageBatch) -> torch.Tensor:
        """Encodings `[N, K, ...]` of each image's sounds; empty for a model that takes none."""
        if not self.localizer.uses_audio:
            return batch.images.new_empty(*batch.audio_index.shape, 0)
        if self._encoded_audio is None:
            self._encoded_audio = self._all_sounds()
        return self._encoded_audio[batch.audio_index]

    def _all_sounds(self) -> torch.Tensor:
        """Encodings of all processes and those that are known; new ones are kept."""
        table, known = self._audio_table, self.tables.sounds
        table.share(self.trainer.strategy.reduce)
        for places, kept in known:
            if kept.values is not None:
                table.add(torch.tensor(places), torch.tensor(kept.values))
        rows = table.rows()
        for places, kept in known:
            kept.add(torch.arange(len(places)), rows[places.start : places.stop])
        return rows
