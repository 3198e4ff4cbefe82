"""Checkpoint files: read safely, matched strictly, described in the records.

A checkpoint is a pickle from a stranger. It is read with `weights_only=True`; plain containers,
tensors and NumPy scalars are let in, anything else is refused by name before any of its code runs.
"""

from __future__ import annotations

import fnmatch
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vssl.errors import UsageError
from vssl.hashing import file_sha256
from vssl.models.base import CheckpointLayout, LocalizationModel

_SHOWN = 5
# booleans, integers, floats, complex numbers, texts; never objects
_PLAIN_DTYPES = ("b1", *"bBhHiIlLqQ", "f2", "f4", "f8", "c8", "c16", "S", "U")


class WeightsError(UsageError):
    """A checkpoint that cannot be used; the message names the file, the fault and the mend."""


@dataclass(frozen=True)
class WeightsReport:
    """What was loaded.

    Attributes:
        path: the file.
        sha256: its hash, 64 hexadecimal digits.
        used: number of parameters and buffers (single values) that the model took.
        ignored: keys in the file that are known to take no part in the map.
    """

    path: Path
    sha256: str
    used: int
    ignored: tuple[str, ...]


def load_weights(
    model: LocalizationModel, path: Path, *, sha256: str | None = None
) -> WeightsReport:
    """Load a checkpoint as its authors published it, strict in both directions.

    Args:
        model: the network to fill; its `checkpoint` attribute says how the file is laid out.
        path: checkpoint file.
        sha256: expected hash of the file, None to take any.

    Returns:
        What was loaded.

    Raises:
        WeightsError: for a missing or unreadable file, a blocked global, another hash, missing,
            unknown or wrongly shaped entries, or values that are not finite.
    """
    if model.checkpoint is None:
        raise WeightsError(
            f"{type(model).__name__} has no weights, but model.weights={path} is set."
        )
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such file. Set model.weights=FILE, or paths.weights=FOLDER for a folder"
            " that holds the checkpoints under their published names."
        )
    found = file_sha256(path)
    if sha256 is not None and found != sha256.lower():
        raise WeightsError(
            f"{path}: sha256 is {found}, but model.sha256 says {sha256}."
            " Is it another release or a broken download? Set model.sha256=null to take any file."
        )
    state, ignored = _select(read_state_dict(path, model.checkpoint), model.checkpoint)
    _check_matches(model, state, path)
    model.load_state_dict(state, strict=True, assign=True)
    model.requires_grad_(False)
    return WeightsReport(path, found, sum(t.numel() for t in state.values()), tuple(ignored))


def read_state_dict(path: Path, layout: CheckpointLayout) -> dict[str, torch.Tensor]:
    """Read the state dict out of a checkpoint, `module.` prefixes removed.

    Args:
        path: file in torch's zip or legacy format.
        layout: where in the file the state dict lies.

    Returns:
        Key to tensor, on the CPU.

    Raises:
        WeightsError: when the file is not a safe checkpoint of this layout.
    """
    content = _load_safely(path)
    state = content
    if layout.wrapper is not None:
        if not isinstance(content, Mapping) or layout.wrapper not in content:
            keys = (
                list(content)[:_SHOWN] if isinstance(content, Mapping) else type(content).__name__
            )
            raise WeightsError(
                f"{path}: expected the weights under the key `{layout.wrapper}`, but the file holds"
                f" {keys}. Is it another model's checkpoint?"
            )
        state = content[layout.wrapper]
    if not isinstance(state, Mapping) or not all(
        isinstance(v, torch.Tensor) for v in state.values()
    ):
        raise WeightsError(f"{path}: what it holds is not a state dict of tensors.")
    bare = {str(key).replace("module.", ""): tensor for key, tensor in state.items()}
    if len(bare) < len(state):
        raise WeightsError(f"{path}: holds entries that differ only by the prefix `module.`.")
    return bare


def _load_safely(path: Path) -> Any:
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    reconstruct = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    allowed = [
        *(scalar, reconstruct, np.ndarray, np.dtype),
        *(type(np.dtype(code)) for code in _PLAIN_DTYPES),
        # the names under which NumPy 1 pickled the same two functions
        (scalar, "numpy.core.multiarray.scalar"),
        (reconstruct, "numpy.core.multiarray._reconstruct"),
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's message also advises weights_only=False, which would run the file: leave that out
        reason = re.split(r"WeightsUnpickler error:|trusted source\.\)", str(error))[-1].strip()
        blocked = re.search(r"GLOBAL ([\w.]+)|module (\w+)|<class '([\w.]+)'", reason)
        if blocked is None:
            reason = reason.splitlines()[0] if reason else "no reason given"
            raise WeightsError(f"{path}: not a torch checkpoint ({reason})") from error
        name = next(group for group in blocked.groups() if group)
        raise WeightsError(
            f"{path}: refused, because it would import `{name}`, which weights do not need."
            " Nothing of it was run. If you trust the file, save its state dict alone with"
            " torch.save and use that."
        ) from error
    except Exception as error:  # torch and pickle fail in many ways on a damaged file
        raise WeightsError(
            f"{path}: not a torch checkpoint, or cut off ({_first_line(error)})"
        ) from error


def _select(
    state: dict[str, torch.Tensor], layout: CheckpointLayout
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Split a state dict into what the model takes (renamed) and what is known to be unused."""
    ignored = [k for k in state if any(fnmatch.fnmatchcase(k, p) for p in layout.unused)]
    kept = {k: v for k, v in state.items() if k not in ignored}
    for prefix, replacement in layout.rename.items():
        kept = {
            replacement + k.removeprefix(prefix) if k.startswith(prefix) else k: v
            for k, v in kept.items()
        }
    return kept, ignored


def _check_matches(model: LocalizationModel, state: dict[str, torch.Tensor], path: Path) -> None:
    own = model.state_dict()
    missing = sorted(own.keys() - state.keys())
    extra = sorted(state.keys() - own.keys())
    shapes = [
        f"{key} is {list(state[key].shape)}, not {list(own[key].shape)}"
        for key in sorted(own.keys() & state.keys())
        if own[key].shape != state[key].shape
    ]
    types = [
        f"{key} is {state[key].dtype}, not {own[key].dtype}"
        for key in sorted(own.keys() & state.keys())
        if own[key].dtype != state[key].dtype
    ]
    found = {
        "missing": missing,
        "unknown": extra,
        "of another shape": shapes,
        "of another type": types,
    }
    faults = [f"{len(items)} {what}: {_some(items)}" for what, items in found.items() if items]
    if faults:
        raise WeightsError(
            f"{path}: does not fit {type(model).__name__} ({len(own)} entries): "
            + "; ".join(faults)
            + ". Is it another model's checkpoint, or only a part of one?"
        )
    broken = [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise WeightsError(
            f"{path}: {len(broken)} entries hold NaN or infinite values: {_some(broken)}."
            " Did the training diverge, or is the file damaged?"
        )


def _some(items: list[str]) -> str:
    more = f", and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
