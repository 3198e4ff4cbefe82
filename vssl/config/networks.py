"""Configuration to networks: the model and the object prior, with their weights."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from vssl.core.errors import UsageError
from vssl.models.base import LocalizationModel
from vssl.models.checkpoints import WeightsError
from vssl.models.object_prior import PUBLISHED_FILES, ObjectPrior, find_weights
from vssl.models.resnet import ResNet18
from vssl.models.weights import WeightsReport, load_weights


def check_network_options(config: DictConfig) -> None:
    """Check precision, compiler and weights files before any work, and raise UsageError."""
    precision = str(config.trainer.precision)
    on_cpu = not on_gpu(config)
    if precision == "16-mixed" and on_cpu:
        raise UsageError("model.precision=16-mixed needs a GPU. On a CPU, use bf16-mixed.")
    compilers = (os.environ.get("CXX", "c++"), "g++", "clang++")
    if config.model.compile and on_cpu and not any(map(shutil.which, compilers)):
        raise UsageError(
            "model.compile=true needs a C++ compiler on a CPU, and none of"
            f" {', '.join(compilers)} was found."
        )
    weights_path(config)
    prior_weights_path(config)


def quicker(config: DictConfig, option: str) -> bool:
    """Whether `channels_last` or `fold_batch_norms` is on; where unset, but under `released`.

    The published numbers are of the networks as they were: near a threshold a rounding counts.
    """
    choice = config.model[option]
    return str(config.protocol.name) != "released" if choice is None else bool(choice)


def on_gpu(config: DictConfig) -> bool:
    """Whether the networks run on a GPU."""
    accelerator = config.trainer.accelerator
    return accelerator != "cpu" and (accelerator != "auto" or torch.cuda.is_available())


def keep_float32(config: DictConfig) -> None:
    """Compute in float32 where that is configured: TensorFloat-32 changes third decimals."""
    if str(config.trainer.precision) in ("32", "32-true"):
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def gpu_name(config: DictConfig) -> str | None:
    """Name of the GPU that the networks run on; None on a CPU."""
    there = on_gpu(config) and torch.cuda.is_available()
    return torch.cuda.get_device_name() if there else None


def build_model(config: DictConfig) -> tuple[LocalizationModel, WeightsReport | None]:
    """The model with its weights, as quick as is configured.

    Raises:
        UsageError: as `make_network`, or when weights are missing, unfit or unsafe.
    """
    weights = weights_path(config)
    network = make_network(config.model)
    if network.checkpoint is None and weights is not None:
        raise WeightsError(f"{config.model.name} has no weights: leave model.weights out.")
    if network.checkpoint is not None and weights is None:
        raise WeightsError(
            f"model.weights is not set: {config.model.name} needs its authors' checkpoint"
            f" ({config.model.source})."
        )
    report = None
    if weights is not None:
        report = load_weights(network, weights, sha256=config.model.sha256)
    _quicken(config, network)
    return network.eval(), report


def _quicken(config: DictConfig, network: torch.nn.Module) -> None:
    """Let a network that has its weights do the same in less time, where that is configured."""
    for module in network.modules():
        if isinstance(module, ResNet18) and quicker(config, "fold_batch_norms"):
            module.fold_batch_norms()
        if isinstance(module, torch.nn.Conv2d) and quicker(config, "channels_last"):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def compile_model(config: DictConfig, network: LocalizationModel) -> None:
    """Compile the networks, where `model.compile` asks for it."""
    if config.model.compile:
        for name in ("encode_image", "encode_audio"):
            setattr(network, name, torch.compile(getattr(network, name)))


def make_network(model: Any) -> LocalizationModel:
    """An instance, without weights, of the class that the configuration's group `model` names.

    Raises:
        UsageError: when the class cannot be found or made, or is no `LocalizationModel`.
    """
    target, name = model["_target_"], model["name"]
    try:
        network = instantiate({"_target_": target, **(model["arguments"] or {})})
    except InstantiationException as error:
        if isinstance(error.__cause__, UsageError):
            raise error.__cause__ from error
        reason = " ".join(str(error.__cause__ or error).split())
        raise UsageError(
            f"model {name}: {target} cannot be made ({reason}). Is its package"
            " installed in this environment, or its folder in PYTHONPATH? model.arguments go to"
            " the class."
        ) from error
    if not isinstance(network, LocalizationModel):
        raise UsageError(
            f"model {name}: {target} is no vssl.models.base.LocalizationModel (docs/own-model.md)."
        )
    lacks = [a for a in ("map_size", "value_range") if getattr(network, a, None) is None]
    if lacks:
        raise UsageError(
            f"model {name}: {target} does not say its {' and '.join(lacks)} (docs/own-model.md)."
        )
    return network


def weights_path(config: DictConfig) -> Path | None:
    """The checkpoint file, which must exist; None where the configuration names none."""
    if config.model.weights is None:
        return None
    path = Path(config.model.weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such file. {config.model.name} needs its authors' checkpoint"
            f" ({config.model.source.strip()}). Set model.weights=FILE, or paths.weights=FOLDER for"
            " a folder that holds the checkpoints under their published names."
        )
    return path


def build_prior(
    config: DictConfig, model: LocalizationModel
) -> tuple[ObjectPrior | None, WeightsReport | None]:
    """The object prior with its weights; None for `prior=none`.

    Raises:
        UsageError: when the model's map cannot be brought to [0, 1], or as `build_model`.
    """
    weights = prior_weights_path(config)
    if weights is None:
        return None, None
    unbounded = model.map_transform == "none" and math.inf in map(abs, model.value_range)
    if unbounded and config.prior.scale == "corrected":
        raise UsageError(
            f"prior.scale=corrected brings the map of {config.model.name} from its value_range to"
            f" [0, 1], but that is {model.value_range}. Declare bounds, or set"
            " prior.scale=released to mix it as it is."
        )
    prior: ObjectPrior = instantiate({"_target_": config.prior._target_})
    report = load_weights(prior, weights, sha256=config.prior.sha256, key="prior")
    _quicken(config, prior)
    return prior.eval(), report


def find_prior_weights(config: DictConfig) -> Path | None:
    """The object prior's weights file that is named or found, if any."""
    if config.prior.weights is not None:
        return Path(config.prior.weights).expanduser()
    return find_weights(Path(config.paths.weights).expanduser())


def prior_weights_path(config: DictConfig) -> Path | None:
    """The object prior's weights, which must exist; None for `prior=none`."""
    if config.prior.name == "none":
        return None
    path = find_prior_weights(config)
    if path is None or not path.is_file():
        raise WeightsError(
            f"{path or ' or '.join(PUBLISHED_FILES)}: no such file. prior=object_guided needs"
            f" torchvision's ImageNet ResNet-18 ({config.prior.source}). Download it, and put it"
            f" into paths.weights ({config.paths.weights}) or torch.hub's cache"
            f" ({torch.hub.get_dir()}/checkpoints), or set prior.weights=FILE."
        )
    return path
