"""The Lightning module: similarity maps of a whole test set, each network used once per input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytorch_lightning as pl
import torch
from torch import nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vssl.checks import check_value_range
from vssl.engine.live import LiveMetrics
from vssl.errors import UsageError
from vssl.frontends import FrontEnd
from vssl.metrics.base import MeanMetric
from vssl.metrics.sets import SetMetric
from vssl.models.base import LocalizationModel
from vssl.models.object_prior import ObjectPrior
from vssl.records.collector import RecordCollector
from vssl.thresholds.base import ThresholdPolicy
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
        """The encodings in order, `[number of distinct inputs, ...]`."""
        return dim_zero_cat(self.vectors)[dim_zero_cat(self.index).argsort()]


class LocalizationModule(pl.LightningModule):
    """Runs a model in test mode over positives and negatives.

    Audio batches come first, pass their front end and the audio network, and fill a table; each
    image batch then meets its K sounds from the table at once. The maps, and the prior's object
    maps, go to the collector; the audio-visual maps also, upsampled and binarized by the policies
    that need no fit, into live metrics under the summary's names with `live/` in front.

    Args:
        model: the model.
        name: its name, for messages.
        pairings: the run's (audio condition, draw) pairs.
        upsampling: upsampling rule by audio condition.
        frontends: front end by audio condition; empty for a model that takes no audio.
        prior: object prior, None for none.
        live_policies: threshold policies for the live metrics.
        live_metrics: classes of the live metrics.
    """

    def __init__(
        self,
        model: LocalizationModel,
        *,
        name: str,
        pairings: Sequence[tuple[str, int]],
        upsampling: dict[str, str],
        frontends: Mapping[str, FrontEnd] | None = None,
        prior: ObjectPrior | None = None,
        live_policies: Sequence[ThresholdPolicy] = (),
        live_metrics: Sequence[type[MeanMetric] | type[SetMetric]] = (),
    ) -> None:
        super().__init__()
        self.model = model.eval()
        self.name = name
        self.frontends = nn.ModuleDict(dict(frontends or {}))
        self.prior = prior.eval() if prior is not None else None
        self.collector = RecordCollector()
        self.audio_table = AudioTable()
        self.live = LiveMetrics(
            pairings,
            live_policies,
            live_metrics,
            upsampling=upsampling,
            transform=model.map_transform,
        )
        self._encoded_audio: torch.Tensor | None = None

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        self.collector.reset()
        self.audio_table.reset()
        self._encoded_audio = None

    def test_step(
        self, batch: list[AudioBatch] | ImageBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Encode audio inputs, or localize in a batch of images."""
        if not isinstance(batch, ImageBatch):
            for group in batch:
                self._encode_audio(group)
            return
        maps = self.model.localize(batch, self._audio_features(batch)).float()
        self._check(batch, maps)
        object_maps = None
        if self.prior is not None:
            images = batch.images if batch.prior_images is None else batch.prior_images
            object_maps = self.prior(images)
        self.collector.update(batch.index, maps, object_maps)
        self.live.update(batch, maps)

    def on_test_epoch_end(self) -> None:
        """Log the live metrics."""
        for key, metric in self.live.metrics.items():
            self.log(key, metric, add_dataloader_idx=False)  # type: ignore[arg-type]

    def _encode_audio(self, batch: AudioBatch) -> None:
        with torch.autocast(batch.waveforms.device.type, enabled=False):
            inputs = self.frontends[batch.frontend](batch.waveforms)
        self.audio_table.update(batch.index, self.model.encode_audio(inputs))

    def _audio_features(self, batch: ImageBatch) -> torch.Tensor:
        """Encodings `[N, K, ...]` of each image's sounds; empty for a model that takes none."""
        if not self.audio_table.update_called:
            return batch.images.new_empty(*batch.audio_index.shape, 0)
        if self._encoded_audio is None:
            self._encoded_audio = self.audio_table.compute()
        return self._encoded_audio[batch.audio_index]

    def _check(self, batch: ImageBatch, maps: torch.Tensor) -> None:
        expected = (*batch.audio_index.shape, *self.model.map_size)
        if maps.shape != expected:
            raise UsageError(
                f"Expected maps of model `{self.name}` to have shape [N, K, h, w] ="
                f" {list(expected)}, but got {list(maps.shape)}. Does its map_size fit"
                " model.image.size?"
            )
        check_value_range(maps, self.model.value_range, model=self.name)
