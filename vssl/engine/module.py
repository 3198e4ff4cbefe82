"""The Lightning module: similarity maps of a whole test set, each network used once per input."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vssl.engine.feature_table import RunTables
from vssl.engine.localizer import Localizer
from vssl.types import AudioBatch, ImageBatch


class AudioTable(Metric):
    """Encoded audio inputs of all processes, by their index."""

    full_state_update = False

    index: list[torch.Tensor]
    vectors: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("index", default=[], dist_reduce_fx="cat")
        self.add_state("vectors", default=[], dist_reduce_fx="cat")

    def update(self, index: torch.Tensor, vectors: torch.Tensor) -> None:
        """Add `[M, ...]` encodings of the inputs `index` `[M]`."""
        self.index.append(index)
        self.vectors.append(vectors)

    def compute(self) -> torch.Tensor:
        """The encodings by index `[number of distinct inputs, ...]`; NaN for inputs not encoded."""
        index, vectors = dim_zero_cat(self.index), dim_zero_cat(self.vectors)
        table = vectors.new_full((int(index.max()) + 1, *vectors.shape[1:]), torch.nan)
        table[index] = vectors
        return table


class RecordCollector(Metric):
    """Similarity and object maps by sample index, kept on the CPU until `take`."""

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
        """Add samples by their position: maps `[N, K, h, w]`, object maps `[N, h, w]` if any."""
        self.index.append(index.cpu())
        self.maps.append(maps.float().cpu())
        if object_maps is not None:
            self.object_maps.append(object_maps.float().cpu())

    def compute(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Positions, maps and object maps of all processes, in order of arrival."""
        object_maps = dim_zero_cat(self.object_maps) if self.object_maps else None
        return dim_zero_cat(self.index), dim_zero_cat(self.maps), object_maps

    def held_bytes(self) -> int:
        """Memory of the maps held by this process."""
        return sum(maps.nbytes for maps in self.maps)

    def take(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Return and forget the maps of this process, without waiting for others."""
        held = RecordCollector.compute(self)
        self.reset()
        return held


class LocalizationModule(pl.LightningModule):
    """Runs a model in test mode over positives and negatives.

    Audio batches come first: the front end and the audio network encode them into a table. Each
    image batch is then compared with its K sounds from the table at once. Similarity and object
    maps go to the collector; `tables` hold known encodings and keep new ones.
    """

    def __init__(self, localizer: Localizer) -> None:
        super().__init__()
        self.localizer = localizer
        self.collector = RecordCollector()
        self.audio_table = AudioTable()
        self.tables = RunTables()
        self._encoded_audio: torch.Tensor | None = None

    def on_test_start(self) -> None:
        """Reset, and take the known vectors."""
        self.collector.reset()
        self.audio_table.reset()
        self._encoded_audio = None
        for places, table in self.tables.sounds:
            if table.values is not None:
                self.audio_table.update(torch.tensor(places), torch.tensor(table.values))

    def test_step(
        self, batch: list[AudioBatch] | ImageBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Encode audio inputs, or localize in a batch of images."""
        if isinstance(batch, ImageBatch):
            found = self.localizer.native_maps(batch, self._audio_features(batch), self.tables)
            self.collector.update(batch.index, found.similarity, found.objects)
            return
        for group in batch:
            vectors = self.localizer.encode_audio(group.waveforms, group.frontend)
            self.audio_table.update(group.index, vectors)

    def _audio_features(self, batch: ImageBatch) -> torch.Tensor:
        """Encodings `[N, K, ...]` of each image's sounds; empty for a model that takes none."""
        if not self.audio_table.update_called:
            return batch.images.new_empty(*batch.audio_index.shape, 0)
        if self._encoded_audio is None:
            self._encoded_audio = self.audio_table.compute()
            for places, table in self.tables.sounds:
                vectors = self._encoded_audio[places.start : places.stop]
                table.add(torch.arange(len(places)), vectors)
        return self._encoded_audio[batch.audio_index]
