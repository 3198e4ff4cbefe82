"""Whole runs from files against the authors' code: protocol=released, seeded weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.running import maps, records, run

CONDITIONS = ("positive", "silence", "noise", "offscreen")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lvs", "ezvsl"])
@pytest.mark.parametrize("data", ["vggss", "is3"])
def test_similarity_maps_meet_the_released_code(
    shared: Path, seeded_checkpoint: Callable[..., Path], tmp_path: Path, model: str, data: str
) -> None:
    golden = shared / "golden" / "dev" / f"{data}_mini"
    run(
        tmp_path / "run",
        f"model={model}",
        f"model.weights={seeded_checkpoint(model)}",
        f"data={data}",
        f"data.root={shared / 'data' / f'{data}_mini'}",
        "protocol=released",
        f"negatives.manifest={golden / 'negatives_manifest.csv'}",
        f"negatives.noise.file={shared / 'golden' / 'noise_bank.npy'}",
        "threshold=fixed",
    )
    expected = np.load(golden / model / "similarity_maps.npz")
    found = records(tmp_path / "run")
    assert sorted(found["audio_condition"].unique()) == sorted(CONDITIONS)
    for condition in CONDITIONS:
        chosen = found[(found["audio_condition"] == condition) & (found["draw"] == 0)]
        chosen = chosen.set_index("sample_id").loc[list(expected["ids"])]
        difference = maps(chosen).reshape(expected[condition].shape) - expected[condition]
        assert np.abs(difference).max() < 2e-5, condition
        if condition == "offscreen":
            assert list(chosen["audio_source_id"]) == list(expected["offscreen_ids"])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lvs", "ezvsl"])
def test_corrected_silence_and_noise_are_two_different_stimuli(
    shared: Path, seeded_checkpoint: Callable[..., Path], tmp_path: Path, model: str
) -> None:
    """In the released code they are nearly one for EZ-VSL (QUIRKS 14)."""
    run(
        tmp_path / "run",
        f"model={model}",
        f"model.weights={seeded_checkpoint(model)}",
        "data=vggss",
        f"data.root={shared / 'data' / 'vggss_mini'}",
        "negatives.noise.draws=1",
        "negatives.offscreen.draws=1",
        "threshold=fixed",
    )
    found = records(tmp_path / "run")
    silence, noise = (maps(found[found["audio_condition"] == c]) for c in ("silence", "noise"))
    assert np.abs(silence - noise).max(axis=1).min() > 1e-2
