"""Where a number comes from: hashes, versions, the state of the code."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import vssl

_PACKAGES = (
    *("torch", "pytorch-lightning", "torchmetrics", "numpy", "numba"),
    *("librosa", "soundfile", "pillow", "simplejpeg"),
)


def config_hash(config: Mapping[str, Any]) -> str:
    """Hash of a configuration: 64 hexadecimal digits, independent of the order of keys."""
    return text_hash(json.dumps(config, sort_keys=True, default=str, separators=(",", ":")))


def ids_hash(sample_ids: Iterable[str]) -> str:
    """Hash of the set of evaluated ids: 64 hexadecimal digits, independent of their order.

    "VGG-SS" circulates as lists of 5158, 4911, 4692, 4670 and 4655 ids; the hash tells them apart.
    """
    return text_hash("\n".join(sorted(sample_ids)))


def text_hash(text: str) -> str:
    """Hash of a text: 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def environment() -> dict[str, str]:
    """Versions of vssl, Python and the packages that can change a number, and vssl's commit."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "vssl": vssl.__version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        **versions,
    }


def _git_commit() -> str:
    """Commit of the checkout vssl is imported from, `+dirty` with changes; empty outside one."""
    root = Path(vssl.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+dirty"]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
