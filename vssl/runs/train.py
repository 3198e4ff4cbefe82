"""Training of a model that vssl evaluates: configuration to weights, log and provenance."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import safetensors.torch
import torch

from vssl.config.build import build_loss, build_reader, build_trainer
from vssl.config.identity import weights_key
from vssl.config.networks import make, make_network, on_gpu
from vssl.config.settings import TrainingSettings
from vssl.core.environment import environment
from vssl.core.errors import UsageError
from vssl.core.files import whole_file, write_text
from vssl.core.hashing import file_sha256
from vssl.core.memory import keep_freed_memory
from vssl.core.progress import show_progress
from vssl.engine.training.data import TrainingSet, hold_out, training_loaders
from vssl.engine.training.module import ContrastiveTraining, TrainingLog
from vssl.frontends import FrontEnd
from vssl.models.base import LocalizationModel
from vssl.models.weights import load_weights

_log = logging.getLogger(__name__)

_OPTIMIZATION = ("steps", "learning_rate", "weight_decay", "jitter", "frozen", "shuffle_sounds")


def train(settings: TrainingSettings, folder: Path) -> Path:
    """Train a model and write its weights.

    Writes `<model>.safetensors`, which is returned, `<model>.csv` (the losses) and `<model>.json`
    (command, configuration, versions, time, and the sha256 of the weights). Of a model with several
    weight files it writes `<model>_<part>.safetensors` each, and returns the first.

    Raises:
        UsageError: for any fault in what the user gave.
    """
    options = settings.options
    if settings.model.frontend is None:
        raise UsageError(f"{settings.model.name} takes no audio, so there is nothing to train.")
    if settings.trainer.precision == "tf32":
        raise UsageError("model.precision=tf32 is for evaluations. Leave it out of a training.")
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    show_progress(settings.trainer.progress_bar)
    begin = time.monotonic()
    keep_freed_memory()
    model = make_network(settings.model)
    _begin(settings, model)
    if settings.model.channels_last:  # convolutions are faster so
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    frontend: FrontEnd = make(settings.model.frontend)
    module = ContrastiveTraining(
        model,
        frontend,
        build_loss(options),
        seed=settings.seed,
        **{key: options[key] for key in _OPTIMIZATION},
    )
    loaders = training_loaders(
        *_splits(settings, frontend),
        batch_size=options["batch_size"],
        num_workers=options["num_workers"],
        seed=settings.seed,
    )
    log = TrainingLog()
    trainer = build_trainer(
        settings.trainer,
        loggers=[],
        callbacks=[log],
        max_epochs=-1,
        max_steps=options["steps"],
        # some operations have no deterministic form on a GPU
        deterministic="warn" if on_gpu(settings.trainer) else True,
        enable_progress_bar=False,  # the log draws one
        num_sanity_val_steps=0,
        check_val_every_n_epoch=options["validate_every"],
    )
    trainer.fit(module, *loaders)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return _write_weights(settings, folder, model, log, seconds=time.monotonic() - begin)


def _begin(settings: TrainingSettings, model: LocalizationModel) -> None:
    """Load the checkpoints of `training.weights`; parts without one begin with random weights."""
    parts = list(model.layouts())
    files = "FILE" if parts == [""] else f"{{{', '.join(f'{p}: FILE' for p in parts)}}}"
    option = f"Set 'training.weights={files}'."
    for part, path in settings.weights.items():
        if parts and part not in parts:
            raise UsageError(
                f"training.weights: {settings.model.name} has no part `{part}`. {option}"
            )
        load_weights(model, path, part=part, key="training")
    if any(weight.is_meta for weight in model.parameters()):
        raise UsageError(
            f"training.weights: {settings.model.name} has no random weights to begin with, only"
            f" those of its files. {option}"
        )


def _splits(settings: TrainingSettings, frontend: FrontEnd) -> tuple[TrainingSet, TrainingSet]:
    """The data to learn from and to validate on, each with the negatives of the training."""
    options = settings.options
    readers = {"train": build_reader(settings.train)}
    readers["validation"] = build_reader(settings.validation)
    for reader in readers.values():
        reader.least_samples, reader.rate = frontend.least_samples(), frontend.rate
        if options["empties"] and not hasattr(reader, "empty_scene"):
            raise UsageError(
                f"training.empties: {reader.name} has no pictures without objects, only the"
                " embedded benchmark has. Set training.empties=0."
            )
    roots = {reader.root for reader in readers.values()}
    if len(roots) == 2:
        samples = {split: reader.check().samples for split, reader in readers.items()}
    elif options["train"] or options["validation"]:
        raise UsageError(
            f"training.train and training.validation are the same data ({roots.pop()}). Set"
            " what is otherwise for each, e.g. +training.train.root=FOLDER, or training=synthetic"
            " for the embedded benchmark's own splits."
        )
    elif settings.train.group.get("split") == "test":
        raise UsageError(
            f"training.train: {readers['train'].name} is a test split, from which no model may"
            " learn. Set +training.train.split=train and +training.validation.split=validation, as"
            " in training=synthetic."
        )
    else:
        share, everything = options["validation_share"], readers["train"].check().samples
        parts = hold_out(everything, share, seed=settings.seed)
        samples = dict(zip(readers, parts, strict=True))
        _log.info(
            "%s: %d samples to learn from, %d for validation (training.validation_share=%g)",
            roots.pop(), *map(len, parts), share,
        )  # fmt: skip
    train, validation = (
        TrainingSet(
            samples[split],
            [make(recipe) for recipe in options["negatives"].values()],
            frontend=frontend,
            transform=make(settings.model.image),
            empty=getattr(reader, "empty_scene", None),
            empties=options["empties"],
            seed=settings.seed,
            split=split,
        )
        for split, reader in readers.items()
    )
    return train, validation


def _write_weights(
    settings: TrainingSettings,
    folder: Path,
    model: LocalizationModel,
    log: TrainingLog,
    *,
    seconds: float,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    name = settings.model.name
    weights: dict[str, Path] = {}
    for part in model.layouts() or ("",):
        weights[part] = folder / f"{f'{name}_{part}' if part else name}.safetensors"
        state = model.get_submodule(part).state_dict()
        # copies, since the format does not take two entries of one memory
        copies = {
            key: v.cpu().clone(memory_format=torch.contiguous_format) for key, v in state.items()
        }
        with whole_file(weights[part]) as partial:
            partial.write_bytes(safetensors.torch.save(copies))
    table = pd.DataFrame(log.rows).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(folder / f"{name}.csv", table)
    names = {part: path.name for part, path in weights.items()}
    hashes = {part: file_sha256(path) for part, path in weights.items()}
    facts: dict[str, Any] = {
        "weights": names.get("", names),  # of a single file, or by part
        "sha256": hashes.get("", hashes),
        "parameters": sum(p.numel() for p in model.parameters()),
        "command": shlex.join(["vssl-train", *sys.argv[1:]]),
        "seconds": round(seconds),
        "threads": torch.get_num_threads(),
        "config": {**settings.config, "seed": settings.seed},
        "environment": environment(),
    }
    write_text(folder / f"{name}.json", json.dumps(facts, indent=1) + "\n")
    files = [f"{weights_key(part)}={path}" for part, path in weights.items()]
    _log.info(
        "%s after %d steps in %.0f s (sha256 %s); evaluate with\nvssl-evaluate model=%s %s"
        " model.sha256=null",
        ", ".join(map(str, weights.values())), settings.options["steps"], seconds,
        ", ".join(sha256[:8] for sha256 in hashes.values()), name, " ".join(files),
    )  # fmt: skip
    return next(iter(weights.values()))
