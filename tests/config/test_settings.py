"""Settings: one check, hashes that stay what they were, and objects in place of recipes."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import open_dict

from tests.helpers.running import FAST, HEARS, Loudness, composed, maps, records, run_settings
from vssl.config.identity import described
from vssl.config.networks import make
from vssl.config.settings import DataSettings, ModelSettings, NegativesSettings, RunSettings
from vssl.core.errors import UsageError
from vssl.metrics.pia import ImageArea
from vssl.negatives.silence import Silence
from vssl.records.files import RUN_FILE
from vssl.runs.evaluate import evaluate
from vssl.thresholds.base import FixedThreshold


@pytest.mark.parametrize(
    ("overrides", "digits"),
    [
        (("model=center", "data.scenes=4"), "c2129a19"),
        (("model=tiny_av", "data.scenes=4"), "63b14a94"),
        (
            ("model=tiny_san", "data.scenes=4", "protocol=released", "negatives=mixed", "seed=3"),
            "2a1704e2",
        ),
    ],
)
def test_a_finished_run_keeps_its_hash(overrides: tuple[str, ...], digits: str) -> None:
    assert run_settings(*overrides).identity_hash.startswith(digits)


def test_settings_are_checked_and_frozen() -> None:
    with pytest.raises(UsageError, match="Expected `seed` to be"):
        run_settings("seed=1.5")
    settings = run_settings("model=center")
    with pytest.raises(FrozenInstanceError):
        settings.seed = 1  # type: ignore[misc]
    assert replace(settings, seed=1).identity_hash != settings.identity_hash
    assert settings.config == RunSettings.unchecked(composed("model=center")).config


def test_a_model_without_an_image_is_one_error() -> None:
    config = composed("model=center")
    with open_dict(config):
        del config.model["image"]
    lesson = r"model\.image is not set, and model center needs it(.|\n)*\n  - image: imagenet"
    with pytest.raises(UsageError, match=lesson):
        RunSettings.of(config)


def test_the_loggers_know_the_run_s_folder_without_hydra(tmp_path: Path) -> None:
    few = ("data.scenes=1", "negatives=none", "threshold=fixed", "metrics=pia", "subsets=[]")
    evaluate(run_settings("model=center", *FAST[1:], *few, "logger=csv"), tmp_path, quiet=True)
    assert list((tmp_path / "csv").glob("*.csv"))


def test_objects_give_the_run_of_their_recipes(tmp_path: Path) -> None:
    few = ("data.scenes=2", "negatives=silence", "threshold=fixed", "metrics=pia", "subsets=[]")
    recipes = run_settings(*FAST, *HEARS, *few, "bootstrap.resamples=5")
    model = {"name": "loudness", "_target_": Loudness()}
    for part in ("frontend", "image"):
        model[part] = make(recipes.model.group[part])
    objects = replace(
        recipes,
        model=ModelSettings.of(model),
        data=DataSettings.of({"name": "synthetic", "_target_": make(recipes.data.reader)}),
        negatives=NegativesSettings.of({"silence": Silence()}),
        scoring=replace(
            recipes.scoring, threshold={"fixed": FixedThreshold()}, metrics={"pia": ImageArea()}
        ),
    )
    summaries = []
    for name, settings in (("recipes", recipes), ("objects", objects), ("objects", objects)):
        (tmp_path / name).mkdir(exist_ok=True)
        summaries.append(evaluate(settings, tmp_path / name, quiet=True))
    one, two = (maps(records(tmp_path / name)) for name in ("recipes", "objects"))
    np.testing.assert_array_equal(one, two)
    values = [summary["value"] for summary in summaries if summary is not None]
    pd.testing.assert_series_equal(values[0], values[1])
    run = json.loads((tmp_path / "objects" / RUN_FILE).read_text())
    assert run["identity"]["model"]["_target_"] == described(Loudness())
    assert run["provenance"]["negatives"]["silence"]["_target_"].endswith("Silence")
