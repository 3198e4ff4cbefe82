"""A test set with masks, flags and natural negatives, from the list to the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.running import run
from vssl.config.report import report_figures
from vssl.data.base import DataError
from vssl.data.listed import SampleList, write_samples
from vssl.data.vggss import VGGSS
from vssl.maps import encode_mask
from vssl.records.conditions import NATURAL_NEGATIVES
from vssl.records.files import SCORES_FILE
from vssl.records.run import Run
from vssl.records.store import check_records
from vssl.records.truth import GroundTruth
from vssl.reporting.collection import collect
from vssl.reporting.figures.gallery import draw_comparison
from vssl.reporting.figures.report import draw_figures
from vssl.reporting.page.gallery import choose
from vssl.reporting.tables.paper import build_tables
from vssl.testing import check_reader
from vssl.types import NATURAL, POSITIVE, Sample

ROWS, COLUMNS = np.mgrid[:224, :224]
DISC = (ROWS - 100) ** 2 + (COLUMNS - 90) ** 2 < 45**2


def masked(root: Path) -> list[Sample]:
    """Drawn samples: the first with a mask, the second a natural negative of the same picture."""
    samples = VGGSS(root).check().samples
    group = samples[0].image_group
    first = replace(
        samples[0], boxes=(), box_weights=(), masks=(encode_mask(DISC),), mask_weights=(1.0,)
    )
    second = replace(samples[1], boxes=(), box_weights=(), image_group=group)
    flagged = [replace(each, flags=(("static_image", "no"),)) for each in (second, samples[2])]
    return [first, *flagged, *samples[3:]]


@pytest.fixture
def listed(vggss_folder: Path) -> tuple[Path, str]:
    return vggss_folder, write_samples(masked(vggss_folder), vggss_folder)


def test_from_the_list_to_the_page(listed: tuple[Path, str], tmp_path: Path) -> None:
    root, name = listed
    summary = run(
        tmp_path / "run", "model=oracle", "data=samples", f"data.root={root}",
        f"data.annotation={name}", "data.empty=negative", "negatives=[silence]", "subsets=[]",
        "threshold=[fixed]", "metrics=[ciou,pia,iiou,auroc]", "bootstrap.resamples=10",
    )  # fmt: skip
    count = len(SampleList(root, annotation=name).listed())
    found = summary.set_index(["metric", "condition"])
    assert found.loc[("ciou", POSITIVE), "value"] == pytest.approx(1)
    assert found.loc[("ciou", POSITIVE), "n"] == count - 1
    assert found.loc[("iiou", POSITIVE), ["value", "n", "n_undefined"]].to_list() == [
        1,
        count - 1,
        0,
    ]
    assert found.loc[("pia", NATURAL), ["value", "n"]].to_list() == [0, 1]
    assert found.loc[("pia", "silence"), "n"] == count
    assert found.loc[("auroc", NATURAL), "value"] == 1
    subsets = pd.read_parquet(tmp_path / "run" / "subsets.parquet")
    assert set(zip(subsets["subset_kind"], subsets["subset"], strict=True)) == {
        ("static_image", "no")
    }

    facts = check_records(tmp_path / "run")
    assert facts[NATURAL_NEGATIVES] == 1
    truth = GroundTruth.of(tmp_path / "run")
    assert truth.table.equals(GroundTruth.of_samples(masked_now(root)).table)
    opened = Run(tmp_path / "run")
    np.testing.assert_array_equal(opened.ground_truth(truth.ids[0]), DISC)
    assert not opened.ground_truth(truth.ids[1]).any()

    (group,) = collect([tmp_path / "run"]).groups
    (flags,) = (each for each in build_tables(group, policy="fixed") if each.name == "flags")
    (cell,) = flags.rows[0].cells
    own = subsets[(subsets["metric"] == "ciou") & (subsets["condition"] == POSITIVE)].iloc[0]
    assert cell is not None
    assert (cell.value, cell.number["n"]) == (own["value"], own["n"])
    assert flags.columns[0].top == "static_image no"
    drawn = draw_figures(group, tmp_path, report_figures(), policy="fixed")
    (by_flags,) = (each for each in drawn if each.name == f"{group.name}_by_flags")
    assert "From top to bottom: static_image no." in by_flags.details[0]
    assert group.runs[0].conditions == (POSITIVE, "silence", NATURAL)
    cards: Any = choose(group, count, policy="fixed").set_index("sample_id")
    cards = cards.loc[truth.ids]  # the page has the most telling ones first
    assert cards["natural"].tolist() == truth.natural.tolist()
    assert cards["area"].iloc[0] == pytest.approx(DISC.mean())
    for number in range(2):
        picture, name = tmp_path / "a.png", truth.ids[number]
        draw_comparison([tmp_path / "run"], picture, thresholds=[None], sample_id=name)
    scores = pd.read_parquet(tmp_path / "run" / SCORES_FILE)
    natural = scores[scores["audio_condition"] == NATURAL]
    assert natural["sample_id"].unique().tolist() == [truth.ids[1]]


def masked_now(root: Path) -> list[Sample]:
    samples = masked(root)
    return [replace(each, is_natural_negative=not (each.boxes or each.masks)) for each in samples]


def test_natural_negatives_are_no_sounding_objects_of_a_picture(listed: tuple[Path, str]) -> None:
    root, name = listed
    samples = SampleList(root, annotation=name, empty="negative").listed()
    assert {sample.image_sources for sample in samples} == {1}
    kept = SampleList(root, annotation=name, empty="keep").listed()
    assert [sample.image_sources for sample in kept[:2]] == [2, 2]
    with pytest.raises(DataError, match="has no box or mask"):
        SampleList(root, annotation=name).check()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        ({"mask_weights": ()}, "a mask has no weight"),
        ({"masks": (b"",)}, "a mask is empty"),
        ({"masks": (b"\x05\x00\x05\x00",)}, "a mask is empty, or not"),
        ({"masks": (b"\x05",)}, "a mask is empty, or not"),
        ({"masks": (b"\x05\x00\xff\xff",)}, "a mask is empty, or not"),
        ({"mask_weights": (1.5,)}, "weights are not in"),
        ({"flags": (("a", "1"), ("a", "2"))}, "a kind twice"),
        ({"flags": (("category", "1"),)}, "names other subsets"),
        ({"flags": (("a", 1),)}, "not pairs of texts"),
        ({"is_natural_negative": True}, "has an object that sounds"),
    ],
)
def test_the_reader_check_covers_masks_and_flags(
    listed: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], fault: str
) -> None:
    root, name = listed
    reader = SampleList(root, annotation=name, empty="negative")
    data = reader.check()
    changed = replace(data, samples=[replace(data.samples[0], **change), *data.samples[1:]])
    monkeypatch.setattr(reader, "check", lambda: changed)
    if fault:
        with pytest.raises(AssertionError, match=fault):
            check_reader(reader)
    else:
        check_reader(reader)
