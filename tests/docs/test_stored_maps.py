"""The walk of docs/stored-maps.md: its commands and its script, run as the page says."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.test_docs_commands import ROOT, commands
from tests.helpers.running import command

PAGE = ROOT / "docs" / "stored-maps.md"


def test_the_walk_ends_with_a_table(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "torch" not in code
    export, evaluate, _ = (line for line in commands(PAGE) if "data=synthetic" in line)
    few = [f"negatives.{name}.draws=1" for name in ("noise", "offscreen")]
    program, *arguments = export.split()
    done = command(program, *arguments, *few, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "make_maps.py").write_text(code)
    with contextlib.chdir(tmp_path):
        subprocess.run([sys.executable, "make_maps.py", "plan", "plan/maps"], check=True)
    program, *arguments = evaluate.split()
    small = ["logger=none", "trainer=cpu", "subsets=[]", "bootstrap.resamples=10"]
    done = command(program, *arguments, *few, *small, "output_dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "brightness on synthetic, protocol corrected" in done.stdout
    assert (tmp_path / "run" / "summary.parquet").is_file()
