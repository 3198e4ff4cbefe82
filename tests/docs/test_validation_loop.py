"""The code of docs/validation-loop.md: its numbers are those of a run, in one and two processes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from tests.docs.pages import shown
from tests.helpers.drawn import draw_vggss
from tests.helpers.running import HEARS, KEY, Loudness, maps, records, run
from vssl.audio import CenterWindow, read_clip
from vssl.data.vggss import VGGSS
from vssl.negatives import Noise

NEGATIVES = ("silence", "noise", "offscreen")


class Sideways(Loudness):
    """Loudness moves a stripe over the picture, which is high or low by its last digits."""

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        loudness = 1e4 * audio_features[..., None]
        stripe = torch.cos(3 * torch.linspace(-1, 1, 32) - loudness / 1000)
        return (image_features[:, None] / 8 + stripe * loudness.sin().sign()) / 2


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's code blocks as one file."""
    blocks = [block.text for block in shown("validation-loop.md", "python")]
    code = "\n\n".join(blocks).replace("num_workers=2", "num_workers=0")
    code = code.replace('"third_quartile", name="universal_q3"', '"mean", name="universal_max"')
    path = tmp_path / "validation_page.py"
    path.write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, path.stem, raising=False)
    return path


@pytest.fixture
def page(script: Path) -> Any:
    return importlib.import_module(script.stem)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_vggss(tmp_path_factory.mktemp("vggss"))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run with the page's negatives."""
    folder = tmp_path_factory.mktemp("run")
    model = (*HEARS, "model._target_=tests.docs.test_validation_loop.Sideways")
    draws = ("negatives=all", "negatives.noise.draws=1", "negatives.offscreen.draws=1")
    run(folder, *model, "data=vggss", f"data.root={data}", "threshold=universal_max", *draws)
    return folder


def validated(module: pl.LightningModule) -> dict[str, float]:
    """The numbers that a module logs, in one process."""
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    (numbers,) = trainer.validate(module, verbose=False)
    return dict(numbers)


def test_numbers_are_those_of_a_run_with_the_same_maps(
    page: Any, evaluated: Path, data: Path
) -> None:
    found = records(evaluated)
    recorded = dict(
        zip(found[KEY[:2]].itertuples(index=False, name=None), maps(found), strict=True)
    )

    class Recorded(page.Localization):
        def similarity(self, batch: dict[str, Any]) -> torch.Tensor:
            keys = zip(batch["sample_id"], batch["condition"], strict=True)
            return torch.stack([torch.from_numpy(recorded[key]).view(32, 32) for key in keys])

    module = Recorded(None, VGGSS(data).check().samples)
    for _ in range(2):  # an epoch begins anew
        numbers = validated(module)
        by_key = pd.read_parquet(evaluated / "summary.parquet").set_index(["condition", "metric"])
        threshold = by_key["threshold"].dropna().unique()
        # masks are of maps in single precision, and so is the threshold that a run records
        assert np.float32(numbers.pop("threshold")) == threshold.item()
        assert len(numbers) == 9
        for key, value in numbers.items():
            expected = by_key.loc[tuple(key.split("/")), "value"]
            # sums in another order may differ in the last bit
            assert value == pytest.approx(expected, rel=4e-16, abs=0), key
        assert numbers["offscreen/pia"] > 0


def test_negatives_are_those_that_a_run_plays(page: Any, evaluated: Path, data: Path) -> None:
    manifest = pd.read_csv(evaluated / "negatives_manifest.csv", keep_default_na=False)
    rows = manifest.set_index(["sample_id", "condition"])
    samples = {sample.sample_id: sample for sample in VGGSS(data).check().samples}
    shown = page.Conditions(list(samples.values()))
    window = CenterWindow(seconds=2)
    loader = DataLoader(shown, batch_size=5, shuffle=True, collate_fn=page.collate, num_workers=2)
    seen = 0
    for batch in loader:
        for waveform, name, condition in zip(
            batch["waveforms"].numpy(), batch["sample_id"], batch["condition"], strict=True
        ):
            played = name
            if condition in NEGATIVES:
                seen += 1
                row = rows.loc[name, condition]
                played = row["audio_source_id"]
            if condition == "noise":
                request = Noise().request(
                    samples[name], draw=0, seed=row["seed"], length=samples[name].audio_length
                )
                clip = Noise().make(request, {}.__getitem__)
            elif condition == "silence":
                assert not waveform.any()
                continue
            else:
                clip = read_clip(samples[played].audio_path)
            np.testing.assert_array_equal(waveform, window(clip))
    assert seen == len(manifest) == 3 * len(samples)


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_log_the_numbers_of_one(page: Any, script: Path, data: Path) -> None:
    one = validated(page.Localization(page.Network(), VGGSS(data).check().samples))
    code = script.read_text().replace("data/vggss", str(data))
    code = code.replace('strategy="ddp"', 'strategy="ddp_fork"')  # imports the libraries once
    code += """
    if trainer.is_global_zero:
        numbers = {key: value.item() for key, value in trainer.callback_metrics.items()}
        print(__import__("json").dumps(numbers))
"""
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)], cwd=script.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout.splitlines()[-1])
    assert len(one) == 10
    assert two.pop("threshold") == one.pop("threshold")
    assert two == pytest.approx(one, rel=1e-15)
