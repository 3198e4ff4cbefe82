"""The walk of docs/stored-maps.md: its commands and its script, run as the page says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.docs.pages import commands, done, shown


def test_the_walk_ends_with_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = shown("stored-maps.md", "python")
    assert "torch" not in block.text
    export, evaluate, _ = (line for line in commands("stored-maps.md") if "data=synthetic" in line)
    few = [f"negatives.{name}.draws=1" for name in ("noise", "offscreen")]
    done(export, *few, cwd=tmp_path)
    (tmp_path / "make_maps.py").write_text(block.text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["make_maps.py", "plan", "plan/maps"])
    runpy.run_path("make_maps.py", run_name="__main__")
    table = done(evaluate, *few, "output_dir=run", "threshold=fixed", cwd=tmp_path).stdout
    assert "brightness on synthetic, protocol corrected" in table
    assert (tmp_path / "run" / "summary.parquet").is_file()
