"""Versions of the packages and of the code behind a number."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import vssl

_PACKAGES = (
    *("torch", "pytorch-lightning", "torchmetrics", "numpy", "numba"),
    *("librosa", "soundfile", "pillow", "simplejpeg"),
)


@functools.cache  # the code that was imported stays, whatever the checkout becomes
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
