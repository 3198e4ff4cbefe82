"""Settings: one check, and hashes that stay what they were."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from omegaconf import open_dict

from tests.helpers.running import FAST, composed, run_settings
from vssl.config.settings import RunSettings
from vssl.core.errors import UsageError
from vssl.runs.evaluate import evaluate


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
