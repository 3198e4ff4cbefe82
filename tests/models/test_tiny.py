"""The bundled models: what is bundled, that it can be evaluated, and what its figures say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from tests.helpers.running import composed, run
from vssl.models.tiny import Tiny
from vssl.models.weights import load_weights
from vssl.reporting.interpret import in_words

NAMES = ("tiny_av", "tiny_deaf", "tiny_san")
BUNDLED = Path(__file__).resolve().parents[2] / "vssl" / "models" / "bundled"
ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "experiments" / "results" / "synthetic_corrected.csv"
TOLD = ROOT / "docs" / "numbers.csv"
THRESHOLDS = ("threshold=[object_area,fixed]", "threshold.fixed.value=0.25")


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


OVERVIEW = {
    "positives": "object_area",
    "marked": "fixed",
    "equal": "false_alarm_10",
    "universal": "universal_q3",
}


@pytest.mark.slow
class TestFigures:
    """What README tells of them."""

    def number(self, summary: pd.DataFrame, metric: str, condition: str, policy: str) -> pd.Series:
        rows = summary[
            (summary["metric"] == metric)
            & (summary["condition"] == condition)
            & (summary["threshold_policy"] == policy)
        ]
        assert len(rows) == 1
        return rows.iloc[0]

    @pytest.mark.parametrize("name", NAMES)
    def test_those_that_hear_move_their_map_with_the_sound(self, name: str, tmp_path: Path) -> None:
        """A quarter of the benchmark tells; the deaf one finds objects, but hears no difference."""
        only = (
            "negatives=silence",
            "metrics=[ciou,pia,swap_delta]",
            "bootstrap.resamples=200",
            *("data.scenes=240", "data.limit=120"),
        )
        summary = run(tmp_path / "run", f"model={name}", *THRESHOLDS, *only)
        swap = self.number(summary, "swap_delta", "positive", "fixed")
        if name == "tiny_deaf":
            assert self.number(summary, "ciou", "positive", "object_area")["ci_low"] > 0.2
            assert abs(swap["value"]) < 0.01
            assert "It does not listen" in in_words(summary, **OVERVIEW)
        else:
            assert swap["ci_low"] > 0.1
            assert "It listens" in in_words(summary, **OVERVIEW)

    def test_silence_and_noise_in_training_give_a_usable_threshold(self) -> None:
        kept = dict(iter(pd.read_csv(KEPT).groupby("model")))
        plain, trained = kept["tiny_av"], kept["tiny_san"]
        assert self.number(kept["tiny_deaf"], "f_loc", "all", "universal_q3")["ci_high"] < 0.2
        for metric, policy in (("f_loc", "universal_q3"), ("auroc", "none")):
            mine = self.number(trained, metric, "all", policy)
            assert mine["ci_low"] > self.number(plain, metric, "all", policy)["ci_high"], metric
        found = [self.number(each, "auc", "positive", "object_area") for each in (plain, trained)]
        assert found[1]["value"] > found[0]["value"] - 0.03

    def test_figures_are_those_that_are_kept(self, tmp_path: Path) -> None:
        kept = pd.read_csv(KEPT)
        kept = kept[(kept["model"] == "tiny_san") & (kept["table"] == "paper")]
        # learnt on the validation scenes
        threshold = self.number(kept, "ciou", "positive", "universal_q3")["threshold"]
        summary = run(
            tmp_path / "run", "model=tiny_san", "data.scenes=240",
            "negatives.noise.draws=2", "negatives.offscreen.draws=2",
            "threshold=[fixed,object_area]", f"threshold.fixed.value={threshold}",
            "metrics=[ciou,success_rate,auc,pia,f_loc,iiou,swap_delta,auroc]",
        )  # fmt: skip
        for metric, condition in (("ciou", "positive"), ("f_loc", "all")):
            # roundings of another processor may move a map across a threshold
            value = self.number(kept, metric, condition, "universal_q3")["value"]
            expected = pytest.approx(value, abs=0.005)
            assert self.number(summary, metric, condition, "fixed")["value"] == expected
        # those that the documentation tells, docs/reading.md
        told = pd.read_csv(TOLD).query("seed == 0").set_index("number")["tiny_san"]
        columns = ["condition", "metric", "threshold_policy"]
        found = summary.set_index(summary[columns].agg("/".join, axis=1))["value"]
        found = found[~found.index.str.endswith("/fixed")]
        common = found.index.intersection(told.index)
        assert len(common) >= 10
        assert found[common].to_list() == pytest.approx(told[common].to_list(), abs=0.01)
