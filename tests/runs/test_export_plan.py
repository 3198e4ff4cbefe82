"""The plan for a model that vssl cannot run: rows, sounds, and folders of other plans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.helpers.running import command, run, run_settings
from vssl.audio import read_clip
from vssl.config import build
from vssl.core.errors import UsageError
from vssl.negatives.base import Positive
from vssl.records.files import MANIFEST_FILE
from vssl.runs.export_plan import COLUMNS, PLAN_FILE, export_plan

_OPTIONS = (
    *("model=center", "data=is3", "negatives=[all,reversed,mixed]"),
    *("negatives.noise.draws=2", "negatives.offscreen.draws=3"),
)


def test_its_sounds_are_those_of_a_run(is3_folder: Path, tmp_path: Path) -> None:
    settings = run_settings(*_OPTIONS, f"data.root={is3_folder}", "seed=5")
    count = export_plan(settings, tmp_path)
    plan = pd.read_csv(tmp_path / PLAN_FILE)
    assert tuple(plan.columns) == COLUMNS
    assert len(plan) == count
    data = build.check_data(settings)
    samples = {sample.sample_id: sample for sample in data.samples}
    conditions = {c.name: c for c in (Positive(), *build.build_conditions(settings))}
    for condition in conditions.values():
        condition.prepare(data.samples)
    for row in plan.itertuples():
        sample = samples[row.sample_id]
        assert row.image == str(sample.image_path)
        heard, rate = soundfile.read(tmp_path / row.audio, dtype="float32", always_2d=True)
        assert rate == 16_000
        expected = conditions[row.condition].clip(
            sample, lambda name: read_clip(samples[name].audio_path),
            draw=row.draw, seed=5, use=settings.data.noise_use,
        )  # fmt: skip
        np.testing.assert_array_equal(heard.T, expected.samples)
    draws = plan.groupby("condition")["draw"].nunique()
    assert draws[["positive", "noise", "offscreen"]].to_list() == [1, 2, 3]
    assert plan["map"].is_unique
    assert set(plan["map"]) >= {f"positive/{name}.npy" for name in samples}
    assert f"noise/1/{data.samples[0].sample_id}.npy" in set(plan["map"])


def test_the_manifest_is_a_run_s(is3_folder: Path, tmp_path: Path) -> None:
    options = (*_OPTIONS, f"data.root={is3_folder}")
    export_plan(run_settings(*options), tmp_path / "plan")
    run(tmp_path / "run", *options, "threshold=fixed", "metrics=pia")
    texts = [(tmp_path / name / MANIFEST_FILE).read_text() for name in ("plan", "run")]
    assert texts[0] == texts[1]


def test_a_stopped_export_goes_on(is3_folder: Path, tmp_path: Path) -> None:
    options = (*_OPTIONS, f"data.root={is3_folder}")
    folder = tmp_path / "plan"
    export_plan(run_settings(*options), folder)
    sounds = sorted(folder.rglob("*.wav"))
    times = [path.stat().st_mtime_ns for path in sounds]
    content = sounds[0].read_bytes()
    sounds[0].unlink()
    (folder / PLAN_FILE).unlink()
    export_plan(run_settings(*options), folder)
    assert sounds[0].read_bytes() == content
    assert [path.stat().st_mtime_ns for path in sounds[1:]] == times[1:]
    with pytest.raises(UsageError, match="holds the plan of another test set, or of other"):
        export_plan(run_settings(*options, "seed=1"), folder)


def test_the_command_needs_a_folder(tmp_path: Path) -> None:
    refused = command("vssl-export-plan", "data.scenes=2", cwd=tmp_path)
    assert refused.returncode == 1
    assert "output is not set. Set output=<folder" in refused.stderr
