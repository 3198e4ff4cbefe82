"""The examples of docs/own-model.md: shown as they are, and run as the page says."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.helpers.running import command, maps, records
from vssl.config.networks import make
from vssl.types import AudioClip

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "own-model.md"
EXAMPLES = ("two_tower", "modulated", "two_files")


def shown(language: str) -> list[str]:
    """The page's code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[str]:
    """The page's command lines."""
    return re.findall(r"^    (\S.*)$", re.sub(r"```.*?```", "", PAGE.read_text(), flags=re.S), re.M)


@pytest.mark.parametrize(
    ("language", "files"),
    [
        ("python", [f"mynets/{name}.py" for name in EXAMPLES]),
        ("yaml", [f"conf/model/{name}.yaml" for name in EXAMPLES]),
    ],
)
def test_the_page_shows_the_files(language: str, files: list[str]) -> None:
    written = [(DOCS / "own_model" / name).read_text().rstrip() for name in files]
    assert [block for block in shown(language) if not block.startswith("frontend:")] == written


def test_the_front_end_of_the_page_has_the_rate() -> None:
    (block,) = [block for block in shown("yaml") if block.startswith("frontend:")]
    frontend = make(yaml.safe_load(block)["frontend"])
    assert frontend.waveform(AudioClip(np.ones((1, 9), np.float32), 22_050)).shape == (3 * 22_050,)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_commands_of_the_page_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    work = tmp_path / "own_model"
    shutil.copytree(DOCS / "own_model", work)
    monkeypatch.setenv("PYTHONPATH", ".")
    monkeypatch.syspath_prepend(str(work))
    lines = [line for line in commands() if name in line]
    assert [line.split()[0] for line in lines][-1] == "vssl-evaluate"
    for line in lines:
        if line.startswith("python "):
            script = line.split(" -c ")[1].strip("'")
            with contextlib.chdir(work):
                exec(script)
            continue
        program, *arguments = line.split()
        if program == "vssl-evaluate":
            arguments += ["data.scenes=2", "output_dir=run", "logger=none", "trainer=cpu"]
            arguments += ["bootstrap.resamples=10", "subsets=[]"]
            arguments += ["negatives.noise.draws=1", "negatives.offscreen.draws=1"]
        done = command(program, *arguments, cwd=work)
        assert done.returncode == 0, done.stderr
        assert name in done.stdout

    found = records(work / "run").set_index(["sample_id", "audio_condition"]).sort_index()
    assert len(found) == 4 * 4
    for sample in found.index.unique("sample_id"):
        heard = maps(found.loc[sample])
        assert np.ptp(heard, axis=0).max() > 1e-4, "the sound changes the map"
