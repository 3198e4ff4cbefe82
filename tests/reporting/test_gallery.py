"""The picture of several runs side by side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.running import run
from vssl.reporting.figures.gallery import draw_comparison

COMMON = ("negatives=none", "threshold=fixed")


def widen(root: Path, sides: list[float]) -> None:
    """Give every sample one square box of another size, as a fraction of the image."""
    path = root / "vggss.json"
    entries = json.loads(path.read_text())
    for entry, side in zip(entries, sides, strict=True):
        entry["bbox"] = [[0, 0, side, side]]
    path.write_text(json.dumps(entries))


def drawn(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_the_object_of_median_size_is_drawn(tmp_path: Path, vggss_folder: Path) -> None:
    # areas of 181 x 181 pixels and more do not fit in the 16 bits that sides are kept in
    widen(vggss_folder, [0.1, 0.95, 0.9, 1.0, 0.85, 0.2])
    run(tmp_path / "run", "model=center", "data=vggss", f"data.root={vggss_folder}", *COMMON)
    median = "clip2_000010"  # sides in order: 0.1 0.2 0.85 0.9 0.95 1
    draw_comparison([tmp_path / "run"], tmp_path / "chosen.png")
    draw_comparison([tmp_path / "run"], tmp_path / "named.png", sample_id=median)
    np.testing.assert_array_equal(drawn(tmp_path / "chosen.png"), drawn(tmp_path / "named.png"))


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_maps_are_drawn_in_their_declared_range(
    tmp_path: Path, vggss_folder: Path, weight: float
) -> None:
    """A map that is low looks low: it is not stretched."""
    data = ("data=vggss", f"data.root={vggss_folder}")
    run(tmp_path / "run", "model=constant", f"model.arguments.value={weight}", *data, *COMMON)
    draw_comparison([tmp_path / "run"], tmp_path / "picture.png")
    # inferno runs from black to bright yellow
    middle = drawn(tmp_path / "picture.png")[120:180, 120:180].mean()
    assert (middle > 100) == (weight == 1.0)
