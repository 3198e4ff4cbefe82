"""Objects of a Python program as settings of a run: as recipes where they can be made again."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from hydra.utils import get_object, instantiate
from torch import nn

from vssl.config.build import build_frontends, build_transforms
from vssl.config.identity import described
from vssl.config.networks import copied
from vssl.config.settings import ModelSettings, Recipe, RunSettings
from vssl.core.errors import UsageError
from vssl.core.randomness import generator_for
from vssl.frontends import FrontEnd
from vssl.images import Transform, prepare
from vssl.models.base import LocalizationModel
from vssl.models.wrapped import WrappedModule, maps_of
from vssl.types import POSITIVE, AudioClip


def as_recipe(value: Any) -> Recipe:
    """The class and the arguments that make an object; a copy of the object where they do not.

    Arguments are looked for in attributes of their names. A recipe is kept with a run, so that what
    rests on it can be made again; an object is known by a hash of its content alone.
    """
    kind = type(value)
    target = f"{kind.__module__}.{kind.__qualname__}"
    names = inspect.signature(kind).parameters
    arguments = {name: getattr(value, name) for name in names if hasattr(value, name)}
    recipe = {"_target_": target, **arguments}
    with suppress(Exception):  # of a class of somebody's, of arguments that are not its own
        importable = kind.__module__ != "__main__" and get_object(target) is kind
        if importable and recipe == described(recipe):
            again = instantiate(recipe)
            if _attributes(again) == _attributes(value):
                return recipe
    return copy.deepcopy(value)


def _attributes(value: Any) -> Any:
    return described(value if isinstance(value, nn.Module) else vars(value))


def with_network(
    settings: RunSettings,
    model: nn.Module,
    *,
    frontend: str | FrontEnd | None,
    image: str | Transform | None,
    value_range: tuple[float, float] | None,
) -> RunSettings:
    """Settings with a network, and with what prepares its input.

    Raises:
        UsageError: when one of them cannot be, or a module gives something else than maps.
    """
    encodes = getattr(type(model), "encode_audio", None)
    hears = encodes is not LocalizationModel.encode_audio
    if hears and frontend is None:
        raise UsageError(
            f"frontend: {type(model).__name__} takes sounds. Give a vssl.frontends.FrontEnd, or the"
            " name of the model whose front end it takes, as frontend='ezvsl'."
        )
    if not hears and frontend is not None:
        raise UsageError(f"frontend: {type(model).__name__} takes no sound. Leave it out.")
    group: dict[str, Any] = {
        **settings.model.group,
        "_target_": model,
        "arguments": {},
        **dict.fromkeys(("paper", "licence", "source"), ""),
        "year": None,
    }
    if isinstance(frontend, FrontEnd):
        group["frontend"] = copy.deepcopy(frontend)  # it goes to the device
    elif not isinstance(frontend, str | None):
        raise UsageError(
            f"Expected `frontend` to be a name or a vssl.frontends.FrontEnd, but got {frontend!r}."
        )
    elif frontend is not None and group["frontend"] is None:
        raise UsageError(f"frontend={frontend}: that model takes no sound.")
    if not isinstance(image, str | None):
        if not callable(image):
            raise UsageError(f"Expected `image` to be a name or a transform, but got {image!r}.")
        group["image"] = image
    if isinstance(model, LocalizationModel):
        if value_range is not None:
            raise UsageError(f"value_range: {type(model).__name__} declares it. Leave it out.")
        return _with_group(settings, group)
    return _with_wrapped(_with_group(settings, group), model, value_range)


def _with_group(settings: RunSettings, group: Mapping[str, Any]) -> RunSettings:
    return replace(settings, model=ModelSettings.of(group, protocol=settings.protocol.name))


def _with_wrapped(
    settings: RunSettings, module: nn.Module, value_range: tuple[float, float] | None
) -> RunSettings:
    """Make a module a `LocalizationModel`: an image and a sound tell the size of its maps."""
    frontend = build_frontends(settings, [])[POSITIVE]
    transform, _ = build_transforms(settings)
    random = generator_for(0, "map size")
    pixels = random.integers(0, 256, (272, 360, 3), np.uint8)
    noise = random.standard_normal((1, 10 * frontend.rate)).astype(np.float32)
    images = prepare(transform, pixels)[None]
    with torch.inference_mode():
        sounds = frontend(frontend.waveform(AudioClip(0.1 * noise, frontend.rate))[None])
        try:
            maps = maps_of(copied(module), images, sounds)
        except UsageError:
            raise
        except Exception as error:  # whatever a module of somebody's does
            raise UsageError(
                f"model: {type(module).__name__} does not take images {list(images.shape)} with"
                f" sounds {list(sounds.shape)}: {error}"
            ) from error
    height, width = maps.shape[1:]
    bounds: Any = value_range
    if bounds is None:
        bounds = getattr(module, "value_range", (-math.inf, math.inf))
    try:
        low, high = (each if isinstance(each, int) else float(each) for each in bounds)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high:
        raise UsageError(
            f"Expected `value_range` to be a lowest and a highest value, but got {bounds!r}."
        )
    model = WrappedModule(module, map_size=(height, width), value_range=(low, high))
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    group = {**settings.model.group, "_target_": model, "arguments": {"module": kind}}
    return _with_group(settings, group)
