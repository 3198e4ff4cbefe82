"""Counts what the networks of a run encode, and stops it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.running import run
from vssl.records.files import RUN_FILE


class StopError(Exception):
    """What stops a run."""


class Stopping:
    """Lets a model encode some batches of images, then stops it; counts what it encoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, model: type) -> None:
        self.allowed: float = np.inf
        self.images: list[int] = []
        self.sounds: list[int] = []
        self.error: type[BaseException] = StopError
        encode_image, encode_audio = model.encode_image, model.encode_audio

        def image(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 1:  # a single one is the fingerprint
                if len(self.images) >= self.allowed:
                    raise self.error
                self.images.append(len(images))
            return encode_image(network, images)

        def audio(network: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
            self.sounds.append(len(inputs))
            return encode_audio(network, inputs)

        monkeypatch.setattr(model, "encode_image", image)
        monkeypatch.setattr(model, "encode_audio", audio)

    def stop(self, after: int, folder: Path, *options: str) -> None:
        """Run until `after` batches of images are encoded, and stop; then counts are 0 again."""
        self.allowed = after
        self.images.clear()
        with pytest.raises((self.error, SystemExit)):
            run(folder, *options)
        assert not (folder / RUN_FILE).exists()
        self.allowed = np.inf
        self.encoded()

    def encoded(self) -> tuple[int, int]:
        """Images and sounds since the last call, without those of the fingerprint."""
        counts = sum(self.images), sum(self.sounds) - 1
        self.images.clear()
        self.sounds.clear()
        return counts
