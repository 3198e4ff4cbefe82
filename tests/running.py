"""Runs vssl as its users do: in this process for speed, as a command where that is the point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig

from tests.forking import Forked
from vssl.commands.evaluate import evaluate
from vssl.commands.identity import composed_config
from vssl.models.base import LocalizationModel
from vssl.negatives.base import AudioCondition, ReadClip
from vssl.records.files import RECORDS_FILE
from vssl.types import AudioClip, AudioRequest, Sample, SoundingObject

FAST = (
    "logger=none",
    "cache=off",
    "loader.num_workers=0",
    "trainer=cpu",
    "trainer.enable_progress_bar=false",
)
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
    "model._target_=tests.running.Loudness",
    "model.weights=null",
    "model.image.size=32",
)
"""Overrides for `Loudness` behind EZ-VSL's front end."""


def composed(*overrides: str, name: str = "evaluate") -> DictConfig:
    """The configuration that a command line gives."""
    return composed_config(name, overrides)


def run(folder: Path, *overrides: str, show: bool = False) -> pd.DataFrame:
    """Evaluate in this process; the summary. To `show` its tables takes a quarter of the time."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = evaluate(composed(*FAST, *overrides), folder, quiet=not show)
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


def command(
    name: str, *arguments: str, cwd: Path, timeout: float = 240, new: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a console script in a process of its own.

    Args:
        name: of the script.
        arguments: its arguments.
        cwd: where it runs.
        timeout: seconds after which it is ended, and the test fails.
        new: whether in a new interpreter, which imports everything anew; see `tests.forking`.
    """
    if new:
        return subprocess.run(
            [str(script(name)), *arguments], cwd=cwd, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip
    process = Forked(script(name), arguments, cwd=cwd)
    stdout, stderr = process.communicate(timeout=timeout)
    assert process.returncode is not None
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
