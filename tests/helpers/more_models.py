"""Weights and goldens of the models after the paper's seven: `golden/more` of the shared folder."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from filelock import FileLock

from tests.helpers.goldens import Array, read_arrays

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


def write_checkpoints(shared: Path, model: str, seed: int, folder: Path) -> dict[str, Path]:
    """Write the files of a model in their published layout, by role in `layout.json`.

    Seed 0 and the statistics of the dev split are behind the dev goldens. SSL-SaN has the roles
    plain, learnable and extra: three files of one network.
    """
    golden = shared / "golden"
    if model == "sslsan":
        kit = import_script(golden / "seeded_weights.py")
        layouts = json.loads((golden / "checkpoint_layouts.json").read_text())
        stats = kit.load_stats(str(golden / "bn_stats"), "ssltie", seed)
        write = import_script(shared / MORE / "sslsan_writer.py").write
        paths = write(layouts, None, seed, str(folder), stats)
    else:
        layout = json.loads((shared / MORE / model / "layout.json").read_text())
        stats = read_arrays(shared / MORE / model / "dev" / "stats.npz")
        write = import_script(shared / MORE / "seeded_more.py").write
        paths = write(layout, seed, str(folder), stats)
    return {role: Path(path) for role, path in paths.items()}


def checkpoint_writer(shared: Path, folder: Path) -> Callable[..., dict[str, Path]]:
    """`write_checkpoints`, once per model and seed for all processes of a test session."""

    def write(model: str, seed: int = 0) -> dict[str, Path]:
        own = folder / f"{model}-{seed}"
        own.mkdir(parents=True, exist_ok=True)
        listed = own / "files.json"
        with FileLock(own.with_suffix(".lock")):
            if not listed.is_file():
                paths = write_checkpoints(shared, model, seed, own)
                listed.write_text(json.dumps({role: path.name for role, path in paths.items()}))
        return {role: own / name for role, name in json.loads(listed.read_text()).items()}

    return write


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
