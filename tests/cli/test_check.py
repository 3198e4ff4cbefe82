"""vssl-check: what it says and draws of any test set, whole or faulty."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tests.helpers.running import command

PROGRAM = "vssl-check"


def test_a_whole_test_set(is3_folder: Path, tmp_path: Path) -> None:
    done = command(PROGRAM, "data=is3", f"data.root={is3_folder}", "output=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for line in (
        "6 of 6 listed can be evaluated (100.0 %); the published list has 6480, list ",
        "boxes (6); 1 a sample; marked are 22 % of the picture, median 22",
        "3: dog (2), bell (2), train (2)",
        "6 files: JPEG (6); pixels: 64 x 48 (6)",
        "6 files: WAV (6)",
        "mono (6); 2 s, median 2",
    ):
        assert line in done.stdout
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["contact_sheet.png"]
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    outline = np.abs(pixels - (0, 0xE5, 0xFF)).sum(axis=2) < 30
    assert outline.sum() > 500, "ground truth is outlined"


def test_a_faulty_one_is_listed_and_drawn(vggss_folder: Path, tmp_path: Path) -> None:
    (vggss_folder / "frames" / "clip1_000010.jpg").unlink()
    (vggss_folder / "audio" / "clip2_000010.wav").write_bytes(b"no sound")
    entries = json.loads((vggss_folder / "vggss.json").read_text())
    entries[3]["bbox"] = [[20, 30, 120, 150]]
    (vggss_folder / "vggss.json").write_text(json.dumps(entries))
    arguments = ("data=vggss", f"data.root={vggss_folder}")
    done = command(PROGRAM, *arguments, "--output", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "3 faults: 1 impossible boxes; 1 missing images; 1 unreadable audio" in done.stdout
    assert "set data.missing=skip to evaluate the 3 whole samples" in done.stdout
    assert len(pd.read_csv(tmp_path / "out" / "left_out.csv")) == 3
    assert (tmp_path / "out" / "contact_sheet.png").is_file()
    more = ("data.missing=skip", "output=a/b.png", "model=ezvsl", "+model.frontend.rate=22050")
    done = command(PROGRAM, *arguments, *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "16000 Hz (5); all but 22050 Hz are resampled" in done.stdout
    assert "3 samples can be evaluated. The 3 faulty ones are left out." in done.stdout
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.png"]


def test_nothing_to_check(tmp_path: Path) -> None:
    done = command(PROGRAM, "data=folder", "data.root=none", cwd=tmp_path)
    assert done.returncode == 1
    assert "none: no such folder. Set data.root=<your folder>" in " ".join(done.stderr.split())
    done = command(PROGRAM, "data=folder", "data.boxes=inches", cwd=tmp_path)
    assert "Expected `data.boxes` to be one of pixels, fractions, but got `inches`" in done.stderr
