"""What the published files of large models hold, with the values behind the goldens, unwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import torch

from tests.helpers.more_models import write_checkpoints
from vssl.models.base import Pretrained
from vssl.models.weights import Match, match_content


def golden_contents(shared: Path, model: str, folder: Path) -> dict[str, Any]:
    """By role what a file would hold: to write, hash and read a gigabyte takes as long as to run.

    An empty folder is left behind.
    """
    kept: dict[str, Any] = {}
    with mock.patch.object(torch, "save", lambda content, path: kept.update({path: content})):
        paths = write_checkpoints(shared, model, 0, folder)
    return {role: kept[str(path)] for role, path in paths.items()}


def fill(network: Pretrained, content: Any, *, part: str = "") -> Match:
    """Load what a file would hold, which must fit."""
    match = match_content(network, content, part=part, path=Path("golden.pth"))
    assert match.faults == []
    network.get_submodule(part).load_state_dict(match.state, strict=True, assign=True)
    return match
