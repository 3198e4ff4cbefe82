"""Contrastive training of a model that vssl evaluates, with or without negative audio."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn import functional

from vssl.core.checks import check_positive
from vssl.core.errors import UsageError
from vssl.engine.callbacks import OpenBar
from vssl.engine.training.data import TrainingBatch
from vssl.frontends import FrontEnd
from vssl.models.base import LocalizationModel

_log = logging.getLogger(__name__)


def contrastive_loss(
    scores: torch.Tensor,
    negative_scores: torch.Tensor,
    *,
    temperature: float,
    mismatch_weight: float = 0.0,
    negative_weight: float = 0.0,
) -> torch.Tensor:
    """Symmetric InfoNCE over a batch of image-sound pairs, with further negatives on both sides.

    Each image has to pick its own sound among the batch's sounds and its negatives; each sound its
    own image among the batch's images and the empty ones. That orders similarities, whatever their
    level. Two terms keep pairs that do not belong together near 0, so that one threshold can serve
    all images: the mean of `max(similarity, 0)^2` over other pairs, and over the negatives.

    After EZ-VSL (Mo and Morgado, ECCV 2022), which has no further negatives, and Learning from
    Silence and Noise (Juanola et al., arXiv 2508.21761), which has silence and noise, but whose
    formula was not at hand: this one is ours.

    Args:
        scores: `[N + E, N]` similarity of every image with every sound; pair n is (n, n).
        negative_scores: `[N, K]` similarity of each image with its negatives; K may be 0.
        temperature: divides similarities in InfoNCE.
        mismatch_weight: of the term over other pairs; of several sounds of one class in a batch
            some do belong together.
        negative_weight: of the term over the negatives.
    """
    pairs = scores.shape[1]
    own = torch.arange(pairs, device=scores.device)
    sounds = torch.cat([scores[:pairs], negative_scores], dim=1) / temperature
    images = scores.T / temperature
    loss = (functional.cross_entropy(sounds, own) + functional.cross_entropy(images, own)) / 2
    others = ~torch.eye(*scores.shape, dtype=torch.bool, device=scores.device)
    loss = loss + mismatch_weight * scores[others].relu().square().mean()
    if negative_scores.numel():
        loss = loss + negative_weight * negative_scores.relu().square().mean()
    return loss


def pooled(maps: torch.Tensor, share: float) -> torch.Tensor:
    """Similarity of image and sound `[...]`: the mean over the most similar share of `[..., h, w]`.

    The share is in (0, 1]; at least one position is taken.
    """
    flat = maps.flatten(-2)
    return flat.topk(max(1, round(share * flat.shape[-1])), dim=-1).values.mean(dim=-1)


class ContrastiveTraining(pl.LightningModule):
    """Trains any `LocalizationModel` that compares encodings.

    Args:
        model: the network to train.
        frontend: its front end.
        steps: number of training steps, over which the learning rate rises and falls.
        learning_rate: highest learning rate of AdamW.
        weight_decay: of AdamW.
        temperature: see `contrastive_loss`, as for the two weights.
        mismatch_weight: of other pairs.
        negative_weight: of negatives.
        pooled_area: share of a map whose mean is the similarity of image and sound.
        jitter: strength of the random changes of colour, see `recoloured`.
        shuffle_sounds: every image meets a sound of another one of its batch, so that only the
            places of objects can be learnt, not which one sounds.
        seed: of augmentation and shuffling.

    Raises:
        UsageError: for an option outside its range, or a model that does not compare encodings.
    """

    def __init__(
        self,
        model: LocalizationModel,
        frontend: FrontEnd,
        *,
        steps: int,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        temperature: float = 0.07,
        mismatch_weight: float = 1.0,
        negative_weight: float = 1.0,
        pooled_area: float = 0.1,
        jitter: float = 0.3,
        shuffle_sounds: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not model.encodes_separately:
            raise UsageError(
                f"{type(model).__name__} overrides `localize`: training compares every image of a"
                " batch with every sound, and needs encode_image, encode_audio and similarity."
            )
        self.save_hyperparameters(ignore=["model", "frontend"])
        for name in ("steps", "learning_rate", "temperature"):
            check_positive(self.hparams[name], name=f"training.{name}")
        if not 0 < pooled_area <= 1:
            raise UsageError(f"Expected `training.pooled_area` in (0, 1], but got {pooled_area}.")
        self.model = model
        self.frontend = frontend

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> torch.Tensor:
        """Loss of a batch, its images flipped and recoloured at random."""
        seed = self.hparams["seed"] * 1_000_003 + self.global_step
        generator = torch.Generator().manual_seed(seed)
        images = recoloured(batch.images, self.hparams["jitter"], generator)
        order = torch.arange(len(batch.waveforms))
        if self.hparams["shuffle_sounds"]:
            order = torch.randperm(len(order), generator=generator)
        return self._loss(images, batch, order)

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Loss of a batch as it is."""
        loss = self._loss(batch.images, batch, torch.arange(len(batch.waveforms)))
        self.log("validation_loss", loss, batch_size=len(batch.waveforms))

    def _loss(
        self, images: torch.Tensor, batch: TrainingBatch, order: torch.Tensor
    ) -> torch.Tensor:
        pairs, share = len(order), self.hparams["pooled_area"]
        inputs = [self.frontend(batch.waveforms[order.to(images.device)])]
        if len(batch.negatives):
            inputs.append(self.frontend(batch.negatives))
        sounds = self.model.encode_audio(torch.cat(inputs))
        seen = self.model.encode_image(images)
        together = sounds[:pairs].expand(len(images), *sounds[:pairs].shape)
        scores = pooled(self.model.similarity(seen, together), share)
        negatives = sounds[pairs:][batch.negative_index]
        negative_scores = scores.new_empty(pairs, 0)
        if negatives.shape[1]:
            negative_scores = pooled(self.model.similarity(seen[:pairs], negatives), share)
        names = ("temperature", "mismatch_weight", "negative_weight")
        options = {name: self.hparams[name] for name in names}
        return contrastive_loss(scores, negative_scores, **options)

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate rises over the first 5 % of the steps, then falls to 0."""
        rates = {"lr": self.hparams["learning_rate"], "weight_decay": self.hparams["weight_decay"]}
        optimizer = torch.optim.AdamW(self.model.parameters(), **rates)
        steps: int = self.hparams["steps"]
        warm = max(1, steps // 20)

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            done = min(1.0, (step - warm) / max(1, steps - warm))
            return 0.5 * (1 + math.cos(math.pi * done))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def recoloured(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Flip half of the images, and change contrast and brightness of each channel at random.

    Args:
        images: `[N, 3, H, W]` normalized.
        strength: gains are 1 and offsets 0 within this, in standard deviations of the images.
        generator: on the CPU.
    """
    shape = (len(images), 3, 1, 1)
    gain = 1 + strength * (2 * torch.rand(shape, generator=generator) - 1)
    offset = strength * (2 * torch.rand(shape, generator=generator) - 1)
    flipped = torch.rand(len(images), generator=generator) < 0.5
    device = images.device
    turned = torch.where(flipped.to(device)[:, None, None, None], images.flip(3), images)
    return turned * gain.to(device) + offset.to(device)


class TrainingLog(OpenBar):
    """Keeps the losses, says them, and draws a bar that counts steps.

    Attributes:
        rows: for each validation `step`, `learning_rate`, the mean `train_loss` since the last
            one, and `validation_loss`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self._losses: list[torch.Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        self.open_bar("training", trainer.max_steps)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *batch: Any
    ) -> None:
        """Count a step and keep its loss."""
        self._losses.append(outputs["loss"].detach())
        self.advance(1)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a row and say it."""
        row = {
            "step": trainer.global_step,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "train_loss": float(torch.stack(self._losses).mean()),
            "validation_loss": float(trainer.callback_metrics["validation_loss"]),
        }
        self._losses.clear()
        self.rows.append(row)
        _log.info(
            "step %d of %d: loss %.3f in training, %.3f in validation",
            row["step"], trainer.max_steps, row["train_loss"], row["validation_loss"],
        )  # fmt: skip

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self.close_bar()
