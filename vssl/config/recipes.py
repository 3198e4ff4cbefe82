"""Objects of a Python program as recipes, where they can be made again."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from hydra.utils import get_object, instantiate
from torch import nn

from vssl.config.identity import described
from vssl.config.settings import Recipe


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
    try:
        importable = kind.__module__ != "__main__" and get_object(target) is kind
        if importable and recipe == described(recipe):
            again = instantiate(recipe)
            if _attributes(again) == _attributes(value):
                return recipe
    except Exception:  # whatever a class of somebody's makes of arguments that are not its own
        return copy.deepcopy(value)
    return copy.deepcopy(value)


def _attributes(value: Any) -> Any:
    return described(value if isinstance(value, nn.Module) else vars(value))
