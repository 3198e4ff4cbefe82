"""Fixtures: a small test set drawn on the spot, and the shared real data and golden numbers."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# MKL's Fourier transform rounds differently on processors of different makers (SSL-TIE's power near
# the floor differs by 0.07 dB); the golden tensors come from the path that all processors have. MKL
# reads this when it is first used.
os.environ.setdefault("MKL_CBWR", "COMPATIBLE")

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from vssl.models.object_prior import PUBLISHED_FILES, ObjectPrior

CATEGORIES = ("dog", "bell", "train")
SHARED = Path(__file__).resolve().parents[2] / "shared"


# files that take longest, the longest first: started last, they would keep one core waiting
_LONGEST = (
    *("test_golden_runs.py", "test_sweeps.py", "test_wandb.py", "test_synthetic.py"),
    *("test_tiny.py", "test_training.py"),
    *("test_report_page.py", "test_commands.py", "test_audit.py", "test_configs.py"),
    *("test_networks.py", "test_scoring.py", "test_frontends.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    order = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the tests' own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch, _cache: Path) -> None:
    """No test reads a user's folders or reaches a server."""
    for name in ("VSSL_DATA", "VSSL_WEIGHTS", "VSSL_OUTPUTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VSSL_CACHE", str(_cache))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the real mini data sets and golden numbers, which are not part of the project."""
    if not SHARED.is_dir():
        reason = f"{SHARED} is absent: it holds the real mini data sets and golden numbers"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return SHARED


@pytest.fixture(scope="session")
def seeded_checkpoint(
    shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Writes a model's checkpoint in its published layout, with the values behind the goldens."""
    spec = importlib.util.spec_from_file_location(
        "seeded_weights", shared / "golden" / "seeded_weights.py"
    )
    assert spec is not None
    assert spec.loader is not None
    kit = importlib.util.module_from_spec(spec)
    sys.modules["seeded_weights"] = kit
    spec.loader.exec_module(kit)
    layouts = json.loads((shared / "golden" / "checkpoint_layouts.json").read_text())
    folder = tmp_path_factory.mktemp("weights")
    written: dict[tuple[str, int], Path] = {}

    def write(model: str, seed: int = 0) -> Path:
        if (model, seed) not in written:
            stats = kit.load_stats(str(shared / "golden" / "bn_stats"), model, seed)
            path = kit.write_checkpoint(layouts, model, seed, str(folder / str(seed)), stats)
            written[model, seed] = Path(path)
        return written[model, seed]

    return write


def write_tone(path: Path, *, hertz: float, seconds: float = 2.0, rate: int = 16_000) -> None:
    """A decaying tone as 16-bit wav."""
    time = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * time) * np.exp(-time), rate)


def write_picture(path: Path, box: tuple[int, int, int, int], *, seed: int) -> None:
    """A noisy picture of 64 x 48 pixels with a bright rectangle; `box` in 224-pixel units."""
    pixels = np.random.default_rng(seed).integers(0, 60, size=(48, 64, 3), dtype=np.uint8)
    x0, y0, x1, y1 = (round(v * side / 224) for v, side in zip(box, (64, 48) * 2, strict=True))
    pixels[y0:y1, x0:x1] = (250, 200, 90)
    Image.fromarray(pixels).save(path, quality=95)


def draw_vggss(root: Path) -> Path:
    """Six samples of three classes in the layout of VGG-SS."""
    (root / "frames").mkdir(parents=True)
    (root / "audio").mkdir()
    entries: list[dict[str, Any]] = []
    for number in range(6):
        box = (20 + 15 * number, 30, 120 + 15 * number, 150)
        name = f"clip{number}_000010"
        write_picture(root / "frames" / f"{name}.jpg", box, seed=number)
        write_tone(root / "audio" / f"{name}.wav", hertz=220.0 * (1 + number))
        entries.append(
            {"file": name, "class": CATEGORIES[number % 3], "bbox": [[v / 224 for v in box]]}
        )
    (root / "vggss.json").write_text(json.dumps(entries))
    return root


@pytest.fixture
def vggss_folder(tmp_path: Path) -> Path:
    """A test set of one's own, see `draw_vggss`."""
    return draw_vggss(tmp_path / "vggss")


@pytest.fixture(scope="session")
def prior_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights for the object prior, drawn at random: they see nothing, but differ by image."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = ObjectPrior().state_dict()
    path = tmp_path_factory.mktemp("prior") / PUBLISHED_FILES[0]
    torch.save(state, path)
    return path


@pytest.fixture
def is3_folder(tmp_path: Path) -> Path:
    """A test set of one's own, see `draw_is3`."""
    return draw_is3(tmp_path / "is3")


def draw_is3(root: Path) -> Path:
    """Three pictures of two classes each, six samples, in the layout of IS3."""
    (root / "images").mkdir(parents=True)
    (root / "audio_wav").mkdir()
    entries: list[dict[str, Any]] = []
    pairs = (("dog", "bell"), ("bell", "train"), ("train", "dog"))
    for number, pair in enumerate(pairs):
        for side, sounding in enumerate(pair):
            box = (10 + 110 * side, 40, 100 + 110 * side, 160)
            name = f"{pair[0]}_{pair[1]}_{number}_{sounding}"
            write_picture(root / "images" / f"{name}.jpg", box, seed=number)
            write_tone(root / "audio_wav" / f"{name}.wav", hertz=300.0 * (1 + number + 3 * side))
            entries.append({"image": f"{name}.jpg", "audio": f"{name}.wav", "gt_box": list(box)})
    (root / "IS3_annotation.json").write_text(json.dumps(entries))
    return root
