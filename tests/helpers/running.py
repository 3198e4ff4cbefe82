"""Runs vssl as its users do: in this process for speed, as a command where that is the point."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vssl.config.compose import composed_config
from vssl.config.settings import RunSettings, ScoringSettings
from vssl.core.progress import show_progress
from vssl.models.base import LocalizationModel
from vssl.negatives.base import AudioCondition, ReadClip
from vssl.records.files import RECORDS_FILE
from vssl.runs.evaluate import evaluate
from vssl.types import AudioClip, AudioRequest, Sample, SoundingObject

FAST = (
    "logger=none",
    "cache=off",
    "loader.num_workers=0",
    "trainer=cpu",
    "trainer.enable_progress_bar=false",
)
LEAN = ("threshold=fixed", "metrics=pia", "logger=none")
"""Overrides that are composed in half of the time, where only other parts count."""
KEY = ["sample_id", "audio_condition", "draw"]


class Loudness(LocalizationModel):
    """A small model that hears: brightness of the image times loudness of the sound."""

    map_size = (32, 32)
    value_range = (-1.0, 1.0)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(1).tanh()

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.mean((1, 2, 3)).tanh()[:, None]

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        return image_features[:, None] * audio_features[..., None]


class Tilted(LocalizationModel):
    """A small model that hears: a loud sound tilts the map of the image's brightness."""

    map_size = (7, 7)
    value_range = (-1.0, 1.0)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images.mean(1), 4).tanh()

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        return (inputs.amax((1, 2, 3)) + 1).sigmoid()[:, None, None]

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        ramp = torch.linspace(-1, 1, 7)
        return (1 - audio_features) * image_features[:, None] + audio_features * ramp


class Halved(AudioCondition):
    """An audio condition of a user's own: the image's clip at half of its amplitude."""

    name = "halved"
    sounding_object = SoundingObject.OWN
    random = False

    def request(self, sample: Sample, *, draw: int, seed: int, length: int) -> AudioRequest:
        return AudioRequest(self.name, source_id=sample.sample_id)

    def make(self, request: AudioRequest, read: ReadClip) -> AudioClip:
        return AudioClip(read(request.source_id).samples / 2)


HEARS = (
    "model=ezvsl",
    "model.name=loudness",
    "model._target_=tests.helpers.running.Loudness",
    "model.weights=null",
    "model.image.size=32",
)
"""Overrides for `Loudness` behind EZ-VSL's front end."""


def small(model: type[LocalizationModel], name: str = "lvs") -> tuple[str, ...]:
    """Overrides for a small model under a name that has released constants."""
    target = f"model._target_={model.__module__}.{model.__name__}"
    return (*HEARS, f"model.name={name}", target, "model.image.size=28")


PRIOR_ALPHA = 0.3


def guided_by(prior_file: Path, alpha: float = PRIOR_ALPHA) -> tuple[str, ...]:
    """Overrides for object-guided maps beside a model's own."""
    return ("prior=object_guided", f"prior.weights={prior_file}", f"prior.alpha={alpha}")


def composed(*overrides: str, name: str = "evaluate") -> DictConfig:
    """The configuration that a command line gives."""
    return composed_config(name, overrides)


def run_settings(*overrides: str) -> RunSettings:
    """The settings that a command line gives `vssl-evaluate`."""
    return RunSettings.of(composed(*overrides))


def scoring_settings(*overrides: str) -> ScoringSettings:
    """The settings that a command line gives `vssl-rescore`, but for the run."""
    return ScoringSettings.of(composed(*overrides, name="rescore"))


def run(folder: Path, *overrides: str, show: bool = False) -> pd.DataFrame:
    """Evaluate in this process; the summary. To `show` its tables takes a quarter of the time.

    Intervals are of few resamples, and there are no subsets, unless the overrides say otherwise:
    half of the time of a small run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    few = ("bootstrap.resamples=20", "subsets=[]")
    summary = evaluate(run_settings(*FAST, *few, *overrides), folder, quiet=not show)
    assert summary is not None
    return summary


def records(folder: Path) -> pd.DataFrame:
    """The records of a run."""
    return pd.read_parquet(folder / RECORDS_FILE)


def maps(frame: pd.DataFrame) -> np.ndarray:
    """The similarity maps of records, `[R, h * w]`."""
    return np.stack(frame["similarity_map"].to_list())


def script(name: str) -> Path:
    """A console script's file."""
    return Path(sys.executable).with_name(name)


def start(
    name: str, *arguments: str, cwd: Path, start_new_session: bool = False
) -> subprocess.Popen[str]:
    """Start a console script in a process of its own."""
    return subprocess.Popen(
        [str(script(name)), *arguments], cwd=cwd, text=True, start_new_session=start_new_session,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def command(
    name: str, *arguments: str, cwd: Path, timeout: float = 600, new: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a console script: in this process, which has imported the libraries.

    Runs on several devices and sweeps under other launchers are processes of their own, as are all
    that are `new`. After `timeout` seconds a process is ended, and the test fails. All sweeps of
    this process fork their jobs from one process, which keeps the environment of its start.
    """
    if new or any("ddp" in each or each.startswith("hydra/launcher=") for each in arguments):
        return subprocess.run(
            [str(script(name)), *arguments], cwd=cwd, text=True, timeout=timeout, check=False,
            capture_output=True,
        )  # fmt: skip
    module = name.removeprefix("vssl-").replace("-", "_")
    main = importlib.import_module(f"vssl.cli.{module}").main
    argv = [str(script(name)), *arguments]
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd), _restored(argv),
        contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr),
    ):  # fmt: skip
        status = _exit_status(main)
    return subprocess.CompletedProcess(argv, status, stdout.getvalue(), stderr.getvalue())


def _exit_status(main: Callable[[], object]) -> int:
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


@contextlib.contextmanager
def _restored(argv: list[str]) -> Iterator[None]:
    """Bring back what a command may change of the process that it runs in."""
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.root.level
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    folders = [str(Path(each).absolute()) for each in given]
    modules = set(sys.modules)
    hydra = HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    with (
        mock.patch.object(sys, "argv", argv), mock.patch.dict(os.environ),
        mock.patch.object(sys, "path", [*folders, *sys.path]),
        mock.patch.object(logging, "raiseExceptions", True),
        warnings.catch_warnings(),
    ):  # fmt: skip
        warnings.simplefilter("default")  # and what Python does not show either
        for category in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        try:
            yield
        finally:
            for handler in {*root.handlers} - {*handlers}:
                handler.close()
            root.handlers[:] = handlers
            root.setLevel(level)
            HydraConfig.instance().cfg = hydra
            show_progress(True)
            for name in set(sys.modules) - modules:
                if str(getattr(sys.modules[name], "__file__", "")).startswith(tuple(folders)):
                    del sys.modules[name]
