"""The page on own data: its files make a test set, and its commands run on it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from tests.docs.pages import commands, done, shown
from tests.helpers.running import FAST, records

PAGE = "own-data.md"


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the page describes, with all three annotations."""
    root = tmp_path_factory.mktemp("work") / "mine"
    for name in ("images", "sounds", "masks"):
        (root / name).mkdir(parents=True)
    for language, name in (("csv", "mine/samples.csv"), ("json", "mine/annotations.json")):
        (block,) = shown(PAGE, language)
        assert block.file == name
        (root.parent / name).write_text(block.text)
    table = pd.read_csv(root / "samples.csv").drop_duplicates("image")
    for number, (image, audio) in enumerate(zip(table["image"], table["audio"], strict=True)):
        rng = np.random.default_rng(number)
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(root / "images" / image)
        soundfile.write(root / "sounds" / audio, rng.normal(size=(66_150, 2)) / 9, 22_050)
        mask = Image.new("L", (64, 48))
        if number < 3:
            mask.paste(255, (8, 8, 40, 30))
        mask.save(root / "masks" / f"{Path(image).stem}.png")
    table[["image", "audio", "category"]].to_csv(root / "pairs.csv", index=False)
    return root


@pytest.mark.parametrize(
    "line", [line for line in commands(PAGE) if re.match(r"vssl[ -]check data=folder", line)]
)
def test_the_checks_of_the_page_pass(line: str, mine: Path) -> None:
    # the page's folder has one annotation at first
    first = [] if "annotation" in line else ["data.annotation=samples.csv"]
    said = done(line, *first, cwd=mine.parent).stdout
    assert "natural negatives 1" in said or "annotations.json" in line
    (folder,) = re.findall(r"^drawn +(\S+)/contact_sheet.png$", said, re.MULTILINE)
    with Image.open(Path(folder) / "contact_sheet.png") as sheet:
        assert min(sheet.size) > 300
    shutil.rmtree(folder)


def test_a_model_is_evaluated_on_the_page_s_coco_file(mine: Path) -> None:
    (line,) = (each for each in commands(PAGE) if re.match(r"vssl-evaluate .*annotations", each))
    draws = ("negatives.noise.draws=1", "negatives.offscreen.draws=1")
    few = (*draws, "threshold=fixed", "metrics=pia", *FAST)
    done(line, "output_dir=run", *few, cwd=mine.parent)
    content = json.loads((mine / "annotations.json").read_text())
    names = {Path(image["file_name"]).stem for image in content["images"]}
    assert set(records(mine.parent / "run")["sample_id"]) == names
