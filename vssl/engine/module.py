"""The Lightning module: similarity maps of a whole test set, each network used once per input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytorch_lightning as pl
import torch
from torch import nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vssl.cache import Shelf, batch_key
from vssl.checks import check_similarity_maps
from vssl.data.dataset import ImageShelves
from vssl.frontends import FrontEnd
from vssl.models.base import LocalizationModel
from vssl.models.object_prior import ObjectPrior
from vssl.records.collector import RecordCollector
from vssl.types import AudioBatch, ImageBatch, Known, SoundingObjects


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
    image batch then meets its K sounds from the table at once. The maps, and the prior's object
    maps, go to the collector.

    Args:
        model: the model.
        name: its name, for messages.
        pairings: the run's (audio condition, draw) pairs.
        upsampling: upsampling rule by audio condition.
        sounding: which object of the picture sounds, by audio condition; None for what is assumed.
        frontends: front end by audio condition; empty for a model that takes no audio.
        prior: object prior, None for none.
        image_shelves: where encoded images and object maps are kept.
        audio_shelves: where encoded audio inputs are kept, by front end.
    """

    def __init__(
        self,
        model: LocalizationModel,
        *,
        name: str,
        pairings: Sequence[tuple[str, int]],
        upsampling: dict[str, str],
        sounding: SoundingObjects | None = None,
        frontends: Mapping[str, FrontEnd] | None = None,
        prior: ObjectPrior | None = None,
        image_shelves: ImageShelves | None = None,
        audio_shelves: Mapping[str, Shelf] | None = None,
    ) -> None:
        super().__init__()
        self.model = model.eval()
        self.name = name
        self.frontends = nn.ModuleDict(dict(frontends or {}))
        self.prior = prior.eval() if prior is not None else None
        self.collector = RecordCollector()
        self.audio_table = AudioTable()
        self._image_shelves = image_shelves or ImageShelves()
        self._audio_shelves = audio_shelves or {}
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
        audio_features = self._audio_features(batch)
        if self.model.compares:
            maps = self.model.similarity(self._image_features(batch), audio_features).float()
        else:
            maps = self.model.localize(batch, audio_features).float()
        model, pairs = self.model, (batch.audio_index.shape[0], batch.audio_index.shape[1])
        check_similarity_maps(maps, pairs, model.map_size, model.value_range, model=self.name)
        self.collector.update(batch.index, maps, self._object_maps(batch))

    def on_test_end(self) -> None:
        """Write what is still to be kept."""
        self.keep_encodings()

    def keep_encodings(self) -> None:
        """Write what the networks made, for later runs."""
        images = self._image_shelves
        for shelf in (images.features, images.object_maps, *self._audio_shelves.values()):
            if shelf is not None:
                shelf.flush()

    def _encode_audio(self, batch: AudioBatch) -> None:
        def encode(waveforms: torch.Tensor) -> torch.Tensor:
            with torch.autocast(waveforms.device.type, enabled=False):
                inputs = self.frontends[batch.frontend](waveforms)
            return self.model.encode_audio(inputs)

        shelf = self._audio_shelves.get(batch.frontend)
        vectors = _completed(encode, batch.waveforms, batch.known, batch.keys, shelf)
        self.audio_table.update(batch.index, vectors)

    def _image_features(self, batch: ImageBatch) -> torch.Tensor:
        """Encodings `[N, ...]` of the images."""
        known, shelf = batch.features, self._image_shelves.features
        images = _rows(batch.images, batch.seen, known)
        return _completed(self.model.encode_image, images, known, batch.keys, shelf)

    def _object_maps(self, batch: ImageBatch) -> torch.Tensor | None:
        """The object prior's maps `[N, h, w]`; None without a prior."""
        if self.prior is None:
            return None
        known, shelf = batch.object_maps, self._image_shelves.object_maps
        images = batch.prior_images
        if images is None:
            images = _rows(batch.images, batch.seen, known)
        return _completed(self.prior, images, known, batch.keys, shelf)

    def _audio_features(self, batch: ImageBatch) -> torch.Tensor:
        """Encodings `[N, K, ...]` of each image's sounds; empty for a model that takes none."""
        if not self.audio_table.update_called:
            return batch.images.new_empty(*batch.audio_index.shape, 0)
        if self._encoded_audio is None:
            self._encoded_audio = self.audio_table.compute()
            self.keep_encodings()
        return self._encoded_audio[batch.audio_index]


def _rows(images: torch.Tensor, seen: torch.Tensor | None, known: Known | None) -> torch.Tensor:
    """Of images `[M, ...]`, the rows `seen` of a batch, those that are not known."""
    return images if seen is None or known is None else images[~known.rows[seen]]


def _completed(
    encode: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    known: Known | None,
    keys: Sequence[bytes],
    shelf: Shelf | None,
) -> torch.Tensor:
    """Encodings `[B, ...]` of a batch: those known, and those made now, which are kept.

    In the memory order in which a cache keeps them: what is computed from them depends on it in its
    last digits.

    Args:
        encode: network, `[B, ...]` to `[B, ...]`.
        inputs: `[M, ...]`, the rows that are not known.
        known: encodings that a cache holds; None where it is not asked.
        keys: the B content keys.
        shelf: where to keep what is made; None for a model whose encodings cannot be kept.
    """
    if known is None or shelf is None:
        encoded = encode(inputs)
        return encoded.contiguous() if isinstance(encoded, torch.Tensor) else encoded
    size = len(keys)
    if known.values is not None and len(known.values) == size:
        return known.values
    # a network's last digits depend on the size of its batch: zeros fill it up to what it is
    # when nothing is known
    padding = inputs.new_zeros(size - len(inputs), *inputs.shape[1:])
    made = encode(torch.cat([inputs, padding]) if len(padding) else inputs).contiguous()
    made = made[: len(inputs)]
    missing = ~known.rows
    if made.dtype == torch.float32:
        rows = zip(keys, missing.tolist(), strict=True)
        shelf.put([batch_key(key, size) for key, row in rows if row], made.cpu().numpy())
    if known.values is None:
        return made
    encoded = made.new_empty(size, *made.shape[1:])
    encoded[missing] = made
    encoded[known.rows] = known.values.to(made.dtype)
    return encoded
