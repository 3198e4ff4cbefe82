"""The Lightning module: similarity maps of a whole test set, each network used once per input."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vssl.engine.localizer import Localizer
from vssl.features import RunTables
from vssl.records.collector import RecordCollector
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
        """The encodings by index `[number of distinct inputs, ...]`; NaN for those not needed."""
        index, vectors = dim_zero_cat(self.index), dim_zero_cat(self.vectors)
        table = vectors.new_full((int(index.max()) + 1, *vectors.shape[1:]), torch.nan)
        table[index] = vectors
        return table


class LocalizationModule(pl.LightningModule):
    """Runs a model in test mode over positives and negatives.

    Audio batches come first, pass their front end and the audio network, and fill a table; each
    image batch then meets its K sounds from the table at once. Similarity and object maps go to the
    collector.

    Args:
        localizer: the networks.

    Attributes:
        collector: the maps.
        tables: encodings that are known, and where new ones are kept.
    """

    def __init__(self, localizer: Localizer) -> None:
        super().__init__()
        self.localizer = localizer
        self.collector = RecordCollector()
        self.audio_table = AudioTable()
        self.tables = RunTables()
        self._encoded_audio: torch.Tensor | None = None

    def on_test_start(self) -> None:
        """Forget an earlier test, and take the vectors that are known."""
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
