"""Safe reading of checkpoint files.

A torch checkpoint is a pickle from a stranger. It is read with `weights_only=True`, which admits
plain containers, tensors, NumPy scalars and the options of a training (`argparse.Namespace`,
`types.SimpleNamespace`, paths), and refuses anything else by name before its code runs.
"""

from __future__ import annotations

import argparse
import pickle
import re
import shlex
import tarfile
import types
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from vssl.core.errors import UsageError

_SHOWN_KEYS = 5
# booleans, integers, floats, complex numbers, texts; never objects
_PLAIN_DTYPES = ("b1", *"bBhHiIlLqQ", "f2", "f4", "f8", "c8", "c16", "S", "U")
# options of a training. The loader makes an instance and sets its attributes; no method of these
# classes runs, and an attribute can be nothing but what the loader admits. Paths are read as pure
# ones, which touch no disk
_PLAIN_CLASSES: list[Any] = [
    *(argparse.Namespace, types.SimpleNamespace),
    *(
        (kind, f"{module}.{pure}{name}")
        for kind, name in ((PurePosixPath, "PosixPath"), (PureWindowsPath, "WindowsPath"))
        for pure in ("", "Pure")
        for module in ("pathlib", "pathlib._local")  # the latter in Python 3.13
    ),
]


class WeightsError(UsageError):
    """A checkpoint that cannot be used; the message names the file, the fault and the remedy."""


def read_checkpoint(path: Path) -> Any:
    """Read a file of torch (zip format, mapped into memory, or the older stream) or safetensors.

    Returns the saved object, usually a dict, with its tensors on the CPU.

    Raises:
        WeightsError: when the file is missing, damaged, not torch's, or would import anything that
            weights do not need.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such file. Set model.weights=FILE, or paths.weights=FOLDER for a folder"
            " that holds the checkpoints under their published names."
        )
    if path.stat().st_size == 0:
        raise WeightsError(f"{path}: not a torch checkpoint, but an empty file")
    with path.open("rb") as file:
        begin = file.read(9)  # of safetensors: the length of a JSON header, and the header
    if path.suffix == ".safetensors" or begin[6:] == b"\0\0{":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise WeightsError(
                f"{path}: not a safetensors file, or cut off ({_first_line(error)})"
            ) from error
    if zipped := zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            raise WeightsError(
                f"{path}: is a TorchScript program, not weights. If you trust its source, as this"
                " loads the program, write its weights to another file, and use that:\n"
                + _rewriting(path, _WEIGHTS_OF_PROGRAM)
            )
    if tarfile.is_tarfile(path):
        raise WeightsError(
            f"{path}: is a tar archive. Unpack it if it is a download that holds the checkpoint."
            " (torch's own tar format, of before 2017, cannot be read safely; load such a file with"
            " torch where you trust it and save its state dict again with torch.save.)"
        )
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    reconstruct = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    allowed = [
        *(scalar, reconstruct, np.ndarray, np.dtype),
        *(type(np.dtype(code)) for code in _PLAIN_DTYPES),
        # the names under which NumPy 1 pickled the same two functions
        (scalar, "numpy.core.multiarray.scalar"),
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        *_PLAIN_CLASSES,
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        # without torch's advice to set weights_only=False, which would run the file
        reason = re.split(r"WeightsUnpickler error:|trusted source\.\)", str(error))[-1].strip()
        blocked = re.search(r"GLOBAL ([\w.]+)|module (\w+)|<class '([\w.]+)'", reason)
        if blocked is None:
            reason = reason.splitlines()[0] if reason else "no reason given"
            raise WeightsError(f"{path}: not a torch checkpoint ({reason})") from error
        name = next(group for group in blocked.groups() if group)
        raise WeightsError(
            f"{path}: refused, because it would import `{name}`, which weights do not need."
            " Nothing of it was run. Only if you trust its source, as this runs what the file says"
            f" and needs `{name.partition('.')[0]}` to be installed, write its tensors alone to"
            f" another file, and use that:\n{_rewriting(path, _TENSORS_ALONE)}"
        ) from error
    except Exception as error:  # torch and pickle raise many things on a damaged file
        raise WeightsError(
            f"{path}: not a torch checkpoint, or cut off ({_first_line(error)})"
        ) from error


_TENSORS_ALONE = (
    "import sys, torch;"
    ' content = torch.load(sys.argv[1], map_location="cpu", weights_only=False);'
    ' content = content.state_dict() if hasattr(content, "state_dict") else content;'
    " tensors = lambda group: {name: tensors(value) if isinstance(value, dict) else value"
    " for name, value in group.items() if isinstance(value, (dict, torch.Tensor))};"
    " torch.save(tensors(content), sys.argv[2])"
)
_WEIGHTS_OF_PROGRAM = (
    "import sys, torch;"
    ' weights = torch.jit.load(sys.argv[1], map_location="cpu").state_dict();'
    " torch.save(weights, sys.argv[2])"
)


def _rewriting(path: Path, code: str) -> str:
    """Write a command that runs code on a file and the name of another."""
    return shlex.join(["python", "-c", code, str(path), f"{path.with_suffix('')}_weights.pth"])


def state_dict_of(
    content: Any, *, wrappers: Sequence[str | None], path: Path, nested: bool = False
) -> dict[str, torch.Tensor]:
    """Take the state dict out of a checkpoint's content, without prefixes `module.`.

    `wrappers` are keys, None for a bare state dict; the first that is there counts. Where
    it is nested, the names of dicts within it are joined by dots.

    Raises:
        WeightsError: when it is missing or no dict of tensors.
    """
    state = unwrapped(content, wrappers=wrappers, path=path)
    if nested:
        state = _flat(state)
    if not isinstance(state, Mapping) or not all(
        isinstance(v, torch.Tensor) for v in state.values()
    ):
        held = list(map(str, state)) if isinstance(state, Mapping) else [type(state).__name__]
        raise WeightsError(
            f"{path}: what it holds is not a state dict of tensors ({some(held)}). vssl-models"
            " --check FILE tells whose it is."
        )
    bare = {re.sub(r"(^|\.)module\.", r"\1", str(key)): t for key, t in state.items()}
    if len(bare) < len(state):
        raise WeightsError(f"{path}: holds entries that differ only by the prefix `module.`.")
    return bare


def unwrapped(content: Any, *, wrappers: Sequence[str | None], path: Path) -> Any:
    """Take what a checkpoint holds under the first key that it has; None takes it all.

    Raises:
        WeightsError: when it has none of them.
    """
    for key in wrappers:
        if key is None:
            return content
        if isinstance(content, Mapping) and key in content:
            return content[key]
    keys = list(content)[:_SHOWN_KEYS] if isinstance(content, Mapping) else type(content).__name__
    wanted = " or ".join(f"`{key}`" for key in wrappers)
    raise WeightsError(
        f"{path}: expected the weights under the key {wanted}, but the file holds {keys}. Is it"
        " another model's checkpoint?"
    )


def _flat(content: Any) -> Any:
    """Entries of dicts within a dict of tensors, under names joined by dots."""
    if not isinstance(content, Mapping):
        return content
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{name}": each for name, each in _flat(value).items()}
        else:
            flat[str(key)] = value
    return flat


def some(items: Sequence[str]) -> str:
    """List the first few items, and the number of the others."""
    more = f", and {len(items) - _SHOWN_KEYS} more" if len(items) > _SHOWN_KEYS else ""
    return ", ".join(items[:_SHOWN_KEYS]) + more


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
