"""Ground truth that cannot be: found by the check, counted, listed, explained."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.running import run
from vssl.data.base import DataError
from vssl.data.boxes import LEAST_PIXELS, box_fault, guess_cause
from vssl.data.is3 import IS3
from vssl.data.vggss import VGGSS
from vssl.records.store import read_provenance

Box = list[float]
GOOD: Box = [0.2, 0.2, 0.7, 0.8]

FAULTS: dict[str, tuple[list[Box], str]] = {
    # the boxes of a sample in fractions, and what is said of them
    "no box": ([], "has no box"),
    "pixels": ([[50, 60, 150, 200]], "reaches far outside of the image"),
    "pixels from the corner": ([[0, 0, 150, 200]], "reaches far outside of the image"),
    "pixels beside a good box": ([GOOD, [0, 0, 150, 200]], "reaches far outside of the image"),
    "x y w h": ([[0.6, 0.6, 0.3, 0.3]], "has its second corner before its first"),
    "reversed": ([[0.8, 0.8, 0.2, 0.2]], "has its second corner before its first"),
    "left of the image": ([[-0.9, 0.1, -0.1, 0.5]], "lies outside of the image"),
    "below the image": ([[0.1, 1.0, 0.5, 1.5]], "lies outside of the image"),
    "a point": ([[0.5, 0.5, 0.5, 0.5]], "covers 0 pixels of 224 x 224, less than 16"),
    "all zero": ([[0, 0, 0, 0]], "lies outside of the image"),
    "near-empty": ([[0.5, 0.5, 0.5 + 3.5 / 224, 0.5 + 5.5 / 224]], "covers 15 pixels"),
    "two empty ones": ([[0.8, 0.8, 0.2, 0.2], [0.5, 0.5, 0.5, 0.5]], "before its first, covers 0"),
}
KEPT = [name for name in FAULTS if "pixels" not in name]


def rewrite(folder: Path, *boxes: list[Box]) -> None:
    """Give the samples of a VGG-SS folder other boxes; those left over a good one."""
    path = folder / "vggss.json"
    entries = json.loads(path.read_text())
    for number, entry in enumerate(entries):
        entry["bbox"] = boxes[number] if number < len(boxes) else [GOOD]
    path.write_text(json.dumps(entries))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_sample_whose_boxes_mark_nothing(
    vggss_folder: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    boxes, message = FAULTS[fault]
    rewrite(vggss_folder, boxes)
    kind = "empty ground truths" if fault in KEPT else "impossible boxes"
    with pytest.raises(DataError) as caught:
        VGGSS(vggss_folder).check()
    text = str(caught.value)
    assert f"1 {kind}\n  {kind}: clip0_000010: " in text
    assert message in text
    assert "data.missing=skip to evaluate the 5 samples that are whole." in text
    assert ("data.empty=keep" in text) == (fault in KEPT)

    left = VGGSS(vggss_folder, missing="skip").check()
    assert len(left.samples) == 5
    assert [(p.kind, p.sample_id) for p in left.problems] == [(kind, "clip0_000010")]

    if fault in KEPT:
        kept = VGGSS(vggss_folder, empty="keep").check()
        assert len(kept.samples) == 6
        assert kept.problems == ()
        assert [(p.kind, p.sample_id) for p in kept.notes] == [(kind, "clip0_000010")]
        assert f"evaluated all the same: 1 {kind}" in caplog.text
    else:
        with pytest.raises(DataError, match="1 impossible boxes"):
            VGGSS(vggss_folder, empty="keep").check()


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        ([0.8, 0.8, 0.2, 0.2], "[0.8, 0.8, 0.2, 0.2] has its second corner before its first"),
        # as `-ANxUxvGASw_000010` of the published VGG-SS has it
        ([0.65, 0.55, -2.9e16, -2.9e16], "reaches far outside of the image"),
    ],
)
def test_a_box_that_marks_nothing_beside_a_good_one_is_noted(
    vggss_folder: Path, box: Box, fault: str
) -> None:
    rewrite(vggss_folder, [GOOD, box])
    data = VGGSS(vggss_folder).check()
    assert (len(data.samples), data.problems) == (6, ())
    (note,) = data.notes
    assert note.detail.startswith("clip0_000010: of 2 boxes, ")
    assert fault in note.detail


@pytest.mark.parametrize("beyond", [[-0.2, -0.01, 0.5, 0.5], [0.5, 0.5, 1.3, 1.001]])
def test_a_box_over_the_edge_is_clipped_without_a_word(vggss_folder: Path, beyond: Box) -> None:
    rewrite(vggss_folder, [beyond])
    data = VGGSS(vggss_folder).check()
    assert (len(data.samples), data.problems, data.notes) == (6, (), ())


@given(box=st.lists(st.floats(-3, 300), min_size=4, max_size=4))
def test_what_is_no_fault_marks_something(box: Box) -> None:
    x0, y0, x1, y1 = (int(224 * min(max(value, 0), 1)) for value in box)
    if box_fault(box) == "":
        assert (x1 - x0) * (y1 - y0) >= LEAST_PIXELS


TRUE: list[Box] = [
    [0.1, 0.2, 0.4, 0.5], [0.6, 0.5, 0.9, 0.95], [0.0, 0.0, 0.3, 0.9],
    [0.5, 0.1, 0.6, 0.2], [0.4, 0.4, 0.7, 0.6], [0.7, 0.02, 1.0, 0.3],
]  # fmt: skip
SIZED = [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in TRUE]
EMPTY = "boxes are empty after clipping to the image"
SIZED_CAUSE = f"4 of 6 {EMPTY}; are they x, y, width and height rather than two corners?"


def scaled(factor: float) -> list[Box]:
    return [[factor * value for value in box] for box in TRUE]


@pytest.mark.parametrize(
    ("boxes", "unit", "cause"),
    [
        (scaled(640), "fractions", f"6 of 6 {EMPTY} or reach far outside of it; are they in pixels"
         " rather than fractions?"),
        (SIZED, "fractions", SIZED_CAUSE),
        (scaled(1 / 224), "pixels", f"6 of 6 {EMPTY}; are they in fractions rather than pixels of"
         " 224 x 224?"),
        (scaled(4), "pixels", f"5 of 6 {EMPTY} or reach far outside of it; are they in pixels of"
         " the image files rather than of 224 x 224?"),
        (TRUE, "fractions", ""),
        ([*TRUE, [0.8, 0.8, 0.2, 0.2]], "fractions", ""),  # one alone has no common cause
    ],
)  # fmt: skip
def test_the_cause_is_guessed(boxes: list[Box], unit: str, cause: str) -> None:
    assert guess_cause(boxes, unit) == cause


def test_the_guess_is_said_once(vggss_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rewrite(vggss_folder, *([box] for box in SIZED))
    with pytest.raises(DataError, match=re.escape(SIZED_CAUSE)):
        VGGSS(vggss_folder).check()
    for options, count in (({"missing": "skip"}, 2), ({"empty": "keep"}, 6)):
        caplog.clear()
        assert len(VGGSS(vggss_folder, **options).check().samples) == count  # type: ignore[arg-type]
        assert caplog.text.count(SIZED_CAUSE) == 1


def test_a_run_with_an_empty_ground_truth(vggss_folder: Path, tmp_path: Path) -> None:
    """Its cIoU is 0/0 where nothing is marked."""
    rewrite(vggss_folder, [])
    folder = tmp_path / "run"
    summary = run(
        folder, "model=oracle", "data=vggss", f"data.root={vggss_folder}", "data.empty=keep",
        "negatives=none", "threshold=fixed", "metrics=[ciou,pia]",
    )  # fmt: skip
    row = summary[(summary["metric"] == "ciou") & (summary["condition"] == "positive")].iloc[0]
    assert (row["n"], row["n_undefined"]) == (5, 1)
    assert row["value"] == pytest.approx(1)
    text = (folder / "data_notes.csv").read_text()
    assert "empty ground truths,clip0_000010,clip0_000010: has no box" in text
    assert read_provenance(folder / "records.parquet")["notes"] == {"empty ground truths": 1}
    assert not (folder / "left_out.csv").exists()


def test_is3_is_in_pixels(is3_folder: Path) -> None:
    path = is3_folder / "IS3_annotation.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([{**e, "gt_box": [4 * v for v in e["gt_box"]]} for e in entries]))
    with pytest.raises(DataError, match="are they in pixels of the image files"):
        IS3(is3_folder).check()
