"""Fixtures: a small test set drawn on the spot, and the shared real data and golden numbers."""

from __future__ import annotations

import functools
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

# MKL's Fourier transform rounds differently on processors of different makers (SSL-TIE's power near
# the floor differs by 0.07 dB); the golden tensors come from the path that all processors have. MKL
# reads this when it is first used.
os.environ.setdefault("MKL_CBWR", "COMPATIBLE")

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from tests.helpers.drawn import draw_is3, draw_vggss
from vssl.config.search_path import add_config_folder, forget_config_folders

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in the background of a script
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile(
    "vssl",
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("vssl")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collectstart() -> None:
    """Where tests are collected: the process that hands them out waits for no torch."""
    _keep_what_is_found()


@functools.cache
def _keep_what_is_found() -> None:
    """Compose each choice of groups, and look for Lightning's plug-ins, once in a process."""
    from lightning_fabric.utilities import registry

    from tests.helpers.composing import ConfigRepository, compose_once, load_once
    from vssl.config import compose

    compose.compose = compose_once
    ConfigRepository.load_config = load_once
    registry.entry_points = functools.cache(registry.entry_points)  # each Trainer looks through all


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test session have in common."""
    folder = tmp_path_factory.getbasetemp()
    return folder if "PYTEST_XDIST_WORKER" not in os.environ else folder.parent


@pytest.fixture(scope="session")
def _cache(common_folder: Path) -> Path:
    """A cache folder of the tests' own."""
    return common_folder / "cache"


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch, _cache: Path) -> None:
    """No test reads a user's folders or reaches a server."""
    for name in ("VSSL_DATA", "VSSL_WEIGHTS", "VSSL_OUTPUTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VSSL_CACHE", str(_cache))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.fixture
def config_folder() -> Iterator[Callable[[Path], None]]:
    """Adds a folder of configuration, as `--config-dir` does, for one test."""
    yield add_config_folder
    forget_config_folders()


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
def seeded_checkpoint(shared: Path, common_folder: Path) -> Callable[..., Path]:
    """Writes a model's checkpoint in its published layout, with the values behind the goldens."""
    from tests.helpers.more_models import import_script

    kit = import_script(shared / "golden" / "seeded_weights.py")
    layouts = json.loads((shared / "golden" / "checkpoint_layouts.json").read_text())

    def write(model: str, seed: int = 0) -> Path:
        folder = common_folder / "weights" / f"{model}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not any(folder.iterdir()):
                stats = kit.load_stats(str(shared / "golden" / "bn_stats"), model, seed)
                kit.write_checkpoint(layouts, model, seed, str(folder), stats)
        (path,) = folder.iterdir()
        return path

    return write


@pytest.fixture
def vggss_folder(tmp_path: Path) -> Path:
    """A test set of one's own, see `draw_vggss`."""
    return draw_vggss(tmp_path / "vggss")


@pytest.fixture(scope="session")
def prior_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights for the object prior, drawn at random: they see nothing, but differ by image."""
    import torch

    from vssl.models.object_prior import PUBLISHED_FILES, ObjectPrior

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
