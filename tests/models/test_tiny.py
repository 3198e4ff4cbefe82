"""The bundled models: what is bundled. tests/docs/test_first_pages.py evaluates them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from tests.helpers.running import composed
from vssl.models.tiny import Tiny
from vssl.models.weights import load_weights

NAMES = ("tiny_av", "tiny_deaf", "tiny_san")
BUNDLED = Path(__file__).resolve().parents[2] / "vssl" / "models" / "bundled"


class TestFiles:
    def test_they_are_small(self) -> None:
        files = sorted(BUNDLED.glob("*.safetensors"))
        assert [file.stem for file in files] == sorted(NAMES)
        assert sum(file.stat().st_size for file in files) < 3_000_000
        network = Tiny()
        for encoder in ([network.look], [network.listen, network.tell]):
            assert sum(p.numel() for part in encoder for p in part.parameters()) < 300_000

    @pytest.mark.parametrize("name", NAMES)
    def test_each_is_the_one_that_was_trained(self, name: str) -> None:
        weights = BUNDLED / f"{name}.safetensors"
        facts = json.loads(weights.with_suffix(".json").read_text())
        config = composed(f"model={name}").model
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        assert facts["sha256"] == config.sha256 == digest
        assert facts["command"] == f"python experiments/train_tiny.py model={name}"
        report = load_weights(Tiny(), weights, sha256=digest)
        assert report.ignored == ()
        losses = pd.read_csv(weights.with_suffix(".csv"))
        assert losses["step"].iloc[-1] == facts["config"]["training"]["steps"]

    @pytest.mark.parametrize("name", NAMES)
    def test_the_settings_are_those_of_today(self, name: str) -> None:
        """A changed setting asks for new weights."""
        known = json.loads((BUNDLED / f"{name}.json").read_text())["config"]
        config = composed(f"model={name}", name="train")
        training = _plain(config.training)
        for options in training["negatives"].values():
            if options.get("snr", 0) is None:  # then what it is over says nothing
                options.pop("over", None)  # and was no option yet at the training
        loss = training.pop("loss")
        assert loss.pop("_target_") == "vssl.engine.training.loss.InfoNCE"
        del training["validation_share"]  # each split is named
        assert training.pop("frozen") == []  # came later
        # the loss had no group of its own at the training
        assert known["training"] == json.loads(json.dumps({**training, **loss}))
        assert known["seed"] == config.seed
        for part in ("_target_", "arguments", "frontend"):
            assert known["model"][part] == _plain(config.model[part])
        for part in ("size", "mean", "std"):
            assert known["model"]["image"][part] == _plain(config.model.image[part])
        for part in ("version", "seed", "difficulty", "snr"):
            assert known["data"][part] == config.data[part]


def _plain(value: object) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def test_gradients_reach_every_parameter() -> None:
    network = Tiny().train()
    images, sounds = torch.rand(3, 3, 112, 112), torch.randn(3, 1, 64, 157)
    found = network.similarity(network.encode_image(images), network.encode_audio(sounds)[:, None])
    assert found.shape == (3, 1, 14, 14)
    assert found.abs().max() <= 1 + 1e-6
    found.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
