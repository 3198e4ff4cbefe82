"""The examples of docs/own-model.md run as the page says."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.docs.pages import ROOT, commands, done, shown, words
from tests.helpers.running import maps, records
from vssl.config.networks import make
from vssl.types import AudioClip


def test_the_front_end_of_the_page_has_the_rate() -> None:
    (block,) = (each for each in shown("own-model.md", "yaml") if not each.file)
    frontend = make(yaml.safe_load(block.text)["frontend"])
    assert frontend.waveform(AudioClip(np.ones((1, 9), np.float32), 22_050)).shape == (3 * 22_050,)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two_tower", "modulated", "two_files"])
def test_the_commands_of_the_page_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    work = tmp_path / "own_model"
    shutil.copytree(ROOT / "docs" / "own_model", work)
    monkeypatch.setenv("PYTHONPATH", ".")
    monkeypatch.syspath_prepend(str(work))
    lines = [line for line in commands("own-model.md") if name in line]
    lines = [line for line in lines if words(line)[0] != "vssl-localize"]
    assert words(lines[-1])[0] == "vssl-evaluate"
    few = ("data.scenes=2", "output_dir=run", "threshold=fixed", "metrics=pia")
    few += ("negatives.noise.draws=1", "negatives.offscreen.draws=1")
    for line in lines:
        program, *arguments = words(line)
        if program == "python":
            with contextlib.chdir(work):
                exec(arguments[1])
        else:
            more = few if program == "vssl-evaluate" else ()
            assert name in done(line, *more, cwd=work).stdout

    found = records(work / "run").set_index(["sample_id", "audio_condition"]).sort_index()
    assert len(found) == 4 * 4
    for sample in found.index.unique("sample_id"):
        heard = maps(found.loc[sample])
        assert np.ptp(heard, axis=0).max() > 1e-4, "the sound changes the map"
