"""Contrastive training of a model that vssl evaluates, with or without negative audio."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from vssl.core.checks import check_positive
from vssl.core.errors import UsageError
from vssl.engine.callbacks import OpenBar
from vssl.engine.training.data import TrainingBatch
from vssl.frontends import FrontEnd
from vssl.models.base import LocalizationModel

_log = logging.getLogger(__name__)


class ContrastiveTraining(pl.LightningModule):
    """Trains any `LocalizationModel` that encodes image and sound separately.

    Args:
        model: the network to train.
        frontend: its front end.
        loss: takes maps and negative maps as `vssl.engine.training.loss.InfoNCE` does. Its
            parameters, if it has any, are trained too; they are not part of the weights.
        steps: number of training steps, over which the learning rate rises and falls.
        learning_rate: highest learning rate of AdamW.
        weight_decay: weight decay of AdamW.
        jitter: strength of the random changes of colour, see `recoloured`.
        frozen: submodules of the model that stay as they are, their batch norms too.
        shuffle_sounds: pair every image with a random sound of its batch, so that only the places
            of objects can be learnt, not which one sounds.
        seed: seed of augmentation and shuffling.

    Raises:
        UsageError: for an option outside its range, or a model that does not compare encodings.
    """

    def __init__(
        self,
        model: LocalizationModel,
        frontend: FrontEnd,
        loss: nn.Module,
        *,
        steps: int,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        jitter: float = 0.3,
        frozen: Sequence[str] = (),
        shuffle_sounds: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not model.encodes_separately:
            raise UsageError(
                f"{type(model).__name__} overrides `localize`: training compares every image of a"
                " batch with every sound, and needs encode_image, encode_audio and similarity."
            )
        self.save_hyperparameters(ignore=["model", "frontend", "loss"])
        for name in ("steps", "learning_rate"):
            check_positive(self.hparams[name], name=f"training.{name}")
        self.model = model.train().requires_grad_(True)
        self.frontend = frontend
        self.loss = loss
        for name in frozen:
            if name not in dict(model.named_modules()):
                names = ", ".join(child for child, _ in model.named_children())
                raise UsageError(
                    f"training.frozen: {type(model).__name__} has no part `{name}`. It has {names}."
                )
            model.get_submodule(name).requires_grad_(False)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise UsageError(f"{type(model).__name__} has nothing to train (training.frozen).")

    def on_train_start(self) -> None:
        """Keep the statistics of frozen batch norms."""
        for name in self.hparams["frozen"]:
            self.model.get_submodule(name).eval()

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
        pairs = len(order)
        inputs = [self.frontend(batch.waveforms[order.to(images.device)])]
        if len(batch.negatives):
            inputs.append(self.frontend(batch.negatives))
        sounds = self.model.encode_audio(torch.cat(inputs))
        features = self.model.encode_image(images)
        everyone = sounds[:pairs].expand(len(images), *sounds[:pairs].shape)
        maps = self.model.similarity(features, everyone)
        negative_maps = maps.new_empty(pairs, 0, *maps.shape[2:])
        if batch.negative_index.shape[1]:
            negatives = sounds[pairs:][batch.negative_index]
            negative_maps = self.model.similarity(features[:pairs], negatives)
        loss: torch.Tensor = self.loss(maps, negative_maps)
        if self.training and not loss.requires_grad:
            raise UsageError(
                f"{type(self.model).__name__} cannot be trained: its maps carry no gradients of its"
                " parameters."
            )
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate rises over the first 5 % of the steps, then falls to 0."""
        rates = {"lr": self.hparams["learning_rate"], "weight_decay": self.hparams["weight_decay"]}
        parameters = [*self.model.parameters(), *self.loss.parameters()]
        optimizer = torch.optim.AdamW([p for p in parameters if p.requires_grad], **rates)
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

    Images are `[N, 3, H, W]` normalized. Gains are 1 and offsets 0 within the strength, in standard
    deviations of the images. The generator is on the CPU.
    """
    shape = (len(images), 3, 1, 1)
    gain = 1 + strength * (2 * torch.rand(shape, generator=generator) - 1)
    offset = strength * (2 * torch.rand(shape, generator=generator) - 1)
    flipped = torch.rand(len(images), generator=generator) < 0.5
    device = images.device
    turned = torch.where(flipped.to(device)[:, None, None, None], images.flip(3), images)
    return turned * gain.to(device) + offset.to(device)


class TrainingLog(OpenBar):
    """Keeps and logs the losses, and draws a bar that counts steps.

    Attributes:
        rows: a row for each validation: `step`, `learning_rate`, `train_loss` (mean since the last
            validation) and `validation_loss`.
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
        """Add a row and log it."""
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
