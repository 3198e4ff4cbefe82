"""Configuration to networks: the model and the object prior, with their weights."""

from __future__ import annotations

import copy
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from vssl.config.identity import weights_key
from vssl.config.settings import ModelSettings, PriorSettings, Recipe, RunSettings, TrainerSettings
from vssl.core.errors import UsageError
from vssl.core.extras import MissingExtraError
from vssl.models.base import CheckpointLayout, LocalizationModel, Pretrained
from vssl.models.checkpoints import WeightsError
from vssl.models.object_prior import PUBLISHED_FILES, ObjectPrior
from vssl.models.resnet import ResNet18
from vssl.models.weights import WeightsReport, load_weights

_LESSON = """`frontend` makes the input of encode_audio from a sound. Add it to the model's yaml \
(docs/own-model.md), as in

frontend:
  _target_: vssl.frontends.LogSpectrogram
  window:
    _target_: vssl.audio.CenterWindow
    seconds: 3

A model that takes no sound leaves encode_audio out."""

Network = TypeVar("Network", bound=torch.nn.Module)


def make(recipe: Recipe) -> Any:
    """What a recipe makes; an object that was made already is returned as it is.

    Raises:
        UsageError: of the class, for arguments that it does not take, or of its module.
    """
    try:
        return instantiate(recipe) if isinstance(recipe, Mapping) else recipe
    except InstantiationException as error:
        fault: BaseException | None = error
        while fault is not None and not isinstance(fault, UsageError):
            fault = fault.__cause__  # of a module that cannot be imported by way of ImportError
        if fault is None:
            raise
    raise fault  # not from its own consequence, which would be a circle


def check_network_options(settings: RunSettings) -> None:
    """Check precision, compiler, libraries and weights files before any work.

    Raises:
        UsageError: for the first that is not there, or cannot be.
    """
    on_cpu = not on_gpu(settings.trainer)
    precision = settings.trainer.precision
    if precision in ("16-mixed", "tf32") and on_cpu:
        raise UsageError(f"model.precision={precision} needs a GPU. On a CPU, use bf16-mixed.")
    compilers = (os.environ.get("CXX", "c++"), "g++", "clang++")
    if settings.model.compile and on_cpu and not any(map(shutil.which, compilers)):
        raise UsageError(
            "model.compile=true needs a C++ compiler on a CPU, and none of"
            f" {', '.join(compilers)} was found."
        )
    if "maps" in settings.model.group and settings.model.maps is None:
        raise UsageError(
            "model.maps is not set. Set model.maps=DIR or FILE, with the maps that vssl-export-plan"
            " lists (docs/stored-maps.md)."
        )
    kind = _class_of(settings.model)
    if kind is not None:
        _check_parts(settings.model, kind.layouts())
    weights_paths(settings.model)
    prior_weights_path(settings.prior)


def on_gpu(trainer: TrainerSettings) -> bool:
    """Whether the networks run on a GPU."""
    chosen = trainer.accelerator
    return chosen != "cpu" and (chosen != "auto" or torch.cuda.is_available())


def keep_float32(trainer: TrainerSettings) -> None:
    """Compute in float32 where that is configured: TensorFloat-32 changes third decimals."""
    if trainer.precision in ("32", "32-true", "tf32"):  # `Localizer` allows it to networks alone
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def gpu_name(trainer: TrainerSettings) -> str | None:
    """Name of the GPU that the networks run on; None on a CPU."""
    return torch.cuda.get_device_name() if on_gpu(trainer) and torch.cuda.is_available() else None


def build_model(settings: ModelSettings) -> tuple[LocalizationModel, dict[str, WeightsReport]]:
    """The model with its weights, as quick as is configured; of a given object a copy.

    The reports are by part of the network, see `Pretrained.layouts`.

    Raises:
        UsageError: as `make_network`, when weights are missing, unfit or unsafe, or for a model
            that takes sounds and has no front end.
    """
    weights, network = weights_paths(settings), make_network(settings)
    hears = type(network).encode_audio is not LocalizationModel.encode_audio
    if hears and settings.frontend is None:
        raise UsageError(
            f"model.frontend is not set, and {type(network).__name__} has encode_audio. {_LESSON}"
        )
    if network is settings.network and not weights:
        network = copied(network)
    else:
        _check_parts(settings, network.layouts())
    reports = {
        part: load_weights(network, path, part=part, sha256=settings.sha256.get(part))
        for part, path in weights.items()
    }
    _quicken(settings, network)
    return network.eval(), reports


def _check_parts(settings: ModelSettings, layouts: Mapping[str, CheckpointLayout]) -> None:
    """Check that there is a weights file for each part of a network, and no other."""
    name, given, wanted = settings.name, settings.weights, list(layouts)
    if given and not wanted:
        raise WeightsError(f"{name} has no weights: leave model.weights out.")
    files = " ".join(f"{weights_key(part)}=FILE" for part in wanted)
    if surplus := [part for part in given if part not in wanted]:
        one = "one file" if surplus == [""] else f"of the part {' and '.join(surplus)}"
        raise WeightsError(f"model.weights is {one}, but {name} takes {files}.")
    if missing := [part for part in wanted if part not in given]:
        keys = " and ".join(map(weights_key, missing))
        sources = "; ".join(dict.fromkeys(map(settings.source_of, missing)))
        raise WeightsError(
            f"{keys} {'is' if len(missing) == 1 else 'are'} not set: {name} needs its authors'"
            f" checkpoint ({sources}). Set {files}."
        )


def copied(network: Network) -> Network:
    """A copy of a network on the CPU, in evaluation mode.

    Raises:
        UsageError: when it cannot be copied.
    """
    try:
        return copy.deepcopy(network).cpu().eval()
    except Exception as error:  # as of tensors that are part of a computation
        raise UsageError(
            f"model: {type(network).__name__} cannot be copied, but a run does not touch what it is"
            f" given ({error})."
        ) from error


def _quicken(settings: ModelSettings, network: torch.nn.Module) -> None:
    """Let a network that has its weights do the same in less time, where that is configured."""
    for module in network.modules():
        if isinstance(module, ResNet18) and settings.fold_batch_norms:
            module.fold_batch_norms()
        if isinstance(module, torch.nn.Conv2d) and settings.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def compile_model(settings: ModelSettings, network: LocalizationModel) -> None:
    """Compile the networks, where `model.compile` asks for it."""
    if settings.compile:
        for name in ("encode_image", "encode_audio"):
            setattr(network, name, torch.compile(getattr(network, name)))


def make_network(settings: ModelSettings) -> LocalizationModel:
    """The model without weights, or the model object that was given.

    Raises:
        MissingExtraError: when a library that it needs is not installed.
        UsageError: when the class cannot be found or made, or is no `LocalizationModel`.
    """
    name, recipe = settings.name, settings.network
    target = recipe["_target_"] if isinstance(recipe, Mapping) else type(recipe).__name__
    network = _made(settings, recipe)
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


def _class_of(settings: ModelSettings) -> type[Pretrained] | None:
    """The model's class, with the libraries that it needs; None where `make_network` says why."""
    recipe = settings.network
    if not isinstance(recipe, Mapping):
        return None
    try:
        kind = _made(settings, {"_target_": recipe["_target_"], "_partial_": True}).func
    except MissingExtraError:
        raise
    except UsageError:
        return None
    return kind if isinstance(kind, type) and issubclass(kind, Pretrained) else None


def _made(settings: ModelSettings, recipe: Recipe) -> Any:
    """What a recipe of a model's class makes; UsageError where it cannot."""
    try:
        return make(recipe)
    except MissingExtraError as error:
        raise MissingExtraError(f"model {settings.name} {error}") from error
    except InstantiationException as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise UsageError(
            f"model {settings.name}: {recipe['_target_']} cannot be made ({reason}). Is its package"
            " installed in this environment, or its folder in PYTHONPATH? model.arguments go to"
            " the class."
        ) from error


def weights_paths(settings: ModelSettings) -> Mapping[str, Path]:
    """The checkpoint files that the configuration names, by part; they must exist."""
    for part, path in settings.weights.items():
        if not path.is_file():
            raise WeightsError(
                f"{path}: no such file. {settings.name} needs its checkpoint"
                f" ({settings.source_of(part)}). Set {weights_key(part)}=FILE, or"
                " paths.weights=FOLDER for a folder that holds the checkpoints under their"
                " published names."
            )
    return settings.weights


def build_prior(
    settings: RunSettings, model: LocalizationModel
) -> tuple[ObjectPrior | None, WeightsReport | None]:
    """The object prior with its weights; None for `prior=none`.

    Raises:
        UsageError: when the model's map cannot be brought to [0, 1], or as `build_model`.
    """
    weights = prior_weights_path(settings.prior)
    if weights is None:
        return None, None
    transform = settings.protocol.map_transform or model.map_transform
    unbounded = transform == "none" and math.inf in map(abs, model.value_range)
    if unbounded and settings.prior.scale == "corrected":
        raise UsageError(
            f"prior.scale=corrected brings the map of {settings.model.name} from its value_range to"
            f" [0, 1], but that is {model.value_range}. Declare bounds, or set"
            " prior.scale=released to mix it as it is."
        )
    prior: ObjectPrior = make(settings.prior.network)
    report = load_weights(prior, weights, sha256=settings.prior.sha256, key="prior")
    _quicken(settings.model, prior)
    return prior.eval(), report


def prior_weights_path(prior: PriorSettings) -> Path | None:
    """The object prior's weights, which must exist; None for `prior=none`."""
    if prior.name == "none":
        return None
    path = prior.find_weights()
    if path is None or not path.is_file():
        raise WeightsError(
            f"{path or ' or '.join(PUBLISHED_FILES)}: no such file. prior=object_guided needs"
            f" torchvision's ImageNet ResNet-18 ({prior.source}). Download it, and put it"
            f" into paths.weights ({prior.weights_folder}) or torch.hub's cache"
            f" ({torch.hub.get_dir()}/checkpoints), or set prior.weights=FILE."
        )
    return path
