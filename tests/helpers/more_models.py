"""Weights and goldens of the models after the paper's seven: `golden/more` of the shared folder."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch

from tests.helpers.goldens import Array, read_arrays
from vssl.models.base import Pretrained
from vssl.models.weights import Match, match_content

MORE = Path("golden", "more")
"""Below the shared folder."""


def import_script(path: Path) -> ModuleType:
    """Import a script that is not in a package; importable by its name afterwards."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def golden_contents(shared: Path, model: str, folder: Path) -> dict[str, Any]:
    """By role in `layout.json` what a model's published files would hold, as behind the goldens.

    To write, hash and read a gigabyte takes as long as to run. SSL-SaN has the roles plain,
    learnable and extra: three files of one network. `folder` stays empty.
    """
    golden, kept = shared / "golden", {}
    with mock.patch.object(torch, "save", lambda content, path: kept.update({path: content})):
        if model == "sslsan":
            kit = import_script(golden / "seeded_weights.py")
            layouts = json.loads((golden / "checkpoint_layouts.json").read_text())
            stats = kit.load_stats(str(golden / "bn_stats"), "ssltie", 0)
            write = import_script(shared / MORE / "sslsan_writer.py").write
            paths = write(layouts, None, 0, str(folder), stats)
        else:
            layout = json.loads((shared / MORE / model / "layout.json").read_text())
            stats = read_arrays(shared / MORE / model / "dev" / "stats.npz")
            write = import_script(shared / MORE / "seeded_more.py").write
            paths = write(layout, 0, str(folder), stats)
    return {role: kept[path] for role, path in paths.items()}


def fill(network: Pretrained, content: Any, *, part: str = "") -> Match:
    """Load what a file would hold, which must fit."""
    match = match_content(network, content, part=part, path=Path("golden.pth"))
    assert match.faults == []
    target = network.get_submodule(part)
    target.load_state_dict(match.state, strict=True, assign=True)
    target.requires_grad_(False)
    return match


def read_golden(shared: Path, model: str, data: str, kind: str) -> dict[str, Array]:
    """The arrays of a file of the dev goldens.

    Args:
        shared: the shared folder.
        model: name of the model.
        data: vggss_mini or is3_mini.
        kind: similarity_maps: by condition `[N, h, w]`, with `ids` and `offscreen_ids`;
            preprocessing: `<id>/image` and `<id>/<condition>`, as far as stored; published_maps:
            `positive [3, H, W]` with `ids`, after the authors' own post-processing.
    """
    return read_arrays(shared / MORE / model / "dev" / data / f"{kind}.npz")
