"""A run's identity: what can change its records, and the folder that follows from it."""

from __future__ import annotations

import hashlib
import pickle
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vssl.core.hashing import content_sha256, file_sha256, text_hash
from vssl.records.files import RECORDS_VERSION

if TYPE_CHECKING:
    from vssl.config.settings import RunSettings

_CANNOT_CHANGE_RECORDS = {
    "data": ("cache", "root", "ids", "flags"),
    "model": ("paper", "year", "licence", "source", "weights", "sha256", "precision"),
    "prior": ("paper", "year", "licence", "source", "weights", "sha256"),
}
_DEFAULTS = {
    "data": {
        "empty": "fault",
        "silent": "keep",
        "media": "check",
        "limit": None,
        "subset": "all",
        "not_visible": "positive",
        "truth": "boxes",
        "mask_folder": "gt_segmentation",
    }
}
"""Options that came later, and what they are where runs of before do not have them."""


def run_identity(settings: RunSettings) -> dict[str, Any]:
    """What can change a run's records.

    Devices, batch size, workers, loggers, folders of results, thresholds and metrics cannot.
    Weights, lists of ids and files of negatives count by their content, the test set by its
    absolute folder.
    """
    parts: dict[str, Any] = {
        "schema": RECORDS_VERSION,
        "seed": settings.seed,
        "precision": settings.trainer.precision,
    }
    for name in ("model", "data", "negatives", "protocol", "prior"):
        dropped, defaults = _CANNOT_CHANGE_RECORDS.get(name, ()), _DEFAULTS.get(name, {})
        parts[name] = {
            key: value
            for key, value in described(getattr(settings, name).group).items()
            if key not in dropped and (key, value) not in defaults.items()
        }
    if isinstance(released := parts["model"].get("released"), dict):
        released.pop("threshold", None)  # of the scores alone
    if settings.model.maps is not None:  # by content, wherever they are
        for name in ("maps", "arguments", "missing"):
            parts["model"].pop(name, None)
        parts["maps_sha256"] = content_sha256(settings.model.maps)
    negatives = settings.negatives.group
    names = ("manifest", *settings.negatives.conditions)
    parts["negatives"] = {name: v for name, v in parts["negatives"].items() if name in names}
    for options in parts["negatives"].values():
        if isinstance(options, dict) and options.get("snr", 0) is None:
            options.pop("over", None)  # without a ratio it says nothing
        if isinstance(options, dict) and options.get("exclude", "") is None:
            del options["exclude"]  # earlier runs did not know it
    if settings.data.noise_use:  # earlier runs, without it, heard other noise
        parts["noise"] = settings.data.noise_use
    root = settings.data.root
    parts["data"]["root"] = None if root is None else str(Path(root).expanduser().resolve())
    files: dict[str, Any] = {
        **{weights_key(part): path for part, path in settings.model.weights.items()},
        "data.ids": settings.data.group.get("ids"),
        "data.flags": settings.data.group.get("flags"),
        "negatives.manifest": negatives.get("manifest"),
        "prior.weights": settings.prior.find_weights(),
    }
    for name, option in (("noise", "file"), ("offscreen", "exclude"), ("offscreen", "table")):
        recipe = negatives.get(name)
        if isinstance(recipe, Mapping):
            files[f"negatives.{name}.{option}"] = recipe.get(option)
    paths = {key: Path(str(path)).expanduser() for key, path in files.items() if path is not None}
    # a missing file has its own error later; here it must not hide the run's folder
    parts["files_sha256"] = {
        key: file_sha256(path) if path.is_file() else None for key, path in paths.items()
    }
    return parts


def weights_key(part: str) -> str:
    """Name the option of a weights file; `model.weights` where a model has one file."""
    return f"model.weights.{part}" if part else "model.weights"


def weights_sha256(identity: Mapping[str, Any]) -> str | dict[str, str] | None:
    """Hash of a model's weights file, or by part; None for a model without weights."""
    files, start = identity["files_sha256"], "model.weights."
    parts = {key.removeprefix(start): files[key] for key in files if key.startswith(start)}
    return parts or files.get("model.weights")


def described(value: Any) -> Any:
    """Settings as plain values; an object is described by its class and a hash of its content."""
    if isinstance(value, Mapping):
        return {str(key): described(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(each) for each in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Path):
        return str(value)
    kind = type(value)
    return {"_target_": f"{kind.__module__}.{kind.__qualname__}", "sha256": _content_hash(value)}


def _content_hash(value: Any) -> str:
    """Hash of an object's content; a new one each time where the content cannot be read."""
    if hasattr(value, "named_modules"):  # of torch, and pickled otherwise each time
        digest = hashlib.sha256(repr(value).encode())
        for key, tensor in value.state_dict().items():
            digest.update(key.encode() + tensor.detach().cpu().float().numpy().tobytes())
        for name, module in value.named_modules():
            settings = {
                key: described(each)
                for key, each in vars(module).items()
                if not key.startswith("_") and key != "training"
                if not (callable(each) and hasattr(type(module), key))  # a wrapped method
            }
            digest.update(f"{name} {sorted(settings.items())}".encode())
        return digest.hexdigest()
    try:
        return hashlib.sha256(pickle.dumps(value)).hexdigest()
    except (pickle.PicklingError, AttributeError, TypeError):
        return text_hash(secrets.token_hex())
