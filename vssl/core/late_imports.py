"""Lightning and torchmetrics without the libraries that they import and no evaluation uses.

These would be a third of what a command imports: torch's compiler for a type to test against,
scipy.signal for a name that it lacks, matplotlib for plots and transformers for a score of texts.
Each is imported when something of it is used.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_LATE = {
    "torchmetrics": "scipy.signal",
    "torchmetrics.audio": "scipy.signal",
    "torchmetrics.functional.audio": "scipy.signal",
    "torchmetrics.functional.text.bert": "transformers",
    "torchmetrics.utilities.plot": "matplotlib",
    "lightning_fabric.wrappers": _COMPILER,
    "pytorch_lightning.utilities.compile": _COMPILER,
    "pytorch_lightning.trainer.connectors.logger_connector.result": _COMPILER,
}
"""Modules, and the library that each imports."""

_loading: set[str] = set()


class _Later:
    """What a module makes of a library while it loads; looked up when it is used after that."""

    def __init__(self, module: str, find: Callable[[], Any]) -> None:
        self._module = module
        self._find = find

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions
            raise AttributeError(name)
        return self._then(lambda found: getattr(found, name))

    def __call__(self, *values: Any, **named: Any) -> Any:
        return self._then(lambda found: found(*values, **named))

    def __instancecheck__(self, instance: object) -> bool:
        return _LATE[self._module] in sys.modules and isinstance(instance, self._find())

    def _then(self, use: Callable[[Any], Any]) -> Any:
        later = _Later(self._module, lambda: use(self._find()))
        return later if self._module in _loading else later._find()


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        late = _LATE[self.name]

        def import_late(
            name: str, space: Any = None, local: Any = None, names: Any = (), level: int = 0
        ) -> Any:
            if self.name not in _loading or level or not f"{name}.".startswith(f"{late}."):
                return builtins.__import__(name, space, local, names, level)
            given = name if names else name.partition(".")[0]
            return _Later(self.name, lambda: (importlib.import_module(name), sys.modules[given])[1])

        vars(module)["__builtins__"] = {**vars(builtins), "__import__": import_late}
        _loading.add(self.name)
        try:
            with _late_compiler() if late == _COMPILER else nullcontext():
                super().exec_module(module)
        finally:
            _loading.remove(self.name)


@contextmanager
def _late_compiler() -> Iterator[None]:
    """Decorate with torch's own `disable`, which imports the compiler when a function is called."""
    torch: Any = sys.modules["torch"]
    early = torch.compiler.disable
    torch.compiler.disable = torch._disable_dynamo
    try:
        yield
    finally:
        torch.compiler.disable = early


class _Finder(PathFinder):
    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _LATE or _LATE[fullname] in sys.modules:
            return None
        spec = super().find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin)
        return spec


def import_late() -> None:
    """Put off imports of Lightning and torchmetrics, if these were not imported yet."""
    sys.meta_path.insert(0, _Finder)
