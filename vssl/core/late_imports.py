"""torchmetrics without transformers, which it would import wherever that is installed.

It needs that library for a score of texts alone, BERTScore, and with it every command would begin
a second later. The names that it takes from there are stand-ins until they are used.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_MODULE, _LIBRARY = "torchmetrics.functional.text.bert", "transformers"


class _Later:
    """A class that is imported when an attribute of it is read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(getattr(importlib.import_module(_LIBRARY), self._name), attribute)


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        stand_in = ModuleType(_LIBRARY)
        vars(stand_in)["__getattr__"] = _Later  # of the names that it takes from there
        sys.modules[_LIBRARY] = stand_in
        try:
            super().exec_module(module)
        finally:
            del sys.modules[_LIBRARY]


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _MODULE or _LIBRARY in sys.modules:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin)
        return spec


def import_transformers_late() -> None:
    """Let torchmetrics import transformers only when it needs it, if it was not imported yet."""
    sys.meta_path.insert(0, _Finder())
